//! A flat badge, as one puts into a README: how a branch did last.

use crate::records::Outcome;

/// Advance widths of Verdana at 11 px in tenths of a pixel, from the blank to the tilde.
const WIDTHS: [u16; 95] = [
    39, 43, 50, 90, 70, 118, 80, 30, 50, 50, 70, 90, 40, 50, 40, 50, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70,
    50, 50, 90, 90, 90, 60, 110, 75, 75, 77, 85, 70, 63, 85, 83, 46, 50, 76, 61, 93, 82, 87, 66, 87, 76, 75,
    68, 81, 75, 109, 75, 68, 75, 50, 50, 50, 90, 70, 70, 66, 69, 57, 69, 66, 39, 69, 70, 30, 38, 65, 30, 107,
    70, 67, 69, 69, 47, 57, 43, 70, 65, 90, 65, 65, 58, 70, 50, 70, 90,
];

/// What is said of an outcome, and its colour.
pub fn message(outcome: Option<Outcome>) -> (&'static str, &'static str) {
    match outcome {
        Some(Outcome::Succeeded) => ("passing", "#4c1"),
        Some(Outcome::Failed) => ("failing", "#e05d44"),
        Some(Outcome::TimedOut) => ("timed out", "#e05d44"),
        _ => ("no builds", "#9f9f9f"),
    }
}

/// The picture, with `label` on the left.
pub fn svg(label: &str, (message, colour): (&str, &str)) -> String {
    let label: String = label.chars().filter(|c| !crate::text::is_unprintable(*c)).take(60).collect();
    // An odd width keeps the text on whole pixels.
    let left = (text_width(&label) / 10) | 1;
    let right = (text_width(message) / 10) | 1;
    let (left_box, right_box) = (left + 10, right + 10);
    let width = left_box + right_box;
    let (left_at, right_at) = (left_box * 5, left_box * 10 + right_box * 5);
    let (left_length, right_length) = (left * 10, right * 10);
    let label = escaped(&label);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{label}: {message}"><title>{label}: {message}</title><linearGradient id="s" x2="0" y2="100%"><stop offset="0" stop-color="#bbb" stop-opacity=".1"/><stop offset="1" stop-opacity=".1"/></linearGradient><clipPath id="r"><rect width="{width}" height="20" rx="3" fill="#fff"/></clipPath><g clip-path="url(#r)"><rect width="{left_box}" height="20" fill="#555"/><rect x="{left_box}" width="{right_box}" height="20" fill="{colour}"/><rect width="{width}" height="20" fill="url(#s)"/></g><g fill="#fff" text-anchor="middle" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" text-rendering="geometricPrecision" font-size="110"><text aria-hidden="true" x="{left_at}" y="150" fill="#010101" fill-opacity=".3" transform="scale(.1)" textLength="{left_length}">{label}</text><text x="{left_at}" y="140" transform="scale(.1)" textLength="{left_length}">{label}</text><text aria-hidden="true" x="{right_at}" y="150" fill="#010101" fill-opacity=".3" transform="scale(.1)" textLength="{right_length}">{message}</text><text x="{right_at}" y="140" transform="scale(.1)" textLength="{right_length}">{message}</text></g></svg>"##
    )
}

fn text_width(text: &str) -> u32 {
    let width = |c: char| (c as usize).checked_sub(32).and_then(|at| WIDTHS.get(at)).copied().unwrap_or(110);
    text.chars().map(|c| u32::from(width(c))).sum()
}

/// For XML text and attributes.
pub fn escaped(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_label_is_text() {
        let badge = svg("<script>\"'&\u{202e}", message(Some(Outcome::Failed)));
        assert!(!badge.contains("<script>") && badge.contains("&lt;script&gt;&quot;&apos;&amp;"), "{badge}");
        assert!(badge.contains(">failing<") && badge.contains("#e05d44"));
    }

    #[test]
    fn what_does_not_count_is_no_state() {
        for outcome in [
            None,
            Some(Outcome::Cancelled),
            Some(Outcome::Superseded),
            Some(Outcome::Skipped),
            Some(Outcome::Error),
        ] {
            assert_eq!(message(outcome).0, "no builds");
        }
    }
}
