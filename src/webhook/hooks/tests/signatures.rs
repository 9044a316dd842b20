use super::{ERROR, FIRES, hook, post, texts};
use crate::webhook::hooks::{Hook, LogLine, Outcome, decide, file};

const WRONG: Outcome = Outcome::RuleError { unsigned: true };

fn signed(kind: &str, secret: &str) -> Hook {
    hook(&format!(
        r#"{{"id": "x", "execute-command": "true", "trigger-rule": {{"match": {{"type": "{kind}", "secret": "{secret}",
            "parameter": {{"source": "header", "name": "X-Sig"}}}}}}}}"#
    ))
}

#[test]
fn the_vector_in_githubs_documentation_is_right() {
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let hook = signed("payload-hmac-sha256", "It's a Secret to Everybody");
    assert_eq!(post("Hello, World!").header("X-Sig", signature).outcome(&hook), FIRES);
    assert_eq!(post("Hello, World?").header("X-Sig", signature).outcome(&hook), WRONG);
    let sha1 = "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59";
    let hook = signed("payload-hmac-sha1", "It's a Secret to Everybody");
    assert_eq!(post("Hello, World!").header("X-Sig", sha1).outcome(&hook), FIRES);
}

#[test]
fn each_algorithm_takes_its_own_signatures() {
    let body = r#"{"n":1}"#;
    let vectors = [
        ("sha1", body, "530e61c60e5121f329db10b61f8ebf0ad84f1492"),
        ("sha1", "", "6e4171878d4a0349b6ecb1b0f6938614515763d2"),
        ("sha256", body, "0f8166ca40dff2f59d7e78e4a152cae710db833265058b836c28285c3302cc2b"),
        ("sha256", "", "6debfeadd8df80dd8b3762fd569962db0f3bfbbe252972c28341591bf823aa2c"),
        (
            "sha512",
            body,
            "2b8a1e406c61043fb29d75e10568a0f0aba828a66eefdca79984e90da2221ce8392e046d9ffaf9317b98513b9b20fb7ab28edc9e8e1939782f6e21d72359e62a",
        ),
    ];
    for (algorithm, body, signature) in vectors {
        for name in ["payload-hmac", "payload-hash"] {
            let hook = signed(&format!("{name}-{algorithm}"), "k3y");
            let ask = |claimed: String| post(body).header("X-Sig", claimed).outcome(&hook);
            assert_eq!(ask(signature.to_owned()), FIRES, "{algorithm}");
            assert_eq!(ask(format!("{algorithm}={signature}")), FIRES, "{algorithm}");
        }
    }
}

#[test]
fn what_is_not_exactly_a_right_signature_is_wrong() {
    let right = "530e61c60e5121f329db10b61f8ebf0ad84f1492";
    let other = "0".repeat(40);
    let hook = signed("payload-hmac-sha1", "k3y");
    let cases = [
        (right.to_owned(), FIRES),
        (format!("sha1={other},sha1={right}"), FIRES),
        (format!("sha1={right},"), FIRES),
        (format!("junk,sha1={right}"), FIRES),
        (format!("sha1={other}, sha1={right}"), WRONG),
        (format!("{other},{right}"), WRONG),
        (format!("{right},"), WRONG),
        (format!("sha256={right}"), WRONG),
        (format!("SHA1={right}"), WRONG),
        (right.to_uppercase(), WRONG),
        (right[..39].to_owned(), WRONG),
        (format!("{right}0"), WRONG),
        (format!(" {right}"), WRONG),
        (other, WRONG),
        ("sha1=".to_owned(), WRONG),
        ("é".to_owned(), WRONG),
        (String::new(), WRONG),
        ("0".repeat(1000), WRONG),
    ];
    for (claimed, outcome) in cases {
        assert_eq!(post(r#"{"n":1}"#).header("X-Sig", &claimed).outcome(&hook), outcome, "{claimed}");
    }
    assert_eq!(post(r#"{"n":1}"#).outcome(&hook), Outcome::Mismatch { unsigned: true });
}

#[test]
fn the_log_shows_what_was_received_and_never_what_was_expected() {
    let hook = signed("payload-hash-sha1", "k3y");
    let decision = post(r#"{"n":1}"#).header("X-Sig", "sha1=a,sha1=b").decide(&hook);
    let deprecated = "warn: use of deprecated option payload-hash-sha1; use payload-hmac-sha1 instead";
    let error = "error evaluating hook: invalid payload signatures [a b]";
    assert_eq!(decision.lines, [LogLine::Plain(deprecated.to_owned()), LogLine::Tagged(error.to_owned())]);
    let lines = post("").header("X-Sig", "a").decide(&hook).lines;
    assert_eq!(texts(&lines)[2], "error evaluating hook: invalid payload signatures [a] on empty payload");
    assert!(!format!("{hook:?}").contains("k3y"), "a secret shows itself");
}

#[test]
fn a_wrong_signature_costs_no_parsing() {
    let hook = signed("payload-hmac-sha1", "k3y");
    let ask = post("{broken").header("X-Sig", "bad");
    let delivery = ask.delivery(&hook);
    let decision = decide(&delivery, std::time::SystemTime::now());
    assert_eq!(texts(&decision.lines), ["error evaluating hook: invalid payload signatures [bad]"]);
    assert!(delivery.parsed_so_far().is_none());
}

#[test]
fn a_hook_with_an_empty_secret_is_disabled() {
    for rule in [
        r"{match: {type: payload-hmac-sha256, parameter: {source: header, name: X-Sig}}}",
        r#"{not: {or: [{match: {type: ip-whitelist}}, {and: [{match: {type: payload-hash-sha1, secret: ""}}]}]}}"#,
        r"{and: [{match: {type: ip-whitelist}}, {or: [{match: {type: payload-hmac-sha1}}, {match: {type: scalr-signature}}]}]}",
        r"{match: {type: scalr-signature}}",
    ] {
        let hook = hook(&format!("{{id: x, execute-command: 'true', trigger-rule: {rule}}}"));
        assert!(hook.disabled.is_some(), "{rule}");
        assert_eq!(post("{}").outcome(&hook), Outcome::Disabled, "{rule}");
    }
}

#[test]
fn an_alternative_with_an_empty_secret_never_holds_and_the_others_do() {
    let rule = "{or: [{match: {type: payload-hmac-sha1, parameter: {source: header, name: X-Sig}}},
                      {and: [{match: {type: scalr-signature}}]},
                      {match: {type: payload-hmac-sha1, secret: k3y, parameter: {source: header, name: X-Sig}}}]}";
    let text = format!("[{{id: x, execute-command: 'true', trigger-rule: {{and: [{rule}]}}}}]");
    let loaded = file::parse("hooks.json", &text).unwrap();
    assert_eq!(
        loaded.warnings,
        [0, 1].map(|n| format!(
            "hooks.json:1: hook \"x\": trigger-rule.and[0].or[{n}]: the secret is empty: this alternative never holds"
        ))
    );
    let hook = &loaded.hooks[0];
    assert_eq!(hook.disabled, None);
    let ask = |signature: &str| post(r#"{"n":1}"#).header("X-Sig", signature).outcome(hook);
    assert_eq!(ask("00"), WRONG);
    assert_eq!(ask("530e61c60e5121f329db10b61f8ebf0ad84f1492"), FIRES);
    assert_eq!(ask("8ea0504b4cb9c4601eee5cc125cdd7e76de02eb6"), WRONG, "of an empty secret");
}

#[test]
fn the_signature_of_a_multipart_request_is_over_its_body() {
    let hook = signed("payload-hmac-sha1", "k3y");
    let body = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--\r\n";
    let ask = |signature: &str| {
        post(body).content_type("multipart/form-data; boundary=b").header("X-Sig", signature).outcome(&hook)
    };
    assert_eq!(ask("6e4171878d4a0349b6ecb1b0f6938614515763d2"), WRONG, "of nothing");
    assert_eq!(ask("e12de33f8f6634ea9ad97a691b51346db020b48a"), FIRES);
}

#[test]
fn scalr_signs_body_and_date_and_the_date_is_now() {
    let hook =
        hook("{id: x, execute-command: 'true', trigger-rule: {match: {type: scalr-signature, secret: k3y}}}");
    let ask = |date: &str, signature: &str| {
        post(r#"{"n":1}"#).header("Date", date).header("X-Signature", signature)
    };
    let right = ("Thu 02 Jan 2020 03:04:05 UTC", "bbd98420bc0541fc137e52422fdc06501cad597a");
    assert_eq!(ask(right.0, right.1).outcome(&hook), FIRES);
    assert_eq!(ask("Thu 02 Jan 2020 03:04:06 UTC", right.1).outcome(&hook), WRONG);
    assert_eq!(
        post(r#"{"n":1}"#).header("X-Signature", right.1).outcome(&hook),
        Outcome::Mismatch { unsigned: true }
    );
    let leap = ask("Thu 02 Jan 2020 03:04:60 UTC", "bdd0b21c88cf7db1f1f60ef4cadcbe421c2ec64e");
    assert_eq!(leap.outcome(&hook), ERROR, "no date to the peer");
    let later = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_577_934_245 + 301);
    let decision = decide(&ask(right.0, right.1).delivery(&hook), later);
    assert_eq!(texts(&decision.lines), ["error evaluating hook: invalid payload signature outdated"]);
}
