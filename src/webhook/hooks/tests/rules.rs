use super::{ERROR, FIRES, MISMATCH, hook, post, texts};
use crate::webhook::hooks::Outcome;

const BODY: &str = r#"{"n": 1, "nul": null, "s": "x y", "l": [10, {"k": "v"}]}"#;

/// A hook with this trigger-rule; `V(name, value)` is short for a value rule on the payload, `S` for a
/// signature rule.
fn with_rule(rule: &str) -> crate::webhook::hooks::Hook {
    let value = |name: &str, value: &str| {
        format!(
            r#"{{"match": {{"type": "value", "value": "{value}", "parameter": {{"source": "payload", "name": "{name}"}}}}}}"#
        )
    };
    let signature = r#"{"match": {"type": "payload-hmac-sha256", "secret": "k", "parameter": {"source": "header", "name": "X-Sig"}}}"#;
    let rule = rule
        .replace("YES", &value("n", "1"))
        .replace("NO", &value("n", "2"))
        .replace("MISSING", &value("nope", "1"))
        .replace("BROKEN", &value("nul.z", "1"))
        .replace("SIGNED", signature);
    hook(&format!(r#"{{"id": "x", "execute-command": "true", "trigger-rule": {rule}}}"#))
}

#[test]
fn rules_combine() {
    let cases = [
        ("null", FIRES),
        ("{}", MISMATCH),
        ("YES", FIRES),
        ("NO", MISMATCH),
        ("MISSING", MISMATCH),
        ("BROKEN", ERROR),
        ("{not: YES}", MISMATCH),
        ("{not: NO}", FIRES),
        ("{not: {}}", FIRES),
        ("{and: []}", FIRES),
        ("{and: [null]}", MISMATCH),
        ("{and: [YES, YES]}", FIRES),
        ("{and: [YES, NO]}", MISMATCH),
        ("{and: [NO, BROKEN]}", MISMATCH),
        ("{and: [YES, MISSING, BROKEN]}", MISMATCH),
        ("{and: [BROKEN, NO]}", ERROR),
        ("{or: []}", MISMATCH),
        ("{or: [NO, YES]}", FIRES),
        ("{or: [NO, NO]}", MISMATCH),
        ("{or: [MISSING, YES]}", FIRES),
        ("{or: [MISSING]}", MISMATCH),
        ("{or: [YES, BROKEN]}", FIRES),
        ("{or: [BROKEN, YES]}", ERROR),
        ("{and: [{or: [NO, YES]}, {not: {and: [YES, NO]}}]}", FIRES),
        // Of several members the first in this order counts: and, or, not, match.
        ("{not: YES, and: [YES]}", FIRES),
        ("{or: [NO], and: null, not: NO}", MISMATCH),
    ];
    for (rule, outcome) in cases {
        assert_eq!(post(BODY).outcome(&with_rule(rule)), outcome, "{rule}");
    }
}

#[test]
fn not_does_not_fire_on_what_is_not_there() {
    let cases = [
        ("{not: MISSING}", MISMATCH),
        ("{not: {not: MISSING}}", MISMATCH),
        ("{not: {and: [YES, MISSING]}}", MISMATCH),
        ("{and: [{not: MISSING}]}", MISMATCH),
        ("{or: [{not: MISSING}]}", MISMATCH),
        // An or has an answer in spite of it.
        ("{not: {or: [MISSING]}}", FIRES),
        ("{or: [{not: MISSING}, YES]}", FIRES),
    ];
    for (rule, outcome) in cases {
        assert_eq!(post(BODY).outcome(&with_rule(rule)), outcome, "{rule}");
    }
}

#[test]
fn presence_has_a_plain_answer() {
    let rule = |kind: &str, name: &str| {
        format!("{{match: {{type: {kind}, parameter: {{source: payload, name: '{name}'}}}}}}")
    };
    for (name, exists, is_null) in [
        ("n", true, false),
        ("nul", true, true),
        ("nope", false, false),
        ("nul.z", false, false),
        ("n.z", false, false),
        ("l.0", true, false),
        ("l.7", false, false),
    ] {
        for (kind, holds) in [("exists", exists), ("is-null", is_null)] {
            let asked = rule(kind, name);
            let outcome = |holds| if holds { FIRES } else { MISMATCH };
            assert_eq!(post(BODY).outcome(&with_rule(&asked)), outcome(holds), "{asked}");
            let negated = format!("{{not: {asked}}}");
            assert_eq!(post(BODY).outcome(&with_rule(&negated)), outcome(!holds), "{negated}");
        }
    }
    let unknown = "{match: {type: exists, parameter: {source: heeder, name: x}}}";
    assert_eq!(post(BODY).outcome(&with_rule(unknown)), ERROR, "a mistake in the file is not an absence");
}

#[test]
fn what_has_no_value_is_compared_by_what_stands_in_its_else() {
    let rule = |name: &str| {
        format!(
            "{{match: {{type: value, value: '1', parameter: {{source: payload, name: '{name}', else: {{source: payload, name: 'n'}}}}}}}}"
        )
    };
    for name in ["n", "nope", "nul", "nul.z"] {
        assert_eq!(post(BODY).outcome(&with_rule(&rule(name))), FIRES, "{name}");
    }
    assert_eq!(post(BODY).outcome(&with_rule(&rule("s"))), MISMATCH);
    assert_eq!(post(BODY).outcome(&with_rule(&format!("{{not: {}}}", rule("nope")))), MISMATCH);
}

#[test]
fn a_wrong_signature_in_an_or_ends_it_unless_failures_are_soft() {
    let broken = Outcome::RuleError { unsigned: true };
    let unsigned = Outcome::Mismatch { unsigned: true };
    let cases = [
        ("SIGNED", broken, broken),
        ("{not: SIGNED}", broken, broken),
        ("{and: [YES, SIGNED]}", broken, broken),
        ("{or: [SIGNED, YES]}", broken, FIRES),
        ("{or: [YES, SIGNED]}", FIRES, FIRES),
        ("{or: [SIGNED, NO]}", broken, unsigned),
        ("{or: [{not: SIGNED}]}", broken, FIRES),
        ("{and: [{or: [SIGNED, SIGNED]}, YES]}", broken, unsigned),
    ];
    for (rule, hard, soft) in cases {
        let mut hook = with_rule(rule);
        let ask = post(BODY).header("X-Sig", "sha256=00");
        assert_eq!(ask.clone().outcome(&hook), hard, "{rule}");
        hook.signature_soft_failures = true;
        assert_eq!(ask.outcome(&hook), soft, "{rule}");
    }
}

#[test]
fn an_absent_signature_is_told_from_another_mismatch() {
    let unsigned = Outcome::Mismatch { unsigned: true };
    for (rule, outcome) in [
        ("SIGNED", unsigned),
        ("{and: [SIGNED, NO]}", unsigned),
        ("{and: [NO, SIGNED]}", MISMATCH),
        ("{or: [SIGNED, YES]}", FIRES),
        ("{and: [{or: [SIGNED, YES]}, BROKEN]}", ERROR),
    ] {
        assert_eq!(post(BODY).outcome(&with_rule(rule)), outcome, "{rule}");
    }
}

#[test]
fn what_went_wrong_is_in_the_log() {
    let cases = [
        ("MISSING", vec!["parameter node not found: nope"]),
        ("{or: [MISSING]}", vec![]),
        ("BROKEN", vec!["error evaluating hook: no parameters"]),
        (r"{match: {type: value}}", vec!["error evaluating hook: no source for value retrieval"]),
        (
            r#"{match: {type: regex, regex: "(", parameter: {source: string}}}"#,
            vec!["error evaluating hook: error parsing regexp: missing closing ): `(`"],
        ),
        (
            r"{match: {type: value, parameter: {source: request, name: Host}}}",
            vec!["error evaluating hook: unsupported request key: \"host\""],
        ),
        (
            r#"{match: {type: ip-whitelist, ip-range: "10.0.0.1, ::1"}}"#,
            vec!["error evaluating hook: invalid CIDR address: 10.0.0.1,"],
        ),
    ];
    for (rule, lines) in cases {
        assert_eq!(texts(&post(BODY).decide(&with_rule(rule)).lines), lines, "{rule}");
    }
}

#[test]
fn match_types_compare() {
    let cases = [
        (r#"{type: value, value: "x y", parameter: {source: payload, name: s}}"#, FIRES),
        (r#"{type: value, value: "x", parameter: {source: payload, name: s}}"#, MISMATCH),
        (r"{type: value, value: 10, parameter: {source: payload, name: l.0}}", FIRES),
        (r"{type: value, value: <nil>, parameter: {source: payload, name: nul}}", FIRES),
        (r"{type: value, parameter: {source: header, name: x-empty}}", FIRES),
        (r#"{type: regex, regex: "^x", parameter: {source: payload, name: s}}"#, FIRES),
        (r#"{type: regex, regex: "^y", parameter: {source: payload, name: s}}"#, MISMATCH),
        (r"{type: regex, parameter: {source: payload, name: s}}", FIRES),
        (r"{type: regex, parameter: {source: payload, name: nope}}", MISMATCH),
        (r"{type: ip-whitelist, ip-range: 127.0.0.0/8}", FIRES),
        (r"{type: ip-whitelist, ip-range: 10.0.0.0/8}", MISMATCH),
        (r"{type: ip-whitelist}", MISMATCH),
        (r#"{type: Value, value: "x y", parameter: {source: payload, name: s}}"#, MISMATCH),
        (r"{type: nope}", ERROR),
    ];
    for (rule, outcome) in cases {
        let hook = with_rule(&format!("{{match: {rule}}}"));
        assert_eq!(post(BODY).header("X-Empty", "").outcome(&hook), outcome, "{rule}");
    }
}

#[test]
fn a_client_without_an_address_is_an_error_to_an_ip_rule() {
    let hook = with_rule("{match: {type: ip-whitelist, ip-range: 127.0.0.1}}");
    assert_eq!(post(BODY).from("@").outcome(&hook), ERROR);
    assert_eq!(post(BODY).from("[::ffff:127.0.0.1]:9").outcome(&hook), FIRES);
}
