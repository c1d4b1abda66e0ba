//! What the model reads when a call does not run, and what its program reads beside it, in `_meta`.

use serde_json::{Value, json};

use super::message::{Fault, Outcome, REFUSED};
use crate::cli::{wire, words};
use crate::domain::visible;
use crate::proto::v1::Decision;

/// The key in `_meta` under which a program finds the decision.
pub(super) const META: &str = "aegis/decision";

/// Why a call does not run.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// `denied`, `pending`, `unconfirmed` or `unavailable`.
    status: &'static str,
    text: String,
    decision: Option<Box<Decision>>,
}

impl Refusal {
    /// The policy or a person said no.
    pub(super) fn denied(what: &str, decision: Decision) -> Self {
        let reason = match visible(&decision.reason) {
            reason if reason.is_empty() => "no reason is given".to_owned(),
            reason => reason.into_owned(),
        };
        let text = format!(
            "Aegis denied {what}: {reason} (rule {}, {}). It did not run. Do not look for another way to do it; tell \
             the user.",
            visible(&decision.matched_rule),
            decision.decision_id
        );
        Self { status: "denied", text, decision: Some(Box::new(decision)) }
    }

    /// A person was asked and has not answered.
    pub(super) fn pending(what: &str, decision: Decision) -> Self {
        let end = wire::time(decision.expires_at.as_ref()).unwrap_or_else(|| "an unknown time".to_owned());
        let text = format!(
            "Aegis asked a person about {what} and has no answer yet: approval {}. It did not run. The question stays \
             open until {end}. Tell the user, and make exactly the same call again later: it gets the answer. Do not \
             look for another way to do it.",
            decision.approval_id
        );
        Self { status: "pending", text, decision: Some(Box::new(decision)) }
    }

    /// The user of the agent did not confirm.
    pub(super) fn unconfirmed(what: &str, why: &str, decision: Decision) -> Self {
        let text = format!(
            "Aegis needs the confirmation of the user for {what}: {}. {why} It did not run. Tell the user.",
            visible(&decision.reason)
        );
        Self { status: "unconfirmed", text, decision: Some(Box::new(decision)) }
    }

    /// There is no answer of the daemon that can be used.
    pub(super) fn unavailable(what: &str, why: &str) -> Self {
        let text = format!("Aegis could not decide about {what}, so it did not run: {why}");
        Self { status: "unavailable", text, decision: None }
    }

    /// As the result of a tool.
    pub(super) fn to_result(&self) -> Outcome {
        Outcome::result(&json!({
            "content": [{"type": "text", "text": self.text}],
            "isError": true,
            "_meta": {META: self.meta()},
        }))
    }

    /// As the error of any other request.
    pub(super) fn to_error(&self) -> Outcome {
        let data = Some(json!({META: self.meta()}));
        Outcome::fault(&Fault { code: REFUSED, message: self.text.clone(), data })
    }

    fn meta(&self) -> Value {
        let Some(decision) = &self.decision else { return json!({"status": self.status}) };
        json!({
            "status": self.status,
            "outcome": words::outcome(decision.outcome),
            "decision_id": decision.decision_id,
            "approval_id": wire::present(&decision.approval_id),
            "expires_at": wire::time(decision.expires_at.as_ref()),
            "matched_rule": decision.matched_rule,
            "reason": decision.reason,
            "ask_again": (self.status == "pending").then_some("make the same call again"),
        })
    }
}

/// The result of a tool that did not do what it was asked for, in words for the model.
pub(super) fn failed(text: &str) -> Outcome {
    Outcome::result(&json!({"content": [{"type": "text", "text": text}], "isError": true}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;

    #[test]
    fn a_refusal_tells_the_model_in_words_and_the_program_in_meta() {
        let decision = Decision {
            outcome: v1::Outcome::Escalate as i32,
            decision_id: "dec_1".into(),
            approval_id: "apr_1".into(),
            ..Decision::default()
        };
        let Outcome::Result(result) = Refusal::pending("the tool `a`", decision).to_result() else {
            unreachable!("a tool is answered with a result")
        };
        let result: Value = serde_json::from_str(result.get()).unwrap();
        assert_eq!(result["isError"], true);
        assert_eq!(result["_meta"][META]["approval_id"], "apr_1");
        assert_eq!(result["_meta"][META]["status"], "pending");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("apr_1") && text.contains("same call again"), "{text}");
    }

    #[test]
    fn hidden_characters_of_a_reason_are_written_out() {
        let decision = Decision { reason: "no\u{202e}".into(), ..Decision::default() };
        let Outcome::Error(error) = Refusal::denied("it", decision).to_error() else {
            unreachable!("a request is answered with an error")
        };
        let error: Value = serde_json::from_str(error.get()).unwrap();
        assert!(error["message"].as_str().unwrap().contains("no\\u{202e}"), "{error}");
        assert_eq!(error["code"], REFUSED);
    }
}
