//! A row of the record as tables, JSON and CSV write it: the original's columns by their names, then ours.

use crate::cli::object::Object;
use crate::cli::table::{Cell, Column};
use crate::cli::times::Zone;
use crate::cli::{approval, wire, words};
use crate::proto::v1::AuditRow;

/// A column of the table. Those of the original keep their names and their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Field {
    Number,
    Time,
    /// The time without its date or seconds, for a narrow terminal.
    ShortTime,
    Session,
    Actor,
    Action,
    Target,
    Risk,
    Rule,
    Decision,
    By,
    Result,
}

use Field::{Action, Actor, By, Decision, Number, Result, Risk, Rule, Session, ShortTime, Target, Time};

const ALL: [Field; 11] = [Number, Time, Session, Actor, Action, Target, Risk, Rule, Decision, By, Result];
const WIDE: [Field; 10] = [Number, ShortTime, Actor, Action, Target, Risk, Rule, Decision, By, Result];
const MEDIUM: [Field; 9] = [Number, ShortTime, Actor, Action, Target, Rule, Decision, By, Result];
const NARROW: [Field; 6] = [Number, ShortTime, Action, Decision, By, Result];
const NARROWEST: [Field; 4] = [ShortTime, Action, Decision, Result];

/// The columns that this width has room for; `None` is any width.
pub(in crate::cli) const fn fields(width: Option<usize>) -> &'static [Field] {
    match width {
        None | Some(140..) => &ALL,
        Some(100..) => &WIDE,
        Some(76..) => &MEDIUM,
        Some(52..) => &NARROW,
        Some(_) => &NARROWEST,
    }
}

impl Field {
    /// Its heading. Times on a terminal are those of its clock, which everybody there knows.
    pub(in crate::cli) fn heading(self, zone: &Zone) -> &'static str {
        match self {
            Number => "ID",
            Time | ShortTime if zone.is_utc() => "Time (UTC)",
            Time | ShortTime => "Time",
            Session => "Session",
            Actor => "Actor",
            Action => "Action",
            Target => "Target",
            Risk => "Risk",
            Rule => "Rule",
            Decision => "Decision",
            By => "By",
            Result => "Result",
        }
    }

    /// Whether it is one of the API's words, which have colours.
    pub(in crate::cli) const fn is_word(self) -> bool {
        matches!(self, Risk | Decision | Result)
    }

    /// Whether it is never cut.
    pub(in crate::cli) const fn is_whole(self) -> bool {
        matches!(self, Number | Time | ShortTime | Risk | Decision | Result)
    }

    /// The least width of the column where rows are printed one by one.
    const fn at_least(self) -> usize {
        match self {
            Number => 4,
            Time => 19,
            ShortTime | Session => 11,
            Action | Target | Rule => 15,
            Actor | By => 12,
            Risk => 8,
            Decision => 9,
            Result => 7,
        }
    }

    /// The column of the table.
    pub(super) fn column(self, zone: &Zone) -> Column {
        match self {
            Number => Column::right(self.heading(zone), self.at_least()),
            _ => Column::left(self.heading(zone), self.at_least()),
        }
    }

    /// What stands in the column.
    pub(in crate::cli) fn text(self, row: &AuditRow, zone: &Zone) -> String {
        let at = wire::moment(row.timestamp.as_ref());
        let action = row.action.as_ref();
        match self {
            Number => row.number.to_string(),
            Time => at.map_or_else(String::new, |at| zone.to_the_second(at)),
            ShortTime => at.map_or_else(String::new, |at| zone.to_the_minute(at)),
            Session => short(&row.session_id),
            Actor => row.actor.as_ref().map_or_else(String::new, |actor| actor.id.clone()),
            Action => action.map_or_else(String::new, |action| action.r#type.clone()),
            Target => action.map_or_else(String::new, |action| action.target.clone()),
            Risk => words::risk(row.risk_level),
            Rule => row.matched_rule.clone(),
            Decision => words::ending(row.ending.as_ref()).unwrap_or_else(|| words::approval(row.approval_mode)),
            By => row.ending.as_ref().and_then(approval::who).unwrap_or_default().to_owned(),
            Result => status(row).unwrap_or_default(),
        }
    }

    /// The same as a cell of the table.
    pub(super) fn cell(self, row: &AuditRow, zone: &Zone) -> Cell {
        let text = self.text(row, zone);
        let cell = if self.is_word() { Cell::word(text) } else { Cell::new(text) };
        if self.is_whole() { cell.whole() } else { cell }
    }
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
        self, ActionResult, ApprovalMode, Ending, EndingKind, Identity, Outcome, ResultStatus, RiskLevel,
    };

    /// Seed 002's second row, as a daemon sends it.
    pub(in crate::cli::audit) fn example() -> AuditRow {
        let Value::Object(params) = json!({"count": 150}) else { unreachable!() };
        AuditRow {
            number: 2,
            session_id: "a1b2c3d4e5f6".into(),
            timestamp: Some(wire::to_moment("2026-11-20T22:49:44.69941Z".parse().unwrap())),
            action: Some(v1::Action {
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
            actor: Some(v1::Actor { id: "=cmd()".into(), ..v1::Actor::default() }),
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
    fn a_row_says_when_who_what_by_which_rule_and_by_whom() {
        let text = |fields: &[Field]| fields.iter().map(|it| it.text(&example(), &Zone::utc())).collect::<Vec<_>>();
        assert_eq!(
            text(fields(None)),
            [
                "2",
                "2026-11-20 22:49:44",
                "a1b2c3d4...",
                "=cmd()",
                "bulk_update",
                "crm",
                "HIGH",
                "bulk_ops_need_approval",
                "approved",
                "ann",
                "success"
            ]
        );
        assert_eq!(text(fields(Some(20))), ["11-20 22:49", "bulk_update", "approved", "success"]);
    }

    #[test]
    fn every_width_says_when_what_how_and_what_came_of_it() {
        for width in 0..300 {
            let fields = fields(Some(width));
            assert!(fields.contains(&Time) || fields.contains(&ShortTime), "{width}");
            assert!([Action, Decision, Result].iter().all(|field| fields.contains(field)), "{width}");
        }
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
