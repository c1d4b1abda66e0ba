//! An approval as people and programs see it: everything needed to answer it, with an agent's text made safe to show.

use serde_json::Value;

use super::object::Object;
use super::table::{Cell, Column, Table};
use super::{blanks, safe_json, times, wire, words};
use crate::domain::{Timestamp, visible};
use crate::proto::v1::{Action, Approval, Ending, Identity, SessionAction};

/// A label and its value. An empty label continues the field before it.
pub(super) type Field = (&'static str, String);

/// `bulk_update@crm`: the type and the target of the action, in one word.
pub(super) fn title(approval: &Approval) -> String {
    let action = approval.action.clone().unwrap_or_default();
    let at = if action.target.is_empty() { "" } else { "@" };
    format!("{}{at}{}", shown(&action.r#type), shown(&action.target))
}

/// The time until it expires.
pub(super) fn time_left(approval: &Approval, now: Timestamp) -> String {
    wire::moment(approval.expires_at.as_ref()).map_or_else(|| "-".into(), |until| times::left(until, now))
}

/// The actor: the declared name, and whether it was authenticated.
pub(super) fn actor(approval: &Approval) -> String {
    let actor = approval.actor.clone().unwrap_or_default();
    let declared = match (actor.id.as_str(), actor.r#type.as_str()) {
        ("", "") => "nobody named".to_owned(),
        (id, "") => shown(id),
        ("", kind) => format!("({})", shown(kind)),
        (id, kind) => format!("{} ({})", shown(id), shown(kind)),
    };
    format!("{declared}, {}", identity(approval.identity.as_ref()))
}

fn identity(identity: Option<&Identity>) -> String {
    match identity {
        Some(identity) if identity.how != "anonymous" && !identity.how.is_empty() => {
            format!("authenticated as {} ({})", visible(&identity.subject), visible(&identity.how))
        }
        _ => "not authenticated".into(),
    }
}

/// Everything a person needs to answer, field by field. All text is safe to show.
///
/// What the daemon says comes first, then the action and its parameters, then the agent's own prose.
pub(super) fn fields(approval: &Approval, now: Timestamp) -> Vec<Field> {
    let action = approval.action.clone().unwrap_or_default();
    let context = approval.context.clone().unwrap_or_default();
    let mut fields = vec![("risk", words::risk(approval.risk_level))];
    fields.push(("rule", because(&approval.matched_rule, &approval.reason)));
    match &approval.ending {
        Some(end) => fields.push(("ended", ending(end))),
        None => fields.push(("left", left(approval, now))),
    }
    fields.push(("actor", actor(approval)));
    // The title joins type and target. Only here is it certain where one ends and the other begins.
    fields.push(("action", shown(&action.r#type)));
    optional(&mut fields, "target", &action.target);
    params(&mut fields, &action);
    let masked: Vec<_> = approval.masked.iter().map(|path| shown(path)).collect();
    if !masked.is_empty() {
        fields.push(("masked", masked.join(", ")));
    }
    optional(&mut fields, "says", &action.description);
    optional(&mut fields, "session", &context.session_id);
    let metadata = wire::from_struct(context.metadata.as_ref());
    if !metadata.is_empty() {
        fields.push(("labels", shown(&safe_json::compact(&metadata))));
    }
    if let Some(asked) = wire::moment(approval.requested_at.as_ref()) {
        fields.push(("asked", times::to_the_second(asked)));
    }
    fields.push(("approval", visible(&approval.approval_id).into_owned()));
    fields.push(("digest", visible(&approval.action_digest).into_owned()));
    let label = std::iter::once("before").chain(std::iter::repeat(""));
    fields.extend(label.zip(approval.history.iter().map(before)));
    fields
}

/// Text of an agent, with hidden characters written out and blanks made visible.
fn shown(text: &str) -> String {
    blanks::mark(&visible(text)).into_owned()
}

fn because(rule: &str, reason: &str) -> String {
    match reason {
        "" => visible(rule).into_owned(),
        // The reason from the daemon names the rule already.
        reason if reason.contains(&format!("`{rule}`")) => visible(reason).into_owned(),
        reason => format!("{}: {}", visible(rule), visible(reason)),
    }
}

fn optional(fields: &mut Vec<Field>, label: &'static str, text: &str) {
    if !text.is_empty() {
        fields.push((label, shown(text)));
    }
}

fn params(fields: &mut Vec<Field>, action: &Action) {
    let label = std::iter::once("params").chain(std::iter::repeat(""));
    let params = wire::from_struct(action.params.as_ref());
    let lines = params.iter().map(|(key, value)| format!("{} = {}", name(key), shown(&safe_json::compact(value))));
    fields.extend(label.zip(lines));
}

/// The name of a parameter. A name that could be taken for a name and a value is quoted.
fn name(key: &str) -> String {
    let is_plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if is_plain { key.to_owned() } else { shown(&safe_json::compact(&key)) }
}

fn left(approval: &Approval, now: Timestamp) -> String {
    let then = if approval.timeout_allows { "ALLOWED" } else { "denied" };
    format!("{}, then it is {then}", time_left(approval, now))
}

/// How an approval ended, as a sentence: `approved by ann at …: looks good`.
pub(super) fn ending(ending: &Ending) -> String {
    let kind = words::ending(Some(ending)).unwrap_or_default();
    let by = if ending.by.is_empty() { String::new() } else { format!(" by {}", visible(&ending.by)) };
    let at =
        wire::moment(ending.at.as_ref()).map_or_else(String::new, |at| format!(" at {}", times::to_the_second(at)));
    let code = if ending.code.is_empty() { String::new() } else { format!(" ({})", visible(&ending.code)) };
    let reason = if ending.reason.is_empty() { String::new() } else { format!(": {}", visible(&ending.reason)) };
    format!("{kind}{by}{at}{code}{reason}")
}

fn before(action: &SessionAction) -> String {
    let at = wire::moment(action.time.as_ref()).map_or_else(|| "-".into(), times::to_the_second);
    let target = if action.target.is_empty() { String::new() } else { format!("@{}", shown(&action.target)) };
    let outcome = words::outcome(action.outcome);
    let status = words::result(action.status).map_or_else(String::new, |status| format!(", {status}"));
    format!("{at}  {}{target}  {outcome}{status}", shown(&action.r#type))
}

/// The approval as a paragraph of plain text, indented below its title.
pub(super) fn paragraph(approval: &Approval, now: Timestamp) -> String {
    let lines = fields(approval, now).into_iter().map(|(label, value)| format!("\n  {label:<9} {value}"));
    lines.fold(title(approval), |text, line| text + &line)
}

/// Approvals as a table.
pub(super) fn table(approvals: &[Approval], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        Column::left("Approval", 0),
        Column::left("Action", 0),
        Column::left("Target", 0),
        Column::left("Risk", 0),
        Column::left("Actor", 0),
        Column::left("Rule", 0),
        Column::left("Left", 0),
    ]);
    for approval in approvals {
        let action = approval.action.clone().unwrap_or_default();
        table.row(vec![
            Cell::new(&approval.approval_id).whole(),
            Cell::new(&action.r#type),
            Cell::new(&action.target),
            Cell::word(words::risk(approval.risk_level)),
            Cell::new(approval.actor.as_ref().map_or("", |actor| &actor.id)),
            Cell::new(&approval.matched_rule),
            Cell::new(time_left(approval, now)),
        ]);
    }
    table
}

/// The whole approval as JSON.
pub(super) fn json(approval: &Approval) -> Object {
    let actor = approval.actor.clone().unwrap_or_default();
    let identity = approval.identity.clone().unwrap_or_default();
    let action = approval.action.clone().unwrap_or_default();
    let context = approval.context.clone().unwrap_or_default();
    Object::default()
        .with("approval_id", approval.approval_id.as_str())
        .with("decision_id", approval.decision_id.as_str())
        .with("action_type", action.r#type)
        .with("action_target", action.target)
        .with("action_params", wire::from_struct(action.params.as_ref()))
        .with("action_desc", action.description)
        .with("masked", approval.masked.clone())
        .with("risk_level", words::risk(approval.risk_level))
        .with("matched_rule", approval.matched_rule.as_str())
        .with("reason", approval.reason.as_str())
        .with("actor_id", actor.id)
        .with("actor_type", actor.r#type)
        .with("identity", identity.subject)
        .with("identity_how", identity.how)
        .with("session_id", context.session_id)
        .with("metadata", wire::from_struct(context.metadata.as_ref()))
        .with("requested_at", wire::time(approval.requested_at.as_ref()))
        .with("expires_at", wire::time(approval.expires_at.as_ref()))
        .with("timeout_allows", approval.timeout_allows)
        .with("action_digest", approval.action_digest.as_str())
        .with("policy_revision", approval.policy_revision.as_str())
        .with("ending", approval.ending.as_ref().map(ending_json))
}

fn ending_json(ending: &Ending) -> Value {
    serde_json::json!({
        "kind": words::ending(Some(ending)),
        "allows": ending.allows,
        "by": wire::present(&ending.by),
        "at": wire::time(ending.at.as_ref()),
        "reason": wire::present(&ending.reason),
        "code": wire::present(&ending.code),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::proto::v1::{Actor, Context, EndingKind, Outcome, ResultStatus, RiskLevel};
    use serde_json::json;

    pub(in crate::cli) fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// A question from a daemon, with every deception that an agent can try.
    pub(in crate::cli) fn example() -> Approval {
        let Value::Object(params) = json!({"count": 150, "note": "ok\u{202e}\u{1b}[2J"}) else { unreachable!() };
        Approval {
            approval_id: "apr_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e".into(),
            decision_id: "dec_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e".into(),
            actor: Some(Actor { id: "agent-7".into(), r#type: "ai-agent".into() }),
            identity: Some(Identity { subject: "anonymous".into(), how: "anonymous".into(), ..Identity::default() }),
            action: Some(Action {
                r#type: "bulk_update".into(),
                target: "crm".into(),
                params: Some(wire::to_struct(params, "").unwrap()),
                description: "please\napprove".into(),
            }),
            context: Some(Context { session_id: "s1".into(), metadata: None }),
            action_digest: "ab".repeat(32),
            matched_rule: "bulk_ops".into(),
            reason: "more than 100 at once".into(),
            risk_level: RiskLevel::High as i32,
            requested_at: Some(wire::to_moment(at("2026-11-20T12:00:00Z"))),
            expires_at: Some(wire::to_moment(at("2026-11-20T12:15:00Z"))),
            history: vec![SessionAction {
                time: Some(wire::to_moment(at("2026-11-20T11:59:00Z"))),
                r#type: "read".into(),
                target: "crm".into(),
                outcome: Outcome::Allow as i32,
                status: ResultStatus::Success as i32,
            }],
            ..Approval::default()
        }
    }

    #[test]
    fn a_person_sees_every_field_with_hidden_characters_written_out() {
        let text = paragraph(&example(), at("2026-11-20T12:05:30Z"));
        assert_eq!(
            text,
            format!(
                "bulk_update@crm
  risk      HIGH
  rule      bulk_ops: more than 100 at once
  left      9m 30s, then it is denied
  actor     agent-7 (ai-agent), not authenticated
  action    bulk_update
  target    crm
  params    count = 150
            note = \"ok\\u202e\\u001b[2J\"
  says      please\\napprove
  session   s1
  asked     2026-11-20 12:00:00 UTC
  approval  apr_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e
  digest    {}
  before    2026-11-20 11:59:00 UTC  read@crm  ALLOW, success",
                "ab".repeat(32)
            )
        );
    }

    #[test]
    fn no_text_of_an_agent_looks_like_a_field() {
        let wide = " ".repeat(300);
        let Value::Object(params) = json!({"ok = 1\n  risk": 5, "b": format!("x{wide}risk      LOW")}) else {
            unreachable!()
        };
        let mut approval = example();
        let action = approval.action.as_mut().unwrap();
        action.params = Some(wire::to_struct(params, "").unwrap());
        action.description = format!("fine{wide}risk      LOW");
        action.target = "crm  ".into();
        let text = paragraph(&approval, at("2026-11-20T12:05:30Z"));
        for line in [
            "  params    b = \"x␣×300␣risk␣␣␣␣␣␣LOW\"",
            "            \"ok = 1\\n␣␣risk\" = 5",
            "  says      fine␣×300␣risk␣␣␣␣␣␣LOW",
            "  target    crm␣␣",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
        let position = |label: &str| text.find(&format!("\n  {label} ")).unwrap();
        assert!(position("params") < position("says"), "parameters come before prose");
    }

    #[test]
    fn an_ending_is_a_sentence() {
        let mut end = Ending {
            kind: EndingKind::Approved as i32,
            allows: true,
            by: "ann\u{200b}".into(),
            at: Some(wire::to_moment(at("2026-11-20T12:05:30Z"))),
            reason: "fine".into(),
            code: String::new(),
        };
        assert_eq!(ending(&end), "approved by ann\\u{200b} at 2026-11-20 12:05:30 UTC: fine");
        end = Ending { kind: EndingKind::Denied as i32, code: "POLICY_CHANGED".into(), by: String::new(), ..end };
        assert_eq!(ending(&end), "denied at 2026-11-20 12:05:30 UTC (POLICY_CHANGED): fine");
    }

    #[test]
    fn json_has_every_member_even_if_it_is_not_set() {
        let full = serde_json::to_value(json(&example())).unwrap();
        assert_eq!(full["approval_id"], "apr_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e");
        assert_eq!(full["action_params"]["count"], 150);
        assert_eq!(full["expires_at"], "2026-11-20T12:15:00.000000Z");
        let empty = serde_json::to_value(json(&Approval::default())).unwrap();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&full), keys(&empty));
    }

    #[test]
    fn the_table_never_cuts_ids() {
        let table = table(&[example()], at("2026-11-20T12:05:30Z")).render(Some(60));
        assert!(table.contains("apr_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e"), "{table}");
    }
}
