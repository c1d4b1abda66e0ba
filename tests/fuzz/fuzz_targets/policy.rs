//! Any text as a policy: it loads or is refused, and what loads decides and explains anything without a panic, and
//! reloads from its own merged form to the same revision.
//!
//! The first line of the input is the parameters of the action as JSON, the rest is the policy.
#![no_main]

use aegis::domain::{Action, Timestamp};
use aegis::policy::{Policy, Question, Source};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let (params, text) = input.split_once('\n').unwrap_or(("", input));
    let Ok(policy) = Policy::load(&[Source { name: "fuzz.yaml".to_owned(), text: text.to_owned() }]) else { return };
    let params = serde_json::from_str(params).unwrap_or_default();
    let action = Action { r#type: "read".to_owned(), target: "crm".to_owned(), params, description: String::new() };
    let question = Question {
        action: &action,
        declared_actor: "agent",
        authenticated_actor: Some("agent"),
        now: Timestamp::UNIX_EPOCH,
        masked: &[],
    };
    let verdict = policy.evaluate(&question);
    let explanation = policy.explain(&question);
    assert_eq!(explanation.matched_rule, verdict.matched_rule);
    // An unnamed rule may share its automatic name with a named one, which a file that is written out may not.
    if policy.warnings().is_empty() {
        let merged = Source { name: "merged.yaml".to_owned(), text: policy.merged().to_string() };
        let again = Policy::load(&[merged]).expect("the merged form is a policy");
        assert_eq!(again.revision(), policy.revision());
    }
});
