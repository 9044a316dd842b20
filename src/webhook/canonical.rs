//! Header names as the peer writes them: `X-Hub-Signature-256`.

/// `name` with a capital after each dash, and small letters elsewhere. What comes off the wire is a token.
pub(super) fn name(name: &str) -> String {
    let mut after_dash = true;
    name.chars()
        .map(|c| {
            let shown = if after_dash { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            after_dash = c == '-';
            shown
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_has_capitals_after_dashes_only() {
        for (name, canonical) in [
            ("x-hub-signature-256", "X-Hub-Signature-256"),
            ("ETag", "Etag"),
            ("x--a", "X--A"),
            ("x_y", "X_y"),
        ] {
            assert_eq!(super::name(name), canonical);
        }
    }
}
