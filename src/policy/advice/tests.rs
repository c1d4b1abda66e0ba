//! What is reported, and what is not.

use super::{advise, fix};
use crate::policy::{Code, Policy, Severity, Source};

fn load(text: &str) -> Policy {
    Policy::load(&[Source { name: "p.yaml".to_owned(), text: text.to_owned() }])
        .unwrap_or_else(|errors| panic!("{errors}"))
}

/// The codes and the messages of what only `aegis lint` finds.
fn deep(rules: &str) -> Vec<String> {
    let policy = load(&format!("rules:\n{rules}"));
    advise(&policy).iter().map(|found| format!("{} {}", found.code, found.message)).collect()
}

fn codes(rules: &str) -> Vec<String> {
    deep(rules).iter().map(|found| found.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn rules_with_opposite_answers_are_reported_if_neither_is_the_exception() {
    let found = deep(
        "  - {name: reads, match: {type: 'read*'}, approval: auto}\n  - {name: secrets, match: {target: 'vault/*'}, \
         approval: block}",
    );
    let expected = "OPPOSITE_RULES rule `secrets` blocks `read` on `vault/`, but rule `reads` (p.yaml:2) comes first \
                    and allows it";
    assert_eq!(found, [expected]);
    for rules in [
        // An exception before a general block.
        "  - {match: {type: 'read_a'}, approval: auto}\n  - {match: {type: 'read*'}, approval: block}",
        // A condition before the block of the rest.
        "  - {match: {type: a}, conditions: {param_lt: {n: 5}}, approval: auto}\n  - {match: {type: a}, approval: \
         block}",
        "  - {match: {type: 'a*'}, approval: auto}\n  - {match: {type: 'b*', target: x}, approval: block}",
        "  - {match: {type: 'a*'}, approval: approve}\n  - {match: {target: x}, approval: block}",
    ] {
        assert_eq!(codes(rules), [""; 0], "{rules}");
    }
}

#[test]
fn what_lets_more_through_than_it_seems_is_reported() {
    for (rules, code) in [
        ("  - {approval: auto}", "ALLOWS_EVERYTHING"),
        ("  - {match: {actor: bot}, conditions: {time_after: '09:00'}, approval: auto}", "ALLOWS_EVERYTHING"),
        ("  - {match: {type: a}, on_timeout: allow}", "SILENT_ALLOW"),
        ("  - {match: {type: a, actor: b}, conditions: {param_gt: {n: 1}}, on_timeout: allow}", "SILENT_ALLOW"),
        ("  - {match: {target: '/etc/*'}, approval: block}", "DODGEABLE_TARGET"),
        ("  - {match: {target: '/etc/passwd'}, approval: block}", "DODGEABLE_TARGET"),
    ] {
        assert_eq!(codes(rules), [code], "{rules}");
    }
    for rules in [
        "  - {match: {type: a}, approval: auto}",
        "  - {conditions: {param_eq: {a: 1}}, approval: auto}",
        "  - {match: {type: a, actor: b}, on_timeout: allow}",
        "  - {match: {target_path: '/etc/*'}, approval: block}",
        "  - {match: {target: 'crm/*'}, approval: block}",
        "  - {match: {target: '*/../*'}, approval: block}",
    ] {
        assert_eq!(codes(rules), [""; 0], "{rules}");
    }
    let policy = load("defaults: {approval: auto}\nrules: [{match: {type: a}}]");
    assert_eq!(advise(&policy)[0].code, Code::AllowsEverything);
}

#[test]
fn conditions_that_never_hold_together_are_reported() {
    for conditions in [
        "{param_gt: {n: 5}, param_lt: {n: 5}}",
        "{param_gte: {n: 5}, param_lt: {n: 5}}",
        "{param_eq: {n: 1}, param_in: {n: [2, 3]}}",
        "{param_eq: {n: 1}, param_not_in: {n: [1.0]}}",
        "{param_exists: {n: false}, param_eq: {n: 1}}",
        "{time_after: '09:00', time_before: '12:00', all: [{time_after: '14:00', time_before: '15:00'}]}",
        "{weekdays: [1], all: [{weekdays: [2]}]}",
    ] {
        assert_eq!(codes(&format!("  - {{conditions: {conditions}}}")), ["NEVER_HOLDS"], "{conditions}");
    }
    for conditions in [
        "{param_gte: {n: 5}, param_lte: {n: 5}}",
        "{param_gt: {n: 5}, param_lt: {m: 5}}",
        "{param_gt: {n: 5}, any: [{param_lt: {n: 5}}, {param_eq: {n: 6}}]}",
        "{time_after: '22:00', time_before: '06:00', all: [{time_after: '05:00'}]}",
        "{weekdays: [1], timezone: UTC, all: [{weekdays: [2], timezone: Europe/Berlin}]}",
    ] {
        assert_eq!(codes(&format!("  - {{conditions: {conditions}}}")), [""; 0], "{conditions}");
    }
}

#[test]
fn a_pattern_that_is_found_in_no_text_is_reported() {
    for pattern in ["a^b", "$a", "[a&&b]", "(x|y)^", "x[^\\s\\S]", "(a^|$b)"] {
        assert_eq!(codes(&format!("  - {{conditions: {{param_matches: {{n: '{pattern}'}}}}}}")), ["NEVER_MATCHES"]);
    }
    for pattern in ["^a$", "a*^b", "$\\n", "(^|a)b", "a^|b", "(?m)a$\\nb", "[a&&b]*x"] {
        assert_eq!(codes(&format!("  - {{conditions: {{param_matches: {{n: '{pattern}'}}}}}}")), [""; 0], "{pattern}");
    }
}

#[test]
fn every_warning_has_a_fix() {
    for code in Code::ALL.iter().filter(|code| code.severity() == Severity::Warning) {
        assert!(*code == Code::MoreWarnings || fix(*code).is_some(), "{code}");
    }
}
