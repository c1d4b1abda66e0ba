//! The start and the end of a run, and the records about the run itself.

use std::sync::Arc;

use super::clock_state::{ClockState, Clocks};
use super::generations::{Generation, Generations};
use super::governor::{Entropy, Governor, PreviousRun, Settings};
use super::halts::Halts;
use super::held::Held;
use super::policy_changes::{By, FINDINGS_RECORDED, record_loaded};
use super::restore::fill;
use super::secret::StoreSecret;
use super::spending::Spender;
use super::tokens::Tokens;
use super::unrecorded::Unrecorded;
use crate::approvals::Queue;
use crate::audit::record::Event;
use crate::audit::{Reader, Store, StoreError};
use crate::domain::{Clock, Digest};
use crate::limits::{Amount, Budget, Growth, Quota, QuotaLimits};

/// The limit of writes that are under way, and of the bytes of their records.
const WRITES: Amount = Amount { count: 100_000, bytes: 48 << 20 };

impl Governor {
    /// Starts a run: records the policy and loads the open questions into the queue. Questions that expired meanwhile
    /// have ended when this returns.
    ///
    /// Action keys, confirmation tokens and digests of masked values are derived from `store_key`, which must be the
    /// same after a restart. `flags` go on the record, for operators.
    pub async fn start(
        store: Store,
        generations: Generations,
        clock: Arc<dyn Clock>,
        entropy: Entropy,
        store_key: [u8; 32],
        settings: Settings,
        flags: Vec<String>,
    ) -> Result<Self, StoreError> {
        let started = Clocks::read(&*clock);
        let Settings { pending: total, pending_per_caller: per_caller, anonymous_share, own_uid, .. } = settings;
        let anonymous = total.percent(anonymous_share);
        let queue = Arc::new(Queue::new(QuotaLimits { total, anonymous, per_caller }, Arc::clone(&settings.metrics)));
        store
            .scan_at_start({
                let (queue, clock) = (Arc::clone(&queue), Arc::clone(&clock));
                move |reader| fill(&queue, reader, clock.as_ref(), own_uid, &Unrecorded::default())
            })
            .await?;
        let halts = Arc::new(Halts::new(store.scan_at_start(Reader::halts).await?));
        let tokens = Arc::new(Tokens::new(store.scan_at_start(Reader::tokens).await?));
        let first = generations.current();
        let now = clock.now();
        let gap = store.scan(Reader::clock_gap).await?;
        let program = env!("CARGO_PKG_VERSION").to_owned();
        let previous = store
            .scan(|reader| {
                let last = reader.last_sequence()?;
                Ok(PreviousRun::of(&reader.records(last.saturating_sub(PreviousRun::RECORDS), usize::MAX)?))
            })
            .await?;
        let policy = Arc::clone(&first.policy);
        let comment = store
            .transact(move |tx| {
                tx.append(now, &Event::DaemonStarted { program, flags })?;
                record_loaded(tx, now, &policy, By::default())
            })
            .await?;
        generations.install(Generation { policy: Arc::clone(&first.policy), loaded_at: first.loaded_at, comment });
        let secret = StoreSecret::new(&store_key).ok_or(StoreError::Closed)?;
        let governor = Self {
            store,
            queue,
            generations: Arc::new(generations),
            tokens,
            clock,
            entropy,
            spender: Spender::new(secret.clone(), settings.limit_counts, anonymous_share),
            secret,
            halts,
            pace: Budget::default(),
            growth: Arc::new(Growth::new(settings.growth)),
            writes: Quota::new(QuotaLimits {
                total: WRITES,
                anonymous: WRITES.percent(anonymous_share),
                per_caller: WRITES.percent(50),
            }),
            settings,
            held: Arc::new(Held::new(anonymous_share)),
            unrecorded: Arc::default(),
            started,
            previous,
            clock_state: tokio::sync::watch::Sender::new(ClockState { gap, ..ClockState::default() }),
            changing: tokio::sync::Mutex::default(),
        };
        governor.expire_due().await?;
        Ok(governor)
    }

    /// Records the end of this run.
    pub async fn stop(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.store.transact(move |tx| tx.append(now, &Event::DaemonStopped).map(drop)).await
    }

    /// Records the number of refused calls.
    pub async fn record_refusals(&self, unauthenticated: u64, permission_denied: u64) -> Result<(), StoreError> {
        let now = self.clock.now();
        let event = Event::CallsRefused { unauthenticated, permission_denied };
        self.store.transact(move |tx| tx.append(now, &event).map(drop)).await
    }

    /// Records which identities file is in force.
    pub async fn record_identities(&self, revision: Digest) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.store.transact(move |tx| tx.append(now, &Event::IdentitiesLoaded { revision }).map(drop)).await?;
        self.metrics().reload("identities", true);
        Ok(())
    }

    /// Records that a changed identities file was refused.
    pub async fn record_identities_rejected(&self, mut errors: Vec<String>) -> Result<(), StoreError> {
        self.metrics().reload("identities", false);
        errors.truncate(FINDINGS_RECORDED);
        let now = self.clock.now();
        self.store.transact(move |tx| tx.append(now, &Event::IdentitiesRejected { errors }).map(drop)).await
    }
}
