//! A row of the record as tables, JSON and CSV write it: the original's columns by their names, then ours.

use crate::cli::object::Object;
use crate::cli::table::{Cell, Column};
use crate::cli::{approval, wire, words};
use crate::proto::v1::AuditRow;

/// The columns of the table.
pub(super) const COLUMNS: [Column; 7] = [
    Column::right("ID", 4),
    Column::left("Session", 11),
    Column::left("Action", 15),
    Column::left("Target", 15),
    Column::left("Risk", 8),
    Column::left("Decision", 9),
    Column::left("Result", 7),
];

/// The row as a line of the table.
pub(super) fn cells(row: &AuditRow) -> Vec<Cell> {
    let action = row.action.clone().unwrap_or_default();
    let decision = words::ending(row.ending.as_ref()).unwrap_or_else(|| words::approval(row.approval_mode));
    vec![
        Cell::new(row.number.to_string()),
        Cell::new(short(&row.session_id)),
        Cell::new(action.r#type),
        Cell::new(action.target),
        Cell::word(words::risk(row.risk_level)),
        Cell::word(decision),
        Cell::word(status(row).unwrap_or_default()),
    ]
}

/// The result of the action; `None` while it is not known.
fn status(row: &AuditRow) -> Option<String> {
    words::result(row.result.as_ref()?.status)
}

/// Sessions are told apart by how they begin: `a1b2c3d4...`.
fn short(session: &str) -> String {
    const SHOWN: usize = 8;
    const DOTS: &str = "...";
    if session.chars().count() <= SHOWN + DOTS.len() {
        return session.to_owned();
    }
    session.chars().take(SHOWN).chain(DOTS.chars()).collect()
}

/// The row, whole.
pub(super) fn object(row: &AuditRow) -> Object {
    let action = row.action.clone().unwrap_or_default();
    let actor = row.actor.clone().unwrap_or_default();
    let identity = row.identity.clone().unwrap_or_default();
    let ending = row.ending.as_ref();
    let result = row.result.clone().unwrap_or_default();
    Object::default()
        .with("id", row.number)
        .with("session_id", row.session_id.as_str())
        .with("timestamp", wire::time(row.timestamp.as_ref()))
        .with("action_type", action.r#type)
        .with("action_target", action.target)
        .with("action_params", wire::from_struct(action.params.as_ref()))
        .with("action_desc", action.description)
        .with("risk_level", words::risk(row.risk_level))
        .with("approval", words::approval(row.approval_mode))
        .with("matched_rule", row.matched_rule.as_str())
        .with("human_decision", words::ending(ending))
        .with("result_status", status(row))
        .with("result_data", wire::from_value(result.data.as_ref()))
        .with("result_error", wire::present(&result.error))
        .with("outcome", words::outcome(row.outcome))
        .with("reason", row.reason.as_str())
        .with("decision_id", row.decision_id.as_str())
        .with("approval_id", wire::present(&row.approval_id))
        .with("decided_by", ending.and_then(approval::who))
        .with("decided_at", ending.and_then(|ending| wire::time(ending.ended_at.as_ref())))
        .with("decision_reason", ending.and_then(|ending| wire::present(&ending.reason)))
        .with("actor_id", actor.id)
        .with("actor_type", actor.r#type)
        .with("identity", identity.subject)
        .with("identity_how", identity.how)
        .with("policy_revision", row.policy_revision.as_str())
        .with("action_digest", row.action_digest.as_str())
        .with("audit_ref", row.audit_ref.as_str())
        .with("masked", row.masked.iter().map(approval::mask_json).collect::<Vec<_>>())
        .with("metadata", wire::from_struct(row.metadata.as_ref()))
        .with("trace_id", wire::present(&row.trace_id))
        .with("redacted", row.redacted)
        .with("result_started_at", wire::time(result.started_at.as_ref()))
        .with("result_completed_at", wire::time(result.completed_at.as_ref()))
        .with("result_reported_at", wire::time(result.reported_at.as_ref()))
        .with("result_audit_ref", wire::present(&result.audit_ref))
        .with("result_masked", result.masked.iter().map(approval::mask_json).collect::<Vec<_>>())
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::proto::v1::{
        Action, ActionResult, Actor, ApprovalMode, Ending, EndingKind, Identity, Outcome, ResultStatus, RiskLevel,
    };

    /// Seed 002's second row, as a daemon sends it.
    pub(in crate::cli::audit) fn example() -> AuditRow {
        let Value::Object(params) = json!({"count": 150}) else { unreachable!() };
        AuditRow {
            number: 2,
            session_id: "a1b2c3d4e5f6".into(),
            timestamp: Some(wire::to_moment("2026-11-20T22:49:44.69941Z".parse().unwrap())),
            action: Some(Action {
                r#type: "bulk_update".into(),
                target: "crm".into(),
                params: Some(wire::to_struct(params, "").unwrap()),
                description: String::new(),
            }),
            risk_level: RiskLevel::High as i32,
            approval_mode: ApprovalMode::Approve as i32,
            matched_rule: "bulk_ops_need_approval".into(),
            outcome: Outcome::Allow as i32,
            ending: Some(Ending {
                kind: EndingKind::Approved as i32,
                by: Some(Identity { subject: "ann".into(), ..Identity::default() }),
                ..Ending::default()
            }),
            result: Some(ActionResult { status: ResultStatus::Success as i32, ..ActionResult::default() }),
            actor: Some(Actor { id: "=cmd()".into(), ..Actor::default() }),
            ..AuditRow::default()
        }
    }

    #[test]
    fn rows_have_the_originals_columns_by_name_and_in_order() {
        let row = object(&example());
        let names: Vec<_> = row.members().map(|(name, _)| name).collect();
        assert_eq!(
            names[..14],
            [
                "id",
                "session_id",
                "timestamp",
                "action_type",
                "action_target",
                "action_params",
                "action_desc",
                "risk_level",
                "approval",
                "matched_rule",
                "human_decision",
                "result_status",
                "result_data",
                "result_error"
            ]
        );
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(json["timestamp"], "2026-11-20T22:49:44.699410Z");
        assert_eq!(json["action_params"], json!({"count": 150}));
        assert_eq!(json["risk_level"], "HIGH");
        assert_eq!(json["human_decision"], "approved");
        assert_eq!(json["result_error"], Value::Null);
        assert_eq!(json["decided_by"], "ann");
    }

    #[test]
    fn what_is_not_settled_is_null_in_json() {
        let json = serde_json::to_value(object(&AuditRow { ending: None, result: None, ..example() })).unwrap();
        assert_eq!((&json["human_decision"], &json["result_status"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn long_sessions_are_shown_by_how_they_begin() {
        assert_eq!(short("a1b2c3d4e5f6"), "a1b2c3d4...");
        assert_eq!(short("a1b2c3d4e5f"), "a1b2c3d4e5f");
        assert_eq!(short("日本語日本語日本語日本語"), "日本語日本語日本...");
    }
}
