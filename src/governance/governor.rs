//! [`Governor`] and its settings. The other files of this folder have its methods.

use std::sync::Arc;
use std::time::Duration;

use super::clock_state::{ClockState, Clocks};
use super::error::GovernanceError;
use super::generations::Generations;
use super::halts::Halts;
use super::held::Held;
use super::secret::StoreSecret;
use super::spending::Spender;
use super::tokens::Tokens;
use super::unrecorded::Unrecorded;
use crate::approvals::Queue;
use crate::audit::{Content, Event, Store, StoredRecord};
use crate::domain::{Clock, Timestamp};
use crate::limits::{Amount, Budget, Growth, GrowthLimits, Quota};
use crate::metrics::Metrics;

/// Settings that an operator can choose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The limit of pending approvals, and of the bytes of their actions.
    pub pending: Amount,
    /// The limit for one caller.
    pub pending_per_caller: Amount,
    /// The share of all callers without a credential together, in per cent of each limit.
    pub anonymous_share: u8,
    /// The limit of proposals a second; 0 means no limit.
    pub proposals_per_second: u32,
    /// How much callers may write when the disk runs low.
    pub growth: GrowthLimits,
    /// How long an allowed action may go unreported before its result reads `unknown`.
    pub unreported_after: Duration,
    /// The most counts of limits that are kept. Where all are in use, a new one counts as reached.
    pub limit_counts: u64,
    /// The user that the daemon runs as. A process of this user may review its own proposals; other users may not.
    pub own_uid: u32,
    /// What is counted for Prometheus.
    pub metrics: Arc<Metrics>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pending: Amount { count: 10_000, bytes: 64 << 20 },
            pending_per_caller: Amount { count: 1_000, bytes: 16 << 20 },
            anonymous_share: 50,
            proposals_per_second: 0,
            growth: GrowthLimits { low_percent: 20, low_bytes: 1 << 30, share: 2 },
            unreported_after: Duration::from_mins(10),
            limit_counts: 1_000_000,
            own_uid: rustix::process::geteuid().as_raw(),
            metrics: Arc::default(),
        }
    }
}

/// How the run before this one ended, as the record shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreviousRun {
    /// There was none: this record is new.
    None,
    /// It ended in good order.
    Stopped,
    /// It broke off: killed, crashed, or the machine stopped.
    BrokenOff,
}

impl PreviousRun {
    /// How many records to look at. After the end of a run, a start may note a fault or a jump of the clock.
    pub(super) const RECORDS: u64 = 4;

    /// What the last records say.
    pub(super) fn of(last: &[StoredRecord]) -> Self {
        let of_run = |record: &StoredRecord| match &record.content {
            Content::Whole { record, .. } => match record.event {
                Event::DaemonStarted { .. } => Some(Self::BrokenOff),
                Event::DaemonStopped => Some(Self::Stopped),
                _ => None,
            },
            Content::Redacted { .. } => None,
        };
        let is_whole = last.first().is_none_or(|first| first.sequence == 1);
        last.iter().rev().find_map(of_run).unwrap_or(if is_whole { Self::None } else { Self::BrokenOff })
    }
}

/// The source of random bytes: [`getrandom::fill`], except in tests.
pub type Entropy = fn(&mut [u8]) -> Result<(), getrandom::Error>;

/// The governor decides proposals, asks reviewers, accepts their votes, and records all of it.
pub struct Governor {
    pub(super) store: Store,
    pub(super) queue: Arc<Queue>,
    pub(super) generations: Arc<Generations>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Entropy,
    pub(super) secret: StoreSecret,
    pub(super) pace: Budget,
    pub(super) growth: Arc<Growth>,
    /// The memory of writes that are under way.
    pub(super) writes: Quota,
    pub(super) settings: Settings,
    pub(super) held: Arc<Held>,
    pub(super) unrecorded: Arc<Unrecorded>,
    pub(super) spender: Spender,
    pub(super) halts: Arc<Halts>,
    /// How the run before this one ended.
    pub(super) previous: PreviousRun,
    /// The clocks when this run began.
    pub(super) started: Clocks,
    /// What is known about the wall clock.
    pub(super) clock_state: tokio::sync::watch::Sender<ClockState>,
    /// One change of the policy at a time: what is compared is what is replaced.
    pub(super) changing: tokio::sync::Mutex<()>,
}

impl Governor {
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

    /// The space of the disk, and what callers may write to it.
    pub(crate) fn growth(&self) -> &Arc<Growth> {
        &self.growth
    }

    /// How the run before this one ended.
    pub(crate) fn previous_run(&self) -> PreviousRun {
        self.previous
    }

    /// What is counted for Prometheus.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.settings.metrics
    }

    /// The tokens that admins created.
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
    pub(super) fn random(&self) -> Result<[u8; 10], GovernanceError> {
        let mut bytes = [0; 10];
        (self.entropy)(&mut bytes)?;
        Ok(bytes)
    }

    /// Masks everything in a text that looks like a secret.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        self.generations.current().policy.secrets().mask_text(text, &mut Vec::new()).text
    }
}
