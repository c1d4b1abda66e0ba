//! [`Record`]: an entry of the log for each event, and its canonical JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::{
    Action, Actor, Approval, ApprovalId, Caller, DecisionId, Digest, Ending, HaltScope, How, Mark, Outcome, ParamPath,
    ParamsError, Peer, RecordId, Report, RiskLevel, Role, Timestamp, TokenId, Verdict, canonical_json,
};

/// The version of the record's JSON. A reader refuses any other version.
pub const RECORD_VERSION: u32 = 1;

/// One entry of the append-only record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// Its sequence number in the log: from 1, without gaps.
    pub sequence: u64,
    /// Its name.
    pub record_id: RecordId,
    /// When it was written, by the wall clock.
    pub time: Timestamp,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

impl Record {
    /// The record as RFC 8785 JSON, which is stored and hashed.
    pub fn to_canonical(&self) -> Result<Vec<u8>, ParamsError> {
        canonical_json(self)
    }
}

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The daemon started.
    DaemonStarted {
        /// The version of the program.
        program: String,
        /// Flags of this run: `dev`, `relaxed-durability`.
        flags: Vec<String>,
    },
    /// The daemon stopped normally.
    DaemonStopped,
    /// A policy came into force.
    PolicyLoaded {
        /// Its revision.
        revision: Digest,
        /// The names of its layers, lowest first.
        layers: Vec<String>,
        /// Who changed it: the subject that called `UpdatePolicy`, or empty if the daemon read it from files.
        #[serde(default)]
        by: String,
        /// The comment of the update.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        comment: String,
    },
    /// A changed policy was refused. The previous one stays in force.
    PolicyRejected {
        /// The revision that stays in force.
        kept: Digest,
        /// The findings, one entry for each, bounded.
        errors: Vec<String>,
    },
    /// A proposal was answered.
    Decision(Box<DecisionRecord>),
    /// The daemon asked reviewers.
    ApprovalRequested {
        /// The question.
        approval_id: ApprovalId,
        /// The decision that waits for it.
        decision_id: DecisionId,
        /// When it expires.
        expires_at: Timestamp,
        /// Whether the action may run if nobody answers.
        timeout_allows: bool,
    },
    /// An approval ended: by a reviewer, its deadline, the policy or its proposer.
    ApprovalEnded {
        /// The question.
        approval_id: ApprovalId,
        /// The decision that waited for it.
        decision_id: DecisionId,
        /// How, by whom, when and why.
        ending: Ending,
        /// How the person who ended it was authenticated.
        how: Option<How>,
        /// The revision in force when it ended.
        policy_revision: Digest,
        /// The vote of the reviewer, if it was one that ended the approval. Older records do not have it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vote: Option<VoteRecord>,
    },
    /// The agent's own user confirmed: a second proposal redeemed the token.
    Confirmed {
        /// The decision that asked for confirmation.
        decision_id: DecisionId,
        /// The decision that redeemed the token.
        confirmed_by: DecisionId,
    },
    /// The proposer withdrew a confirmation.
    ConfirmationCancelled {
        /// The decision that asked for confirmation.
        decision_id: DecisionId,
        /// Why, in the proposer's words; empty if it gave no reason.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// The daemon denied a retry with the idempotency key of an allowed, unreported action, because the policy now
    /// blocks it. The earlier decision does not change, because its action may have run.
    ReplayDenied {
        /// The decision that allowed the action.
        decision_id: DecisionId,
        /// Why, for people.
        reason: String,
        /// The policy that blocks it.
        policy_revision: Digest,
    },
    /// An agent reported the result of an action.
    Result {
        /// The decision that allowed the action.
        decision_id: DecisionId,
        /// The result.
        report: Report,
        /// Which values of the report are masked.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        masked: Vec<ParamPath>,
        /// Where each placeholder of the report stands.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        marks: Vec<Mark>,
    },
    /// An admin created a token. The record does not contain its hash: only the store needs it.
    TokenCreated {
        /// The token.
        token_id: TokenId,
        /// The name of its holder, as on the record.
        subject: String,
        /// What its holder may do.
        roles: Vec<Role>,
        /// The one actor that its holder may act for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        actor: Option<String>,
        /// When it expires.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        /// Who created it.
        by: String,
    },
    /// An admin revoked a token.
    TokenRevoked {
        /// The token.
        token_id: TokenId,
        /// Who held it.
        subject: String,
        /// Who revoked it; empty if the restore of a backup did.
        by: String,
        /// When, if that was earlier than this record: the record could not be written then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
    },
    /// An identities file came into force.
    IdentitiesLoaded {
        /// The SHA-256 over the file and every file that it names.
        revision: Digest,
    },
    /// A changed identities file, or a file that it names, was refused. The previous one stays in force.
    IdentitiesRejected {
        /// The findings, one entry for each, bounded.
        errors: Vec<String>,
    },
    /// The disk is full. The store used its reserve to write this record, and writes nothing else until there is space
    /// again.
    DiskFull {
        /// When writing first failed.
        since: Timestamp,
    },
    /// The record can be written again after a fault.
    RecordRecovered {
        /// When the fault began.
        since: Timestamp,
        /// The last error of the fault.
        why: String,
    },
    /// The record was restored from a backup. What was recorded after the backup is not on this record, although it was
    /// acknowledged and may have been signed.
    RecordRestored {
        /// When the backup was made.
        made_at: Timestamp,
        /// The last record of the backup.
        last_sequence: u64,
        /// The root of the tree of all records up to it, in hex.
        root: Digest,
    },
    /// The wall clock jumped, or was set back while the daemon was not running.
    ClockJumped {
        /// The time that it should have shown, or that of the last record.
        before: Timestamp,
        /// The time that it showed.
        after: Timestamp,
    },
    /// The log got its name and its first signing key.
    LogStarted {
        /// Its name, the origin of its checkpoints.
        origin: String,
        /// The verifier key (c2sp.org/signed-note).
        key: String,
    },
    /// This log continues for another one, whose private key is lost: nothing can be signed in its name any more.
    LogSucceeds {
        /// The name of the other log.
        origin: String,
        /// The verifier key that signed it last.
        key: String,
        /// Its last record.
        last_sequence: u64,
        /// The root of the tree of all its records, in hex.
        root: Digest,
    },
    /// An admin replaced the signing key. The new key signs every checkpoint that covers this record.
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
    /// An admin redacted a decision: the payloads of these records are removed, their hashes are kept.
    DecisionRedacted {
        /// The decision.
        decision_id: DecisionId,
        /// The records.
        sequences: Vec<u64>,
        /// Why.
        reason: String,
        /// Who requested it.
        by: String,
        /// How they were authenticated.
        how: How,
    },
    /// Retention (`--retain`) removed the payloads of old records in this range, except those that something open still
    /// needs. Their hashes are kept.
    RecordsRetired {
        /// The first record of the range.
        first: u64,
        /// The last record of the range.
        last: u64,
        /// How many payloads were removed.
        count: u64,
        /// The root of the tree of all records up to the last of the range, in hex.
        root: Digest,
        /// Records older than this are not kept.
        before: Timestamp,
        /// The cursors that had not reached the end of the range. Retention waited for them and then continued.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        passed: Vec<Cursor>,
    },
    /// An admin set the counts of a limit back to nothing.
    LimitReset {
        /// The name of the limit.
        limit: String,
        /// The count, if it was one only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<Digest>,
        /// How many counts that were.
        counts: u64,
        /// Who reset them.
        by: String,
    },
    /// An admin halted somebody: their proposals are denied from then on.
    Halted {
        /// Whom.
        scope: HaltScope,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        /// Who halted them.
        by: String,
        /// When, if that was earlier than this record: the record could not be written then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
    },
    /// An admin ended a halt.
    Resumed {
        /// Whom it was about.
        scope: HaltScope,
        /// Who ended it.
        by: String,
    },
    /// The number of refused calls since the last such record. They are counted, not recorded one by one, so that a
    /// caller cannot fill the disk.
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
            | Self::ConfirmationCancelled { decision_id, .. }
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
            | Self::RecordRestored { .. }
            | Self::ClockJumped { .. }
            | Self::LogStarted { .. }
            | Self::LogSucceeds { .. }
            | Self::RecordsRetired { .. }
            | Self::LogKeyRotated { .. }
            | Self::LimitReset { .. }
            | Self::Halted { .. }
            | Self::Resumed { .. }
            | Self::CallsRefused { .. } => None,
        }
    }
}

/// The position of a consumer outside the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Its name.
    pub name: String,
    /// Everything up to this sequence number is settled.
    pub sequence: u64,
}

/// A decision: the whole answer to a proposal.
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
    /// Labels that the caller chose.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// The proposed action, masked as the policy says.
    pub action: Action,
    /// The digest of the unmasked action.
    pub action_digest: Digest,
    /// Which parameters the policy masks, in the action and in its report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redact: Vec<ParamPath>,
    /// Which parameters of this action are masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<ParamPath>,
    /// Keyed digests of the masked parameters. In one store, equal values have equal digests. Without the store's
    /// secret key nobody can guess values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub masked_digests: BTreeMap<ParamPath, Digest>,
    /// Where each placeholder stands. Text that looks like a placeholder and has no mark was sent so. Older records
    /// have no marks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// The answer.
    pub outcome: Outcome,
    /// Why, for people.
    pub reason: String,
    /// The risk level that the policy gives it.
    pub risk_level: RiskLevel,
    /// The approval that the policy requires.
    pub approval: Approval,
    /// The rule that matched, or `<default>`.
    pub matched_rule: String,
    /// Obligations of the agent, from the policy.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub constraints: Map<String, Value>,
    /// The policy that decided.
    pub policy_revision: Digest,
    /// The approval that it waits for, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// When the approval or the confirmation token expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The trace id of the call, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
    /// Whether the daemon runs the action when it is allowed, and reports its result. The proposer reports nothing
    /// then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executes: bool,
    /// The limits that the action would have exceeded, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// Whether the proposer was halted: the policy was not asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub halted: bool,
}

/// A reviewer's vote, as on the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteRecord {
    /// What the reviewer decided.
    pub verdict: Verdict,
    /// The reviewer.
    pub by: IdentityRecord,
    /// The reason that the reviewer gave.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The digest of the action that the reviewer saw.
    pub action_digest: Digest,
}

/// An identity, as on the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityRecord {
    /// Who it was.
    pub subject: String,
    /// How it was authenticated.
    pub how: How,
    /// The groups that the credential named. Older records do not have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The one actor that the credential may act for; `None` means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The peer of the connection. Older records do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
}

impl IdentityRecord {
    /// The identity of a caller, for the record.
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
