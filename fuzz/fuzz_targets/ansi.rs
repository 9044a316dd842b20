//! A build's output as the page shows it: HTML of our own making, whatever is in it.
#![no_main]

use amp_ci::fuzzing::ansi::lines;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|output: &[u8]| {
    let shown = lines(output);
    assert!(shown.len() <= 1 + output.iter().filter(|byte| **byte == b'\n').count());
    for line in &shown {
        assert!(!line.contains(|c: char| c.is_control() && c != '\t'), "{line:?}");
        // Spans with classes of ours, each closed before the next; everything else is text.
        let mut rest = line.as_str();
        let mut is_open = false;
        while let Some((text, tag)) = rest.split_once('<') {
            is_text(text);
            let (tag, after) = tag.split_once('>').expect("a tag ends");
            match tag.strip_prefix("span class=\"").and_then(|classes| classes.strip_suffix('"')) {
                Some(classes) => {
                    assert!(
                        !is_open && classes.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' '),
                        "{line:?}"
                    );
                    is_open = true;
                }
                None => {
                    assert!(is_open && tag == "/span", "{line:?}");
                    is_open = false;
                }
            }
            rest = after;
        }
        is_text(rest);
        assert!(!is_open, "{line:?}");
    }
});

fn is_text(html: &str) {
    assert!(!html.contains(['<', '>', '"']), "{html:?}");
    for reference in html.split('&').skip(1) {
        assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|known| reference.starts_with(known)), "{html:?}");
    }
}
