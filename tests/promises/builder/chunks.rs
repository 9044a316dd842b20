//! Chunks: which are chosen, what becomes of the text of a push in them, and in what surroundings they run.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use crate::support::{
    files::temp_dir,
    installation::{COMMIT, Installation, Push, Record},
};

/// Builds one push with these chunks.
fn built(chunks: &[(&str, &str)], push: &Push) -> (Installation, Record) {
    let ci = Installation::new();
    for (name, text) in chunks {
        ci.chunk(name, text);
    }
    ci.push(push);
    ci.build(1);
    let record = ci.record();
    (ci, record)
}

/// What this chunk printed, without what bash traces.
fn printed(chunk: &str, push: &Push) -> String {
    let quiet = format!("{{ set +x; }} 2>/dev/null\n{chunk}\n");
    let (_ci, record) = built(&[("checkout_repos", &quiet), ("build_packages", "true")], push);
    let output = record.output();
    assert_eq!(record.outcome(), "succeeded", "{output}");
    let (_, after) = output.split_once("+ set +x\n").unwrap_or(("", &output));
    let lines = after.lines().filter(|line| !line.starts_with('+'));
    lines
        .filter(|line| !line.starts_with("Starting at ") && !line.starts_with("Successful at "))
        .collect::<Vec<_>>()
        .join("\n")
}

fn chosen(names: &[&str], git_ref: &str) -> (String, Vec<String>) {
    let chunks: Vec<(&str, String)> =
        names.iter().map(|name| (*name, format!("echo chosen {name}"))).collect();
    let chunks: Vec<(&str, &str)> = chunks.iter().map(|(name, text)| (*name, &**text)).collect();
    let (_ci, record) = built(&chunks, &Push::to("r", "").git_ref(git_ref));
    let output = record.output();
    let ran = output.lines().filter_map(|line| line.strip_prefix("chosen ")).map(str::to_string).collect();
    (record.outcome().to_string(), ran)
}

#[test]
fn the_last_segment_of_the_ref_chooses() {
    let all = [
        "checkout_repos",
        "checkout_repos_dev",
        "build_packages",
        "build_packages_v1.0",
        "distribute_main",
        "distribute",
        "distribute_dev",
    ];
    for (git_ref, expected) in [
        ("refs/heads/main", "checkout_repos build_packages distribute_main"),
        ("refs/heads/master", "checkout_repos build_packages distribute_main"),
        ("refs/heads/x/main", "checkout_repos build_packages distribute_main"),
        ("refs/heads/feature/dev", "checkout_repos_dev build_packages distribute_dev"),
        ("refs/tags/v1.0", "checkout_repos build_packages_v1.0"),
        ("refs/heads/other", "checkout_repos build_packages"),
    ] {
        let (outcome, ran) = chosen(&all, git_ref);
        assert_eq!((&*outcome, &*ran.join(" ")), ("succeeded", expected), "{git_ref}");
    }
}

#[test]
fn without_a_chunk_for_it_a_build_is_skipped_recorded_and_nobody_is_written_to() {
    for git_ref in ["refs/heads/dev", "refs/heads/a;b", "refs/heads/$(x)"] {
        let chunks = [("checkout_repos_main", "true"), ("build_packages_main", "true")];
        let (ci, record) = built(&chunks, &Push::to("r", "").git_ref(git_ref));
        assert_eq!(record.outcome(), "skipped");
        assert!(record.result["rc"].is_null() && record.result["reason"].is_string(), "{}", record.result);
        assert!(!record.dir.join("build.sh").exists());
        assert!(ci.letters().is_empty() && ci.entries().is_empty());
    }
}

#[test]
fn a_branch_with_an_unusual_name_is_built_by_the_plain_chunks() {
    for git_ref in
        ["refs/heads/fix/issue#12", "refs/tags/v1.0+build.5", "refs/heads/fix(ui)", "refs/heads/fix/ünï"]
    {
        let (_, record) = built(
            &[("checkout_repos", "true"), ("build_packages", "true")],
            &Push::to("r", "").git_ref(git_ref),
        );
        assert_eq!(record.outcome(), "succeeded", "{git_ref}: {}", record.result);
    }
    let (_, record) =
        built(&[("checkout_repos", "true"), ("build_packages", "true")], &Push::to(".github", "main"));
    assert_eq!(record.outcome(), "succeeded");
}

#[test]
fn a_mandatory_chunk_that_is_missing_beside_others_is_an_error_that_says_so() {
    let (ci, record) = built(&[("checkout_repos", "true")], &Push::to("amp_mgms", "dev"));
    assert_eq!(record.outcome(), "error");
    assert!(record.result["rc"].is_null());
    let reason = record.result["reason"].as_str().unwrap();
    assert_eq!(reason, "there is neither build_packages_dev nor build_packages in scripts/");
    let letters = ci.letters();
    let to: Vec<&str> = letters.iter().map(|letter| &*letter.to).collect();
    assert_eq!(
        to,
        ["operator@example.org", "bdwheele@example.org"],
        "the fallback gets a message of its own"
    );
    assert_eq!([&letters[0].stem, &letters[1].stem], [&format!("{}.ci", record.id), &record.id]);
    let sentence = format!("The script could not be run ({reason}) and produced the following output:\n");
    assert!(letters.iter().all(|letter| letter.text.contains(&sentence)), "{}", letters[0].text);
}

#[test]
fn the_script_is_laid_out_as_promised_and_can_be_run_by_hand() {
    let chunks = [("checkout_repos", "echo in $(pwd)"), ("build_packages", "echo \"{ref}\" {repository}\n")];
    let hostile = "refs/heads/a'b\"c$(touch${IFS}pwned)`id`!#&/x";
    let (ci, record) =
        built(&chunks, &Push::to("amp_mgms", "").git_ref(hostile).by("O'Neil \"$(id)\" \\ `id`", ""));
    let script = fs::read_to_string(record.dir.join("build.sh")).unwrap();
    assert!(script.starts_with("#!/bin/bash\nexport AMP_CI_REPOSITORY=amp_mgms\n"), "{script}");
    assert!(
        script.ends_with(
            "set -ex\necho Starting at $(date)\n\
             { echo checkout_repos >|\"${AMP_CI_PROGRESS:-/dev/null}\"; } 2>/dev/null || :\n\
             ### Start of checkout_repos ###\necho in $(pwd)\n### End of checkout_repos ###\n\
             { : >|\"${AMP_CI_PROGRESS:-/dev/null}\"; } 2>/dev/null || :\n\
             ### Start of build_packages ###\necho \"${AMP_CI_REF}\" amp_mgms\n### End of build_packages ###\n\
             echo Successful at $(date)\n"
        ),
        "{script}"
    );
    let by_hand = temp_dir();
    let mut bash = Command::new("/bin/bash");
    bash.arg(record.dir.join("build.sh"))
        .current_dir(by_hand.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    let output = bash.output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(&format!("\n{hostile} amp_mgms\n")), "{said}");
    assert!(fs::read_dir(by_hand.path()).unwrap().next().is_none() && !ci.path("pwned").exists());
}

/// Chunks, and the one that the build ends in before its time.
const EARLY: [(&str, &str, &str, Option<&str>); 9] = [
    ("cat <<EOF\nhello\n", "true", "true", Some("checkout_repos")),
    ("exit 0", "true", "true", Some("checkout_repos")),
    ("trap true EXIT", "exit 0", "true", Some("build_packages_main")),
    ("exec true", "true", "true", Some("checkout_repos")),
    ("true", "(exit 0)\nset -uC +ex", "true", None),
    ("true", "true", "cd /; exit 0", None),
    ("true", "true", "cat <<EOF\nhello\n", None),
    // Whoever takes the note away is believed.
    ("git init -q . && git clean -ffdxq", "true", "rm -rf -- \"$PWD\"", None),
    ("true", "true", "git init -q . && git clean -ffdxq", None),
];

#[test]
fn an_exit_code_0_counts_once_the_last_chunk_has_begun_also_behind_a_launcher() {
    for launcher in ["", "env"] {
        for (checkout, build, distribute, ends_in) in EARLY {
            let mut ci = Installation::new();
            ci.set("AMP_CI_LAUNCHER", launcher);
            ci.chunk("checkout_repos", checkout);
            ci.chunk("build_packages_main", build);
            ci.chunk("distribute_main", distribute);
            ci.push(&Push::to("r", "main"));
            ci.build(1);
            let record = ci.record();
            let case = format!("{launcher} {checkout:?}, {build:?}, {distribute:?}: {}", record.output());
            let told: Vec<String> = ci.letters().into_iter().map(|letter| letter.to).collect();
            match ends_in {
                None => assert_eq!((record.outcome(), told.len()), ("succeeded", 0), "{case}"),
                Some(chunk) => {
                    assert_eq!(record.outcome(), "error", "{case}");
                    assert_eq!(record.result["cause"], "installation", "{case}");
                    let reason = record.result["reason"].as_str().unwrap();
                    assert!(reason.starts_with(&format!("it ended in the chunk {chunk} ")), "{reason}");
                    assert_eq!(told, ["operator@example.org", "bdwheele@example.org"], "{case}");
                }
            }
            assert!(!record.dir.join("progress").exists(), "{case}");
        }
    }
}

#[test]
fn a_failure_before_the_last_chunk_is_one_as_ever() {
    let (_ci, record) =
        built(&[("checkout_repos", "exit 3"), ("build_packages", "true")], &Push::to("r", "main"));
    assert_eq!((record.outcome(), &record.result["rc"]), ("failed", &serde_json::json!(3)));
    assert!(!record.output().contains("PROGRESS"), "{}", record.output());
}

#[test]
fn every_value_is_in_the_environment_under_its_name() {
    let push = Push::to("amp_mgms", "feature/$(x)/y").by("O'Neil\n\"$HOME\" {ref}", "o@example.org");
    let names = ["REPOSITORY", "REF", "BRANCH", "COMMIT_ID", "COMMITTER_NAME", "COMMITTER_EMAIL", "GIT_BASE"];
    let lines: Vec<String> = names.iter().map(|name| format!("printenv AMP_CI_{name}")).collect();
    let said = printed(&lines.join("\n"), &push);
    let base = "https://github.com/AudiovisualMetadataPlatform";
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "amp_mgms",
            "refs/heads/feature/$(x)/y",
            "feature/$(x)/y",
            COMMIT,
            "O'Neil \"$HOME\" {ref}",
            "o@example.org",
            base
        ]
    );
    assert_eq!(
        printed("echo $AMP_CI_BRANCH", &Push::to("r", "master")),
        "master",
        "master is not renamed here"
    );
    assert_eq!(printed("echo $AMP_CI_BRANCH", &Push::to("r", "").git_ref("refs/tags/v1")), "v1");
}

#[test]
fn the_text_of_a_push_is_never_code_wherever_a_chunk_places_it() {
    let hostile = "$(touch${IFS}$HOME/pwned)`touch${IFS}$HOME/pwned`;touch$IFS$HOME/pwned;'\"&";
    let push =
        Push::to("r", "").git_ref(&format!("refs/heads/{hostile}/main")).by(hostile, "o'$x`id`@example.org");
    let home = temp_dir();
    let chunk = format!(
        "export HOME={}\ncd $HOME\n\
         echo {{ref}} {{committer_name}} {{committer_email}}\n\
         echo \"{{ref}} {{committer_name}} {{committer_email}}\"\n\
         x={{ref}}; y=$(echo {{committer_name}})\n\
         cat <<TEXT\n{{ref}} {{committer_name}} {{committer_email}} {{repository}} {{commit_id}}\nTEXT\n\
         [ {{ref}} = x ] || true\n[[ {{ref}} == {{committer_name}} ]] || true\n\
         for word in {{ref}} {{committer_name}}; do : $word; done\n\
         case {{ref}} in x) ;; esac\n\
         bash -c \"echo ${{AMP_CI_REF@Q}}\"\n",
        home.path().display()
    );
    let said = printed(&chunk, &push);
    assert!(fs::read_dir(home.path()).unwrap().next().is_none(), "{said}");
    let expected = format!("refs/heads/{hostile}/main {hostile}");
    assert_eq!(said.matches(&expected).count(), 3, "plain, quoted, here-document: {said}");
    assert!(said.ends_with(&format!("refs/heads/{hostile}/main")), "quoted for a second parser: {said}");
}

#[test]
fn chunks_written_for_the_original_work_and_bash_s_own_braces_too() {
    let push = Push::to("amp_mgms", "main");
    for (chunk, said) in [
        ("echo {repository}.git/{commit_id}", format!("amp_mgms.git/{COMMIT}")),
        ("echo {{a,b}}", "a b".to_string()),
        ("f() {{ echo ${{x:-in ${{y:-f}}}}; }}; f", "in f".to_string()),
        ("echo 1 2 | awk '{{print $2}}'", "2".to_string()),
        ("echo 1 2 | awk '{print $2}'", "2".to_string()),
        ("f() { echo ${x:-in ${y:-f}}; }; f; echo {1..3} {a,b}", "in f\n1 2 3 a b".to_string()),
        ("ref=r; repository=x; echo ${ref} ${repository}", "r x".to_string()),
    ] {
        assert_eq!(printed(chunk, &push), said, "{chunk}");
    }
}

#[test]
fn a_chunk_without_a_final_newline_or_with_bytes_that_are_no_text_does_no_harm() {
    let ci = Installation::new();
    ci.chunk("checkout_repos", "cat <<TEXT\none\nTEXT");
    fs::write(ci.path("scripts/build_packages"), b"printf 'two \xff\n'").unwrap();
    ci.chunk("distribute_main", "echo three # {");
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    let output = fs::read(ci.record().dir.join("output.log")).unwrap();
    let lines: Vec<&[u8]> = output.split(|byte| *byte == b'\n').collect();
    for line in [&b"one"[..], b"two \xff", b"three"] {
        assert!(lines.contains(&line), "{}", String::from_utf8_lossy(&output));
    }
}

#[test]
fn a_failing_command_ends_the_build_there() {
    let ci = Installation::building("false\necho not reached");
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    let record = ci.record();
    assert_eq!((record.outcome(), &record.result["rc"]), ("failed", &1.into()));
    assert!(record.output().ends_with("+ false\n"), "{}", record.output());
}

#[test]
fn builds_inherit_the_environment_but_no_credentials_and_no_settings() {
    let mut ci = Installation::building("env; echo stdin: $(readlink /proc/self/fd/0); cat");
    for (name, value) in [
        ("JAVA_HOME", "/opt/java"),
        ("https_proxy", "http://proxy"),
        ("SECRET", "geheim"),
        ("SECRET_OLD", "geheim"),
        ("AMP_CI_KEEP", "7"),
        ("AMP_CI_GIT_BASE", "file:///repositories/"),
        ("AMP_CI_REF", "of the caller"),
    ] {
        ci.set(name, value);
    }
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    let output = ci.record().output();
    let variables: Vec<&str> =
        output.lines().filter(|line| line.contains('=') && !line.starts_with('+')).collect();
    for there in [
        "JAVA_HOME=/opt/java",
        "https_proxy=http://proxy",
        "GIT_TERMINAL_PROMPT=0",
        "AMP_CI_GIT_BASE=file:///repositories",
        "AMP_CI_REF=refs/heads/main",
    ] {
        assert!(variables.contains(&there), "{there} in {output}");
    }
    for gone in [
        "SECRET",
        "geheim",
        "AMP_CI_KEEP",
        "AMP_CI_SMTP_URL",
        "AMP_CI_MAIL",
        "AMP_CI_WORK_DIR",
        "AMP_CI_HOME",
    ] {
        assert!(!variables.iter().any(|line| line.contains(gone)), "{gone} in {output}");
    }
    assert!(output.contains("stdin: /dev/null\n"), "{output}");
}

#[test]
fn both_streams_are_one_in_the_order_in_which_they_came() {
    let said =
        printed("for n in 1 2 3 4 5; do echo out $n; echo err $n >&2; done 2>&1", &Push::to("r", "main"));
    let ours = printed("for n in 1 2 3 4 5; do echo out $n; echo err $n >&2; done", &Push::to("r", "main"));
    assert_eq!(ours, said);
    assert!(ours.starts_with("out 1\nerr 1\nout 2\n"), "{ours}");
}

#[test]
fn each_build_has_a_fresh_private_directory_that_is_removed_whatever_is_in_it() {
    let ci = Installation::new();
    let outside = ci.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "").unwrap();
    ci.chunk("checkout_repos", "pwd; ls -A; stat -c %a .");
    ci.chunk(
        "build_packages",
        &format!(
            "ln -s {} link; mkdir -p ro/sub; touch ro/sub/file; chmod -R 500 ro; touch -- '-rf *'",
            outside.display()
        ),
    );
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    let record = ci.record();
    let output = record.output();
    let lines: Vec<&str> = output.lines().filter(|line| !line.starts_with('+')).collect();
    let prefix = format!("{}/amp_ci-", ci.path("work").canonicalize().unwrap().display());
    let rest = lines[1].strip_prefix(&prefix).expect(lines[1]);
    let (home, rest) = rest.split_once('-').unwrap();
    assert!(home.len() == 8 && rest.starts_with(&format!("{}-", record.id)), "{}", lines[1]);
    assert_eq!(lines[2], "700", "nothing was in it");
    assert!(fs::read_dir(ci.path("work")).unwrap().next().is_none());
    assert!(outside.join("file").exists(), "and nothing behind a link is touched");
    assert_eq!(outside.metadata().unwrap().permissions().mode() & 0o200, 0o200);
}
