//! The job of a proposal: checks its conditions inside the transaction, and writes the decision.

use std::sync::Arc;
use std::time::Duration;

use super::decision::OnRecord;
use super::error::GovernanceError;
use super::held::Held;
use super::job::Refused;
use super::masking::Values;
use super::spending::Spending;
use crate::approvals::{Asked, Pending, Queue, QueueFull, Unmasked, UnmaskedCell, is_own, quota_key};
use crate::audit::record::{DecisionRecord, Event};
use crate::audit::row::{ConfirmationClosed, RowState};
use crate::audit::{Draft, Opening, Tx, TxError};
use crate::domain::{ApprovalId, Caller, DecisionId, Defence, Digest, Outcome, RecordId, Timestamp};
use crate::limits::{DiskLow, Growth, Share};
use crate::policy::Reached;

/// A decision that is ready to be written. Many may be queued, so the draft alone has all of a large one.
pub(super) struct Decided {
    pub(super) now: Timestamp,
    pub(super) caller: Caller,
    /// Without the action of a large decision, unless it may be written once more.
    pub(super) record: Arc<DecisionRecord>,
    /// Whether something of the action is masked.
    pub(super) has_masks: bool,
    /// The key that identifies the action.
    pub(super) action_key: Digest,
    pub(super) draft: Draft,
    pub(super) idempotency: Option<Idempotency>,
    /// The confirmation token of an earlier decision, if the policy requires one.
    pub(super) redeems: Option<String>,
    /// The question and its place in the queue, if there was a place.
    pub(super) question: Option<(Result<Share, QueueFull>, NewQuestion)>,
    /// The masked values, to find them in the report. Never stored.
    pub(super) values: Values,
    /// What it spends of limits if it is allowed.
    pub(super) spending: Spending,
    /// What callers may write when the disk runs low, and the uptime.
    pub(super) growth: (Arc<Growth>, Duration),
    /// Its share of the memory of writes that are under way.
    pub(super) _share: Share,
}

/// An idempotency key.
pub(super) struct Idempotency {
    /// The key as it was sent.
    pub(super) key: String,
    /// Its hash in the store.
    pub(super) hash: Digest,
}

/// A question that is ready to be written.
pub(super) struct NewQuestion {
    pub(super) approval_id: ApprovalId,
    pub(super) asked: Asked,
    pub(super) timeout_allows: bool,
    pub(super) deadline: Duration,
    pub(super) bytes: usize,
    pub(super) unmasked: Unmasked,
    pub(super) own_uid: u32,
}

/// The result of the job.
pub(super) enum Written {
    /// The decision is written.
    New(Box<OnRecord>),
    /// The same key has a decision already.
    Earlier(DecisionId),
    /// The same key has a decision that allows the action, but the policy now blocks it, for this reason.
    Blocked(DecisionId, String),
    /// Nothing is written: these limits are reached, and make the answer stricter.
    Reached(Vec<Reached>),
}

impl Decided {
    /// Runs in the transaction. All checks come first; after the first write, nothing refuses.
    pub(super) fn write(
        mut self,
        tx: &mut Tx<'_>,
        queue: Arc<Queue>,
        held: Arc<Held>,
    ) -> Result<Written, Refused<GovernanceError>> {
        if let Some(Idempotency { key, hash }) = &self.idempotency
            && let Some((_, state)) = tx.idempotent(*hash, self.now)?
        {
            if state.action_key != Some(self.action_key) {
                let (key, other) = (key.clone(), state.action_digest);
                return Err(Refused::By(GovernanceError::IdempotencyKeyReused { key, other }));
            }
            return self.replay(tx, &state);
        }
        let confirmed = self.redeem(tx)?;
        if let Some(reached) = self.check_limits(tx)? {
            return Ok(Written::Reached(reached));
        }
        let question = match self.question.take() {
            None => None,
            // A retry of a recorded proposal needs no place in the queue. So a full queue is an error only here.
            Some((Err(full), _)) => return Err(Refused::By(full.into())),
            Some((Ok(place), question)) => Some((place, question)),
        };

        // A retry of a recorded proposal writes nothing, so it needs no space either.
        let (growth, uptime) = &self.growth;
        growth.take(&quota_key(&self.record.identity), on_disk(self.draft.bytes()), *uptime).map_err(refused)?;
        if self.record.outcome == Outcome::Allow {
            self.spending.spend(tx, self.now)?;
        }
        let inserted = tx.insert_decision(self.draft)?;
        let decision_id = self.record.decision_id;
        if let Some((row, asked)) = confirmed {
            tx.append(self.now, &Event::Confirmed { decision_id: asked.decision_id, confirmed_by: decision_id })?;
            tx.update_row(row, &asked)?;
            let held = Arc::clone(&held);
            tx.after_commit(move || held.forget(asked.decision_id));
        }
        let decision = self.record;
        if let Some((place, question)) = question {
            let pending = question.pending(inserted.appended.record_id, self.now, &self.caller, decision.expires_at);
            let (_, uptime) = self.growth;
            tx.after_commit(move || queue.ask(pending, place, uptime));
        }
        // Keeps the values even if all are too short to search for: if the values were unknown, all text of the report
        // would be masked. A denied action has no report.
        if (self.has_masks || !self.values.is_empty()) && decision.outcome != Outcome::Deny {
            let key = quota_key(&decision.identity);
            tx.after_commit(move || held.keep(&key, decision_id, self.values));
        }
        let record_id = inserted.appended.record_id;
        let decision = Arc::unwrap_or_clone(decision);
        Ok(Written::New(Box::new(OnRecord::new(record_id, self.now, decision, inserted.state))))
    }

    /// Compares what it spends with the limits. Returns those that are reached and change the answer. An answer that
    /// allows says what is left.
    fn check_limits(&mut self, tx: &mut Tx<'_>) -> Result<Option<Vec<Reached>>, Refused<GovernanceError>> {
        if self.spending.is_empty() {
            return Ok(None);
        }
        let standings = self.spending.standings(tx, self.now)?;
        let (mut reached, mut left) = (Vec::new(), String::new());
        for standing in standings {
            match standing.reached {
                Some(limit) if standing.matters => reached.push(limit),
                Some(_) => {}
                None => left = format!("{left}; {}", standing.left),
            }
        }
        if !reached.is_empty() {
            return Ok(Some(reached));
        }
        if self.record.outcome == Outcome::Allow {
            let record = Arc::make_mut(&mut self.record);
            record.reason.push_str(&left);
            self.draft = Draft::new(self.now, &self.record, self.allowed()).map_err(TxError::from)?;
        }
        Ok(None)
    }

    /// The state of an action that is allowed now.
    fn allowed(&self) -> Opening {
        Opening {
            idempotency: self.idempotency.as_ref().map(|key| key.hash),
            action_key: Some(self.action_key),
            allowed_at: Some(self.now),
            spent: self.spending.spent(self.now),
            ..Opening::default()
        }
    }

    /// Handles a retry. An allowed, unreported action is allowed again, unless the policy now blocks it. That denial is
    /// recorded, and the earlier decision does not change, because its action may have run.
    fn replay(self, tx: &mut Tx<'_>, state: &RowState) -> Result<Written, Refused<GovernanceError>> {
        let decision_id = state.decision_id;
        let may_run = state.outcome_now() == Outcome::Allow && state.result.is_none();
        if !may_run || self.record.outcome != Outcome::Deny {
            return Ok(Written::Earlier(decision_id));
        }
        let (reason, policy_revision) = (self.record.reason.clone(), self.record.policy_revision);
        tx.append(self.now, &Event::ReplayDenied { decision_id, reason: reason.clone(), policy_revision })?;
        Ok(Written::Blocked(decision_id, reason))
    }

    /// Redeems the confirmation token, if there is one. This decision becomes ALLOW. Returns the changed row that asked
    /// for the confirmation.
    fn redeem(&mut self, tx: &mut Tx<'_>) -> Result<Option<(u64, RowState)>, Refused<GovernanceError>> {
        let Some(token) = self.redeems.take() else { return Ok(None) };
        let invalid = |why| Err(Refused::By(GovernanceError::ConfirmationInvalid(why)));
        let Some((row, mut asked)) = tx.row_by_confirmation(Digest::of(token.as_bytes()))? else {
            return invalid("is not one that this daemon sent");
        };
        if asked.redacted.is_some() {
            return invalid("belongs to a decision that was redacted");
        }
        if !is_own(&tx.decision_record(&asked)?.identity, &self.caller) {
            return invalid("was sent to another caller");
        }
        let Some(confirmation) = &mut asked.confirmation else {
            return invalid("is not one that this daemon sent");
        };
        match confirmation.closed {
            Some(ConfirmationClosed::Redeemed(_)) => return invalid("was already used: each token works once"),
            Some(ConfirmationClosed::Cancelled) => return invalid("was withdrawn together with its proposal"),
            None if confirmation.expires_at <= self.now => {
                return invalid("has expired: propose again to get a new one");
            }
            None => {}
        }
        if asked.action_key != Some(self.action_key) {
            return invalid(
                "belongs to another action: type, target, params, description, actor and session must be the same",
            );
        }
        confirmation.closed = Some(ConfirmationClosed::Redeemed(self.record.decision_id));

        let record = Arc::make_mut(&mut self.record);
        record.outcome = Outcome::Allow;
        record.expires_at = None;
        record.reason = format!("the agent's user confirmed {}", asked.decision_id);
        self.draft = Draft::new(self.now, &self.record, self.allowed()).map_err(TxError::from)?;
        Ok(Some((row, asked)))
    }
}

impl NewQuestion {
    fn pending(self, record_id: RecordId, now: Timestamp, caller: &Caller, expires_at: Option<Timestamp>) -> Pending {
        Pending {
            approval_id: self.approval_id,
            decision: self.asked,
            record_id,
            bytes: self.bytes,
            unmasked: UnmaskedCell::new(self.unmasked),
            connection: Some(caller.connection),
            requested_at: now,
            expires_at: expires_at.unwrap_or(now),
            deadline: self.deadline,
            timeout_allows: self.timeout_allows,
            is_missed: false,
            own_uid: self.own_uid,
        }
    }
}

/// About how many bytes of the disk records of this size take, with their rows and indexes.
pub(super) fn on_disk(bytes: usize) -> u64 {
    2 * bytes as u64 + 2048
}

/// How many times as many bytes as its content a call may write.
const MAX_GROWTH: usize = 3;
/// What every record takes beside the content of its call.
const GROWTH_ALLOWANCE: usize = 16 << 10;

/// Refuses a call that would write much more than its content. `sent` and `recorded` are in bytes.
pub(super) fn check_growth(field: &'static str, sent: usize, recorded: usize) -> Result<(), GovernanceError> {
    if recorded <= sent.saturating_mul(MAX_GROWTH).saturating_add(GROWTH_ALLOWANCE) || !Defence::CallGrowth.on() {
        return Ok(());
    }
    Err(GovernanceError::TooMuchGrowth { field, sent, recorded })
}

/// The refusal of a write for lack of space.
pub(super) fn refused(low: DiskLow) -> Refused<GovernanceError> {
    Refused::By(low.into())
}
