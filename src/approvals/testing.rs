//! Builds questions for tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;

use super::pending::{Asked, Pending, Unmasked, UnmaskedCell};
use crate::audit::record::{DecisionRecord, IdentityRecord};
use crate::domain::{
    Action, Actor, Approval, ApprovalId, Caller, ConnectionId, DecisionId, Digest, Identity, Outcome, Peer, RecordId,
    RiskLevel, Roles, Timestamp,
};

/// A caller without a credential.
pub(crate) fn anonymous() -> Caller {
    Caller { identity: Identity::anonymous(Roles::NONE), connection: ConnectionId(0), peer: Peer::Loopback }
}

/// A decision that asks.
pub(crate) fn decision(n: u8) -> DecisionRecord {
    DecisionRecord {
        decision_id: DecisionId::from_bytes([n; 16]),
        actor: Actor::default(),
        identity: IdentityRecord::of(&anonymous()),
        session_id: String::new(),
        metadata: Map::new(),
        action: Action::default(),
        action_digest: Digest::of(&[n]),
        redact: Vec::new(),
        masked: Vec::new(),
        masked_digests: BTreeMap::new(),
        marks: Vec::new(),
        outcome: Outcome::Escalate,
        reason: String::new(),
        risk_level: RiskLevel::Medium,
        approval: Approval::Approve,
        matched_rule: String::new(),
        constraints: Map::new(),
        policy_revision: Digest::of(b"policy"),
        approval_id: Some(ApprovalId::from_bytes([n; 16])),
        expires_at: Some(Timestamp::UNIX_EPOCH),
        trace_id: String::new(),
        executes: false,
        limits: Vec::new(),
        halted: false,
    }
}

/// A question of an anonymous caller that expires after this many seconds.
pub(crate) fn pending(n: u8, deadline: u64) -> Pending {
    Pending {
        approval_id: ApprovalId::from_bytes([n; 16]),
        decision: Asked::new(Arc::new(decision(n))),
        record_id: RecordId::from_bytes([n; 16]),
        bytes: 1,
        unmasked: UnmaskedCell::new(Unmasked::Nothing),
        connection: None,
        requested_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
        deadline: Duration::from_secs(deadline),
        timeout_allows: false,
        is_missed: false,
        own_uid: 900,
    }
}
