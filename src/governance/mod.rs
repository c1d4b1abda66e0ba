//! The pipeline: propose -> decide -> record -> (ask) -> answer. This floor owns the order of things.
//!
//! Every change of state is one job for the record's writer ([`Store::transact`]): it checks what must still hold, writes the
//! records and the state they change, and only when that is durable changes what is in memory ([`Queue`],
//! [`Generations`]) and answers. Because there is one writer, jobs have an order: of two reviewers one is first, and an
//! approval is decided under the policy that is in force when its turn comes. A proposal is decided when it comes in: its
//! record names the policy that decided, which may be the one before the `policy_loaded` that stands just above it.
//!
//! Beside the pipeline: the [`Notary`] signs for the log; decisions are redacted, and old records retired.

mod cancel;
mod decision;
mod error;
mod evaluate;
mod follow;
mod generations;
mod job;
mod masking;
mod notary;
mod pace;
mod policy_changes;
mod propose;
mod redact;
mod restore;
mod retain;
mod review;
#[cfg(test)]
mod tests;
mod tokens;
mod write;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _};
use sha2::Sha256;

use crate::approvals::{Queue, SlotLimits};
use crate::audit::record::Event;
use crate::audit::{Store, StoreError};
use crate::domain::{Caller, Clock, Digest, Timestamp};

pub use error::GovernanceError;
pub use evaluate::{Evaluated, Hypothesis};
pub use generations::{Generation, Generations, PolicySource, PolicyState, Rejection};
pub use notary::{Issued, KeyFileError, KeyFiles, Notary, NotaryError, Rotated};
pub use policy_changes::{Reload, watch_policy_files};
pub use propose::Propose;
pub use redact::Redacted;
pub use review::Voted;
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
    /// Confirmation tokens and digests of masked values are derived from `store_key`: it must be the same after a restart.
    /// `flags` is what operators must know about this run, for the record.
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
        store
            .scan({
                let (queue, clock) = (Arc::clone(&queue), Arc::clone(&clock));
                move |reader| restore::fill(&queue, reader, clock.as_ref())
            })
            .await?;
        let tokens = Arc::new(Tokens::new(store.scan(|reader| reader.tokens()).await?));
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

/// Whose place in the queue a question takes: an authenticated subject's, or one connection's.
fn slot_key(caller: &Caller) -> String {
    if caller.identity.is_authenticated() {
        format!("subject {}", caller.identity.subject)
    } else {
        format!("connection {}", caller.connection.0)
    }
}
