//! Whether an answer can be repeated from the record: a masked value is gone, and the answer may depend on it.

use super::compiled::Policy;
use super::condition::{Condition, Facts, Group};
use super::question::{Asked, Question};
use super::rule::Fit;
use super::truth::{Doubt, Truth, Why};

impl Policy {
    /// Whether the answer may depend on a value that is masked. Then `evaluate` gives the answer for a value in doubt,
    /// which may not be the one for the value that was sent.
    pub fn needs_masked(&self, question: &Question<'_>) -> bool {
        if question.masked.is_empty() {
            return false;
        }
        let asked = Asked::new(question);
        for rule in self.rules() {
            match rule.fits(&asked) {
                Fit::Yes => return false,
                Fit::Unknown(_) if reads_masked(&rule.conditions, &rule.facts(question)) => return true,
                Fit::Unknown(_) | Fit::No => {}
            }
        }
        false
    }
}

/// Whether a condition is unknown because its value is masked. The depth of conditions is bounded.
fn reads_masked(group: &Group, facts: &Facts<'_>) -> bool {
    group.iter().any(|condition| match condition {
        Condition::All(groups) | Condition::Any(groups) => groups.iter().any(|group| reads_masked(group, facts)),
        Condition::Not(group) => reads_masked(group, facts),
        leaf => matches!(leaf.truth(facts), Truth::Unknown(Doubt { why: Why::Masked, .. })),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::domain::{Action, ParamPath, Timestamp};
    use crate::policy::{Policy, Question, Source};

    #[test]
    fn an_answer_needs_a_masked_value_if_a_rule_before_the_first_certain_one_reads_it() {
        let text = "
rules:
  - {name: card, match: {type: pay}, conditions: {param_eq: {card: '4111'}, param_gt: {n: 5}}, approval: block}
  - {name: pay, match: {type: pay}, approval: auto}
  - {name: late, conditions: {param_exists: {card: true}}, approval: block}
";
        let policy = Policy::load(&[Source { name: "p".to_owned(), text: text.to_owned() }]).unwrap();
        let needs = |kind: &str, n: i32, masked: &[ParamPath]| {
            let params = json!({"n": n, "card": "[masked, 4 characters]"}).as_object().unwrap().clone();
            let action = Action { r#type: kind.to_owned(), params, ..Action::default() };
            let now = Timestamp::UNIX_EPOCH;
            let question = Question { action: &action, declared_actor: "", authenticated_actor: None, now, masked };
            policy.needs_masked(&question)
        };
        let card = [ParamPath::new("card")];
        assert!(needs("pay", 6, &card));
        assert!(!needs("pay", 5, &card), "another condition settles the rule");
        assert!(!needs("pay", 6, &[]) && !needs("pay", 6, &[ParamPath::new("x")]));
        assert!(needs("read", 6, &card), "whether it is there is unknown too");
    }
}
