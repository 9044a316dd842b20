//! Settings: a variable each and a flag; what does not parse is named, and nothing is touched.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use crate::support::{
    files::{executable, temp_dir},
    installation::{Installation, Push},
};

const VARIABLES: [&str; 10] = [
    "AMP_CI_GIT_BASE",
    "AMP_CI_SMTP_URL",
    "AMP_CI_MAIL_FROM",
    "AMP_CI_MAIL_FALLBACK",
    "AMP_CI_WORK_DIR",
    "AMP_CI_TIMEOUT",
    "AMP_CI_KEEP",
    "AMP_CI_LOG_LIMIT",
    "AMP_CI_LAUNCHER",
    "AMP_CI_MASK",
];

#[test]
fn a_value_that_does_not_parse_is_an_error_that_names_the_variable_and_nothing_is_touched() {
    for (variable, flag, bad) in [
        ("AMP_CI_GIT_BASE", Some("--git-base"), "--upload-pack=x"),
        ("AMP_CI_SMTP_URL", None, "http://user:geheim@host"),
        ("AMP_CI_SMTP_URL", None, "smtps://user:geheim@ho st"),
        ("AMP_CI_SMTP_URL", None, "file://relative"),
        ("AMP_CI_MAIL_FROM", Some("--mail-from"), "nobody"),
        ("AMP_CI_MAIL_FALLBACK", Some("--mail-fallback"), "Op <op@example.org>"),
        ("AMP_CI_WORK_DIR", Some("--work-dir"), "relative"),
        ("AMP_CI_TIMEOUT", Some("--timeout"), "1d"),
        ("AMP_CI_KEEP", Some("--keep"), "many"),
        ("AMP_CI_LOG_LIMIT", Some("--log-limit"), "16MB"),
        ("AMP_CI_LAUNCHER", Some("--launcher"), "srun 'unclosed"),
        ("AMP_CI_MASK", Some("--mask"), "*_TOKEN,*_KEY"),
    ] {
        let mut ci = Installation::building("true");
        ci.push(&Push::to("r", "main"));
        let before = ci.entries();
        let mut outputs = Vec::new();
        if let Some(flag) = flag {
            outputs.push(ci.command("build").arg(format!("{flag}={bad}")).output().unwrap());
        }
        ci.set(variable, bad);
        outputs.push(ci.command("build").output().unwrap());
        outputs.push(ci.command("build").arg("--check").output().unwrap());
        for output in outputs {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).unwrap();
            assert_eq!(output.status.code(), Some(2), "{variable}={bad}: {said}");
            assert!(said.starts_with(&format!("build: {variable}: ")), "{said}");
            assert!(!said.contains("geheim"), "{said}");
        }
        assert_eq!(ci.entries(), before, "{variable}={bad}");
    }
}

#[test]
fn a_setting_that_is_not_valid_is_in_the_log_and_the_fallback_hears_once() {
    for (variable, bad) in
        [("AMP_CI_TIMEOUT", "6clocks"), ("AMP_CI_MAIL_FROM", "nobody"), ("AMP_CI_KEEP", "-1")]
    {
        let mut ci = Installation::building("true");
        let id = ci.push(&Push::to("r", "main"));
        ci.set(variable, bad);
        for _ in 0..3 {
            assert_eq!(ci.command("build").output().unwrap().status.code(), Some(2));
        }
        assert_eq!(ci.log().matches(&format!("  {variable}: ")).count(), 1, "{}", ci.log());
        let letter = ci.letter();
        assert_eq!(letter.to, "operator@example.org");
        assert!(letter.text.contains(variable) && letter.text.contains(bad), "{}", letter.text);
        assert_eq!(ci.entries(), [format!("build-{id}")]);
        let lock = fs::read_to_string(ci.path("queue/lock")).unwrap();
        assert!(lock.contains(variable), "{lock}");

        ci.set(variable, "");
        ci.build(1);
        assert_eq!(ci.record().outcome(), "succeeded");
        assert!(ci.log().contains(&format!("over: {variable}")), "{}", ci.log());
    }
}

#[test]
fn an_environment_sh_that_cannot_be_used_is_in_the_log_and_the_fallback_hears_once() {
    for (settings, mode, why) in [
        ("A=1\n", 0o664, "others than its owner can write"),
        ("exit 0\n", 0o640, "ends the shell that reads it"),
        ("if\n", 0o640, "syntax error"),
    ] {
        let ci = Installation::building("true");
        let id = ci.push(&Push::to("r", "main"));
        fs::create_dir_all(ci.path("checkout/bin")).unwrap();
        for launcher in ["build", "home.sh"] {
            fs::copy(
                Path::new(env!("CARGO_MANIFEST_DIR")).join(launcher),
                ci.path("checkout").join(launcher),
            )
            .unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_amp_build"), ci.path("checkout/bin/amp_build")).unwrap();
        fs::write(ci.path("environment.sh"), settings).unwrap();
        fs::set_permissions(ci.path("environment.sh"), fs::Permissions::from_mode(mode)).unwrap();
        let launcher = ci.path("checkout/build").display().to_string();
        for _ in 0..3 {
            let output = ci.command(&launcher).args(["--threads", "2"]).output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains(why) && said.contains("environment.sh"), "{said}");
        }
        assert_eq!(ci.log().matches(why).count(), 1, "{}", ci.log());
        let letter = ci.letter();
        assert_eq!(letter.to, "operator@example.org");
        assert!(letter.text.contains(why), "{}", letter.text);
        // Who only looks makes no letter.
        assert_eq!(ci.command(&launcher).arg("--check").output().unwrap().status.code(), Some(1));
        assert_eq!(ci.letters().len(), 1);

        fs::remove_file(ci.path("environment.sh")).unwrap();
        assert!(ci.command(&launcher).output().unwrap().status.success());
        assert_eq!((ci.record().id, ci.record().outcome()), (id, "succeeded"));
        assert!(ci.log().contains("over: environment.sh"), "{}", ci.log());
    }
}

#[test]
fn a_name_that_is_no_setting_is_warned_about_with_the_nearest_one() {
    let mut ci = Installation::building("true");
    ci.set("AMP_CI_TIME_OUT", "1h").set("AMP_CI_LOG_LIMITS", "1M");
    ci.build(1);
    assert_eq!(ci.log(), "", "nothing is built, nothing is said");
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    for warning in [
        "WARNING ] (drain.rs",
        "AMP_CI_TIME_OUT is no setting; the nearest one is AMP_CI_TIMEOUT",
        "AMP_CI_LOG_LIMITS is no setting; the nearest one is AMP_CI_LOG_LIMIT",
    ] {
        assert!(ci.log().contains(warning), "{}", ci.log());
    }
}

#[test]
fn a_flag_beats_the_environment() {
    let mut ci = Installation::building("echo base $AMP_CI_GIT_BASE; pwd; seq 100000; exit 1");
    fs::create_dir(ci.path("flag")).unwrap();
    let flag_dir = ci.path("flag").canonicalize().unwrap().display().to_string();
    for (name, value) in [
        ("AMP_CI_GIT_BASE", "/environment"),
        ("AMP_CI_MAIL_FROM", "environment@example.org"),
        ("AMP_CI_MAIL_FALLBACK", "environment@example.org"),
        ("AMP_CI_TIMEOUT", "1d is wrong"),
        ("AMP_CI_KEEP", "wrong"),
        ("AMP_CI_LOG_LIMIT", "wrong"),
    ] {
        ci.set(name, value);
    }
    ci.push(&Push::to("r", "main").by("nobody", ""));
    let output = ci.build_with(&[
        "--git-base",
        "/flag",
        "--mail-from=flag@example.org",
        "--mail-fallback=fallback@example.org",
        "--work-dir",
        &flag_dir,
        "--timeout=30m",
        "--keep=7",
        "--log-limit=8K",
    ]);
    assert_eq!(output.status.code(), Some(0));
    let output = ci.record().output();
    assert!(
        output.contains("\nbase /flag\n") && output.contains(&format!("\n{flag_dir}/amp_ci-")),
        "{output}"
    );
    assert!(output.len() <= 8192);
    let letter = ci.letter();
    assert_eq!((&*letter.from, &*letter.to), ("flag@example.org", "fallback@example.org"));
}

#[test]
fn without_settings_there_are_defaults() {
    let mut ci = Installation::building("echo base $AMP_CI_GIT_BASE; exit 1");
    let mail = format!("file://{}", ci.path("mail").display());
    let work = ci.path("work").display().to_string();
    for variable in VARIABLES {
        // An empty one is an unset one.
        ci.set(variable, "");
    }
    ci.set("AMP_CI_SMTP_URL", &mail).set("TMPDIR", &work);
    ci.push(&Push::to("r", "main").by("nobody", ""));
    ci.build(1);
    assert!(ci.record().output().contains("\nbase https://github.com/AudiovisualMetadataPlatform\n"));
    let letter = ci.letter();
    let (from, from_host) = letter.from.split_once('@').unwrap();
    let (to, to_host) = letter.to.split_once('@').unwrap();
    let account = ci.command("id").arg("-un").output().unwrap().stdout;
    assert_eq!((from, to), ("amp_ci", String::from_utf8(account).unwrap().trim_end()));
    assert!(from_host == to_host && !from_host.is_empty());
}

#[test]
fn help_names_every_setting_and_shows_no_value_of_the_mail_url() {
    let mut ci = Installation::new();
    ci.set("AMP_CI_SMTP_URL", "smtps://user:geheim@mail.example.org");
    let output = ci.command("build").arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for variable in VARIABLES {
        assert!(help.contains(variable), "{variable} in {help}");
    }
    assert!(!help.contains("geheim") && !help.contains("--smtp-url"), "{help}");
    let check = ci.command("build").arg("--check").output().unwrap();
    let said = String::from_utf8([check.stdout, check.stderr].concat()).unwrap();
    assert!(!said.contains("geheim"), "{said}");
}

#[test]
fn each_program_tells_its_version_and_what_is_wrong_usage() {
    let ci = Installation::new();
    for program in ["build", "queue_build"] {
        let output = ci.command(program).arg("--version").output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("{program} {}\n", env!("CARGO_PKG_VERSION"))
        );
    }
    for arguments in
        [&["--threads", "0"][..], &["--threads", "x"], &["--nonsense"], &["--mail", "a@example.org"]]
    {
        assert_eq!(
            ci.command("build").args(arguments).output().unwrap().status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}

#[test]
fn without_a_home_the_error_says_the_three_ways_to_give_one() {
    let ci = Installation::new();
    let elsewhere = temp_dir();
    let program = elsewhere.path().join("build");
    executable(&program, fs::read(env!("CARGO_BIN_EXE_amp_build")).unwrap());
    let run = |dir: &std::path::Path| {
        ci.command(dir.join("build").to_str().unwrap()).env_remove("AMP_CI_HOME").output().unwrap()
    };
    let output = run(elsewhere.path());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for way in ["--home DIR", "AMP_CI_HOME", "scripts/ and queue/"] {
        assert!(said.contains(way), "{said}");
    }

    fs::create_dir(elsewhere.path().join("scripts")).unwrap();
    fs::create_dir(elsewhere.path().join("queue")).unwrap();
    fs::create_dir(elsewhere.path().join("bin")).unwrap();
    fs::rename(&program, elsewhere.path().join("bin/build")).unwrap();
    let output = run(&elsewhere.path().join("bin"));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(elsewhere.path().join("build.log").exists(), "the home is above the program");
}

#[test]
fn an_unsafe_work_directory_is_a_fault_that_is_said_once_a_day() {
    let ci = Installation::building("true");
    let id = ci.push(&Push::to("r", "main"));
    fs::set_permissions(ci.path("work"), fs::Permissions::from_mode(0o777)).unwrap();
    for _ in 0..2 {
        assert_eq!(ci.build_with(&[]).status.code(), Some(1));
        assert_eq!(ci.entries(), [format!("build-{id}")]);
    }
    assert_eq!(ci.letter().to, "operator@example.org");
    let lock = fs::read_to_string(ci.path("queue/lock")).unwrap();
    assert!(lock.lines().nth(1).is_some_and(|trouble| trouble.contains("work directory")), "{lock}");
    assert_eq!(ci.log().matches("sticky").count(), 1, "{}", ci.log());
    // A day is over.
    let note = fs::read_to_string(ci.path("queue/.drain")).unwrap();
    let said = note.split(' ').nth(1).unwrap();
    fs::write(ci.path("queue/.drain"), note.replace(said, "2026-01-01T00:00:00Z")).unwrap();
    for _ in 0..2 {
        assert_eq!(ci.build_with(&[]).status.code(), Some(1));
    }
    assert_eq!(ci.letters().len(), 2);
    assert_eq!(ci.log().matches("sticky").count(), 2, "{}", ci.log());

    fs::set_permissions(ci.path("work"), fs::Permissions::from_mode(0o1777)).unwrap();
    ci.build(1);
    assert_eq!(ci.record().result["attempts"], 1);
    assert!(!ci.path("queue/lock").exists());
}
