//! A home apart from the checkout: `build init`, and what the documents say one does with it.

use std::{
    env, fs,
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::support::{
    files::{executable, names, temp_dir},
    installation::Push,
};

const SHIPPED: [&str; 10] = [
    "build",
    "home.sh",
    "page.sh",
    "start_webhook.sh",
    "stop_webhook.sh",
    "hooks.json",
    "scripts/checkout_repos",
    "scripts/build_packages",
    "scripts/distribute_main",
    ".gitignore",
];

/// Somebody's account on a machine that reaches GitHub: here a repository beside it.
struct Account(TempDir);

impl Account {
    fn new() -> Self {
        let account = Self(temp_dir());
        let (upstream, source) = (account.path("github/amp_ci"), Path::new(env!("CARGO_MANIFEST_DIR")));
        fs::create_dir_all(upstream.join("scripts")).unwrap();
        for file in SHIPPED {
            fs::copy(source.join(file), upstream.join(file)).unwrap();
        }
        account.run("cd github/amp_ci && git init -q -b main && git add . && git commit -qm 'amp_ci'");
        // Compiling takes minutes: what stands in for cargo leaves what cargo would leave.
        let programs = Path::new(env!("CARGO_BIN_EXE_amp_build")).parent().unwrap().display();
        fs::create_dir(account.path("tools")).unwrap();
        executable(
            &account.path("tools/cargo"),
            format!(
                "#!/bin/bash\nmkdir -p target/release && ln -sf {programs}/{{amp_build,queue_build,statusd,webhookd}} target/release\n"
            ),
        );
        account
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn try_to(&self, script: &str) -> Output {
        let home = self.0.path().to_str().unwrap();
        let path = format!("{home}/tools:{}", env::var("PATH").unwrap());
        let mut bash = Command::new("bash");
        bash.args(["-ec", script]).current_dir(home).env_clear().stdin(Stdio::null());
        bash.envs([("HOME", home), ("PATH", &path), ("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_COUNT", "1")]);
        for who in ["AUTHOR", "COMMITTER"] {
            bash.env(format!("GIT_{who}_NAME"), "x").env(format!("GIT_{who}_EMAIL"), "x@example.org");
        }
        bash.env("GIT_CONFIG_KEY_0", format!("url.{home}/github/.insteadOf"));
        bash.env("GIT_CONFIG_VALUE_0", "https://github.com/AudiovisualMetadataPlatform/");
        bash.output().unwrap()
    }

    /// Runs a script that has to succeed; what it says.
    fn run(&self, script: &str) -> String {
        let output = self.try_to(script);
        let said = [&output.stdout[..], &output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{script}\n{said}");
        said
    }

    /// What an operator changes in the settings, mail and work directory of the test's own included.
    fn set(&self, secret: &str) {
        let home = self.0.path().display();
        fs::create_dir_all(self.path("mail")).unwrap();
        fs::create_dir_all(self.path("work")).unwrap();
        let mut settings = fs::File::options().append(true).open(self.path("ci/environment.sh")).unwrap();
        write!(
            settings,
            "SECRET='{secret}'\nAMP_CI_SMTP_URL=file://{home}/mail\nAMP_CI_WORK_DIR={home}/work\n\
             AMP_CI_MAIL_FALLBACK=operator@example.org\n"
        )
        .unwrap();
    }

    fn outcomes(&self) -> Vec<String> {
        names(&self.path("ci/builds"))
            .iter()
            .map(|id| {
                let result = fs::read(self.path("ci/builds").join(id).join("result.json")).unwrap();
                let result: serde_json::Value = serde_json::from_slice(&result).unwrap();
                result["outcome"].as_str().unwrap().to_string()
            })
            .collect()
    }

    fn push(&self, branch: &str) {
        let push = Push::to("amp_mgms", branch);
        let arguments = push.arguments().map(|argument| format!("'{argument}'")).join(" ");
        self.run(&format!("AMP_CI_HOME=$HOME/ci amp_ci/target/release/queue_build {arguments}"));
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.try_to("[[ ! -e ci/stop_webhook.sh ]] || ci/stop_webhook.sh");
    }
}

/// The commands of README's "Setting it up" by checkout in their order, without and with those that go into the crontab.
fn readme() -> (Vec<String>, Vec<String>) {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, steps) = readme.split_once("\n## Setting it up\n").unwrap();
    let (steps, _) = steps.split_once("\n## ").unwrap();
    let commands = steps.lines().filter_map(|line| line.strip_prefix("       "));
    // Those of the package are for root and systemd: packaging/test has the like.
    let is_elsewhere = |line: &&str| {
        ["apt ", "systemctl ", "amp-ci ", "location "].iter().any(|start| line.starts_with(start))
            || line.ends_with("packaging/build")
    };
    let commands = commands.filter(|line| !is_elsewhere(line));
    commands.map(str::to_string).partition(|line| !line.starts_with(['@', '*']))
}

#[test]
fn the_set_up_of_the_readme_builds_and_no_upgrade_changes_what_the_site_edited() {
    let account = Account::new();
    let (commands, cron) = readme();
    let at = |start: &str| commands.iter().position(|line| line.starts_with(start)).expect(start);
    let (secret, start, check) = (at("head "), at("./start_webhook.sh"), at("./build check"));
    assert!(secret < start && start < check && check + 1 == commands.len(), "{commands:?}");

    let said = account.run(&commands[..=secret].join("\n"));
    account.set(said.lines().last().unwrap());
    let serve = "-ip 127.0.0.1 -port 0";
    account.run(&format!("cd ci; {} {serve}", commands[start]));

    // Only main is built: the plain chunks become its own.
    fs::write(account.path("ci/scripts/checkout_repos"), "true\n").unwrap();
    account
        .run("cd ci/scripts; for chunk in checkout_repos build_packages; do mv $chunk ${chunk}_main; done");
    fs::write(account.path("ci/scripts/build_packages_main"), "echo built as the site wants it\n").unwrap();
    let reboot = cron[0].strip_prefix("@reboot ").unwrap();
    let minute = cron[1].strip_prefix("* * * * * ").unwrap();
    assert!(account.run(&format!("cd /; {reboot}")).contains("already running"));
    account.push("main");
    account.run(&format!("cd /; {minute}"));
    assert_eq!(account.outcomes(), ["succeeded"]);

    let checked = account.try_to(&format!("cd ci; {}", commands[check]));
    let checked = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.contains("a test letter to you@example.edu was accepted"), "{checked}");

    // A later version has other scripts, and its programs too, but for the test's.
    account.run(
        "cd github/amp_ci; for file in scripts/* hooks.json; do echo >>$file; done; git commit -qam 'Another version'",
    );
    let before = account.run("cat ci/hooks.json ci/scripts/* ci/environment.sh");
    let said = account.run(
        "cd amp_ci; git status --porcelain; git pull -q && cargo build --release --locked && ./build init ~/ci",
    );
    assert!(!said.contains("made") && !said.contains("replaced"), "{said}");
    assert_eq!(account.run("cat ci/hooks.json ci/scripts/* ci/environment.sh"), before);
    assert_eq!(account.run("git -C amp_ci status --porcelain"), "");
    account.run(&format!("~/ci/stop_webhook.sh && ~/ci/start_webhook.sh {serve}"));
    account.push("dev");
    account.push("main");
    account.run(minute);
    assert_eq!(account.outcomes(), ["succeeded", "skipped", "succeeded"]);
}

#[test]
fn a_checkout_that_is_its_own_home_can_be_moved_out_of() {
    let account = Account::new();
    account.run(
        "git clone -q https://github.com/AudiovisualMetadataPlatform/amp_ci; cd amp_ci; cargo; mkdir queue",
    );
    account.run("cd amp_ci; echo mine >>scripts/build_packages; echo SECRET=k3y >environment.sh; chmod 600 environment.sh; touch queue/.gitkeep");
    account.run("cd amp_ci; git add -f queue; git commit -qm queue; AMP_CI_HOME=$PWD target/release/queue_build r refs/heads/main 84ce5aeb5cbfe12bf72096f34d93c9f5d148e997 x x@example.org");

    let operating = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating.md");
    let operating = fs::read_to_string(operating).unwrap();
    let (_, recipe) = operating.split_once("To move out of one,").unwrap();
    let (_, recipe) = recipe.split_once("\n\n").unwrap();
    let (recipe, _) = recipe.split_once("\n\n").unwrap();
    account.run(&format!("cd amp_ci\n{} -ip 127.0.0.1 -port 0", recipe.trim_end()));

    assert!(account.run("cat ci/scripts/build_packages").ends_with("mine\n"));
    assert_eq!(account.run("git -C amp_ci status --porcelain"), "");
    assert_eq!(account.run("ls ci/queue").lines().count(), 1);
    assert!(account.run("amp_ci/build init ci").contains("is a home"));
    assert!(account.run("cat ci/scripts/build_packages").ends_with("mine\n"));
}

#[test]
fn a_home_is_the_owner_s_to_act_in_and_the_group_s_to_look_at() {
    let account = Account::new();
    account.run("git clone -q https://github.com/AudiovisualMetadataPlatform/amp_ci; cd amp_ci; cargo; ./build init ~/ci");
    let mode = |name: &str| account.path("ci").join(name).metadata().unwrap().mode() & 0o777;
    for name in [
        "",
        "queue",
        "builds",
        "outbox",
        "mirrors",
        "scripts",
        "build",
        "start_webhook.sh",
        "stop_webhook.sh",
    ] {
        assert_eq!(mode(name), 0o750, "{name}");
    }
    for name in ["hooks.json", "scripts/checkout_repos", "scripts/build_packages", "scripts/distribute_main"]
    {
        assert_eq!(mode(name), 0o640, "{name}");
    }
    assert_eq!(mode("environment.sh"), 0o600);
    assert_eq!(fs::read_to_string(account.path("ci/build")).unwrap().lines().count(), 3);
}

#[test]
fn what_the_programs_make_has_modes_of_its_own_and_builds_keep_the_umask() {
    let account = Account::new();
    account.run("git clone -q https://github.com/AudiovisualMetadataPlatform/amp_ci; cd amp_ci; cargo; ./build init ~/ci");
    account.set("k3y");
    fs::write(account.path("ci/scripts/checkout_repos"), "true").unwrap();
    fs::write(
        account.path("ci/scripts/build_packages"),
        "umask >$AMP_CI_BUILD_ID.umask; cat *.umask; exit 1",
    )
    .unwrap();
    // Nothing takes letters, so they stay; and one entry is none.
    account.run("sed -i s,^AMP_CI_SMTP_URL=.*,AMP_CI_SMTP_URL=smtp://127.0.0.1:1, ci/environment.sh");
    account.run("echo {} >ci/queue/build-1.1");
    let push = "refs/heads/main 84ce5aeb5cbfe12bf72096f34d93c9f5d148e997 x x@example.org";
    account.run(&format!(
        "umask 0; export AMP_CI_HOME=$HOME/ci; amp_ci/target/release/queue_build r {push}; ~/ci/build"
    ));
    account.run(&format!("umask 0; export AMP_CI_HOME=$HOME/ci; amp_ci/target/release/queue_build s {push}"));
    assert!(account.run("cat ci/builds/*/output.log").contains("\n0000\n"));
    let private = r"\( -name '*.eml' -o -name .drain -o -name .last -o -name .id \)";
    // The entry that a hand has put there has the mode that the hand gave it.
    for (what, mode) in [
        ("-type d".to_string(), "750"),
        (format!("-type f {private}"), "600"),
        (format!("-type f ! {private} ! -name build-1.1"), "640"),
    ] {
        let found =
            account.run(&format!("cd ci; find queue builds outbox build.log {what} -printf '%m %p\\n'"));
        assert!(found.lines().count() > 2, "{what}: {found}");
        assert!(found.lines().all(|line| line.starts_with(mode)), "{what}: {found}");
    }
}

#[test]
fn what_is_no_home_is_not_made_one() {
    let account = Account::new();
    account.run("git clone -q https://github.com/AudiovisualMetadataPlatform/amp_ci; cd amp_ci; cargo");
    account.run("mkdir letters; touch letters/one");
    for (dir, why) in [
        ("letters", "neither empty nor a home"),
        ("amp_ci", "is the checkout"),
        ("no/such/parent", "no/such/parent"),
        ("tools/cargo", "tools/cargo"),
    ] {
        let refused = account.try_to(&format!("amp_ci/build init {dir}"));
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(1) && said.contains(why), "{dir}: {said}");
    }
    assert_eq!(names(&account.path("letters")), ["one"]);
    assert_eq!(account.run("git -C amp_ci status --porcelain"), "");
}

#[test]
fn in_somebody_else_s_home_no_program_acts_and_whoever_may_read_looks() {
    if !crate::support::need::root() {
        return;
    }
    let account = Account::new();
    account.run("git clone -q https://github.com/AudiovisualMetadataPlatform/amp_ci; cd amp_ci; cargo; ./build init ~/ci");
    std::os::unix::fs::chown(account.path("ci/queue"), Some(12345), None).unwrap();
    for act in [
        "amp_build --threads 1",
        "amp_build check",
        "amp_build catch-up",
        "amp_build rerun latest",
        "amp_build queue amp_mgms",
        "amp_build hold",
        "amp_build unhold",
        "queue_build r refs/heads/main 84ce5aeb5cbfe12bf72096f34d93c9f5d148e997 x x@example.org",
    ] {
        let refused = account.try_to(&format!("AMP_CI_HOME=$HOME/ci amp_ci/target/release/{act}"));
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(1) && said.contains("sudo -u '#12345'"), "{act}: {said}");
    }
    assert_eq!(names(&account.path("ci/queue")), [""; 0]);
    assert!(!account.path("ci/build.log").exists());
    let looked = account.try_to("ci/build status");
    assert!(String::from_utf8(looked.stdout).unwrap().contains("well"), "{:?}", looked.stderr);
}
