//! Mail: who hears of what, in which words, and that no letter is lost.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

use crate::support::{
    files::names,
    installation::{COMMIT, Installation, Letter, Push},
    mail_server::MailServer,
};

/// An installation whose builds fail, and its mail server.
fn failing() -> (Installation, MailServer) {
    let server = MailServer::start();
    let mut ci = Installation::building("echo 'it breaks'; exit 1");
    ci.set("AMP_CI_SMTP_URL", &server.url());
    (ci, server)
}

fn recipients(server: &MailServer) -> Vec<String> {
    server.received().into_iter().flat_map(|message| message.to).collect()
}

/// Between the two lines of dashes.
fn quoted_output(letter: &Letter) -> &str {
    let dashes = "----------------------------------\n";
    let (_, rest) = letter.text.split_once(dashes).expect(&letter.text);
    rest.rsplit_once(dashes).expect(rest).0
}

/// The letter about a build with this output.
fn letter_about(printing: &str) -> (Installation, Letter) {
    let ci = Installation::building(&format!("{{ set +x; }} 2>/dev/null\n{printing}\nexit 1"));
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    let letter = ci.letter();
    (ci, letter)
}

#[test]
fn a_letter_that_a_wrong_clock_has_put_off_for_years_is_tried_now() {
    let (ci, server) = failing();
    let url = server.url();
    let mut ci = ci;
    ci.set("AMP_CI_SMTP_URL", "smtp://127.0.0.1:9");
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    ci.set("AMP_CI_SMTP_URL", &url);
    let letter = fs::File::open(ci.path("outbox").join(&names(&ci.path("outbox"))[0])).unwrap();
    letter.set_modified(SystemTime::now() + Duration::from_secs(10 * 365 * 24 * 3600)).unwrap();
    ci.build(1);
    assert_eq!(recipients(&server).len(), 1);
}

#[test]
fn a_letter_larger_than_any_of_ours_is_put_aside_and_told_of_and_the_others_go() {
    let (ci, server) = failing();
    ci.push(&Push::to("r", "main").by("Ana", "ana@example.org"));
    fs::create_dir(ci.path("outbox")).unwrap();
    fs::File::create(ci.path("outbox/huge.eml")).unwrap().set_len(100 << 30).unwrap();
    ci.build(1);
    let mut to = recipients(&server);
    to.sort();
    assert_eq!(to, ["ana@example.org", "operator@example.org"]);
    assert_eq!(names(&ci.path("outbox/failed")), ["huge.eml"]);
}

#[test]
fn a_mail_server_gets_the_letter_with_the_bare_addresses_as_its_envelope() {
    let (ci, server) = failing();
    let id = ci.push(&Push::to("amp_mgms", "main"));
    ci.build(1);

    let received = server.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].from, "amp_ci@ci.example.org");
    assert_eq!(received[0].to, ["bdwheele@example.org"]);
    let letter = Letter::read(&id, &received[0].bytes);
    let (headers, _) = letter.raw.split_once("\r\n\r\n").unwrap();
    for header in [
        "From: amp_ci@ci.example.org",
        "To: bdwheele@example.org",
        &format!("Subject: AMP build failed for amp_mgms/{COMMIT}"),
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 7bit",
        &format!("X-AMP-CI-Build: {id}"),
        &format!("Message-ID: <amp_ci.{id}@ci.example.org>"),
    ] {
        assert!(headers.split("\r\n").any(|line| line == header), "{header} in {headers}");
    }
    assert!(headers.contains("\r\nDate: ") || headers.starts_with("Date: "), "{headers}");
    assert_eq!(quoted_output(&letter), ci.record().output());
    assert!(names(&ci.path("outbox")).is_empty(), "what was sent is removed");
    assert!(ci.log().contains(&format!("sent {id}.eml to bdwheele@example.org")), "{}", ci.log());
}

#[test]
fn success_sends_nothing() {
    let (ci, server) = failing();
    ci.chunk("build_packages", "true");
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    assert!(server.received().is_empty() && names(&ci.path("outbox")).is_empty());
}

#[test]
fn a_letter_waits_while_the_mail_server_is_down_and_is_sent_once_when_it_is_back() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let mut ci = Installation::building("exit 1");
    ci.set("AMP_CI_SMTP_URL", &format!("smtp://127.0.0.1:{port}"));
    let id = ci.push(&Push::to("r", "main"));
    ci.build(1);
    assert_eq!(ci.record().outcome(), "failed", "mail is no part of the verdict");
    assert_eq!(names(&ci.path("outbox")), [format!("{id}.eml")]);
    let mode = |path: &str| ci.path(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("outbox"), mode(&format!("outbox/{id}.eml"))), (0o750, 0o600));

    let server = MailServer::on(TcpListener::bind(("127.0.0.1", port)).unwrap());
    ci.touch_outbox();
    ci.build(1);
    ci.build(1);
    assert_eq!(recipients(&server), ["bdwheele@example.org"]);
    assert!(names(&ci.path("outbox")).is_empty());
}

#[test]
fn who_is_refused_for_good_goes_to_failed_and_the_fallback_gets_a_letter_that_quotes_it() {
    let (ci, server) = failing();
    let id = ci.push(&Push::to("r", "main").by("who", "gone@example.org"));
    ci.build(1);
    assert_eq!(names(&ci.path("outbox")), ["failed"]);
    assert_eq!(names(&ci.path("outbox/failed")), [format!("{id}.eml")]);
    let received = server.received();
    assert_eq!(recipients(&server), ["operator@example.org"]);
    let letter = Letter::read("", &received[0].bytes);
    for part in [
        "gone@example.org",
        "Mailbox unavailable",
        "> Greetings and salutations who!",
        "> To: gone@example.org",
    ] {
        assert!(letter.text.contains(part), "{part} in {}", letter.text);
    }
    assert!(letter.raw.contains("Auto-Submitted: auto-generated\r\n"));
}

#[test]
fn a_fallback_that_is_refused_too_is_told_of_in_the_log_and_by_check_only() {
    let (mut ci, server) = failing();
    ci.set("AMP_CI_MAIL_FALLBACK", "gone@ci.example.org");
    ci.push(&Push::to("r", "main").by("who", "gone@example.org"));
    ci.build(1);
    assert!(server.received().is_empty());
    assert_eq!(names(&ci.path("outbox")), ["failed"]);
    assert_eq!(names(&ci.path("outbox/failed")).len(), 3);
    let check = ci.command("build").arg("--check").output().unwrap();
    let findings = String::from_utf8(check.stdout).unwrap();
    assert!(findings.contains("WRONG   outbox/failed/ holds 3 that nobody took"), "{findings}");
}

#[test]
fn who_is_refused_for_now_is_tried_again_and_holds_up_nobody() {
    let (ci, server) = failing();
    let id = ci.push(&Push::to("a", "main").by("who", "later@example.org"));
    ci.push(&Push::to("b", "main").by("who", "crash@example.org"));
    ci.push(&Push::to("c", "main").by("who", "fine@example.org"));
    ci.build(1);
    assert_eq!(recipients(&server), ["fine@example.org"]);
    assert_eq!(names(&ci.path("outbox")).len(), 2);
    server.relent();
    ci.build(1);
    assert_eq!(recipients(&server), ["fine@example.org"], "not twice a minute");
    ci.touch_outbox();
    ci.build(1);
    assert_eq!(recipients(&server), ["fine@example.org", "later@example.org"]);

    // After five days it is given up.
    ci.age_letter(&names(&ci.path("outbox"))[0], 6);
    ci.build(1);
    assert_eq!(names(&ci.path("outbox")), ["failed"]);
    assert_eq!(recipients(&server)[2..], ["operator@example.org"]);
    assert!(!names(&ci.path("outbox/failed")).contains(&format!("{id}.eml")));
}

#[test]
fn who_cannot_be_written_to_is_looked_up_in_addresses_and_then_the_fallback_hears() {
    let (ci, server) = failing();
    fs::write(
        ci.path("addresses"),
        "# pusher-name address\nbdwheele  wheeler@example.org\nO'Neil Jr oneil@example.org\nbroken not-an-address\nlast \
         last@example.org",
    )
    .unwrap();
    for (name, email, to) in [
        ("bdwheele", "own@example.org", "own@example.org"),
        ("bdwheele", "1+bdwheele@users.noreply.github.com", "wheeler@example.org"),
        ("bdwheele", "bdwheele@USERS.noreply.GitHub.com", "wheeler@example.org"),
        ("bdwheele", "", "wheeler@example.org"),
        ("O'Neil Jr", "not an address", "oneil@example.org"),
        ("last", "<nil>", "last@example.org"),
        ("broken", "", "operator@example.org"),
        ("somebody", "x@users.noreply.github.com", "operator@example.org"),
    ] {
        let before = server.received().len();
        ci.push(&Push::to("r", "main").by(name, email));
        ci.build(1);
        assert_eq!(recipients(&server)[before..], [to], "{name} {email}");
    }
    fs::remove_file(ci.path("addresses")).unwrap();
    fs::create_dir(ci.path("addresses")).unwrap();
    ci.push(&Push::to("r", "main").by("bdwheele", ""));
    ci.build(1);
    assert_eq!(
        recipients(&server).last().unwrap(),
        "operator@example.org",
        "a file that cannot be read stops nothing"
    );
}

#[test]
fn no_text_of_a_push_can_add_a_header_or_a_recipient() {
    let (ci, server) = failing();
    let name = "Eve\r\nBcc: all@example.org\r\n\r\n.\r\nMAIL FROM:<x@example.org>";
    ci.push(&Push::to("r", "main").by(name, "eve@example.org>\r\nRCPT TO:<all@example.org"));
    ci.push(
        &Push::to("r", "").git_ref("refs/heads/a\u{2028}Bcc=x\u{85}/main").by("Jörg 😀", "eve@example.org"),
    );
    ci.build(1);
    assert_eq!(recipients(&server), ["operator@example.org", "eve@example.org"]);
    for message in server.received() {
        let letter = Letter::read("", &message.bytes);
        let (headers, _) = letter.raw.split_once("\r\n\r\n").unwrap();
        assert!(!headers.to_lowercase().contains("bcc"), "{headers}");
        assert_eq!(headers.split("\r\n").count(), 10, "{headers}");
        assert!(letter.text.starts_with("Greetings and salutations "), "{}", letter.text);
    }
    let letter = Letter::read("", &server.received()[1].bytes);
    assert!(letter.text.starts_with("Greetings and salutations Jörg 😀!\n"), "{}", letter.text);
}

#[test]
fn dots_long_lines_and_bytes_that_are_no_text_arrive_as_they_can() {
    let (ci, server) = failing();
    ci.chunk(
        "build_packages",
        "{ set +x; } 2>/dev/null; printf '.\\n..\\n.dot\\nFrom x\\ntrailing  \\n=20\\n'; printf '\\xff\\xc3\\xa9\\n'; printf 'x%.0s' {1..5000}; exit 1",
    );
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    let bytes = server.received().remove(0).bytes;
    assert!(bytes.split(|byte| *byte == b'\n').all(|line| line.len() <= 998), "no line is too long for SMTP");
    let letter = Letter::read("", &bytes);
    assert!(letter.raw.contains("\r\nContent-Transfer-Encoding: quoted-printable\r\n"), "{}", letter.raw);
    let expected = format!(".\n..\n.dot\nFrom x\ntrailing  \n=20\n\u{fffd}é\n{}\n", "x".repeat(5000));
    assert!(quoted_output(&letter).ends_with(&expected), "{}", letter.text);
}

#[test]
fn a_letter_carries_what_a_terminal_would_show_at_the_end() {
    let (ci, letter) = letter_about(
        "printf ' 10%%\\r 50%%\\r100%%\\nwait\\r\\033[Kdone\\n'\n\
         printf '\\033[1;31mred\\033[0m \\033]8;;http://x\\007link\\033]8;;\\007\\a\\000\\n'",
    );
    assert!(ci.record().output().contains("\u{1b}[1;31mred"), "the log has it as it came");
    assert!(quoted_output(&letter).ends_with("100%\ndone\nred link\n"), "{:?}", letter.text);
    assert!(!letter.text.contains(|c: char| c.is_control() && c != '\t' && c != '\n'), "{:?}", letter.text);
}

#[test]
fn a_letter_says_at_its_end_which_build_it_is_about_and_why_it_came() {
    let (ci, server) = failing();
    fs::write(ci.path("addresses"), "bdwheele wheeler@example.org\n").unwrap();
    let id = ci.push(&Push::to("r", "feature").by("bdwheele", ""));
    ci.push(&Push::to("s", "main").by("nobody", ""));
    ci.build(1);
    let [named, fallback] = &server.received()[..] else { panic!("two letters") };
    let named = Letter::read("", &named.bytes);
    let (_, postscript) = named.text.split_once("With warmest regards,\nAMP CI\n\n").expect(&named.text);
    let log = ci.path("builds").join(&id).join("output.log").canonicalize().unwrap();
    for part in [
        format!("Build:  {id}\nBranch: refs/heads/feature\n"),
        format!("Log:    {} on ", log.display()),
        "You get this because the file addresses has your address for bdwheele.\n".to_string(),
    ] {
        assert!(postscript.contains(&part), "{part} in {postscript}");
    }
    let fallback = Letter::read("", &fallback.bytes);
    let why = "because nobody pushed it without an address to write to, and you are AMP_CI_MAIL_FALLBACK.\n";
    assert!(fallback.text.ends_with(why), "{}", fallback.text);
}

#[test]
fn ascii_with_lines_of_ordinary_length_goes_as_it_is() {
    let (_ci, letter) = letter_about("printf '.\\n= tab\\there \\n'");
    assert!(letter.raw.contains("\r\nContent-Transfer-Encoding: 7bit\r\n"));
    assert!(letter.raw.contains("\r\n.\r\n= tab\there \r\n"), "{}", letter.raw);
}

#[test]
fn up_to_200_kb_of_output_goes_in_whole() {
    let (ci, letter) = letter_about("yes 0123456789 | head -n 18000");
    let output = ci.record().output();
    assert!(output.len() < 200_000);
    assert_eq!(quoted_output(&letter), output);
}

#[test]
fn of_longer_output_its_head_and_its_tail_go_in_with_a_line_that_says_how_much_is_missing_and_where_it_is() {
    let (ci, letter) = letter_about("seq 100000");
    let record = ci.record();
    let output = record.output();
    let (head, rest) = quoted_output(&letter).split_once("\n[... ").expect("a line of its own");
    let (line, tail) = rest.split_once(" ...]\n").unwrap();
    assert!(output.starts_with(head) && output.ends_with(tail), "{line}");
    assert!(
        tail.len() > 2 * head.len() && head.len() + tail.len() <= 200_000,
        "{} {}",
        head.len(),
        tail.len()
    );
    let left_out = output.len() - head.len() - tail.len();
    let log = record.dir.canonicalize().unwrap().join("output.log");
    assert!(line.starts_with(&format!("{left_out} bytes")) && line.contains(log.to_str().unwrap()), "{line}");
}

#[test]
fn a_file_url_writes_letters_under_the_same_names() {
    let ci = Installation::building("exit 1");
    let id = ci.push(&Push::to("r", "main"));
    ci.build(1);
    assert_eq!(names(&ci.path("mail")), [format!("{id}.eml")]);
    assert!(names(&ci.path("outbox")).is_empty());
    fs::rename(ci.path("mail"), ci.path("away")).unwrap();
    let id = ci.push(&Push::to("r", "main"));
    ci.build(1);
    assert_eq!(
        names(&ci.path("outbox")),
        [format!("{id}.eml")],
        "it waits for the directory as for a server"
    );
}
