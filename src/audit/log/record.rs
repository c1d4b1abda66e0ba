//! What stands on the record: one [`Record`] per thing that happened, and its canonical bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::{
    Action, Actor, Approval, ApprovalId, Caller, DecisionId, Digest, Ending, How, Outcome, ParamPath, ParamsError,
    Peer, RecordId, Report, RiskLevel, Role, Timestamp, TokenId, canonical_json,
};

/// The version of the record's JSON. A reader refuses what it does not know.
pub const RECORD_VERSION: u32 = 1;

/// One entry of the append-only record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// Its place in the log, from 1, without gaps.
    pub sequence: u64,
    /// Its name.
    pub record_id: RecordId,
    /// When it was written, as the wall clock had it.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Record {
    /// The RFC 8785 JSON that is stored and hashed.
    pub fn to_canonical(&self) -> Result<Vec<u8>, ParamsError> {
        canonical_json(self)
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The daemon started to serve.
    DaemonStarted {
        /// The version of the program.
        program: String,
        /// What operators must know about this run: `dev`, `relaxed-durability`.
        flags: Vec<String>,
    },
    /// The daemon stopped in good order.
    DaemonStopped,
    /// A policy came into force.
    PolicyLoaded {
        /// Its revision.
        revision: Digest,
        /// The names of its layers, lowest first.
        layers: Vec<String>,
        /// Who changed it: the subject of an `UpdatePolicy`, or empty for the daemon's own reading of its files.
        #[serde(default)]
        by: String,
    },
    /// A changed policy was not taken: the last good one stays in force.
    PolicyRejected {
        /// The revision that stays in force.
        kept: Digest,
        /// What is wrong, one entry a finding, bounded.
        errors: Vec<String>,
    },
    /// A proposal was answered.
    Decision(Box<DecisionRecord>),
    /// A question was put to reviewers.
    ApprovalRequested {
        /// The question.
        approval_id: ApprovalId,
        /// The decision that waits for it.
        decision_id: DecisionId,
        /// When it ends by itself.
        expires_at: Timestamp,
        /// Whether the action may run when nobody answers.
        timeout_allows: bool,
    },
    /// A question was answered, by a person, the clock, the policy or the proposer.
    ApprovalEnded {
        /// The question.
        approval_id: ApprovalId,
        /// The decision that waited for it.
        decision_id: DecisionId,
        /// How, by whom, when and why.
        ending: Ending,
        /// How whoever ended it was authenticated.
        how: Option<How>,
        /// The revision in force when it ended.
        policy_revision: Digest,
    },
    /// The agent's own user confirmed: the token was redeemed by a second proposal.
    Confirmed {
        /// The decision that asked for confirmation.
        decision_id: DecisionId,
        /// The decision that redeemed the token.
        confirmed_by: DecisionId,
    },
    /// A confirmation was withdrawn by the proposer.
    ConfirmationCancelled {
        /// The decision that asked for confirmation.
        decision_id: DecisionId,
    },
    /// A proposal with the key of an action that was allowed and not reported was denied: the policy blocks it by now. The
    /// decision stays as it is: its action may have run.
    ReplayDenied {
        /// The decision that allowed the action.
        decision_id: DecisionId,
        /// Why, for people.
        reason: String,
        /// The policy that blocks it.
        policy_revision: Digest,
    },
    /// An agent said what came of an action.
    Result {
        /// The decision that allowed the action.
        decision_id: DecisionId,
        /// What came of it.
        report: Report,
        /// Which values of the report are masked.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        masked: Vec<ParamPath>,
    },
    /// An admin made a token. Its hash is not here: what could be looked up by it is nobody's business but the store's.
    TokenCreated {
        /// The token.
        token_id: TokenId,
        /// Who holds it, as the record names them.
        subject: String,
        /// What its holder may do.
        roles: Vec<Role>,
        /// The one actor that its holder may act for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        actor: Option<String>,
        /// When it ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        /// Who made it.
        by: String,
    },
    /// An admin revoked a token.
    TokenRevoked {
        /// The token.
        token_id: TokenId,
        /// Who held it.
        subject: String,
        /// Who revoked it.
        by: String,
    },
    /// The file that says who may call came into force.
    IdentitiesLoaded {
        /// The SHA-256 of the file and of every file that it names.
        revision: Digest,
    },
    /// A change of that file, or of what it names, was not taken: the last good one stays in force.
    IdentitiesRejected {
        /// What is wrong, one entry a finding, bounded.
        errors: Vec<String>,
    },
    /// There was no space left. This was written into what is held in reserve for it; until there is space again,
    /// nothing else is.
    DiskFull {
        /// Since when nothing could be written.
        since: Timestamp,
    },
    /// The record could not be written for some time, and can be again.
    RecordRecovered {
        /// Since when it could not.
        since: Timestamp,
        /// Why, as it was last seen.
        why: String,
    },
    /// The log got its name and its first key: what its checkpoints are signed with.
    LogStarted {
        /// Its name, the origin of its checkpoints.
        origin: String,
        /// The verifier key (c2sp.org/signed-note).
        key: String,
    },
    /// An admin replaced the key that signs checkpoints: those that contain this record are signed by the new one.
    LogKeyRotated {
        /// The verifier key that signed until now.
        old_key: String,
        /// The verifier key that signs from now on.
        new_key: String,
        /// A signed note in which both keys say so: see [`log`](super::log).
        statement: String,
        /// Who replaced it.
        by: String,
    },
    /// An admin had a decision taken off the record: the payloads of these records are gone, their hashes are not.
    DecisionRedacted {
        /// The decision.
        decision_id: DecisionId,
        /// The records.
        sequences: Vec<u64>,
        /// Why.
        reason: String,
        /// Who had it done.
        by: String,
        /// How they were authenticated.
        how: How,
    },
    /// Records that were older than the daemon keeps them (`--retain`) were taken away: those of this range that had a
    /// payload and that nothing open needs. Their hashes are kept.
    RecordsRetired {
        /// The first record of the range.
        first: u64,
        /// The last record of the range.
        last: u64,
        /// How many payloads of the range were taken away.
        count: u64,
        /// The root of the tree of all records up to the last of the range, in hex.
        root: Digest,
        /// What is older than this is not kept.
        before: Timestamp,
        /// The cursors that had not come as far as the last of the range: they were waited for, and then passed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        passed: Vec<Cursor>,
    },
    /// Calls that were refused since the last such record, in aggregate: a caller must not be able to fill the disk.
    CallsRefused {
        /// Calls without a valid credential.
        unauthenticated: u64,
        /// Calls whose identity may not call that method.
        permission_denied: u64,
    },
}

impl Event {
    /// The decision that this is about, if it is about one.
    pub fn decision_id(&self) -> Option<DecisionId> {
        match self {
            Self::Decision(decision) => Some(decision.decision_id),
            Self::ApprovalRequested { decision_id, .. }
            | Self::ApprovalEnded { decision_id, .. }
            | Self::Confirmed { decision_id, .. }
            | Self::ConfirmationCancelled { decision_id }
            | Self::ReplayDenied { decision_id, .. }
            | Self::Result { decision_id, .. }
            | Self::DecisionRedacted { decision_id, .. } => Some(*decision_id),
            Self::DaemonStarted { .. }
            | Self::DaemonStopped
            | Self::PolicyLoaded { .. }
            | Self::PolicyRejected { .. }
            | Self::TokenCreated { .. }
            | Self::TokenRevoked { .. }
            | Self::IdentitiesLoaded { .. }
            | Self::IdentitiesRejected { .. }
            | Self::DiskFull { .. }
            | Self::RecordRecovered { .. }
            | Self::LogStarted { .. }
            | Self::RecordsRetired { .. }
            | Self::LogKeyRotated { .. }
            | Self::CallsRefused { .. } => None,
        }
    }
}

/// How far somebody outside has followed the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Its name.
    pub name: String,
    /// Everything up to this sequence number is settled.
    pub sequence: u64,
}

/// The answer to a proposal, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// The decision's name.
    pub decision_id: DecisionId,
    /// Who proposed, as declared.
    pub actor: Actor,
    /// Who proposed, as authenticated.
    pub identity: IdentityRecord,
    /// The agent's session, or empty.
    pub session_id: String,
    /// Free labels of the caller.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// What was proposed, masked as the policy says.
    pub action: Action,
    /// The digest of what was proposed, unmasked.
    pub action_digest: Digest,
    /// Which parameters the policy masks, here and in what is reported later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redact: Vec<ParamPath>,
    /// Which parameters of this action are masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<ParamPath>,
    /// Digests of the masked parameters, keyed with the store's own secret: equal values of one store have equal
    /// digests, and nobody without the key can try values out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub masked_digests: BTreeMap<ParamPath, Digest>,
    /// The answer.
    pub outcome: Outcome,
    /// Why, for people.
    pub reason: String,
    /// How dangerous the policy says it is.
    pub risk_level: RiskLevel,
    /// What the policy asks for.
    pub approval: Approval,
    /// The rule that matched, or `<default>`.
    pub matched_rule: String,
    /// What the policy hands to the agent.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub constraints: Map<String, Value>,
    /// The policy that decided.
    pub policy_revision: Digest,
    /// The question put to reviewers, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// When the approval or the confirmation token ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The trace of the call, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
}

/// An identity as the record keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityRecord {
    /// Who it was.
    pub subject: String,
    /// How that was established.
    pub how: How,
    /// The groups that the credential named. Older records do not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The one actor that the credential may act for; any, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Who was at the other end of the connection. Older records do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
}

impl IdentityRecord {
    /// What the record keeps of a caller.
    pub fn of(caller: &Caller) -> Self {
        let identity = &caller.identity;
        Self {
            subject: identity.subject.to_string(),
            how: identity.how,
            groups: identity.groups.to_vec(),
            actor: identity.actor.as_deref().map(Into::into),
            peer: Some(caller.peer),
        }
    }
}
