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

mod cancel;
mod decision;
mod error;
mod evaluate;
mod follow;
mod generations;
mod held;
mod job;
mod masking;
mod notary;
mod policy_changes;
mod propose;
mod redact;
mod restore;
mod retain;
mod review;
mod secret;
#[cfg(test)]
mod tests;
mod tokens;
mod write;

use std::sync::Arc;
use std::time::Duration;

use self::held::Held;
use self::secret::StoreSecret;
use crate::approvals::Queue;
use crate::audit::record::Event;
use crate::audit::{Store, StoreError};
use crate::domain::{Clock, Digest, Timestamp};
use crate::limits::{Amount, Budget, QuotaLimits};

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
    /// How many questions may be open, and the bytes of their actions.
    pub pending: Amount,
    /// How many of them one caller may have.
    pub pending_per_caller: Amount,
    /// The part of what all callers may take that those without a credential may take together, in per cent.
    pub anonymous_share: u8,
    /// How many proposals are answered a second; 0 is as many as come.
    pub proposals_per_second: u32,
    /// How long an allowed action may go unreported before its result reads `unknown`.
    pub unreported_after: Duration,
    /// The user that the daemon runs as. Only processes of other users are kept from reviewing what they proposed.
    pub own_uid: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pending: Amount { count: 10_000, bytes: 64 << 20 },
            pending_per_caller: Amount { count: 1_000, bytes: 16 << 20 },
            anonymous_share: 50,
            proposals_per_second: 0,
            unreported_after: Duration::from_mins(10),
            own_uid: rustix::process::geteuid().as_raw(),
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
    secret: StoreSecret,
    pace: Budget,
    settings: Settings,
    held: Arc<Held>,
    /// One change of the policy at a time: what is compared is what is replaced.
    changing: tokio::sync::Mutex<()>,
}

impl Governor {
    /// Takes up where the record left off: puts the policy on the record, and the open questions back in the queue.
    /// Those whose time ran out meanwhile have ended by the time that this returns.
    ///
    /// Action keys, confirmation tokens and digests of masked values are derived from `store_key`: it must be the same
    /// after a restart. `flags` is what operators must know about this run, for the record.
    pub async fn start(
        store: Store,
        generations: Generations,
        clock: Arc<dyn Clock>,
        entropy: Entropy,
        store_key: [u8; 32],
        settings: Settings,
        flags: Vec<String>,
    ) -> Result<Self, StoreError> {
        let Settings { pending: total, pending_per_caller: per_caller, anonymous_share, own_uid, .. } = settings;
        let anonymous = total.percent(anonymous_share);
        let queue = Arc::new(Queue::new(QuotaLimits { total, anonymous, per_caller }));
        store
            .scan({
                let (queue, clock) = (Arc::clone(&queue), Arc::clone(&clock));
                move |reader| restore::fill(&queue, reader, clock.as_ref(), own_uid)
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
        let governor = Self {
            store,
            queue,
            generations: Arc::new(generations),
            tokens,
            clock,
            entropy,
            secret: StoreSecret::new(&store_key).ok_or(StoreError::Closed)?,
            pace: Budget::default(),
            settings,
            held: Arc::new(Held::new(anonymous_share)),
            changing: tokio::sync::Mutex::default(),
        };
        governor.expire_due().await?;
        Ok(governor)
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
}
