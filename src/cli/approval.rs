//! An approval as people and programs see it: everything needed to answer it, with an agent's text made safe to show.

use serde_json::Value;

use super::masks::Masks;
pub(super) use super::masks::shown;
use super::object::Object;
use super::table::{Cell, Column, Table};
use super::times::Zone;
use super::{safe_json, times, wire, words};
use crate::domain::{Pointer, Timestamp, visible};
use crate::proto::v1::{Action, Actor, Approval, ApprovalState, Ending, Identity, Mask, SessionAction, Vote};

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

/// The proposer: the declared name, and whether it was authenticated.
pub(super) fn proposer(actor: Option<&Actor>, identity: Option<&Identity>) -> String {
    let actor = actor.cloned().unwrap_or_default();
    let declared = match (actor.id.as_str(), actor.r#type.as_str()) {
        ("", "") => "nobody named".to_owned(),
        (id, "") => shown(id),
        ("", kind) => format!("({})", shown(kind)),
        (id, kind) => format!("{} ({})", shown(id), shown(kind)),
    };
    format!("{declared}, {}", authenticated(identity))
}

fn authenticated(identity: Option<&Identity>) -> String {
    match identity {
        Some(identity) if identity.how != "anonymous" && !identity.how.is_empty() => {
            let groups = match identity.groups.as_slice() {
                [] => String::new(),
                groups => format!(", groups {}", shown(&groups.join(", "))),
            };
            format!("authenticated as {} ({}){groups}", visible(&identity.subject), visible(&identity.how))
        }
        _ => "not authenticated".into(),
    }
}

/// Everything a person needs to answer, field by field. All text is safe to show.
///
/// What the daemon says comes first, then the action and its parameters, then the agent's own prose.
pub(super) fn fields(approval: &Approval, now: Timestamp, zone: &Zone) -> Vec<Field> {
    let action = approval.action.clone().unwrap_or_default();
    let context = approval.context.clone().unwrap_or_default();
    let mut fields = vec![("risk", words::risk(approval.risk_level))];
    fields.push(("rule", because(&approval.matched_rule, &approval.reason)));
    if is_pending(approval) {
        fields.push(("left", left(approval, now)));
        fields.extend(waits(approval).map(|waits| ("caller", waits.to_owned())));
    } else {
        fields.push(("ended", ended(approval, zone)));
    }
    fields.push(("actor", proposer(approval.actor.as_ref(), approval.identity.as_ref())));
    // The title joins type and target. Only here is it certain where one ends and the other begins.
    fields.push(("action", shown(&action.r#type)));
    optional(&mut fields, "target", &action.target);
    let masks = Masks::new(&approval.masked);
    fields.extend(masks.unreadable().map(|text| ("hidden", text)));
    params(&mut fields, &action, &masks);
    let masked = masks.names();
    if !masked.is_empty() {
        fields.push(("masked", masked));
    }
    if !action.description.is_empty() {
        fields.push(("says", masks.text(&action.description, &Pointer::to("description"))));
    }
    optional(&mut fields, "session", &context.session_id);
    let metadata = wire::from_struct(context.metadata.as_ref());
    if !metadata.is_empty() {
        let metadata = Value::Object(metadata);
        fields.push(("labels", masks.value(&metadata, &mut Pointer::to("metadata"))));
    }
    if let Some(asked) = wire::moment(approval.requested_at.as_ref()) {
        fields.push(("asked", zone.full(asked)));
    }
    fields.push(("approval", visible(&approval.approval_id).into_owned()));
    fields.push(("digest", visible(&approval.action_digest).into_owned()));
    let label = std::iter::once("before").chain(std::iter::repeat(""));
    fields.extend(label.zip(approval.history.iter().map(|action| before(action, zone))));
    fields
}

/// Whether reviewers may still answer. A state that this version does not know is not pending.
pub(super) fn is_pending(approval: &Approval) -> bool {
    approval.state == ApprovalState::Pending as i32
}

/// How an approval ended, or its state if the daemon does not say how.
pub(super) fn ended(approval: &Approval, zone: &Zone) -> String {
    approval.ending.as_ref().map_or_else(|| words::state(approval.state), |how| ending(how, zone))
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

fn params(fields: &mut Vec<Field>, action: &Action, masks: &Masks<'_>) {
    let label = std::iter::once("params").chain(std::iter::repeat(""));
    let params = wire::from_struct(action.params.as_ref());
    let mut at = Pointer::to("params");
    let lines = params.iter().map(|(key, value)| {
        let before = at.enter(key);
        let line = format!("{} = {}", name(key), masks.value(value, &mut at));
        at.leave(before);
        line
    });
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

/// Whether the caller of a pending approval still waits, if that is known.
pub(super) fn waits(approval: &Approval) -> Option<&'static str> {
    let waits = approval.ending.is_none().then_some(approval.caller_waiting)??;
    Some(if waits { "waits for the answer" } else { NOBODY_WAITS })
}

/// The same in one word, for a column.
pub(super) const fn who_waits(approval: &Approval) -> &'static str {
    match approval.caller_waiting {
        Some(true) => "yes",
        Some(false) => "nobody",
        None => "-",
    }
}

/// What a reviewer is told where the caller has gone.
pub(super) const NOBODY_WAITS: &str = "nobody waits for this any more";

/// How an approval ended, as a sentence: `approved by ann at …: looks good`.
pub(super) fn ending(ending: &Ending, zone: &Zone) -> String {
    let at = wire::moment(ending.ended_at.as_ref()).map_or_else(String::new, |at| format!(" at {}", zone.full(at)));
    ended_at(ending, &at)
}

/// The same without its time.
pub(super) fn how_it_ended(ending: &Ending) -> String {
    ended_at(ending, "")
}

fn ended_at(ending: &Ending, at: &str) -> String {
    let kind = words::ending(Some(ending)).unwrap_or_default();
    let by = match who(ending) {
        Some(by) => format!(" by {}", visible(by)),
        None => String::new(),
    };
    let code = if ending.code.is_empty() { String::new() } else { format!(" ({})", visible(&ending.code)) };
    let reason = if ending.reason.is_empty() { String::new() } else { format!(": {}", visible(&ending.reason)) };
    format!("{kind}{by}{at}{code}{reason}")
}

/// Who ended it; `None` if nobody did.
pub(super) fn who(ending: &Ending) -> Option<&str> {
    ending.by.as_ref().and_then(|by| wire::present(&by.subject))
}

/// An earlier action: when, what, and what became of it.
pub(super) fn before(action: &SessionAction, zone: &Zone) -> String {
    let at = wire::moment(action.decided_at.as_ref()).map_or_else(|| "-".into(), |at| zone.full(at));
    let target = if action.target.is_empty() { String::new() } else { format!("@{}", shown(&action.target)) };
    let outcome = words::outcome(action.outcome);
    let status = words::result(action.result_status).map_or_else(String::new, |status| format!(", {status}"));
    format!("{at}  {}{target}  {outcome}{status}", shown(&action.r#type))
}

/// A vote, as a sentence: `approve by ann (token) at …: looks good`.
pub(super) fn vote(vote: &Vote, zone: &Zone) -> String {
    let at = wire::moment(vote.voted_at.as_ref()).map_or_else(|| "-".into(), |at| zone.full(at));
    voted_at(vote, &format!(" at {at}"))
}

/// The same without its time.
pub(super) fn verdict(vote: &Vote) -> String {
    voted_at(vote, "")
}

fn voted_at(vote: &Vote, at: &str) -> String {
    let by = vote.by.clone().unwrap_or_default();
    let reason = if vote.reason.is_empty() { String::new() } else { format!(": {}", shown(&vote.reason)) };
    let verdict = words::verdict(vote.verdict);
    format!("{verdict} by {} ({}){at}{reason}", visible(&by.subject), visible(&by.how))
}

/// The approval as a paragraph of plain text, indented below its title.
pub(super) fn paragraph(approval: &Approval, now: Timestamp, zone: &Zone) -> String {
    let lines = fields(approval, now, zone).into_iter().map(|(label, value)| format!("\n  {label:<9} {value}"));
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
        Column::left("Waits", 0),
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
            Cell::new(who_waits(approval)),
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
        .with("masked", approval.masked.iter().map(mask_json).collect::<Vec<_>>())
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
        .with("state", words::state(approval.state))
        .with("version", approval.version)
        .with("caller_waiting", approval.caller_waiting)
        .with("ending", approval.ending.as_ref().map(ending_json))
        .with("votes", approval.votes.iter().map(vote_json).collect::<Vec<_>>())
}

/// A mask as JSON.
pub(super) fn mask_json(mask: &Mask) -> Value {
    serde_json::json!({
        "path": mask.path,
        "start": mask.start,
        "end": mask.end,
        "length": mask.length,
        "digest": wire::present(&mask.digest),
        "pointer": wire::present(&mask.pointer),
    })
}

fn vote_json(vote: &Vote) -> Value {
    let by = vote.by.clone().unwrap_or_default();
    serde_json::json!({
        "vote_id": vote.vote_id,
        "verdict": words::verdict(vote.verdict),
        "by": wire::present(&by.subject),
        "by_how": wire::present(&by.how),
        "voted_at": wire::time(vote.voted_at.as_ref()),
        "reason": wire::present(&vote.reason),
        "action_digest": vote.action_digest,
    })
}

fn ending_json(ending: &Ending) -> Value {
    serde_json::json!({
        "kind": words::ending(Some(ending)),
        "allows": ending.allows,
        "by": who(ending),
        "ended_at": wire::time(ending.ended_at.as_ref()),
        "reason": wire::present(&ending.reason),
        "code": wire::present(&ending.code),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::proto::v1::{EndingKind, Outcome, ProposalContext, ResultStatus, RiskLevel};
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
            context: Some(ProposalContext { session_id: "s1".into(), metadata: None }),
            action_digest: "ab".repeat(32),
            matched_rule: "bulk_ops".into(),
            reason: "more than 100 at once".into(),
            risk_level: RiskLevel::High as i32,
            requested_at: Some(wire::to_moment(at("2026-11-20T12:00:00Z"))),
            expires_at: Some(wire::to_moment(at("2026-11-20T12:15:00Z"))),
            history: vec![SessionAction {
                decided_at: Some(wire::to_moment(at("2026-11-20T11:59:00Z"))),
                r#type: "read".into(),
                target: "crm".into(),
                outcome: Outcome::Allow as i32,
                result_status: ResultStatus::Success as i32,
            }],
            state: ApprovalState::Pending as i32,
            ..Approval::default()
        }
    }

    #[test]
    fn a_person_sees_every_field_with_hidden_characters_written_out() {
        let text = paragraph(&example(), at("2026-11-20T12:05:30Z"), &Zone::utc());
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
        let text = paragraph(&approval, at("2026-11-20T12:05:30Z"), &Zone::utc());
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
    fn a_person_sees_whether_anybody_waits() {
        let now = at("2026-11-20T12:05:30Z");
        let text = |caller_waiting| paragraph(&Approval { caller_waiting, ..example() }, now, &Zone::utc());
        assert!(text(Some(false)).contains("\n  caller    nobody waits for this any more\n"), "{}", text(Some(false)));
        assert!(text(Some(true)).contains("\n  caller    waits for the answer\n"));
        assert!(!text(None).contains("caller"), "nobody knows");
        let ended = Approval { caller_waiting: Some(false), ending: Some(Ending::default()), ..example() };
        assert_eq!(waits(&ended), None);
    }

    #[test]
    fn an_ending_is_a_sentence() {
        let mut end = Ending {
            kind: EndingKind::Approved as i32,
            allows: true,
            by: Some(Identity { subject: "ann\u{200b}".into(), ..Identity::default() }),
            ended_at: Some(wire::to_moment(at("2026-11-20T12:05:30Z"))),
            reason: "fine".into(),
            code: String::new(),
        };
        assert_eq!(ending(&end, &Zone::utc()), "approved by ann\\u{200b} at 2026-11-20 12:05:30 UTC: fine");
        end = Ending { kind: EndingKind::Denied as i32, code: "POLICY_CHANGED".into(), by: None, ..end };
        assert_eq!(ending(&end, &Zone::utc()), "denied at 2026-11-20 12:05:30 UTC (POLICY_CHANGED): fine");
    }

    #[test]
    fn a_state_that_this_version_does_not_know_is_not_pending() {
        let approval = Approval { state: 9, ..example() };
        let text = paragraph(&approval, at("2026-11-20T12:05:30Z"), &Zone::utc());
        assert!(text.contains("\n  ended     unknown(9)\n") && !text.contains("left"), "{text}");
        assert_eq!(serde_json::to_value(json(&approval)).unwrap()["state"], "unknown(9)");
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
