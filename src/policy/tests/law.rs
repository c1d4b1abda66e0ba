//! Two laws of unknown conditions. The compiled policy decides like its definition, read rule by rule. And no way to
//! write a value down gets more than the plain value.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

use super::{action, ask, policy};
use crate::domain::{Approval, RiskLevel};
use crate::policy::question::Asked;
use crate::policy::rule::Fit;
use crate::policy::{DEFAULT_TIMEOUT, OnTimeout, Policy, Question, Rule, Verdict};

/// The parts of an answer that are compared.
#[derive(Debug, PartialEq)]
struct Answer {
    matched_rule: String,
    approval: Approval,
    risk_level: RiskLevel,
    timeout: Duration,
    on_timeout: OnTimeout,
    redact: Vec<String>,
    constraints: Map<String, Value>,
}

impl Answer {
    fn of(verdict: &Verdict<'_>) -> Self {
        let mut redact: Vec<String> = verdict.redact().map(ToString::to_string).collect();
        redact.sort_unstable();
        redact.dedup();
        Self {
            matched_rule: verdict.matched_rule.to_owned(),
            approval: verdict.approval,
            risk_level: verdict.risk_level,
            timeout: verdict.timeout(),
            on_timeout: verdict.on_timeout(),
            redact,
            constraints: verdict.constraints().clone(),
        }
    }
}

/// block > approve > approve with `on_timeout: allow` > confirm > auto.
fn rank(approval: Approval, on_timeout: OnTimeout) -> u8 {
    match approval {
        Approval::Block => 4,
        Approval::Approve if on_timeout == OnTimeout::Deny => 3,
        Approval::Approve => 2,
        Approval::Confirm => 1,
        Approval::Auto => 0,
    }
}

/// The definition: the strictest of the first rule that certainly matches (or the defaults) and every earlier rule
/// that may match.
fn reference(policy: &Policy, question: &Question<'_>) -> Answer {
    /// A rule, or the defaults.
    struct Candidate<'p> {
        rule: Option<&'p Rule>,
        approval: Approval,
        risk_level: RiskLevel,
        on_timeout: OnTimeout,
    }
    let of = |rule: &'_ Rule| (rule.approval, rule.risk_level, rule.on_timeout);
    let (asked, mut candidates, mut is_certain) = (Asked::new(question), Vec::new(), false);
    for rule in policy.rules() {
        let fit = rule.fits(&asked);
        let counts = match fit {
            Fit::No => false,
            Fit::Yes => true,
            Fit::Unknown(_) => rule.approval != Approval::Auto,
        };
        if counts {
            let (approval, risk_level, on_timeout) = of(rule);
            candidates.push(Candidate { rule: Some(rule), approval, risk_level, on_timeout });
        }
        if fit == Fit::Yes {
            is_certain = true;
            break;
        }
    }
    if !is_certain {
        let (risk_level, approval) = policy.defaults();
        candidates.push(Candidate { rule: None, approval, risk_level, on_timeout: OnTimeout::Deny });
    }
    let strictest = candidates.iter().map(|one| rank(one.approval, one.on_timeout)).max().unwrap();
    candidates.retain(|one| rank(one.approval, one.on_timeout) == strictest);
    let mut redact: Vec<String> = policy.redact().iter().map(ToString::to_string).collect();
    let mut constraints = Map::new();
    for rule in candidates.iter().filter_map(|one| one.rule) {
        redact.extend(rule.redact.iter().map(ToString::to_string));
        for (name, value) in &rule.constraints {
            if !constraints.contains_key(name) {
                constraints.insert(name.clone(), value.clone());
            }
        }
    }
    redact.sort_unstable();
    redact.dedup();
    let timeout = |one: &Candidate<'_>| one.rule.and_then(|rule| rule.timeout).unwrap_or(DEFAULT_TIMEOUT);
    let all_allow = candidates.iter().all(|one| one.on_timeout == OnTimeout::Allow);
    Answer {
        matched_rule: candidates[0].rule.map_or("<default>", |rule| &rule.name).to_owned(),
        approval: candidates[0].approval,
        risk_level: candidates.iter().map(|one| one.risk_level).max().unwrap(),
        timeout: candidates.iter().map(timeout).min().unwrap(),
        on_timeout: if all_allow { OnTimeout::Allow } else { OnTimeout::Deny },
        redact,
        constraints,
    }
}

/// Compares the compiled policy, and its explanation, with the definition.
pub(super) fn check(policy: &Policy, question: &Question<'_>) -> Result<(), TestCaseError> {
    let (verdict, explanation) = (policy.evaluate(question), policy.explain(question));
    prop_assert_eq!(Answer::of(&verdict), reference(policy, question));
    prop_assert_eq!(&explanation.matched_rule, verdict.matched_rule);
    prop_assert_eq!((explanation.approval, explanation.risk_level), (verdict.approval, verdict.risk_level));
    let first = explanation.rules.iter().find(|rule| rule.decides).map(|rule| rule.name.as_str());
    prop_assert_eq!(first.unwrap_or("<default>"), verdict.matched_rule);
    Ok(())
}

/// A condition on parameters: `n` is a number, `s` a text, `b` a boolean, `l` a list, and `a.b` and `a.c.d` are
/// anything.
///
/// Only a wide condition can be certain of a disguised value. It may expect a list or mapping, search for an element
/// that is no text, or have a pattern that matches a number.
fn condition(is_wide: bool) -> BoxedStrategy<Value> {
    let name = || select(vec!["n", "s", "b", "l", "a.b", "a.c.d"]);
    let number = || select(vec![json!(5), json!(100), json!(2.5), json!(-1)]);
    let text = || select(vec![json!("prod"), json!("5"), json!("dev"), json!("")]);
    let scalar = || prop_oneof![number(), text(), any::<bool>().prop_map(Value::from)].boxed();
    let container = || select(vec![json!([5, "prod"]), json!({"k": 5}), json!([])]);
    let anything = || if is_wide { prop_oneof![scalar(), container()].boxed() } else { scalar() };
    let needle = if is_wide { anything() } else { text().boxed() };
    let searched = if is_wide { name().boxed() } else { Just("s").boxed() };
    let compare = select(vec!["param_gt", "param_gte", "param_lt", "param_lte"]);
    let leaf = prop_oneof![
        (compare, name(), prop_oneof![3 => number(), 1 => text()])
            .prop_map(|(test, name, value)| json!({test: {name: value}})),
        (name(), anything()).prop_map(|(name, value)| json!({"param_eq": {name: value}})),
        (name(), prop::collection::vec(anything(), 1..3))
            .prop_map(|(name, values)| json!({"param_in": {name: values}})),
        (name(), needle).prop_map(|(name, needle)| json!({"param_contains": {name: needle}})),
        (searched, select(vec!["^prod$", "o", "^5", "\\d"]))
            .prop_map(|(name, pattern)| json!({"param_matches": {name: pattern}})),
        (name(), any::<bool>()).prop_map(|(name, there)| json!({"param_exists": {name: there}})),
    ];
    leaf.prop_recursive(3, 6, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| json!({"not": inner})),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|groups| json!({"any": groups})),
            prop::collection::vec(inner, 1..3).prop_map(|groups| json!({"all": groups})),
        ]
    })
    .boxed()
}

fn rule(is_wide: bool) -> impl Strategy<Value = Value> {
    let answer = select(vec![
        ("auto", "deny"),
        ("confirm", "deny"),
        ("approve", "allow"),
        ("approve", "deny"),
        ("block", "deny"),
    ]);
    let timeout = select(vec!["30s", "15m", "1h"]);
    let kind = select(vec!["*", "p*", "pay", "other"]);
    let risk = select(vec!["low", "medium", "critical"]);
    let conditions = prop_oneof![4 => condition(is_wide), 1 => Just(json!({}))];
    let extra = prop::option::of((select(vec!["x", "y"]), 0..3_i32));
    (kind, answer, timeout, risk, conditions, extra).prop_map(
        |(kind, (approval, on_timeout), timeout, risk, conditions, extra)| {
            let risk = if on_timeout == "allow" { "low" } else { risk };
            let mut rule =
                json!({"match": {"type": kind}, "approval": approval, "risk_level": risk, "conditions": conditions});
            if approval == "approve" || approval == "confirm" {
                rule["timeout"] = json!(timeout);
                rule["on_timeout"] = json!(on_timeout);
            }
            if let Some((name, value)) = extra {
                rule["constraints"] = json!({name: value});
                rule["redact"] = json!([name]);
            }
            rule
        },
    )
}

fn policies(is_wide: bool) -> impl Strategy<Value = Value> {
    let defaults = select(vec!["auto", "confirm", "approve", "block"]);
    (prop::collection::vec(rule(is_wide), 0..7), defaults)
        .prop_map(|(rules, approval)| json!({"rules": rules, "defaults": {"approval": approval}, "redact": ["z"]}))
}

fn params() -> impl Strategy<Value = Value> {
    let number = || select(vec![json!(5), json!(5.0), json!(100), json!(500), json!(2.5), json!(0)]);
    let text = || select(vec![json!("prod"), json!("prod\n"), json!("dev"), json!("5"), json!("")]);
    let scalar = || prop_oneof![number(), text(), any::<bool>().prop_map(Value::from)];
    let list = prop::collection::vec(prop_oneof![number(), text()], 1..3).prop_map(Value::from);
    (number(), text(), any::<bool>(), list, scalar(), scalar())
        .prop_map(|(n, s, b, l, ab, acd)| json!({"n": n, "s": s, "b": b, "l": l, "a": {"b": ab, "c": {"d": acd}}}))
}

/// A way to write down one value so that a lenient reader still reads it.
#[derive(Clone, Copy, Debug)]
enum Disguise {
    List,
    /// Only for values that no path leads through: another key is another parameter.
    Mapping,
    /// Only for numbers.
    Text,
    /// Only for values that paths lead through: elsewhere, a text that happens to be JSON is simply another text.
    Json,
}

/// The places of values, as JSON pointers: those at the end of a path, and those that a path leads through.
const ENDS: [&str; 6] = ["/n", "/s", "/b", "/l", "/a/b", "/a/c/d"];
const WAYS: [&str; 2] = ["/a", "/a/c"];

impl Disguise {
    fn put_on(self, params: &mut Value, place: Index) {
        let ways_too: Vec<&str> = ENDS.into_iter().chain(WAYS).collect();
        let places = match self {
            Self::List => &ways_too[..],
            Self::Mapping | Self::Text => &ENDS,
            Self::Json => &WAYS,
        };
        // An earlier disguise may have hidden this place.
        let pointer = *place.get(places);
        let Some(value) = params.pointer_mut(pointer) else { return };
        *value = match (self, value.take()) {
            (Self::List, value) => json!([value]),
            (Self::Mapping, value) => json!({"wrapped": value}),
            (Self::Text, Value::Number(number)) => json!(number.to_string()),
            (Self::Json, container @ (Value::Array(_) | Value::Object(_))) => json!(container.to_string()),
            (_, value) => value,
        };
    }
}

fn disguises() -> impl Strategy<Value = Vec<(Disguise, Index)>> {
    let disguise = select(vec![Disguise::List, Disguise::Mapping, Disguise::Text, Disguise::Json]);
    prop::collection::vec((disguise, any::<Index>()), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_compiled_policy_decides_like_the_definition(
        yaml in policies(true), params in params(), disguises in disguises(),
    ) {
        let policy = policy(&[&yaml.to_string()]);
        let mut params = params;
        for (disguise, place) in disguises {
            disguise.put_on(&mut params, place);
        }
        check(&policy, &ask(&action("pay", "x", &params)))?;
    }

    /// It holds where the plain value leaves nothing unknown. A number compared with a text is unknown, but the same
    /// number written as a text is not.
    #[test]
    fn a_disguised_value_never_gets_more_than_the_plain_value(
        yaml in policies(false), params in params(), disguises in disguises(),
    ) {
        let policy = policy(&[&yaml.to_string()]);
        let plain = action("pay", "x", &params);
        let question = ask(&plain);
        let asked = Asked::new(&question);
        if policy.rules().iter().any(|rule| matches!(rule.fits(&asked), Fit::Unknown(_))) {
            return Ok(());
        }
        let before = policy.evaluate(&question);
        let mut params = params;
        for (disguise, place) in disguises {
            disguise.put_on(&mut params, place);
            let hidden = action("pay", "x", &params);
            let question = ask(&hidden);
            let after = policy.evaluate(&question);
            prop_assert!(
                rank(after.approval, after.on_timeout()) >= rank(before.approval, before.on_timeout()),
                "{} by {} became {} by {} for {}",
                before.approval, before.matched_rule, after.approval, after.matched_rule, params
            );
        }
    }
}
