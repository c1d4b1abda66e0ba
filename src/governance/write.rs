//! The writer's part of a proposal: what must still hold in its turn, and what is written then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};

use super::GovernanceError;
use super::decision::OnRecord;
use super::job::Refused;
use super::masking;
use crate::approvals::{Pending, Queue, QueueFull, Slot, Unmasked};
use crate::audit::record::{DecisionRecord, Event};
use crate::audit::row::{ConfirmationClosed, RowState};
use crate::audit::{Draft, Opening, Tx, TxError};
use crate::domain::{ApprovalId, DecisionId, Digest, Outcome, Report, ResultStatus, Timestamp};

/// A decision on its way to the record.
pub(super) struct Decided {
    pub(super) now: Timestamp,
    pub(super) record: DecisionRecord,
    pub(super) draft: Draft,
    pub(super) idempotency: Option<Idempotency>,
    /// The token of an earlier decision, where the policy asks for one.
    pub(super) redeems: Option<String>,
    pub(super) question: Option<NewQuestion>,
    /// What the policy masks: looked for in what is reported later. Never stored.
    pub(super) values: masking::Values,
}

/// The key that makes a retry safe.
pub(super) struct Idempotency {
    /// As it was sent.
    pub(super) key: String,
    /// What the store knows it by.
    pub(super) hash: Digest,
}

/// A question on its way to reviewers.
pub(super) struct NewQuestion {
    pub(super) approval_id: ApprovalId,
    /// Taken before the writer's turn; a retry of a proposal that is on the record needs none.
    pub(super) slot: Result<Slot, QueueFull>,
    pub(super) timeout_allows: bool,
    pub(super) deadline: Duration,
    /// The parameters that hold something masked, as they were sent.
    pub(super) unmasked: Map<String, Value>,
}

/// What the writer made of a decision.
pub(super) enum Written {
    /// It is on the record.
    New(Box<OnRecord>),
    /// The same key has a decision already.
    Earlier(DecisionId),
}

impl Decided {
    /// The writer's part. Everything is checked first; from the first write on, nothing refuses.
    pub(super) fn write(
        mut self,
        tx: &mut Tx<'_>,
        queue: Arc<Queue>,
        held: Arc<Mutex<masking::Held>>,
    ) -> Result<Written, Refused<GovernanceError>> {
        if let Some(Idempotency { key, hash }) = &self.idempotency
            && let Some((_, state)) = tx.idempotent(*hash, self.now)?
        {
            if state.action_digest == self.record.action_digest {
                return Ok(Written::Earlier(state.decision_id));
            }
            let (key, other) = (key.clone(), state.action_digest);
            return Err(Refused::By(GovernanceError::IdempotencyKeyReused { key, other }));
        }
        let confirmed = self.redeem(tx)?;
        let question = match self.question.take() {
            None => None,
            Some(NewQuestion { slot: Err(full), .. }) => return Err(Refused::By(full.into())),
            Some(NewQuestion { slot: Ok(slot), approval_id, timeout_allows, deadline, unmasked }) => {
                Some((slot, approval_id, timeout_allows, deadline, unmasked))
            }
        };

        let inserted = tx.insert_decision(self.draft)?;
        let decision_id = self.record.decision_id;
        if let Some((row, asked)) = confirmed {
            tx.append(self.now, &Event::Confirmed { decision_id: asked.decision_id, confirmed_by: decision_id })?;
            tx.update_row(row, &asked)?;
        }
        let decision = Arc::new(self.record);
        if let Some((slot, approval_id, timeout_allows, deadline, unmasked)) = question {
            let pending = Pending {
                approval_id,
                decision: Arc::clone(&decision),
                unmasked: if decision.masked.is_empty() { Unmasked::Nothing } else { Unmasked::Known(unmasked) },
                requested_at: self.now,
                expires_at: decision.expires_at.unwrap_or(self.now),
                deadline,
                timeout_allows,
            };
            tx.after_commit(move || queue.add(pending, slot));
        }
        // Even where none is long enough to be looked for: what is unknown has to be masked whole.
        if !self.values.is_empty() || !decision.masked.is_empty() {
            tx.after_commit(move || {
                held.lock().unwrap_or_else(PoisonError::into_inner).keep(decision_id, self.values);
            });
        }
        let record_id = inserted.appended.record_id;
        Ok(Written::New(Box::new(OnRecord { record_id, time: self.now, decision, state: inserted.state })))
    }

    /// Redeems the token, if there is one: this decision becomes ALLOW, and the row that asked for the confirmation is
    /// returned as it must be written.
    fn redeem(&mut self, tx: &mut Tx<'_>) -> Result<Option<(u64, RowState)>, Refused<GovernanceError>> {
        let Some(token) = self.redeems.take() else { return Ok(None) };
        let invalid = |why| Err(Refused::By(GovernanceError::ConfirmationInvalid(why)));
        let Some((row, mut asked)) = tx.row_by_confirmation(Digest::of(token.as_bytes()))? else {
            return invalid("is not one that this daemon sent");
        };
        if asked.redacted.is_some() {
            return invalid("belongs to a decision that was redacted");
        }
        if tx.decision_record(&asked)?.identity != self.record.identity {
            return invalid("was sent to another caller");
        }
        let Some(confirmation) = &mut asked.confirmation else {
            return invalid("is not one that this daemon sent");
        };
        match confirmation.closed {
            Some(ConfirmationClosed::Redeemed(_)) => return invalid("was used already: each works once"),
            Some(ConfirmationClosed::Cancelled) => return invalid("was withdrawn with its proposal"),
            None if confirmation.expires_at <= self.now => {
                return invalid("has expired: propose again to get a new one");
            }
            None => {}
        }
        if asked.action_digest != self.record.action_digest {
            return invalid(
                "belongs to another action: type, target, params, description, actor and session must be the same",
            );
        }
        confirmation.closed = Some(ConfirmationClosed::Redeemed(self.record.decision_id));

        self.record.outcome = Outcome::Allow;
        self.record.expires_at = None;
        self.record.reason = format!("the agent's user confirmed {}", asked.decision_id);
        let opening = Opening {
            idempotency: self.idempotency.as_ref().map(|key| key.hash),
            allowed_at: Some(self.now),
            ..Opening::default()
        };
        self.draft = Draft::new(self.now, &self.record, opening).map_err(TxError::from)?;
        Ok(Some((row, asked)))
    }
}

/// A result that the daemon itself settles.
pub(super) fn settled(status: ResultStatus, error: &str) -> Report {
    Report { status, data: None, error: error.to_owned(), started_at: None, completed_at: None }
}
