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
fn what_re2_refuses_is_refused() {
    let cases: &[(&str, &[&str])] = &[
        ("missing closing )", &["("]),
        ("unexpected )", &[")"]),
        ("missing closing ]", &["[a", "x[]"]),
        (
            "invalid character class range",
            &["[z-a]", "[a--b]", "[[:word:][:foo:]]", r"\p{greek}", r"a\p{Cn}", r"[\pX]"],
        ),
        (
            "invalid escape sequence",
            &[
                r"[a-\d]",
                r"\1",
                r"\8",
                r"\Z",
                r"\C",
                r"\y",
                r"\é",
                r"\x4",
                r"\u0041",
                r"\x{110000}",
                r"\x{}",
                r"\x{4g}",
            ],
        ),
        ("trailing backslash at end of expression", &["\\"]),
        (
            "invalid or unsupported Perl syntax",
            &["(?=a)", "(?!a)", "(?x)a", "(?>a)", "(?P<", "(?i", "(?-)", "(?i-s-:a)"],
        ),
        ("invalid named capture", &["(?P<a-b>x)", "(?P<n"]),
        ("missing argument to repetition operator", &["*a", "a|*", "(+)"]),
        ("invalid nested repetition operator", &["a**", "a++", "a{2}{3}", "a*??"]),
        ("invalid repeat count", &["a{1001}", "a{2,1}", "(a{100}){11}"]),
    ];
    for (problem, patterns) in cases {
        for pattern in *patterns {
            let refused = Pattern::new((*pattern).to_owned()).is_match(b"a");
            assert_eq!(refused, Err(format!("error parsing regexp: {problem}: `{pattern}`")));
        }
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
