//! A plan: recorded decisions through a candidate policy, each at its own time, and what changes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::object::Object;
use crate::cli::paint;
use crate::domain::{Action, Approval, ParamPath, Timestamp, visible};
use crate::policy::{Policy, Question};

/// How many examples of a change are kept for each rule.
const MAX_EXAMPLES: usize = 3;

/// How many rules are listed for each kind of change.
const MAX_RULES: usize = 1_000;

/// What the record says about one decision, as far as a policy needs it.
pub(super) struct Recorded {
    pub(super) decision_id: String,
    pub(super) time: Timestamp,
    pub(super) action: Action,
    pub(super) declared_actor: String,
    pub(super) authenticated_actor: Option<String>,
    pub(super) masked: Vec<ParamPath>,
    pub(super) approval: Approval,
    pub(super) matched_rule: String,
    /// Whether a limit or a halt changed the answer.
    pub(super) is_limited: bool,
}

/// How an answer changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// It ran or was asked about, and would be blocked.
    Blocked,
    /// It ran or was blocked, or somebody else was asked, and somebody would be asked.
    Asked,
    /// It was asked about or blocked, and would run at once.
    Allowed,
}

impl Change {
    const ALL: [Self; 3] = [Self::Blocked, Self::Asked, Self::Allowed];

    fn between(before: Approval, after: Approval) -> Option<Self> {
        if before == after {
            return None;
        }
        Some(match after {
            Approval::Block => Self::Blocked,
            Approval::Approve | Approval::Confirm => Self::Asked,
            Approval::Auto => Self::Allowed,
        })
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "newly_blocked",
            Self::Asked => "newly_asked",
            Self::Allowed => "newly_allowed",
        }
    }
}

/// What changes under the candidate.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) decisions: u64,
    pub(super) unchanged: u64,
    /// The answer depends on a masked value, so it is unknown.
    pub(super) unknown: u64,
    /// A limit or a halt gave the answer, which depends on more than the decision.
    pub(super) limited: u64,
    /// The decision was redacted, so nothing is known of it.
    pub(super) redacted: u64,
    changes: BTreeMap<(Change, String), Changed>,
}

/// One kind of change by one rule of the candidate.
#[derive(Default)]
struct Changed {
    count: u64,
    examples: Vec<Example>,
}

struct Example {
    decision_id: String,
    kind: String,
    target: String,
    actor: String,
    before: Approval,
    before_rule: String,
    after: Approval,
}

impl Plan {
    /// Decides a recorded question again.
    pub(super) fn add(&mut self, candidate: &Policy, recorded: Recorded) {
        self.decisions += 1;
        if recorded.is_limited {
            self.limited += 1;
            return;
        }
        let question = Question {
            action: &recorded.action,
            declared_actor: &recorded.declared_actor,
            authenticated_actor: recorded.authenticated_actor.as_deref(),
            now: recorded.time,
            masked: &recorded.masked,
        };
        if candidate.needs_masked(&question) {
            self.unknown += 1;
            return;
        }
        let verdict = candidate.evaluate(&question);
        // What a masked amount would spend is unknown.
        if !verdict.reached().is_empty() && !recorded.masked.is_empty() {
            self.unknown += 1;
            return;
        }
        let Some(change) = Change::between(recorded.approval, verdict.approval) else {
            self.unchanged += 1;
            return;
        };
        let key = (change, verdict.matched_rule.to_owned());
        let after = verdict.approval;
        let is_new = !self.changes.contains_key(&key);
        // So many rules help nobody: the rest is counted together.
        let key = if is_new && self.changes.len() >= MAX_RULES { (change, "other rules".to_owned()) } else { key };
        let changed = self.changes.entry(key).or_default();
        changed.count += 1;
        if changed.examples.len() < MAX_EXAMPLES {
            changed.examples.push(Example {
                decision_id: recorded.decision_id,
                kind: recorded.action.r#type,
                target: recorded.action.target,
                actor: recorded.declared_actor,
                before: recorded.approval,
                before_rule: recorded.matched_rule,
                after,
            });
        }
    }

    /// How many decisions change so.
    fn count(&self, change: Change) -> u64 {
        self.changes.iter().filter(|((kind, _), _)| *kind == change).map(|(_, changed)| changed.count).sum()
    }

    /// Whether any answer changes.
    pub(super) fn changes_anything(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The plan for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for change in Change::ALL {
            let title = change.as_str().replace('_', " ");
            for ((_, rule), changed) in self.changes.iter().filter(|((kind, _), _)| *kind == change) {
                // Writing to a String cannot fail, here and below.
                let _ = writeln!(
                    text,
                    "{}{title}{:#} by `{}`: {}",
                    paint::HEADING,
                    paint::HEADING,
                    visible(rule),
                    changed.count
                );
                for example in &changed.examples {
                    let Example { decision_id, kind, target, actor, before, before_rule, after } = example;
                    let _ = writeln!(
                        text,
                        "  {decision_id} {} on {} by {}: {before} (`{}`) -> {after}",
                        visible(kind),
                        visible(target),
                        visible(actor),
                        visible(before_rule)
                    );
                }
            }
        }
        let _ = writeln!(
            text,
            "{} decisions: {} newly blocked, {} newly asked, {} newly allowed, {} unchanged, {} unknown (masked), {} \
             redacted",
            self.decisions + self.redacted,
            self.count(Change::Blocked),
            self.count(Change::Asked),
            self.count(Change::Allowed),
            self.unchanged,
            self.unknown,
            self.redacted
        );
        if self.limited > 0 {
            let _ = writeln!(text, "{} decided by a limit or a halt: counts are not replayed", self.limited);
        }
        text
    }

    /// The plan as JSON.
    pub(super) fn json(&self) -> Object {
        let changes: Vec<Value> = self
            .changes
            .iter()
            .map(|((change, rule), changed)| {
                let examples: Vec<Value> = changed.examples.iter().map(example).collect();
                json!({"change": change.as_str(), "rule": rule, "count": changed.count, "examples": examples})
            })
            .collect();
        Object::default()
            .with("decisions", self.decisions + self.redacted)
            .with("limited", self.limited)
            .with("newly_blocked", self.count(Change::Blocked))
            .with("newly_asked", self.count(Change::Asked))
            .with("newly_allowed", self.count(Change::Allowed))
            .with("unchanged", self.unchanged)
            .with("unknown", self.unknown)
            .with("redacted", self.redacted)
            .with("changes", changes)
    }
}

fn example(example: &Example) -> Value {
    json!({
        "decision_id": example.decision_id,
        "type": example.kind,
        "target": example.target,
        "actor": example.actor,
        "before": example.before,
        "before_rule": example.before_rule,
        "after": example.after,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Source;

    fn recorded(kind: &str, approval: Approval, params: &Value, masked: &[&str]) -> Recorded {
        Recorded {
            decision_id: format!("dec_{kind}"),
            time: Timestamp::UNIX_EPOCH,
            action: Action {
                r#type: kind.to_owned(),
                target: "crm".to_owned(),
                params: params.as_object().cloned().unwrap_or_default(),
                ..Action::default()
            },
            declared_actor: "agent-7".to_owned(),
            authenticated_actor: None,
            masked: masked.iter().map(|path| ParamPath::new(*path)).collect(),
            approval,
            matched_rule: "old".to_owned(),
            is_limited: false,
        }
    }

    #[test]
    fn changes_are_counted_by_kind_and_rule_and_masked_values_are_never_guessed() {
        let text = "
rules:
  - {name: reads, match: {type: 'read*'}, approval: auto}
  - {name: cards, match: {type: pay}, conditions: {param_eq: {card: '4111'}}, approval: block}
  - {name: night, match: {type: deploy}, conditions: {time_before: '06:00'}, approval: block}
";
        let policy = Policy::load(&[Source { name: "p".to_owned(), text: text.to_owned() }]).unwrap();
        let mut plan = Plan::default();
        let card = json!({"card": "[masked, 4 characters]"});
        for (kind, approval, params, masked) in [
            ("read_a", Approval::Auto, json!({}), &[][..]),
            ("read_b", Approval::Block, json!({}), &[]),
            ("read_c", Approval::Approve, json!({}), &[]),
            ("pay", Approval::Auto, card, &["card"]),
            ("pay", Approval::Auto, json!({}), &[]),
            ("deploy", Approval::Auto, json!({}), &[]),
            ("other", Approval::Confirm, json!({}), &[]),
        ] {
            plan.add(&policy, recorded(kind, approval, &params, masked));
        }
        plan.redacted += 1;
        assert!(plan.changes_anything());
        assert!(
            plan.text().ends_with(
                "8 decisions: 1 newly blocked, 2 newly asked, 2 newly allowed, 1 unchanged, 1 unknown (masked), 1 \
                 redacted\n"
            ),
            "{}",
            plan.text()
        );
        let json = serde_json::to_value(plan.json()).unwrap();
        assert_eq!(
            (&json["changes"][0]["rule"], &json["changes"][0]["examples"][0]["before"]),
            (&json!("night"), &json!("auto"))
        );
    }
}
