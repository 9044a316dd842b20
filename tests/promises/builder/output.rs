//! Output of any size and kind: `build` stays small, the record keeps head and tail, the letter is right.
//!
//! `AMP_CI_OUTPUT_BYTES=2147483648 cargo test --release --test promises builder::output` sends two gibibytes of
//! each kind.

use std::{fs, thread, time::Duration};

use crate::support::{
    installation::{Installation, Push},
    process::peak_kib,
    wait::wait_until,
};

/// What `build` may take at most, in kibibytes.
const MEMORY: u64 = 32 << 10;

/// AMP_CI_LOG_LIMIT's default.
const LIMIT: u64 = 16 << 20;

fn bytes() -> u64 {
    std::env::var("AMP_CI_OUTPUT_BYTES").map_or(100 << 20, |text| text.parse().unwrap())
}

/// Runs `build` to its end, however long it takes; the most memory that it had.
fn peak_memory(ci: &Installation) -> u64 {
    let mut build = ci.start_build(1);
    let mut peak = 0;
    loop {
        peak = peak_kib(build.pid()).unwrap_or(peak);
        if let Some(code) = build.is_over() {
            assert_eq!(code, 0, "{}", ci.log());
            return peak;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// A build that says `first`, then what the command says, then `last`, and fails.
fn floods(command: &str) {
    let ci = Installation::building(&format!("set +x; echo first; {command}; echo; echo last; exit 3"));
    ci.push(&Push::to("r", "main"));
    let peak = peak_memory(&ci);
    assert!(0 < peak && peak < MEMORY, "{command}: {peak} kB");

    let record = ci.record();
    assert_eq!((record.outcome(), &record.result["rc"]), ("failed", &3.into()));
    let log = fs::read(record.dir.join("output.log")).unwrap();
    let length = log.len() as u64;
    assert!(length <= LIMIT && length > LIMIT - 1000, "{command}: {length}");
    let text = String::from_utf8_lossy(&log);
    assert!(text.contains("\nfirst\n") && text.ends_with("\nlast\n"), "{command}");
    let (before, after) = text.split_once("\n[amp_ci: ").expect("a line that counts");
    let left_out: u64 = after.split_once(" bytes of output are left out").unwrap().0.parse().unwrap();
    assert!(left_out > bytes() - LIMIT && left_out < bytes(), "{command}: {left_out}");
    assert_eq!(before.as_bytes().first(), Some(&b'+'));

    let letters = ci.letters();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert!(letter.text.contains("\nfirst\n"), "{command}");
    assert!(letter.text.contains("\nlast\n----------------------------------\n"), "{command}");
    assert!(letter.text.contains("bytes are left out here; the whole log is "), "{command}");
    assert!(letter.raw.len() < 2_500_000, "{command}: {}", letter.raw.len());
    assert!(letter.raw.lines().all(|line| line.len() <= 998), "{command}");
    assert!(letter.raw.split("\r\n").all(|line| !line.contains(['\r', '\n', '\0'])), "{command}");
    assert!(ci.log().len() < 2_500_000);
    ci.assert_all_over();
}

#[test]
fn many_lines() {
    floods(&format!("yes 'a line like many others' | head -c {}", bytes()));
}

#[test]
fn one_line_without_end() {
    floods(&format!("yes | tr -d '\\n' | head -c {}", bytes()));
}

#[test]
fn nul_bytes() {
    floods(&format!("head -c {} /dev/zero", bytes()));
}

#[test]
fn what_is_no_text_at_all() {
    floods(&format!("yes $'\\xff\\xfe\\x80 \\xc3\\x28 \\r \\e[2J \\xf0\\x9f' | head -c {}", bytes()));
}

#[test]
fn a_build_that_writes_after_its_reader_has_gone_gets_sigpipe_as_under_any_shell() {
    let ci = Installation::building("set +e; yes | head -n 1; echo status ${PIPESTATUS[0]}");
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    assert!(ci.record().output().contains("\ny\n"), "{}", ci.record().output());
    assert!(ci.record().output().contains("\nstatus 141\n"), "{}", ci.record().output());
}

#[test]
fn both_streams_stay_in_order_and_every_byte_is_kept() {
    let ci = Installation::building(
        "set +x; for n in {1..2000}; do echo out $n; echo err $n >&2; done; printf '\\0\\377'",
    );
    ci.push(&Push::to("r", "main"));
    ci.build(1);
    let log = fs::read(ci.record().dir.join("output.log")).unwrap();
    let lines: Vec<String> = (1..=2000).map(|n| format!("out {n}\nerr {n}\n")).collect();
    let expected = lines.concat();
    let at = log.windows(6).position(|window| window == b"out 1\n").unwrap();
    assert!(log[at..].starts_with(expected.as_bytes()));
    assert!(log[at + expected.len()..].starts_with(b"\0\xff"));
}

#[test]
fn the_output_can_be_read_while_it_comes() {
    let ci = Installation::building("");
    let home = ci.home().display();
    ci.chunk("build_packages", &format!("echo so far; until [ -e {home}/go ]; do sleep 0.01; done"));
    let id = ci.push(&Push::to("r", "main"));
    let mut build = ci.start_build(1);
    let log = ci.path(&format!("builds/{id}/output.log"));
    wait_until("it is there", || fs::read_to_string(&log).is_ok_and(|text| text.contains("\nso far\n")));
    fs::write(ci.path("go"), "").unwrap();
    assert_eq!(build.wait(), 0);
}
