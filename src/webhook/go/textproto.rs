//! net/textproto: header names in canonical form.

/// `x-hub-SIGNATURE` as `X-Hub-Signature`; what is no header name stays as it is.
pub fn canonical(name: &str) -> String {
    if name.is_empty() || !name.bytes().all(is_token) {
        return name.to_owned();
    }
    let mut start_of_word = true;
    let canonical = name.bytes().map(|byte| {
        let byte = if start_of_word { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
        start_of_word = byte == b'-';
        char::from(byte)
    });
    canonical.collect()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn each_word_starts_with_a_capital() {
        let cases = [
            ("x-hub-SIGNATURE-256", "X-Hub-Signature-256"),
            ("X-JS.Key", "X-Js.key"),
            ("etag", "Etag"),
            ("--a", "--A"),
            ("x y", "x y"),
            ("x-ü", "x-ü"),
            ("", ""),
        ];
        for (name, canonical_name) in cases {
            assert_eq!(canonical(name), canonical_name, "{name}");
        }
    }
}
