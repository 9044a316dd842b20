use super::Pattern;

#[test]
fn patterns_match_what_they_match_in_re2() {
    // The pattern, what it is found in, what it is not found in.
    let cases: &[(&str, &[&str], &[&str])] = &[
        (r"^refs/(heads|tags)/v\d+\.\d+$", &["refs/tags/v1.20"], &["refs/tags/v1x2", "refs/tags/v1.2\n"]),
        ("", &["", "x"], &[]),
        (r"\d", &["a1"], &["\u{663}", "x"]),
        (r"\w", &["_", "Z"], &["é", "-"]),
        (r"[\W]", &["é"], &["a"]),
        (r"\s", &[" ", "\t", "\n"], &["\u{b}", "\u{a0}"]),
        (r"\bfoo\b", &["a foo", "éfoo"], &["afoo"]),
        (r"\Boo", &["foo"], &["oo"]),
        (r"[[]", &["["], &["]"]),
        (r"[a&&b]", &["&", "a", "b"], &["c"]),
        (r"[+--b~~]", &["+", ",", "-", "b", "~"], &["c"]),
        (r"[[a]b]", &["ab]", "[b]"], &["a"]),
        (r"[]a]", &["]", "a"], &["b"]),
        (r"[^]a]", &["b"], &["]", "a"]),
        (r"[\d-z]", &["5", "-", "z"], &["y"]),
        (r"[a-c-e]", &["b", "-", "e"], &["d"]),
        (r"[[:alpha:]_]", &["é_", "x"], &["1"]),
        (r"[[:^alpha:]]", &["1"], &["x"]),
        (r"\Qa.b*\E+", &["a.b**"], &["axb*", "a.b"]),
        (r"\Qa.b", &["a.b"], &["axb"]),
        (r"^\101\x42\x{43}\07?$", &["ABC", "ABC\u{7}"], &["AB"]),
        ("a{,2}|{|}|]", &["a{,2}", "{", "}", "]"], &["aa"]),
        ("^a{02}$", &["a{02}"], &["aa"]),
        ("^a{2,}$", &["aa", "aaa"], &["a"]),
        (r"^\/\-\<\_\ $", &["/-<_ "], &["/-<_"]),
        (r"(?i)straße|K", &["STRAßE", "k", "\u{212a}"], &["STRASSE"]),
        (r"(?i:a)b", &["Ab"], &["AB"]),
        (r"a(?i)*b", &["aaB"], &["c"]),
        (r"(?U)^a+?$", &["aa"], &["ab"]),
        (r"a.b", &["axb", "a\u{fffd}b"], &["a\nb"]),
        (r"(?s)a.b", &["a\nb"], &[]),
        (r"^b$", &["b"], &["a\nb"]),
        (r"(?m)^b$", &["a\nb\nc"], &["ab"]),
        (r"\p{Greek}\pL\P{Lu}", &["αxy"], &["xαy", "αxY"]),
        (r"^[\pL\d]+$", &["é1"], &["-"]),
        (r"\p{^Lu}", &["a"], &["A"]),
        (r"\pC", &["\u{1}"], &["a", "\u{378}"]),
        (r"(?P<year>\d{4})", &["2026"], &["202"]),
        ("(?P<n>a)(?P<n>b)|(?<n>c)", &["ab", "c"], &["a", "b"]),
        ("(?i-i:a)b", &["ab"], &["AB", "Ab"]),
        (r"x\P{Cs}|\p{Cs}", &["xa"], &["a", "x"]),
        (r"^[\pL\pN_]{1,255}$", &["é_"], &["-"]),
        ("(|a)*b", &["aab"], &["a"]),
    ];
    for (pattern, found, not_found) in cases {
        let regex = Pattern::new((*pattern).to_owned());
        for (texts, expected) in [(found, true), (not_found, false)] {
            for text in *texts {
                assert_eq!(regex.is_match(text.as_bytes()), Ok(expected), "{pattern} in {text:?}");
            }
        }
    }
}

#[test]
fn text_that_is_not_utf_8_is_searched_too() {
    assert_eq!(Pattern::new("^a..$".to_owned()).is_match(b"a\xff\xfe"), Ok(true));
}

#[test]
fn what_re2_refuses_is_refused_in_its_words() {
    let cases = [
        ("(", "missing closing ): `(`"),
        (")", "unexpected ): `)`"),
        ("[a", "missing closing ]: `[a`"),
        ("x[]", "missing closing ]: `[]`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[a--b]", "invalid character class range: `a--`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"),
        ("[[:word:][:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\Z", r"invalid escape sequence: `\Z`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\y", r"invalid escape sequence: `\y`"),
        (r"\é", r"invalid escape sequence: `\é`"),
        (r"\x4", r"invalid escape sequence: `\x4`"),
        (r"\u0041", r"invalid escape sequence: `\u`"),
        ("\\", "trailing backslash at end of expression: ``"),
        (r"\p{greek}", r"invalid character class range: `\p{greek}`"),
        (r"a\p{Cn}", r"invalid character class range: `\p{Cn}`"),
        (r"[\pX]", r"invalid character class range: `\pX`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
        (r"\x{}", r"invalid escape sequence: `\x{}`"),
        (r"\x{4g}", r"invalid escape sequence: `\x{4g`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?>a)", "invalid or unsupported Perl syntax: `(?>`"),
        ("(?P<a-b>x)", "invalid named capture: `(?P<a-b>`"),
        ("(?P<", "invalid or unsupported Perl syntax: `(?P`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
        ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
        ("(?-)", "invalid or unsupported Perl syntax: `(?-)`"),
        ("(?i-s-:a)", "invalid or unsupported Perl syntax: `(?i-s-`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a|*", "missing argument to repetition operator: `*`"),
        ("(+)", "missing argument to repetition operator: `+`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a++", "invalid nested repetition operator: `++`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a*??", "invalid nested repetition operator: `*??`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("(a{100}){11}", "invalid repeat count: `{11}`"),
    ];
    for (pattern, problem) in cases {
        let regex = Pattern::new(pattern.to_owned());
        assert_eq!(regex.is_match(b"a"), Err(format!("error parsing regexp: {problem}")), "{pattern}");
    }
}

#[test]
fn a_pattern_has_bounds() {
    for pattern in [format!("{}a{}", "(".repeat(2000), ")".repeat(2000)), r"\pL{1000}".repeat(20)] {
        let problem = Pattern::new(pattern).is_match(b"a").unwrap_err();
        assert!(problem.contains("too"), "{problem}");
    }
    assert_eq!(Pattern::new(format!("{}a{}", "(".repeat(400), ")".repeat(400))).is_match(b"a"), Ok(true));
}
