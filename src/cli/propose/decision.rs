//! A decision, as `propose` prints it, and its exit code.

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::object::Object;
use crate::cli::out::{Format, Out};
use crate::cli::{paint, safe_json, say, wire, words};
use crate::domain::visible;
use crate::proto::v1::{Decision, Outcome};

/// The exit code. An outcome that this version does not know is a failure, never a success.
pub(super) fn exit(decision: &Decision) -> Exit {
    match Outcome::try_from(decision.outcome) {
        Ok(Outcome::Allow) => Exit::Done,
        Ok(Outcome::Deny) => Exit::Denied,
        Ok(Outcome::Escalate | Outcome::RequireConfirmation) => Exit::Unanswered,
        Ok(Outcome::Unspecified) | Err(_) => Exit::Failed,
    }
}

/// Whether the action may run: only on an ALLOW, and never on an outcome that this version does not know.
pub(in crate::cli) fn may_run(decision: &Decision) -> bool {
    exit(decision) == Exit::Done
}

/// Prints the decision: to stdout, or to stderr if stdout belongs to a command.
pub(super) fn print(decision: &Decision, format: Format, stdout_is_taken: bool) -> Result<(), Failure> {
    let mut out = Out::stdout();
    match (format, stdout_is_taken) {
        (Format::Table, false) => out.line(line(decision))?,
        (Format::Json, false) => out.json(&json(decision))?,
        (Format::Table, true) => say::note(line(decision)),
        (Format::Json, true) => say::note(safe_json::pretty(&json(decision))),
    }
    out.flush()
}

/// The outcome, the decision's id, and the reason.
fn line(decision: &Decision) -> String {
    let outcome = words::outcome(decision.outcome);
    let style = paint::of(&outcome);
    format!("{style}{outcome}{style:#} {} {}", visible(&decision.decision_id), visible(&decision.reason))
        .trim_end()
        .into()
}

/// The whole decision.
fn json(decision: &Decision) -> Object {
    Object::default()
        .with("outcome", words::outcome(decision.outcome))
        .with("decision_id", decision.decision_id.as_str())
        .with("reason", decision.reason.as_str())
        .with("risk_level", words::risk(decision.risk_level))
        .with("risk_score", decision.risk_score)
        .with("approval", words::approval(decision.approval_mode))
        .with("matched_rule", decision.matched_rule.as_str())
        .with("constraints", wire::from_struct(decision.constraints.as_ref()))
        .with("policy_revision", decision.policy_revision.as_str())
        .with("timestamp", wire::time(decision.timestamp.as_ref()))
        .with("audit_ref", wire::present(&decision.audit_ref))
        .with("approval_id", wire::present(&decision.approval_id))
        .with("expires_at", wire::time(decision.expires_at.as_ref()))
        .with("confirmation_token", wire::present(&decision.confirmation_token))
        .with("action_digest", decision.action_digest.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(outcome: Outcome) -> Decision {
        Decision {
            decision_id: "dec_1".into(),
            outcome: outcome as i32,
            reason: "rule `a\u{202e}` says so".into(),
            ..Decision::default()
        }
    }

    #[test]
    fn the_outcome_comes_first_and_hidden_characters_are_written_out() {
        let text = anstream::adapter::strip_str(&line(&decision(Outcome::Escalate))).to_string();
        assert_eq!(text, "ESCALATE dec_1 rule `a\\u{202e}` says so");
    }

    #[test]
    fn only_allow_has_exit_code_0() {
        for (outcome, code) in [
            (Outcome::Allow, 0),
            (Outcome::Deny, 3),
            (Outcome::Escalate, 4),
            (Outcome::RequireConfirmation, 4),
            (Outcome::Unspecified, 1),
        ] {
            assert_eq!(exit(&decision(outcome)).code(), code, "{outcome:?}");
        }
        assert_eq!(exit(&Decision { outcome: 99, ..Decision::default() }).code(), 1);
    }

    #[test]
    fn a_decision_is_json_with_every_member() {
        let json = serde_json::to_value(json(&decision(Outcome::Allow))).unwrap();
        assert_eq!(json["outcome"], "ALLOW");
        assert_eq!(json["approval_id"], serde_json::Value::Null);
        assert_eq!(json["constraints"], serde_json::json!({}));
    }
}
