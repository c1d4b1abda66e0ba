//! Shared test data of this floor: decisions and states that differ by a number.

pub(crate) mod disk;

use std::time::Duration;

use serde_json::{Map, json};

use crate::audit::log::record::{DecisionRecord, IdentityRecord};
use crate::audit::rows::draft::{Draft, Opening};
use crate::audit::rows::row::RowState;
use crate::audit::rows::stats::Stats;
use crate::domain::{
    Action, Actor, Approval, DecisionId, Digest, How, Outcome, Report, ResultStatus, RiskLevel, Timestamp,
};
use crate::store::Options;

/// Some seconds after a fixed moment.
pub(crate) fn later(seconds: u64) -> Timestamp {
    let start: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    start + Duration::from_secs(seconds)
}

/// The id of the decision with this number.
pub(crate) fn decision_id(number: u64) -> DecisionId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    DecisionId::new(later(number), random)
}

/// A decision that allows.
pub(crate) fn decision(number: u64) -> DecisionRecord {
    let action = Action {
        r#type: "bulk_update".into(),
        target: "crm".into(),
        params: Map::from_iter([("count".to_owned(), json!(number))]),
        description: "Mark the leads as contacted".into(),
    };
    DecisionRecord {
        decision_id: decision_id(number),
        actor: Actor { id: "agent-7".into(), r#type: "ai-agent".into() },
        identity: IdentityRecord {
            subject: "anonymous".into(),
            how: How::Anonymous,
            groups: Vec::new(),
            actor: None,
            peer: None,
        },
        session_id: "s1".into(),
        metadata: Map::new(),
        action_digest: Digest::of(&number.to_be_bytes()),
        action,
        redact: Vec::new(),
        masked: vec![],
        masked_digests: std::collections::BTreeMap::new(),
        marks: Vec::new(),
        outcome: Outcome::Allow,
        reason: "rule `bulk` allows".into(),
        risk_level: RiskLevel::Medium,
        approval: Approval::Auto,
        matched_rule: "bulk".into(),
        constraints: Map::new(),
        policy_revision: Digest::of(b"policy"),
        approval_id: None,
        expires_at: None,
        trace_id: String::new(),
        executes: false,
        limits: Vec::new(),
        halted: false,
    }
}

/// The draft of a decision that allows.
pub(crate) fn draft(number: u64) -> Draft {
    let at = later(number);
    Draft::new(at, &decision(number), Opening { allowed_at: Some(at), ..Opening::default() }).unwrap()
}

/// A report with this status.
pub(crate) fn report(status: ResultStatus) -> Report {
    Report { status, data: None, error: String::new(), started_at: None, completed_at: None }
}

/// The state of a row that was allowed.
pub(crate) fn allowed(number: u64) -> RowState {
    RowState {
        sequence: number,
        decision_id: decision_id(number),
        outcome: Outcome::Allow,
        action_digest: Digest::of(&number.to_be_bytes()),
        action_key: None,
        idempotency: None,
        approval: None,
        confirmation: None,
        allowed_at: Some(later(number)),
        result: None,
        reported: None,
        spent: Vec::new(),
        redacted: None,
    }
}

/// Options with the same random bytes in every run.
pub(crate) fn options() -> Options {
    let mut next = 0u64;
    let entropy = move |bytes: &mut [u8]| {
        for byte in bytes {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = next.to_be_bytes()[0];
        }
    };
    Options { index_lag: 256, entropy: Box::new(entropy), ..Options::default() }
}

/// A temporary directory, and the path of a store in it.
pub(crate) fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    (directory, path)
}

/// How long an action may go unreported in tests.
pub(crate) const UNREPORTED: Duration = Duration::from_mins(10);

/// How many decisions have no final result: they wait for a person, or an agent may still report on them.
pub(crate) fn unsettled(stats: &Stats) -> u64 {
    stats.decisions - stats.by_status.values().sum::<u64>()
}
