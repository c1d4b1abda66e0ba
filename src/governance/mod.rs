//! The pipeline: propose -> decide -> record -> (ask) -> answer. This floor owns the order of things.
//!
//! Every change of state is one job for the record's writer ([`Store::transact`]): it checks what must still hold,
//! writes the records and the state they change, and only when that is durable changes what is in memory ([`Queue`],
//! [`Generations`]) and answers. Because there is one writer, jobs have an order, that of their arrival: of two
//! reviewers one is first, and an approval is decided under the policy that is in force when its turn comes. A proposal
//! is decided when it comes in: its record names the policy that decided, which may be the one before the
//! `policy_loaded` that stands just above it.
//!
//! Beside the pipeline: the [`Notary`] signs for the log; decisions are redacted, and old records retired.

mod answer;
mod error;
mod evaluate;
mod follow;
mod generations;
mod masking;
mod notary;
mod pace;
mod policy_changes;
mod propose;
mod redact;
mod retain;
mod review;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _};
use sha2::Sha256;

use crate::approvals::{Pending, Queue, SlotLimits};
use crate::audit::record::Event;
use crate::audit::row::AuditRow;
use crate::audit::{Reader, Store, StoreError};
use crate::domain::{Caller, Clock, Digest, How, Timestamp};

pub use answer::Answer;
pub use error::GovernanceError;
pub use evaluate::{Evaluated, Hypothesis};
pub use generations::{Generation, Generations, PolicySource, PolicyState, Rejection};
pub use notary::{Issued, KeyFileError, KeyFiles, Notary, NotaryError, Rotated};
pub use policy_changes::{Reload, watch_policy_files};
pub use propose::Propose;
pub use redact::Redacted;
pub use review::Verdict;
pub use tokens::{MadeToken, NewToken, Tokens};

/// What an operator may choose about governance.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many questions may be open.
    pub slots: SlotLimits,
    /// How many proposals are answered a second; 0 is as many as come.
    pub proposals_per_second: u32,
    /// How long an allowed action may go unreported before its result reads `unknown`.
    pub unreported_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slots: SlotLimits { total: 10_000, per_caller: 1_000 },
            proposals_per_second: 0,
            unreported_after: Duration::from_mins(10),
        }
    }
}

/// Where random bytes come from: [`getrandom::fill`], but for tests.
pub type Entropy = fn(&mut [u8]) -> Result<(), getrandom::Error>;

/// Governs: answers proposals, puts questions to reviewers, takes their answers, keeps all of it on the record.
pub struct Governor {
    store: Store,
    queue: Arc<Queue>,
    generations: Arc<Generations>,
    tokens: Arc<Tokens>,
    clock: Arc<dyn Clock>,
    entropy: Entropy,
    /// Keyed with the store's own secret: for confirmation tokens, and for digests of what is masked.
    store_mac: Hmac<Sha256>,
    pace: pace::Pace,
    settings: Settings,
    held: Arc<Mutex<masking::Held>>,
    /// One change of the policy at a time: what is compared is what is replaced.
    changing: tokio::sync::Mutex<()>,
}

impl Governor {
    /// Takes up where the record left off: puts the policy on the record, and the open questions back in the queue.
    ///
    /// Confirmation tokens and digests of masked values are derived from `store_key`: it must be the same after a
    /// restart. `flags` is what operators must know about this run, for the record.
    pub async fn start(
        store: Store,
        generations: Generations,
        clock: Arc<dyn Clock>,
        entropy: Entropy,
        store_key: [u8; 32],
        settings: Settings,
        flags: Vec<String>,
    ) -> Result<Self, StoreError> {
        let queue = Arc::new(Queue::new(settings.slots));
        let (pending, tokens) = store.scan(|reader| Ok((reader.pending()?, reader.tokens()?))).await?;
        for (_, row) in pending {
            if let Some(pending) = restored(row, clock.as_ref()) {
                let caller = restored_slot_key(&pending);
                queue.restore(pending, &caller);
            }
        }
        let tokens = Arc::new(Tokens::new(tokens));
        let generation = generations.current();
        let now = clock.now();
        let program = env!("CARGO_PKG_VERSION").to_owned();
        store
            .transact(move |tx| {
                tx.append(now, &Event::DaemonStarted { program, flags })?;
                policy_changes::record_loaded(tx, now, &generation.policy, String::new())
            })
            .await?;
        Ok(Self {
            store,
            queue,
            generations: Arc::new(generations),
            tokens,
            clock,
            entropy,
            store_mac: Hmac::new_from_slice(&store_key).map_err(|_| StoreError::Closed)?,
            pace: pace::Pace::new(settings.proposals_per_second),
            settings,
            held: Arc::default(),
            changing: tokio::sync::Mutex::default(),
        })
    }

    /// Puts the end of this run on the record.
    pub async fn stop(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.store.transact(move |tx| tx.append(now, &Event::DaemonStopped).map(drop)).await
    }

    /// Puts calls that were refused on the record, in aggregate.
    pub async fn record_refusals(&self, unauthenticated: u64, permission_denied: u64) -> Result<(), StoreError> {
        let now = self.clock.now();
        let event = Event::CallsRefused { unauthenticated, permission_denied };
        self.store.transact(move |tx| tx.append(now, &event).map(drop)).await
    }

    /// Says on the record which file of identities is in force.
    pub async fn record_identities(&self, revision: Digest) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.store.transact(move |tx| tx.append(now, &Event::IdentitiesLoaded { revision }).map(drop)).await
    }

    /// Says on the record that a changed file of identities was not taken.
    pub async fn record_identities_rejected(&self, mut errors: Vec<String>) -> Result<(), StoreError> {
        errors.truncate(policy_changes::FINDINGS_RECORDED);
        let now = self.clock.now();
        self.store.transact(move |tx| tx.append(now, &Event::IdentitiesRejected { errors }).map(drop)).await
    }

    /// The open questions.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// The record.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The policy in force.
    pub fn generations(&self) -> &Arc<Generations> {
        &self.generations
    }

    /// The tokens that admins made.
    pub fn tokens(&self) -> &Arc<Tokens> {
        &self.tokens
    }

    /// The clocks.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The wall clock, as decisions see it.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How long an allowed action may go unreported before its result reads `unknown`.
    pub fn unreported_after(&self) -> Duration {
        self.settings.unreported_after
    }

    /// Brings the queue in step with the store: after a fault, what was reported as failed may be written after all.
    ///
    /// Done in the writer's turn, like every other change of the queue: nothing can be decided between look and change.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let (queue, clock) = (Arc::clone(&self.queue), Arc::clone(&self.clock));
        let tokens = Arc::clone(&self.tokens);
        let (tell, told) = std::sync::mpsc::channel();
        self.store
            .transact(move |tx| {
                tx.after_commit_look(move |reader| {
                    // Whoever asked waits for this answer.
                    let _ = tell.send(reader.and_then(|reader| reconcile(&reader, &queue, &tokens, clock.as_ref())));
                });
                Ok(())
            })
            .await?;
        told.recv().map_err(|_| StoreError::Closed)?
    }

    /// Random bytes for an id.
    fn random(&self) -> Result<[u8; 10], GovernanceError> {
        let mut bytes = [0; 10];
        (self.entropy)(&mut bytes)?;
        Ok(bytes)
    }

    /// What somebody says, without what looks like a secret in it.
    fn without_secrets(&self, text: &str) -> String {
        let generation = self.generations.current();
        let masked = generation.policy.secrets().mask_text(text, &mut Vec::new());
        masked.unwrap_or_else(|| text.to_owned())
    }

    fn held(&self) -> std::sync::MutexGuard<'_, masking::Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends in the queue what has ended in the store, and puts back what is open there; knows the tokens that are there.
fn reconcile(reader: &Reader, queue: &Queue, tokens: &Tokens, clock: &dyn Clock) -> Result<(), StoreError> {
    tokens.replace(reader.tokens()?);
    for pending in queue.page(None, usize::MAX, |_| true) {
        let row = reader.by_approval(pending.approval_id)?;
        if let Some(ending) = row.and_then(|row| row.state.approval?.ending) {
            queue.end(pending.approval_id, ending);
        }
    }
    for (approval_id, row) in reader.pending()? {
        if queue.get(approval_id).is_none()
            && let Some(pending) = restored(row, clock)
        {
            let caller = restored_slot_key(&pending);
            queue.restore(pending, &caller);
        }
    }
    Ok(())
}

/// Whose place in the queue a question takes: an authenticated subject's, or one connection's.
fn slot_key(caller: &Caller) -> String {
    if caller.identity.is_authenticated() {
        format!("subject {}", caller.identity.subject)
    } else {
        format!("connection {}", caller.connection.0)
    }
}

/// Whose place a question takes that the store held: connections do not outlive their daemon, subjects do.
fn restored_slot_key(pending: &Pending) -> String {
    match pending.how {
        How::Anonymous => "earlier connections".to_owned(),
        _ => format!("subject {}", pending.subject),
    }
}

/// An open question of the store, as the queue holds it. What was masked is gone.
fn restored(row: AuditRow, clock: &dyn Clock) -> Option<Pending> {
    let AuditRow { time, decision, state, .. } = row;
    let approval = state.approval?;
    // Never longer than it had at first: a wall clock that was put back must not keep a question open.
    let left = approval.expires_at.duration_since(clock.now()).min(approval.expires_at.duration_since(time));
    let left = Duration::try_from(left).unwrap_or_default();
    Some(Pending {
        approval_id: approval.approval_id,
        decision_id: decision.decision_id,
        masked_action: None,
        metadata: decision.metadata.clone(),
        lost: decision.masked.clone(),
        masked: decision.masked,
        proposal: crate::domain::Proposal {
            actor: decision.actor,
            action: decision.action,
            session_id: decision.session_id,
            metadata: decision.metadata,
            trace_id: decision.trace_id,
        },
        subject: decision.identity.subject.into(),
        how: decision.identity.how,
        bound_actor: decision.identity.actor.map(Into::into),
        action_digest: decision.action_digest,
        matched_rule: decision.matched_rule,
        reason: decision.reason,
        risk_level: decision.risk_level,
        policy_revision: decision.policy_revision,
        requested_at: time,
        expires_at: approval.expires_at,
        deadline: clock.uptime().saturating_add(left),
        timeout_allows: approval.timeout_allows,
    })
}
