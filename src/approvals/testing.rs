//! Questions for tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;

use super::{Pending, Unmasked};
use crate::audit::record::{DecisionRecord, IdentityRecord};
use crate::domain::{
    Action, Actor, Approval, ApprovalId, DecisionId, Digest, Identity, Outcome, RiskLevel, Roles, Timestamp,
};

/// A question of an anonymous caller that ends after so many seconds.
pub(crate) fn pending(n: u8, deadline: u64) -> Pending {
    let approval_id = ApprovalId::from_bytes([n; 16]);
    let decision = DecisionRecord {
        decision_id: DecisionId::from_bytes([n; 16]),
        actor: Actor::default(),
        identity: IdentityRecord::of(&Identity::anonymous(Roles::NONE)),
        session_id: String::new(),
        metadata: Map::new(),
        action: Action::default(),
        action_digest: Digest::of(&[n]),
        redact: Vec::new(),
        masked: Vec::new(),
        masked_digests: BTreeMap::new(),
        outcome: Outcome::Escalate,
        reason: String::new(),
        risk_level: RiskLevel::Medium,
        approval: Approval::Approve,
        matched_rule: String::new(),
        constraints: Map::new(),
        policy_revision: Digest::of(b"policy"),
        approval_id: Some(approval_id),
        expires_at: Some(Timestamp::UNIX_EPOCH),
        trace_id: String::new(),
    };
    Pending {
        approval_id,
        decision: Arc::new(decision),
        unmasked: Unmasked::Nothing,
        requested_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
        deadline: Duration::from_secs(deadline),
        timeout_allows: false,
    }
}
