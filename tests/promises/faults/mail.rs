//! Mail is never lost, seldom repeated, and never in the way: whatever the mail server does.

use std::fs;

use crate::support::{
    faulty_mail_server::{Does, Server, Taken},
    files::names,
    installation::{COMMIT, Installation, Letter, Push},
    wait::wait_until,
};

/// An installation whose builds fail, with this mail server.
fn failing(server: &Server) -> Installation {
    let mut ci = Installation::building("echo it broke; exit 3");
    ci.set("AMP_CI_SMTP_URL", &server.url());
    ci
}

fn outbox(ci: &Installation) -> Vec<String> {
    names(&ci.path("outbox")).into_iter().filter(|name| name.ends_with(".eml")).collect()
}

fn failed(ci: &Installation) -> Vec<String> {
    names(&ci.path("outbox/failed"))
}

fn read(taken: &Taken) -> Letter {
    let letter = Letter::read("", &taken.data);
    assert_eq!(taken.to, std::slice::from_ref(&letter.to), "the envelope is what the letter says");
    assert_eq!(taken.from, letter.from);
    letter
}

fn message_id(taken: &Taken) -> String {
    let text = String::from_utf8(taken.data.clone()).unwrap();
    text.lines().find(|line| line.starts_with("Message-ID: ")).unwrap().to_string()
}

#[test]
#[ignore = "second tier"]
fn a_server_that_is_down_costs_nothing_and_hears_it_later() {
    let server = Server::start(|_| Does::Accept);
    let mut ci = failing(&server);
    ci.set("AMP_CI_SMTP_URL", "smtp://127.0.0.1:1");
    let ids = [ci.push(&Push::to("a", "main")), ci.push(&Push::to("b", "main"))];
    ci.build(2);
    assert_eq!(ci.records().len(), 2);
    assert_eq!(outbox(&ci), ids.clone().map(|id| format!("{id}.eml")));
    assert!(ci.log().contains("mail waits in outbox/"), "{}", ci.log());
    ci.set("AMP_CI_SMTP_URL", &server.url());
    ci.build(1);
    assert_eq!(outbox(&ci).len(), 2, "not twice a minute");
    ci.touch_outbox();
    ci.build(1);
    assert_eq!(outbox(&ci), [""; 0]);
    let subjects: Vec<_> = server.taken().iter().map(|taken| read(taken).subject).collect();
    assert_eq!(subjects, ["a", "b"].map(|r| format!("AMP build failed for {r}/{COMMIT}")));
    ci.build(1);
    assert_eq!(server.taken().len(), 2, "once each");
}

#[test]
#[ignore = "second tier"]
fn what_is_refused_for_now_is_tried_again_and_after_five_days_given_up_and_told_of() {
    let server =
        Server::start(|to| if to.starts_with("bdwheele") { Does::RefuseForNow } else { Does::Accept });
    let ci = failing(&server);
    let later = ci.push(&Push::to("later", "main"));
    ci.push(&Push::to("other", "main").by("somebody", "somebody@example.org"));
    ci.build(1);
    assert_eq!(outbox(&ci), [format!("{later}.eml")], "the other one has gone");
    assert_eq!(server.taken().len(), 1);
    server.now(|_| Does::Accept);
    ci.touch_outbox();
    ci.build(1);
    assert_eq!((outbox(&ci).len(), server.taken().len()), (0, 2));

    server.now(|to| if to.starts_with("bdwheele") { Does::RefuseForNow } else { Does::Accept });
    let never = ci.push(&Push::to("never", "main"));
    ci.build(1);
    ci.age_letter(&format!("{never}.eml"), 6);
    ci.build(1);
    assert_eq!(failed(&ci), [format!("{never}.eml")]);
    ci.build(1);
    assert_eq!(outbox(&ci), [""; 0]);
    let told = read(server.taken().last().unwrap());
    assert_eq!(told.to, "operator@example.org");
    assert!(
        told.text.contains("for five days") && told.text.contains("> Subject: AMP build failed for never/"),
        "{}",
        told.text
    );
}

#[test]
#[ignore = "second tier"]
fn what_is_refused_for_good_is_kept_and_the_fallback_hears() {
    let server =
        Server::start(|to| if to.starts_with("bdwheele") { Does::RefuseForGood } else { Does::Accept });
    let ci = failing(&server);
    let id = ci.push(&Push::to("a", "main"));
    ci.build(1);
    ci.build(1);
    assert_eq!((outbox(&ci).len(), failed(&ci)), (0, vec![format!("{id}.eml")]));
    assert_eq!(server.taken().len(), 1);
    let told = read(&server.taken()[0]);
    assert_eq!(told.to, "operator@example.org");
    assert!(
        told.text.contains("no such user") && told.text.contains("> The script returned an rc of 3"),
        "{}",
        told.text
    );

    // When nobody at all can be written to, that is the end of it.
    server.now(|_| Does::RefuseForGood);
    ci.push(&Push::to("b", "main"));
    ci.build(1);
    ci.build(1);
    assert_eq!(outbox(&ci), [""; 0]);
    assert_eq!(
        failed(&ci).len(),
        4,
        "the letter, the one about it, and the one about that without its words"
    );
    let check = ci.command("build").arg("--check").output().unwrap();
    let findings = String::from_utf8(check.stdout).unwrap();
    assert!(findings.contains("WRONG   outbox/failed/ holds 4 that nobody took"), "{findings}");
    assert_eq!(ci.records().len(), 2);
}

#[test]
fn a_server_that_hangs_or_never_greets_holds_up_no_build_and_no_stop() {
    for hangs in [Does::HangInData, Does::NeverGreet] {
        let server = Server::start(move |_| hangs);
        let ci = failing(&server);
        let id = ci.push(&Push::to("a", "main"));
        let mut build = ci.start_build(1);
        server.wait_for(move |did| *did == hangs, 1);
        // While it hangs, builds go on.
        let next = ci.push(&Push::to("b", "main"));
        wait_until("the next is built", || ci.records().len() == 2);
        build.signal("TERM");
        assert_eq!(build.wait(), 128 + 15, "whoever is stopped does not wait for a mail server");
        assert_eq!(outbox(&ci), [format!("{id}.eml"), format!("{next}.eml")]);

        server.now(|_| Does::Accept);
        ci.build(1);
        assert_eq!(
            server.taken().len(),
            1,
            "what has not been tried yet goes at once, the other one in a minute"
        );
        ci.touch_outbox();
        ci.build(1);
        assert_eq!((server.taken().len(), outbox(&ci).len()), (2, 0));
    }
}

#[test]
#[ignore = "second tier"]
fn what_was_perhaps_taken_is_sent_again_under_the_same_message_id() {
    let server = Server::start(|_| Does::DropAfterData);
    let ci = failing(&server);
    let id = ci.push(&Push::to("a", "main"));
    ci.build(1);
    assert_eq!(outbox(&ci), [format!("{id}.eml")]);
    server.now(|_| Does::Accept);
    ci.touch_outbox();
    ci.build(1);
    assert_eq!(outbox(&ci), [""; 0]);
    let ids: Vec<_> = server.taken().iter().map(message_id).collect();
    assert!(ids.len() >= 2 && ids.iter().all(|other| *other == ids[0]), "{ids:?}");
    assert_eq!(server.taken()[0].data, server.taken()[1].data);
}

#[test]
#[ignore = "second tier"]
fn killed_between_sending_and_removing_it_repeats_the_letter_and_nothing_else() {
    let server = Server::start(|_| Does::HangInData);
    let mut ci = failing(&server);
    ci.chunk("build_packages", &format!("echo ran >> {}/ran; exit 3", ci.home().display()));
    ci.push(&Push::to("a", "main"));
    ci.set("AMP_CI_SMTP_URL", "smtp://127.0.0.1:1");
    ci.build(1);
    ci.set("AMP_CI_SMTP_URL", &server.url());
    ci.touch_outbox();
    // The server knows whom to kill only when it has been started: the first word it hears waits for that.
    let pid = std::sync::Arc::new(std::sync::OnceLock::new());
    let victim = std::sync::Arc::clone(&pid);
    server.now(move |to| if to.is_empty() { Does::Accept } else { Does::KillAfterData(*victim.wait()) });
    let mut build = ci.start_build(1);
    pid.set(build.pid()).unwrap();
    assert_eq!(build.wait(), -9);
    assert_eq!(outbox(&ci).len(), 1);
    server.now(|_| Does::Accept);
    ci.build(1);
    assert_eq!(server.taken().len(), 1, "not twice a minute");
    ci.touch_outbox();
    ci.build(1);
    let ids: Vec<_> = server.taken().iter().map(message_id).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
    assert_eq!(outbox(&ci), [""; 0]);
    assert_eq!(fs::read_to_string(ci.path("ran")).unwrap(), "ran\n");
}

#[test]
#[ignore = "second tier"]
fn a_line_with_a_dot_a_very_long_one_and_bytes_that_are_no_text_arrive_as_they_are() {
    let server = Server::start(|_| Does::Accept);
    let ci = failing(&server);
    ci.chunk(
        "build_packages",
        "set +x; echo .; echo ..; echo .x; printf 'x%.0s' {1..5000}; echo; echo 'From here'; echo '--'; printf 'cr\\rlf\\r\\n'; \
         printf 'nul\\0 high \\377 \\342\\200\\250 sep\\n'; echo 'grün €'; echo 'trailing  '; exit 3",
    );
    ci.push(&Push::to("a", "main"));
    ci.build(1);
    let letter = read(&server.taken()[0]);
    let output = letter.text.split("----------------------------------\n").nth(1).unwrap();
    let long = "x".repeat(5000);
    let expected = format!(
        "\n.\n..\n.x\n{long}\nFrom here\n--\nlf\nnul high \u{fffd} \u{2028} sep\ngrün €\ntrailing  \n"
    );
    assert!(output.ends_with(&expected), "{output}");
    assert!(letter.raw.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
}

/// Everything that can be wrong with a name or an address, put into an entry as it is.
#[test]
#[ignore = "second tier"]
fn no_name_address_or_ref_adds_a_header_a_recipient_or_loses_the_letter() {
    let server = Server::start(|_| Does::Accept);
    let ci = failing(&server);
    fs::write(
        ci.path("addresses"),
        "# names and addresses\nKnown Name known@example.org\nbad not-an-address\n",
    )
    .unwrap();
    let fallback = "operator@example.org";
    let cases: Vec<(&str, &str, &str)> = vec![
        ("plain", "plain@example.org", "plain@example.org"),
        ("none", "", fallback),
        ("nil", "<nil>", fallback),
        ("Known Name", "1+x@users.noreply.github.com", "known@example.org"),
        ("known name", "x@USERS.NOREPLY.GITHUB.COM", "known@example.org"),
        ("Known Name", "", "known@example.org"),
        ("bad", "", fallback),
        ("stranger", "x@users.noreply.github.com", fallback),
        ("no at", "nobody", fallback),
        ("two", "a@example.org, b@example.org", fallback),
        ("list", "a@example.org,b@example.org", fallback),
        ("angle", "<a@example.org>", fallback),
        ("named", "A <a@example.org>", fallback),
        ("cr", "a@example.org\r\nBcc: b@example.org", fallback),
        ("lf", "a@example.org\nBcc: b@example.org", fallback),
        ("nul", "a@example.org\0", fallback),
        ("separator", "a@example.org\u{2028}Bcc: b@example.org", fallback),
        ("nel", "a\u{85}@example.org", fallback),
        ("space", "a b@example.org", fallback),
        ("quoted", "\"a b\"@example.org", fallback),
        ("option", "a@example.org> SIZE=1", fallback),
        ("path", "@relay.example.org:a@example.org", fallback),
        ("literal", "a@[127.0.0.1]", fallback),
        ("unicode", "ü@example.org", fallback),
        ("wide", "ａ@example.org", fallback),
        ("name\r\nBcc: b@example.org\r\n\r\nbody", "a@example.org", "a@example.org"),
        ("name\nBcc: b@example.org", "a@example.org", "a@example.org"),
        ("nul\0 lf\u{b}\u{c} sep\u{2028}\u{2029}\u{85} bidi\u{202e}", "a@example.org", "a@example.org"),
        ("😀 \u{10ffff} grün", "a@example.org", "a@example.org"),
        (".", "a@example.org", "a@example.org"),
    ];
    let long = format!("{}@example.org", "a".repeat(300));
    let huge = "n".repeat(64 << 10);
    let cases = cases
        .into_iter()
        .chain([("long", long.as_str(), fallback), (&huge, "a@example.org", "a@example.org")]);
    let mut expected = Vec::new();
    for (n, (name, email, to)) in cases.enumerate() {
        let push = Push::to(&format!("r{n}"), "main").by(name, email);
        ci.entry(&format!("{}.0", n + 1), &push.clone().commit(n).json());
        expected.push((name.to_string(), to));
    }
    assert_eq!(ci.build_to_its_end(4), 0);
    assert_eq!(ci.records().len(), expected.len());
    assert_eq!(outbox(&ci), [""; 0]);
    let taken = server.taken();
    assert_eq!(taken.len(), expected.len());
    for taken in taken {
        let letter = read(&taken);
        let (headers, body) = letter.raw.split_once("\r\n\r\n").unwrap();
        let mut names: Vec<_> =
            headers.split("\r\n").map(|line| line.split_once(": ").expect("a header").0).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "Auto-Submitted",
                "Content-Transfer-Encoding",
                "Content-Type",
                "Date",
                "From",
                "MIME-Version",
                "Message-ID",
                "Subject",
                "To",
                "X-AMP-CI-Build"
            ],
            "{headers}"
        );
        assert!(headers.is_ascii() && !headers.replace("\r\n", "").contains(['\r', '\n', '\0']));
        assert!(body.split("\r\n").all(|line| !line.contains(['\r', '\n'])));
        let repository =
            letter.subject.strip_prefix("AMP build failed for r").unwrap().split_once('/').unwrap().0;
        let (name, to) = &expected[repository.parse::<usize>().unwrap()];
        assert_eq!(letter.to, *to, "{name:?}");
        let greeting = letter.text.lines().next().unwrap();
        assert!(
            greeting.starts_with("Greetings and salutations ") && greeting.ends_with('!'),
            "{greeting:?}"
        );
        assert!(greeting.chars().count() <= 230 && !greeting.contains(char::is_control), "{greeting:?}");
        assert!(letter.text.contains("\nThe script returned an rc of 3 and produced"));
    }
}

#[test]
#[ignore = "second tier"]
fn a_list_of_addresses_that_cannot_be_read_is_no_reason_to_stop() {
    let server = Server::start(|_| Does::Accept);
    let ci = failing(&server);
    fs::create_dir(ci.path("addresses")).unwrap();
    ci.push(&Push::to("a", "main").by("a", ""));
    ci.build(1);
    assert_eq!(read(&server.taken()[0]).to, "operator@example.org");
    ci.assert_all_over();
}
