//! The whole life of one decision, as text and as JSON: what was asked, by which rule, each step with its time, what
//! came of it, and whether the log proves it.

use std::fmt::Write as _;

use super::row;
use crate::audit::evidence::Proved;
use crate::cli::masks::Masks;
use crate::cli::object::Object;
use crate::cli::table::{Cell, Column, Table};
use crate::cli::times::{self, Zone};
use crate::cli::{approval, paint, wire, words};
use crate::domain::{Pointer, Timestamp, visible};
use crate::proto::v1::{Approval, AuditRow, GetDecisionResponse, RecordReference};

/// A decision, and the proof of its records or why there is none.
pub(super) struct Life {
    pub(super) decision: GetDecisionResponse,
    pub(super) proof: Result<Proved, String>,
}

/// For a person: the outcome, what was asked, the steps, the result, the proof.
pub(super) fn text(life: &Life, width: Option<usize>, zone: &Zone) -> String {
    let row = life.decision.row.clone().unwrap_or_default();
    let outcome = words::outcome(row.outcome);
    let style = paint::of(&outcome);
    let mut text = format!("{style}{outcome}{style:#} {}\n", visible(&row.decision_id));
    let approval = life.decision.approval.as_ref();
    section(&mut text, "Asked", &asked(&row));
    section(&mut text, "Steps", &steps(&row, approval, zone));
    section(&mut text, "Result", &result(&row));
    // Writing to a String cannot fail.
    let heading = paint::HEADING;
    let table = records(&life.decision.records, zone).render(width.map(|width| width.saturating_sub(2)));
    let _ = writeln!(text, "\n{heading}Records{heading:#}");
    for line in table.lines() {
        let _ = writeln!(text, "  {line}");
    }
    section(&mut text, "Proof", &proof(life, &row));
    text
}

fn section(text: &mut String, title: &str, fields: &[(String, String)]) {
    if fields.is_empty() {
        return;
    }
    let heading = paint::HEADING;
    let _ = writeln!(text, "\n{heading}{title}{heading:#}");
    let labels = fields.iter().map(|(label, _)| label.len()).max().unwrap_or(0).max(8);
    for (label, value) in fields {
        let _ = writeln!(text, "  {label:<labels$}  {value}");
    }
}

/// What was asked: by whom, what, and in which words. Text of an agent is made safe.
fn asked(row: &AuditRow) -> Vec<(String, String)> {
    let action = row.action.clone().unwrap_or_default();
    let masks = Masks::new(&row.masked);
    let mut fields = Vec::new();
    let mut field = |label: &str, value: String| {
        if !value.is_empty() {
            fields.push((label.to_owned(), value));
        }
    };
    field("action", approval::shown(&action.r#type));
    field("target", approval::shown(&action.target));
    let params = wire::from_struct(action.params.as_ref());
    if !params.is_empty() {
        field("params", masks.value(&params.into(), &mut Pointer::to("params")));
    }
    field("masked", masks.names());
    field("says", masks.text(&action.description, &Pointer::to("description")));
    field("actor", approval::proposer(row.actor.as_ref(), row.identity.as_ref()));
    field("session", approval::shown(&row.session_id));
    let metadata = wire::from_struct(row.metadata.as_ref());
    if !metadata.is_empty() {
        field("labels", masks.value(&metadata.into(), &mut Pointer::to("metadata")));
    }
    field("risk", words::risk(row.risk_level));
    field("rule", visible(&row.matched_rule).into_owned());
    field("reason", visible(&row.reason).into_owned());
    field("policy", visible(&row.policy_revision).into_owned());
    field("digest", visible(&row.action_digest).into_owned());
    field("trace", visible(&row.trace_id).into_owned());
    if row.redacted {
        field("redacted", "yes: its text was removed, its proof holds".into());
    }
    fields
}

/// What happened, in its order: the decision, the votes, the end of the approval, the report.
fn steps(row: &AuditRow, approval: Option<&Approval>, zone: &Zone) -> Vec<(String, String)> {
    let mut steps: Vec<(Option<Timestamp>, String)> = Vec::new();
    let mode = words::approval(row.approval_mode);
    let decided = format!("decided by the rule {}: {mode}", visible(&row.matched_rule));
    steps.push((wire::moment(row.timestamp.as_ref()), decided));
    if let Some(approval) = approval {
        let until = wire::moment(approval.expires_at.as_ref());
        let until = until.map_or_else(String::new, |until| {
            let then = if approval.timeout_allows { "ALLOWED" } else { "denied" };
            format!(", until {}, then it is {then}", zone.full(until))
        });
        let asked = format!("asked as {}{until}", visible(&approval.approval_id));
        steps.push((wire::moment(approval.requested_at.as_ref()), asked));
        for vote in &approval.votes {
            steps.push((wire::moment(vote.voted_at.as_ref()), approval::verdict(vote)));
        }
    }
    if let Some(ending) = &row.ending {
        steps.push((wire::moment(ending.ended_at.as_ref()), approval::how_it_ended(ending)));
    } else if approval.is_some_and(approval::is_pending) {
        steps.push((None, "it waits for a reviewer".into()));
    }
    if let Some(result) = &row.result {
        let status = words::result(result.status).unwrap_or_else(|| "nothing".into());
        let (started, completed) =
            (wire::moment(result.started_at.as_ref()), wire::moment(result.completed_at.as_ref()));
        let took = started
            .zip(completed)
            .map_or_else(String::new, |(started, completed)| format!(", it took {}", times::took(started, completed)));
        steps.push((wire::moment(result.reported_at.as_ref()), format!("reported {status}{took}")));
    }
    // What has no time comes last. Of the same moment, the order above is that of the daemon.
    steps.sort_by_key(|(at, _)| at.map_or((true, Timestamp::UNIX_EPOCH), |at| (false, at)));
    let shown = |(at, what): (Option<Timestamp>, String)| (at.map_or_else(|| "-".into(), |at| zone.full(at)), what);
    steps.into_iter().map(shown).collect()
}

fn result(row: &AuditRow) -> Vec<(String, String)> {
    let Some(result) = &row.result else { return Vec::new() };
    let masks = Masks::new(&result.masked);
    let mut fields = Vec::new();
    if let Some(status) = words::result(result.status) {
        fields.push(("status".to_owned(), status));
    }
    let data = wire::from_value(result.data.as_ref());
    if !data.is_null() {
        fields.push(("data".to_owned(), masks.value(&data, &mut Pointer::to("data"))));
    }
    if !result.error.is_empty() {
        fields.push(("error".to_owned(), masks.text(&result.error, &Pointer::to("error"))));
    }
    fields
}

fn records(records: &[RecordReference], zone: &Zone) -> Table {
    let mut table = Table::new(&[
        Column::right("Sequence", 8),
        Column::left("Time", 0),
        Column::left("Kind", 0),
        Column::left("Record", 0),
    ]);
    for record in records {
        let is_redacted = record.audit_ref.is_empty();
        let kind = if is_redacted { crate::audit::REDACTED } else { &record.kind };
        let at = wire::moment(record.recorded_at.as_ref()).map_or_else(String::new, |at| zone.full(at));
        table.row(vec![
            Cell::new(record.sequence.to_string()),
            Cell::new(at).whole(),
            Cell::new(kind).whole(),
            Cell::new(&record.audit_ref).whole(),
        ]);
    }
    table
}

/// Whether the log proves it, and how to keep the proof.
fn proof(life: &Life, row: &AuditRow) -> Vec<(String, String)> {
    let (good, bad) = (paint::GOOD, paint::BAD);
    let id = visible(&row.decision_id);
    match &life.proof {
        Ok(proved) => {
            let count = life.decision.records.len();
            let are = if count == 1 { "its record is".to_owned() } else { format!("its {count} records are") };
            let redacted = match proved.redacted {
                0 => String::new(),
                redacted => format!(", {redacted} of them redacted"),
            };
            let checkpoint = &proved.checkpoint;
            vec![
                (
                    "holds".to_owned(),
                    format!("{good}yes{good:#}: {are} in the signed log of {} records{redacted}", checkpoint.size),
                ),
                ("log".to_owned(), visible(&checkpoint.origin).into_owned()),
                ("root".to_owned(), checkpoint.root.to_string()),
                ("keep it".to_owned(), format!("aegis audit receipt {id} -o decision.tlog-proof")),
            ]
        }
        Err(why) => vec![("holds".to_owned(), format!("{bad}not proved{bad:#}: {}", visible(why)))],
    }
}

/// For a program.
pub(super) fn json(life: &Life) -> Object {
    let row = life.decision.row.clone().unwrap_or_default();
    let value = |object: Object| serde_json::to_value(object).unwrap_or_default();
    let record = |record: &RecordReference| {
        serde_json::json!({
            "sequence": record.sequence,
            "audit_ref": wire::present(&record.audit_ref),
            "kind": wire::present(&record.kind),
            "recorded_at": wire::time(record.recorded_at.as_ref()),
        })
    };
    let proof = match &life.proof {
        Ok(proved) => serde_json::json!({
            "holds": true,
            "origin": proved.checkpoint.origin,
            "size": proved.checkpoint.size,
            "root": proved.checkpoint.root.to_string(),
            "redacted": proved.redacted,
            "why": null,
        }),
        Err(why) => serde_json::json!({
            "holds": false, "origin": null, "size": null, "root": null, "redacted": null, "why": why,
        }),
    };
    Object::default()
        .with("decision", value(row::object(&row)))
        .with("approval", life.decision.approval.as_ref().map(|approval| value(approval::json(approval))))
        .with("records", life.decision.records.iter().map(record).collect::<Vec<_>>())
        .with("proof", proof)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::approval::tests::{at, example};
    use crate::proto::v1::{ApprovalState, Ending, EndingKind, Identity, Verdict, Vote};

    fn life() -> Life {
        let ada = Identity { subject: "local:ada".into(), how: "unix_peer".into(), ..Identity::default() };
        let voted_at = Some(wire::to_moment(at("2026-11-20T22:50:30Z")));
        let ending = Ending {
            kind: EndingKind::Approved as i32,
            allows: true,
            by: Some(ada.clone()),
            ended_at: voted_at,
            reason: "fine\u{202e}".into(),
            ..Ending::default()
        };
        let approval = Approval {
            state: ApprovalState::Approved as i32,
            requested_at: Some(wire::to_moment(at("2026-11-20T22:49:44.69941Z"))),
            ending: Some(ending.clone()),
            votes: vec![Vote {
                verdict: Verdict::Approve as i32,
                by: Some(ada),
                voted_at,
                reason: "fine\u{202e}".into(),
                ..Vote::default()
            }],
            ..example()
        };
        let record = |sequence, kind: &str| RecordReference {
            sequence,
            audit_ref: format!("aud_{sequence}"),
            kind: kind.into(),
            recorded_at: voted_at,
        };
        let decision = GetDecisionResponse {
            row: Some(AuditRow { ending: Some(ending), ..row::tests::example() }),
            approval: Some(approval),
            records: vec![record(7, "decision"), RecordReference { sequence: 9, ..RecordReference::default() }],
        };
        Life { decision, proof: Err("the log has \u{1b} no key".into()) }
    }

    #[test]
    fn a_person_reads_what_was_asked_each_step_and_the_proof() {
        let text = anstream::adapter::strip_str(&text(&life(), None, &Zone::utc())).to_string();
        for line in [
            "  action    bulk_update",
            "  params    {\"count\":150}",
            "  session   a1b2c3d4e5f6",
            "  rule      bulk_ops_need_approval",
            "  2026-11-20 22:49:44 UTC  decided by the rule bulk_ops_need_approval: approve",
            "  2026-11-20 22:50:30 UTC  approve by local:ada (unix_peer): fine\\u{202e}",
            "  2026-11-20 22:50:30 UTC  approved by local:ada: fine\\u{202e}",
            "  -                        reported success",
            "         7  2026-11-20 22:50:30 UTC  decision    aud_7",
            "         9  -                        [redacted]  -",
            "  holds     not proved: the log has \\u{1b} no key",
        ] {
            assert!(text.lines().any(|shown| shown.trim_end() == line.trim_end()), "{line}\n{text}");
        }
        assert!(!text.contains("error") && !text.contains("labels"), "what has no value is left out: {text}");
        let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what}: {text}"));
        assert!(place("decided by") < place("asked as") && place("asked as") < place("approve by"), "{text}");
    }

    #[test]
    fn json_has_the_row_the_approval_the_records_and_the_proof() {
        let life = life();
        let whole = serde_json::to_value(json(&life)).unwrap();
        assert_eq!(whole["decision"]["human_decision"], "approved");
        assert_eq!(whole["approval"]["votes"][0]["by"], "local:ada");
        assert_eq!(whole["records"][1]["audit_ref"], serde_json::Value::Null);
        assert_eq!(
            (&whole["proof"]["holds"], &whole["proof"]["why"]),
            (&false.into(), &"the log has \u{1b} no key".into())
        );
        let none = GetDecisionResponse { approval: None, ..life.decision };
        let none = serde_json::to_value(json(&Life { decision: none, ..life })).unwrap();
        assert_eq!(none["approval"], serde_json::Value::Null);
    }
}
