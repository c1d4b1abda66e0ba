//! The command line on the answers of a newer daemon: the table of all clients, `tests/sdk/unknown.yaml`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{approval, propose, words};
use crate::policy::StrictYaml;
use crate::proto::v1::stream_approvals_response::Event as Change;
use crate::proto::v1::stream_audit_response::Event as Entry;
use crate::proto::v1::{self, Approval, Decision, Evaluation};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    version: u32,
    messages: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    message: String,
    base64: String,
    expect: BTreeMap<String, Value>,
}

/// What the command line makes of a message, under the keys of the table.
type Seen = BTreeMap<&'static str, Value>;

fn decoded<M: Message + Default>(row: &Row) -> M {
    let bytes = STANDARD.decode(&row.base64).expect("base64");
    M::decode(bytes.as_slice()).unwrap_or_else(|error| panic!("{}: {error}", row.name))
}

fn of_decision(decision: &Decision) -> Seen {
    let code = v1::DecisionCode::try_from(decision.code);
    Seen::from([
        ("outcome", words::outcome(decision.outcome).into()),
        ("risk_level", words::risk(decision.risk_level).into()),
        ("approval_mode", words::approval(decision.approval_mode).into()),
        // The command line prints no code. An unknown one must not stop it.
        ("code", code.map_or_else(|_| format!("unknown({})", decision.code), |code| code.as_str_name().into()).into()),
        ("may_run", propose::may_run(decision).into()),
    ])
}

fn of_evaluation(evaluation: &Evaluation) -> Seen {
    let conditions = evaluation.trace.iter().flat_map(|rule| &rule.conditions);
    let condition = conditions.map(|condition| words::condition(condition.result)).next();
    let outcome = words::outcome(evaluation.outcome);
    Seen::from([
        ("may_run", (outcome == "ALLOW").into()),
        ("outcome", outcome.into()),
        ("approval_mode", words::approval(evaluation.approval_mode).into()),
        ("condition_result", condition.into()),
    ])
}

fn of_approval(approval: &Approval) -> Seen {
    let ending = approval.ending.as_ref();
    Seen::from([
        ("state", words::state(approval.state).into()),
        ("is_pending", approval::is_pending(approval).into()),
        ("ending_kind", words::ending(ending).into()),
        ("by", ending.and_then(approval::who).into()),
        ("verdict", approval.votes.first().map(|vote| words::verdict(vote.verdict)).into()),
    ])
}

fn of_change(change: Option<Change>) -> Seen {
    let (event, approval) = match change {
        Some(Change::Pending(approval)) => ("pending", Some(approval)),
        Some(Change::Ended(approval)) => ("ended", Some(approval)),
        Some(_) => ("other", None),
        None => ("none", None),
    };
    let mut seen = approval.as_ref().map(of_approval).unwrap_or_default();
    seen.insert("event", event.into());
    seen
}

fn of_entry(message: &v1::StreamAuditResponse) -> Seen {
    let mut seen = Seen::from([("cursor", message.cursor.as_str().into())]);
    let Some(Entry::Row(row)) = &message.event else {
        seen.insert("event", if message.event.is_some() { "other" } else { "none" }.into());
        return seen;
    };
    let shown = super::audit::row_json(row);
    for (key, member) in [
        ("outcome", "outcome"),
        ("risk_level", "risk_level"),
        ("approval_mode", "approval"),
        ("ending_kind", "human_decision"),
        ("result_status", "result_status"),
    ] {
        seen.insert(key, shown[member].clone());
    }
    seen.insert("event", "row".into());
    seen
}

fn seen(row: &Row) -> Seen {
    match row.message.as_str() {
        "ProposeResponse" => of_decision(&decoded::<v1::ProposeResponse>(row).decision.unwrap_or_default()),
        "AwaitDecisionResponse" => of_decision(&decoded::<v1::AwaitDecisionResponse>(row).decision.unwrap_or_default()),
        "EvaluateResponse" => of_evaluation(&decoded::<v1::EvaluateResponse>(row).evaluations[0]),
        "GetApprovalResponse" => of_approval(&decoded::<v1::GetApprovalResponse>(row).approval.unwrap_or_default()),
        "StreamApprovalsResponse" => of_change(decoded::<v1::StreamApprovalsResponse>(row).event),
        "StreamAuditResponse" => of_entry(&decoded(row)),
        other => panic!("{}: nothing reads {other}", row.name),
    }
}

#[test]
fn an_answer_of_a_newer_daemon_is_read_as_the_table_of_all_clients_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/unknown.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let table: Table = StrictYaml::parse("unknown.yaml", &text).and_then(|yaml| yaml.read()).unwrap();
    assert!(table.version == 1 && table.messages.len() > 10);
    for row in &table.messages {
        let seen = seen(row);
        for (key, expected) in &row.expect {
            assert_eq!(seen.get(key.as_str()).unwrap_or(&json!("missing")), expected, "{}: {key}", row.name);
        }
    }
}
