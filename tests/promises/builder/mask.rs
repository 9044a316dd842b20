//! Secrets get into no record: not as `set -x` prints them, nor in pieces, nor by a launcher.

use std::{fs, path::Path};

use crate::support::{
    files::names,
    installation::{Installation, Push},
    wait::wait_until,
};

const SECRETS: [(&str, &str); 5] = [
    ("SECRET", "hook-secret-1"),
    ("DEPLOY_TOKEN", "it's a token"),
    ("DB_PASSWORD", "pass$word\"1"),
    ("SSH_SECRET", "-----BEGIN KEY-----\nMIIEvQIBADAN\nshort\n-----END KEY-----"),
    ("FORGE", "forge-token-of-us"),
];

/// The files below `dir` with this text in them.
fn holding(dir: &Path, text: &str) -> Vec<String> {
    let paths = names(dir).into_iter().map(|name| dir.join(name));
    let (dirs, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let holds = |path: &std::path::PathBuf| {
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).contains(text)
    };
    let mut found: Vec<String> =
        files.into_iter().filter(holds).map(|path| path.display().to_string()).collect();
    found.extend(dirs.iter().flat_map(|dir| holding(dir, text)));
    found
}

#[test]
fn neither_record_nor_letter_nor_log_has_a_secret_that_a_build_or_its_launcher_prints() {
    let printed = SECRETS.map(|(_, value)| value.to_string()).join("\n");
    for launcher in ["", "bash -c 'cat $PRINTED >&2; exec \"$@\"' -"] {
        let mut ci = Installation::building(
            "echo \"$DEPLOY_TOKEN\" Bearer \"$DB_PASSWORD\"; : \"x $DEPLOY_TOKEN\"; [[ x == \"$DB_PASSWORD\" ]] || :
            echo \"$SSH_SECRET\"; env; cat $PRINTED; echo plain words; exit 3",
        );
        for (name, value) in SECRETS.iter().take(4) {
            ci.set(name, value);
        }
        ci.set("AMP_CI_LAUNCHER", launcher);
        let outside = tempfile::NamedTempFile::new().unwrap();
        fs::write(outside.path(), &printed).unwrap();
        ci.set("PRINTED", &outside.path().display().to_string());
        let token = ci.path("forge-token");
        fs::write(&token, "forge-token-of-us\n").unwrap();
        fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        ci.push(&Push::to("amp_mgms", "main"));
        ci.build(1);
        fs::remove_file(token).unwrap();

        let output = ci.record().output();
        assert_eq!(ci.record().result["rc"], 3, "{output}");
        assert!(
            output.contains("\n*** Bearer ***\n") && output.contains("\n***\n***\nshort\n***\n"),
            "{output}"
        );
        assert!(output.contains("\nplain words\n") && output.contains("\nDEPLOY_TOKEN=***\n"), "{output}");
        for line in printed.lines().filter(|line| *line != "short") {
            assert_eq!(holding(ci.home(), line), [""; 0], "{line}");
        }
        assert_eq!(holding(ci.home(), "'\\''s a token"), [""; 0]);
        assert_eq!(ci.letters().len(), 1);
        assert!(
            launcher.is_empty()
                || holding(ci.home(), "***").iter().any(|file| file.ends_with("launcher.log"))
        );
    }
}

#[test]
fn a_secret_that_comes_in_two_pieces_is_none_the_less_one_and_other_words_are_seen_at_once() {
    let mut ci = Installation::building("");
    ci.chunk(
        "build_packages",
        &format!("set +x; printf 'here: 0123'; {}; printf '456789 there, 0123'", ci.stop_at("half")),
    );
    ci.set("DEPLOY_TOKEN", "0123456789");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    let mut build = ci.start_build(1);
    ci.wait_at("half");
    let log = ci.path("builds").join(&id).join("output.log");
    wait_until("its words are there", || fs::read_to_string(&log).unwrap().ends_with("here: "));
    ci.let_go("half");
    assert_eq!(build.wait(), 0);
    let output = ci.record().output();
    assert!(output.contains("here: *** there, 0123"), "{output}");
}

#[test]
fn which_variables_are_secret_is_a_setting_and_the_hook_s_secret_always_is() {
    let mut ci = Installation::building("set +x; echo $MY_KEY $MY_TOKEN hook-secret $SHORT_KEY");
    for (name, value) in [
        ("MY_KEY", "key-of-us"),
        ("MY_TOKEN", "token-of-us"),
        ("SECRET", "hook-secret"),
        ("SHORT_KEY", "1234567"),
    ] {
        ci.set(name, value);
    }
    ci.set("AMP_CI_MASK", "*_KEY MY_?");
    ci.push(&Push::to("amp_mgms", "main"));
    ci.build(1);
    let output = ci.record().output();
    assert!(output.contains("\n*** token-of-us *** 1234567\n"), "{output}");
}
