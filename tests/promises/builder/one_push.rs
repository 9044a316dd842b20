//! One push from `queue_build` to the letter.

use crate::support::installation::{Installation, Push};

#[test]
fn a_good_push_ends_in_a_record_and_no_letter() {
    let ci = Installation::building("echo built {repository} in $(pwd)");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    ci.build(1);

    let record = ci.record();
    assert_eq!(record.id, id);
    assert_eq!(record.outcome(), "succeeded");
    assert_eq!(record.result["rc"], 0);
    assert!(record.output().contains("\nbuilt amp_mgms in "), "{}", record.output());
    assert!(ci.letters().is_empty() && ci.entries().is_empty());
    assert!(std::fs::read_dir(ci.path("work")).unwrap().next().is_none(), "the workspace is gone");
}

#[test]
fn the_committer_of_a_broken_build_gets_the_original_s_letter() {
    let ci = Installation::building("echo 'it breaks: é'; exit 3");
    let id = ci.push(&Push::to("amp_mgms", "main"));
    ci.build(1);

    let letters = ci.letters();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(letter.stem, id);
    assert_eq!(letter.to, "bdwheele@example.org");
    assert_eq!(letter.from, "amp_ci@ci.example.org");
    assert_eq!(letter.subject, "AMP build failed for amp_mgms/84ce5aeb5cbfe12bf72096f34d93c9f5d148e997");
    let output = ci.record().output();
    let log = ci.record().dir.canonicalize().unwrap().join("output.log");
    let (log, host) = (log.display(), rustix::system::uname());
    let host = host.nodename().to_str().unwrap();
    assert_eq!(
        letter.text,
        format!(
            "Greetings and salutations bdwheele!\n\n\
             Hopefully this email finds you well.\n\n\
             The build for amp_mgms commit 84ce5aeb5cbfe12bf72096f34d93c9f5d148e997 in the branch refs/heads/main has failed.\n\n\
             The script returned an rc of 3 and produced the following output:\n\
             ----------------------------------\n\
             {output}\
             ----------------------------------\n\n\
             Sorry about that.\n\n\
             With warmest regards,\n\
             AMP CI\n\n\
             Build:  {id}\n\
             Branch: refs/heads/main\n\
             Log:    {log} on {host}\n\
             You get this because the push has your address.\n"
        )
    );
    for header in [
        "Auto-Submitted: auto-generated\r\n",
        &format!("X-AMP-CI-Build: {id}\r\n"),
        &format!("Message-ID: <amp_ci.{id}@"),
    ] {
        assert!(letter.raw.contains(header), "{header} in {}", letter.raw);
    }
}
