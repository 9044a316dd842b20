use super::{World, expand};

const SECRET: &str = "it's \"<so>\" \\ & a=b\tü";

fn with(text: &str) -> Result<String, String> {
    let environment = |name: &str| match name {
        "SECRET" => Some(SECRET.into()),
        "ONE" => Some("1".into()),
        "EMPTY" => Some(Vec::new()),
        "LATIN" => Some(b"schl\xfcssel".to_vec()),
        _ => None,
    };
    let file = |path: &str| match path {
        "/etc/key" => Some("a\nb\n\n".into()),
        "/etc/latin" => Some(b"\xff\n".to_vec()),
        _ => None,
    };
    expand(text, &World { environment: &environment, file: &file }).map_err(|error| error.to_string())
}

#[test]
fn actions_become_their_values() {
    let cases = [
        ("no actions { } at all", "no actions { } at all"),
        ("a{{ getenv \"ONE\" }}b", "a1b"),
        ("{{getenv \"ONE\"}}", "1"),
        ("{{ getenv `ONE` }}{{ getenv \"NONE\" }}", "1"),
        ("{{ \"ONE\" | getenv }}", "1"),
        ("{{ getenv \"SECRET\" | js }}", r#"it\'s \"\u003Cso\u003E\" \\ \u0026 a\u003Db\u0009ü"#),
        ("{{ getenv \"SECRET\" | html }}", "it&#39;s &#34;&lt;so&gt;&#34; \\ &amp; a=b\tü"),
        ("{{ urlquery (getenv \"SECRET\") }}", "it%27s+%22%3Cso%3E%22+%5C+%26+a%3Db%09%C3%BC"),
        ("{{ cat \"/etc/key\" }}|{{ cat \"/none\" }}", "a\nb\n|"),
        ("{{ credential \"ONE\" }}", "1"),
        ("{{ print \"a\" 1 2 true \"b\" }}", "a1 2 trueb"),
        ("{{ println 1 \"a\" }}", "1 a\n"),
        ("{{ printf \"%s-%d-%v-%t-%q-%%\" \"a\" 2 \"c\" false \"d\\\"\" }}", "a-2-c-false-\"d\\\"\"-%"),
        (r#"{{ "\u00a0\x01\x7f\né\U0001F600\u0301" | printf "%q" }}"#, r#""\u00a0\x01\x7f\né😀́""#),
        ("{{ \"%s!\" | printf }}", ""),
        ("{{ 1 }}{{ -0x10 }}{{ 010 }}{{ true }}{{ (\"x\") }}", "1-168truex"),
        ("{{ \"\\x41\\u00e9\\n\\101\\\"\" }}", "Aé\nA\""),
        ("{{ print `a\"\\` }}", "a\"\\"),
        ("{{ eq 1 1 }}{{ eq \"a\" \"b\" \"a\" }}{{ ne \"a\" \"b\" }}{{ not \"\" }}", "truetruetruetrue"),
        ("{{ and 1 \"\" 2 }}|{{ or \"\" \"x\" \"y\" }}|{{ or 0 \"\" }}|{{ and 1 2 }}", "|x||2"),
        ("{{ or true (eq 1 \"x\") }}", "true"),
        ("{{ if getenv \"ONE\" }}yes{{ else }}no{{ end }}", "yes"),
        ("{{ if getenv \"EMPTY\" }}yes{{ end }}.", "."),
        (
            "{{ if eq (getenv \"ONE\") \"2\" }}2{{ else if eq (getenv \"ONE\") \"1\" }}1{{ else }}0{{ end }}",
            "1",
        ),
        ("{{ if 0 }}a{{ else if 0 }}b{{ else }}{{ if 1 }}c{{ end }}d{{ end }}", "cd"),
        ("a{{/* comment }} \n */}}b", "ab"),
        ("a \n{{- /* comment */ -}}\n b", "ab"),
        ("a \n {{- 1 -}} \n b", "a1b"),
        ("a {{- -1 -}} b {{-1}}", "a-1b -1"),
        ("{{\n getenv\n \"ONE\"\n}}", "1"),
        ("{{ if false }}{{ getenv 5 }}{{ end }}", ""),
    ];
    for (text, expanded) in cases {
        if text == "{{ \"%s!\" | printf }}" {
            assert_eq!(with(text), Err("1: template: printf: nothing is left for %s".to_owned()));
            continue;
        }
        assert_eq!(with(text).as_deref(), Ok(expanded), "{text}");
    }
}

#[test]
fn a_credential_comes_from_its_directory() {
    let environment = |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| b"/run/c".to_vec());
    let file = |path: &str| (path == "/run/c/key").then(|| b"k\n".to_vec());
    let world = World { environment: &environment, file: &file };
    assert_eq!(expand("{{ credential \"key\" }}", &world).as_deref(), Ok("k"));
}

#[test]
fn what_is_not_supported_is_named_with_its_line() {
    let cases = [
        ("\n{{ range . }}{{ end }}", "2: template: range is not supported"),
        ("\n\n{{ .Field }}", "3: template: .Field is not supported"),
        ("{{ $x := 1 }}", "1: template: $x is not supported"),
        ("{{ define \"x\" }}{{ end }}", "1: template: define is not supported"),
        ("{{ with 1 }}{{ end }}", "1: template: with is not supported"),
        ("{{ nope 1 }}", "1: template: nope is not supported"),
        ("{{ . }}", "1: template: . is not supported"),
        ("{{ 1.5 }}", "1: template: 1.5 is not supported; numbers are whole numbers"),
        ("{{ 'a' }}", "1: template: 'a' is not supported"),
        ("{{ }}", "1: template: missing value for command"),
        ("{{ 1 | }}", "1: template: missing value for command"),
        ("{{ 1 | 2 }}", "1: template: only a function can take the value of a pipeline"),
        ("{{ 1 2 }}", "1: template: a value cannot be called with arguments"),
        ("{{ getenv }}", "1: template: getenv takes one text"),
        ("{{ getenv 1 }}", "1: template: getenv takes one text"),
        ("{{ eq 1 \"1\" }}", "1: template: Integer(1) and Text(\"1\") cannot be compared"),
        ("{{ printf \"%x\" 1 }}", "1: template: printf: %x of Integer(1) is not supported"),
        ("{{ printf \"a\" 1 }}", "1: template: printf: Integer(1) is left over"),
        ("\n{{ getenv \"LATIN\" | js }}", "2: template: the variable LATIN is not UTF-8 from byte 4 on"),
        ("{{ credential \"LATIN\" }}", "1: template: the variable LATIN is not UTF-8 from byte 4 on"),
        ("{{ cat \"/etc/latin\" }}", "1: template: the file /etc/latin is not UTF-8 from byte 0 on"),
        ("{{ if 1 }}\n", "1: template: {{if}} without {{end}}"),
        ("\n{{ end }}", "2: template: {{end}} or {{else}} without {{if}}"),
        ("{{ else }}", "1: template: {{end}} or {{else}} without {{if}}"),
        ("{{ if 1 }}{{ else }}{{ else }}{{ end }}", "1: template: {{else}} behind {{else}}"),
        ("{{ end x }}", "1: template: there is something wrong at end"),
        ("{{ (1 }}", "1: template: there is something wrong at (, ) or |"),
        ("{{ 1) }}", "1: template: there is something wrong at (, ) or |"),
        ("{{ getenv \"X", "1: template: a quoted string has no end"),
        ("{{ getenv `X", "1: template: a raw string has no end"),
        ("{{ getenv", "1: template: an action has no end: }} is missing"),
        ("{{/* x ", "1: template: a comment has no end"),
        ("{{/* x */ 1}}", "1: template: a comment must be followed by }}"),
        ("{{ \"\\q\" }}", "1: template: a quoted string holds an unknown escape"),
    ];
    for (text, problem) in cases {
        assert_eq!(with(text), Err(problem.to_owned()), "{text}");
    }
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(200), ")".repeat(200));
    assert_eq!(with(&deep), Err("1: template: nested too deeply".to_owned()));
}
