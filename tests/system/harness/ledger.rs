//! What clients were told, and the log that it is held against.

use std::collections::{BTreeMap, BTreeSet};

use aegis::proto::v1::{self, ResultStatus};
use sha2::{Digest as _, Sha256};

use super::daemon::Daemon;

/// A record as it stands in the log, checked by itself.
pub(crate) struct Logged {
    /// The payload.
    pub(crate) json: serde_json::Value,
    /// Its leaf hash.
    pub(crate) leaf: Vec<u8>,
}

impl Logged {
    /// A text of the payload, by its JSON pointer; empty where there is none.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.json.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default()
    }

    pub(crate) fn is(&self, kind: &str) -> bool {
        self.text("/kind") == kind
    }
}

/// The leaf hash as the format is documented, computed from nothing but that.
fn leaf_hash(salt: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut data = b"aegis/record/v1\0".to_vec();
    data.extend_from_slice(salt);
    data.extend_from_slice(payload);
    let mut leaf = vec![0];
    leaf.extend_from_slice(&Sha256::digest(&data));
    Sha256::digest(&leaf).to_vec()
}

/// The whole log: without a gap, each record where it says it is, each leaf hash as it must be.
pub(crate) async fn whole_log(daemon: &Daemon) -> Vec<Logged> {
    let request = v1::StreamAuditRequest { view: v1::AuditView::Records.into(), ..v1::StreamAuditRequest::default() };
    let mut stream = daemon.auditor().await.stream_audit(request).await.expect("the record can be read").into_inner();
    let (mut log, mut salts) = (Vec::new(), BTreeSet::new());
    while let Some(message) = stream.message().await.expect("the record can be read") {
        let Some(v1::stream_audit_response::Event::Record(record)) = message.event else { continue };
        let json: serde_json::Value = serde_json::from_str(&record.payload).expect("a payload is JSON");
        assert_eq!(record.sequence, log.len() as u64 + 1, "no gap");
        assert_eq!(json["sequence"], record.sequence, "each stands where it says");
        assert_eq!(record.salt.len(), 16);
        assert_eq!(record.leaf_hash, leaf_hash(&record.salt, record.payload.as_bytes()), "record {}", record.sequence);
        assert!(salts.insert(record.salt), "a salt is used once");
        log.push(Logged { json, leaf: record.leaf_hash });
    }
    log
}

/// What clients were told is done.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) decisions: Vec<v1::Decision>,
    /// How approvals were ended, by name: whether allowed, and the reason given.
    pub(crate) endings: BTreeMap<String, (bool, String)>,
    /// Reports: the decision, the status, the record.
    pub(crate) reports: Vec<(String, ResultStatus, String)>,
    /// Checkpoints that an auditor was given, and nobody has held against the record yet.
    pub(crate) checkpoints: BTreeSet<String>,
    /// What was on its way when the daemon died: it may be on the record or not.
    pub(crate) in_doubt: Vec<v1::ProposeRequest>,
}

impl Ledger {
    pub(crate) fn entries(&self) -> usize {
        self.decisions.len() + self.endings.len() + self.reports.len()
    }

    /// Everything in the ledger is on the record, as it was told, and once.
    pub(crate) fn check(&self, log: &[Logged]) {
        let mut decisions = BTreeMap::new();
        let mut targets = BTreeSet::new();
        let mut endings = BTreeMap::new();
        let mut results: BTreeMap<&str, Vec<&Logged>> = BTreeMap::new();
        for record in log {
            if record.is("decision") {
                assert!(decisions.insert(record.text("/decision_id"), record).is_none(), "decided twice");
                assert!(targets.insert(record.text("/action/target")), "one proposal, recorded twice: {}", record.json);
            } else if record.is("approval_ended") {
                assert!(endings.insert(record.text("/approval_id"), record).is_none(), "ended twice: {}", record.json);
            } else if record.is("result") {
                results.entry(record.text("/decision_id")).or_default().push(record);
            }
        }
        for told in &self.decisions {
            let Some(record) = decisions.get(&*told.decision_id) else { panic!("lost: {told:?}") };
            assert_eq!(record.text("/record_id"), told.audit_ref);
            assert_eq!(record.text("/action_digest"), told.action_digest);
            assert_eq!(record.text("/outcome"), told.outcome().as_str_name().trim_start_matches("OUTCOME_"));
            assert_eq!(record.text("/approval_id"), told.approval_id);
        }
        for (approval_id, (allows, reason)) in &self.endings {
            let Some(record) = endings.get(&**approval_id) else { panic!("lost: the end of {approval_id}") };
            assert_eq!(record.json["ending"]["allows"], *allows);
            assert_eq!(record.text("/ending/reason"), reason);
        }
        for (decision_id, status, audit_ref) in &self.reports {
            let found = results.get(&**decision_id).map(Vec::as_slice).unwrap_or_default();
            let [record] = found else { panic!("{decision_id} has {} reports", found.len()) };
            assert_eq!(record.text("/record_id"), audit_ref);
            assert_eq!(format!("RESULT_STATUS_{}", record.text("/report/status").to_uppercase()), status.as_str_name());
        }
    }
}
