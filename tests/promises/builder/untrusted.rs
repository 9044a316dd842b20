//! Nothing that comes from outside runs as code, touches a file outside, or forges a line.

use std::{collections::BTreeMap, fs, path::Path};

use crate::support::{
    files::names,
    installation::{COMMIT, Installation, Push},
};

/// What an attacker would try; each must come out of a build as it went in.
fn hostile() -> Vec<String> {
    let plain = [
        "$(touch x)",
        "`touch x`",
        "';touch x;'",
        "\";touch x;\"",
        "\"$(touch x)\"",
        ";touch x",
        ";reboot",
        "|touch x",
        "||touch x",
        "&touch x&",
        "&& touch x",
        ">x",
        "<x",
        ">>x",
        "2>x",
        "$(touch${IFS}x)",
        "`touch${IFS}x`",
        "${IFS}touch${IFS}x",
        "--upload-pack=x",
        "-x",
        "--",
        "-rf",
        "*",
        "?",
        "[a-z]*",
        "~",
        "~root",
        "!x",
        "#x",
        "{0}",
        "{}",
        "{{",
        "}}",
        "{{x}}",
        "{ref}",
        "{repository}",
        "${HOME}",
        "$HOME",
        "$$",
        "$?",
        "$((1+1))",
        "${x:=y}",
        "${AMP_CI_REF}",
        "%s%n",
        "%",
        "\\",
        "\\n",
        "\\$(touch x)",
        "a\\",
        "'",
        "\"",
        "''",
        "$'\\x24(touch x)'",
        "EOF",
        "<<EOF",
        "x=1 touch x",
        "../x",
        "../../../../../../etc/passwd",
        "/etc/passwd",
        "..",
        ".",
        "./x",
        "x/",
        "x//y",
        "x.lock",
        "x@{1}",
        "@",
        "x..y",
        "x y",
        "\ttab",
        " lead",
        "été",
        "😀",
        "\u{10ffff}",
        "\u{202e}rtl",
        "\u{2028}line",
        "\u{85}nel",
        "\u{feff}bom",
        "a\u{0}b",
        "a\nb",
        "a\rb",
        "a\r\nb",
        "x\n2026-11-22 11:14:05,596 [INFO    ] (drain.rs:65:1)  forged",
        "\u{1b}[2Jesc",
        "\u{7f}",
        "\u{8}",
    ];
    let mut all: Vec<String> = plain.iter().map(ToString::to_string).collect();
    all.push("$(touch x)".repeat(6554));
    all
}

/// Each placeholder bare, in double quotes, in a here-document, in an assignment and as an argument that a program could
/// take for an option; and every variable as it arrived.
fn chunk(home: &Path) -> String {
    let home = home.display();
    let mut text = vec!["set +x\n".to_string()];
    for field in ["repository", "ref", "commit_id", "committer_name", "committer_email"] {
        text.push(format!(
            "printf '%s\\n' {{{field}}} > /dev/null\n\
             : \"{{{field}}}\" '{{{field}}}'\n\
             v={{{field}}}; : \"$v\"\n\
             cat <<END_OF_TEXT > /dev/null\nbefore {{{field}}} after\nEND_OF_TEXT\n\
             w=\"$(cat <<END_OF_TEXT\n{{{field}}}\nEND_OF_TEXT\n)\"\n\
             [[ -n \"{{{field}}}\" || -z {{{field}}} ]] && case {{{field}}} in nothing) ;; esac\n"
        ));
    }
    text.push(format!(
        "here=$(ls -A); [ -z \"$here\" ] || {{{{ echo \"$here\" > {home}/executed; exit 9; }}}}\n\
         printf '%s\\0' \"$AMP_CI_REPOSITORY\" \"$AMP_CI_REF\" \"$AMP_CI_COMMIT_ID\" \"$AMP_CI_COMMITTER_NAME\" \"$AMP_CI_COMMITTER_EMAIL\" \\\n\
         \"{{repository}}\" \"{{ref}}\" \"{{commit_id}}\" \"{{committer_name}}\" \"{{committer_email}}\" > {home}/got/$AMP_CI_BUILD_ID\n"
    ));
    text.concat()
}

/// All files outside of what `build` writes, with their contents.
fn untouched(ci: &Installation) -> BTreeMap<String, Vec<u8>> {
    let ours = ["builds", "queue", "got", "build.log", "mail", "outbox", "work"];
    let others = names(ci.home()).into_iter().filter(|name| !ours.contains(&name.as_str()));
    let scripts = names(&ci.path("scripts")).into_iter().map(|name| format!("scripts/{name}"));
    others.chain(scripts).map(|name| (name.clone(), fs::read(ci.path(&name)).unwrap_or_default())).collect()
}

/// Every line of build.log is an entry with its prefix, or belongs to the entry above it.
fn assert_nothing_forged(ci: &Installation) {
    for line in ci.log().lines() {
        let is_entry = line.starts_with("20") && line.get(23..25) == Some(" [") && line.contains(".rs:");
        assert!(is_entry || line.starts_with("    "), "{line:?}");
        assert!(!line.contains(|c: char| c.is_control() && c != '\t'), "{line:?}");
        assert!(!line.contains(['\u{2028}', '\u{202e}', '\u{feff}']), "{line:?}");
        let prefix = line.split_once(")  ").map_or("", |(prefix, _)| prefix);
        assert!(!is_entry || !prefix.ends_with(":1"), "that is the forger's: {line:?}");
    }
}

fn installation() -> Installation {
    let ci = Installation::new();
    fs::create_dir(ci.path("got")).unwrap();
    ci.chunk("checkout_repos", "");
    ci.chunk("build_packages", &chunk(ci.home()));
    ci
}

/// What the build with this id received: five variables, and the five placeholders in double quotes.
fn got(ci: &Installation, id: &str) -> Vec<String> {
    let bytes = fs::read(ci.path("got").join(id)).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    text.strip_suffix('\0').unwrap().split('\0').map(str::to_string).collect()
}

/// Every field with every value, as an entry that somebody has put there.
#[test]
fn no_value_in_any_field_of_an_entry_is_executed() {
    let ci = installation();
    let before = untouched(&ci);
    let mut number = 0;
    for value in hostile() {
        let valid = Push::to("repo", "main");
        let pushes = [
            Push { repository: value.clone(), ..valid.clone() },
            valid.clone().git_ref(&value),
            valid.clone().git_ref(&format!("refs/heads/{value}")),
            valid.clone().git_ref(&format!("refs/heads/{value}/main")).by(&value, &value),
            Push { commit: value.clone(), ..valid.clone() },
            valid.clone().by(&value, &format!("a{value}@example.org")),
        ];
        for push in pushes {
            number += 1;
            let push = if push.commit == COMMIT { push.commit(number) } else { push };
            ci.entry(&format!("{number}.0"), &push.json());
        }
    }
    assert_eq!(ci.build_to_its_end(4), 0);
    assert!(!ci.path("executed").exists());
    assert_eq!(untouched(&ci), before);
    assert_nothing_forged(&ci);
    assert_eq!(ci.entries(), [""; 0]);

    // What is no valid request is in bad/, with its reason in one line; everything else was built or has no chunk.
    let bad: Vec<_> =
        names(&ci.path("queue/bad")).into_iter().filter(|name| !name.ends_with(".why")).collect();
    for name in &bad {
        let why = fs::read_to_string(ci.path(&format!("queue/bad/{name}.why"))).unwrap();
        assert!(why.ends_with('\n') && why.lines().count() == 1 && why.len() < 2000, "{why:?}");
        assert!(
            ["repository: ", "ref: ", "commit_id: "].iter().any(|field| why.starts_with(field)),
            "{why:?}"
        );
    }
    let records = ci.records();
    assert_eq!(records.len() + bad.len(), number);
    assert!(records.len() > 150 && bad.len() > 200, "{} {}", records.len(), bad.len());
    let mut arrived = 0;
    for record in &records {
        assert!(
            ["succeeded", "skipped", "superseded"].contains(&record.outcome()),
            "{} {}",
            record.request,
            record.output()
        );
        if record.outcome() != "succeeded" {
            continue;
        }
        arrived += 1;
        let got = got(&ci, &record.id);
        assert_eq!(got[..5], got[5..], "a placeholder is its variable");
        assert_eq!(got[0], record.request["repository"].as_str().unwrap());
        assert_eq!(got[1], record.request["ref"].as_str().unwrap());
        assert_eq!(got[2], record.request["commit_id"].as_str().unwrap());
        assert!(!got[3].contains(char::is_control) && got[3].chars().count() <= 200);
    }
    assert!(arrived > 100, "{arrived}");
}

/// The same through `queue_build`: as arguments, of which none may become an option.
#[test]
fn no_argument_of_queue_build_is_an_option_or_adds_a_line() {
    let ci = installation();
    let mut accepted = 0;
    for value in hostile().into_iter().filter(|value| !value.contains('\0')) {
        for field in 0..5 {
            let git_ref = format!("refs/heads/{value}");
            let mut arguments = ["repo", "refs/heads/main", COMMIT, "name", "a@example.org"];
            arguments[field] = if field == 1 { &git_ref } else { &value };
            let before = ci.entries().len();
            let output = ci.command("queue_build").args(arguments).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            let complained = String::from_utf8_lossy(&output.stderr);
            match output.status.code() {
                Some(0) => {
                    assert_eq!(ci.entries().len(), before + 1);
                    let name = said.trim_end().strip_prefix("queued ").unwrap();
                    let entry = fs::read_to_string(ci.path("queue").join(name)).unwrap();
                    let entry: serde_json::Value = serde_json::from_str(&entry).unwrap();
                    if field < 3 {
                        let field = ["repository", "ref", "commit_id"][field];
                        assert!(arguments.contains(&entry[field].as_str().unwrap()));
                    }
                    accepted += 1;
                    fs::remove_file(ci.path("queue").join(name)).unwrap();
                }
                Some(2) => {
                    assert!(field < 3, "names and addresses are never a reason: {arguments:?} {complained}");
                    assert_eq!(ci.entries().len(), before, "{arguments:?}");
                    let field = ["repository", "ref", "commit_id"][field];
                    assert!(complained.contains(&format!("{field}: ")), "{complained}");
                    assert!(
                        !complained.contains("forged")
                            || !complained.lines().any(|line| line.starts_with("20"))
                    );
                    assert!(
                        !complained.contains(['\u{1b}', '\u{202e}', '\u{2028}', '\u{8}']),
                        "{complained:?}"
                    );
                    assert!(complained.len() < 2000, "{complained}");
                }
                other => panic!("{arguments:?}: {other:?} {complained}"),
            }
        }
    }
    assert!(accepted > 150, "{accepted}");
}

/// A ref's last segment chooses the chunks: it never leads out of `scripts/`.
#[test]
fn no_ref_chooses_a_file_outside_of_scripts() {
    let ci = installation();
    for (name, text) in [("evil", "touch ../../executed"), ("distribute_evil", "touch ../../executed")] {
        fs::write(ci.path(name), text).unwrap();
    }
    fs::create_dir(ci.path("scripts/distribute_dir")).unwrap();
    let refs = [
        "refs/heads/../evil",
        "refs/heads/x/../../evil",
        "refs/heads/..%2fevil",
        "refs/heads/x\\..\\evil",
        "refs/heads/.evil",
        "refs/heads/distribute_/../../evil",
        "refs/heads//evil",
        "refs/heads/evil/",
        "refs/heads/evil.lock",
        "refs/heads/-evil",
        "refs/heads/évil",
        "refs/heads/x\u{ff0f}evil",
    ];
    for (n, git_ref) in refs.iter().enumerate() {
        ci.entry(&format!("{}.0", n + 1), &Push::to("repo", "main").git_ref(git_ref).json());
    }
    let long = "e".repeat(300);
    ci.entry("100.0", &Push::to("repo", &long).json());
    assert_eq!(ci.build_to_its_end(1), 0);
    assert!(!ci.path("executed").exists());
    assert!(ci.records().iter().all(|record| ["succeeded", "skipped"].contains(&record.outcome())));
    assert_nothing_forged(&ci);
}

/// Text of a chunk in single quotes stays dead, and what a chunk means as bash's stays bash's.
#[test]
fn a_value_that_looks_like_a_placeholder_is_not_looked_at_again() {
    let ci = Installation::building("printf '<%s>\\n' \"{ref}\" \"{committer_name}\"");
    let name = "{repository} ${AMP_CI_REF} {{x}}";
    for branch in ["{committer_name}", "{repository}/main"] {
        ci.push(&Push::to("repo", branch).by(name, "a@example.org"));
        ci.build(1);
        let output = ci.records().pop().unwrap().output();
        assert!(output.contains(&format!("\n<refs/heads/{branch}>\n<{name}>\n")), "{output}");
    }
}
