//! Detects that the disk hangs.
//!
//! A failed write returns an error. A write that hangs returns nothing, and the writer hangs with it. So another thread
//! watches the writer. When one step takes too long, that thread reports the record as failing, and the store refuses
//! calls instead of queueing them. When the writer continues, the store works normally again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::error::StoreError;
use super::health::StoreHealth;

/// The longest time between two checks.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The writer's pulse. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Pulse(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    patience: Duration,
    beat: Mutex<Beat>,
    ended: Condvar,
    /// Copied from the [`Beat`], so that readers need not lock it.
    stalled: AtomicBool,
}

#[derive(Debug, Default)]
struct Beat {
    busy_since: Option<Instant>,
    ended: bool,
}

impl Pulse {
    /// A pulse that reports a hang after this time.
    pub(super) fn new(patience: Duration) -> Self {
        let (beat, ended, stalled) = (Mutex::default(), Condvar::new(), AtomicBool::new(false));
        Self(Arc::new(Inner { patience, beat, ended, stalled }))
    }

    /// How long one step of the writer may take.
    pub(super) fn patience(&self) -> Duration {
        self.0.patience
    }

    /// The error for a call while the writer hangs; `None` while it works.
    pub(super) fn stalled(&self) -> Option<StoreError> {
        self.0.stalled.load(Ordering::Acquire).then(|| self.late())
    }

    /// The error for a call that has waited too long.
    pub(super) fn late(&self) -> StoreError {
        let why = format!("the disk has not answered for {:?}", self.0.patience);
        StoreError::Unavailable { why: why.into(), disk_full: false }
    }

    /// The writer starts a step.
    pub(super) fn begin(&self) {
        self.beat().busy_since = Some(Instant::now());
    }

    /// The writer finished a step. If a hang was reported meanwhile, this reports the current health instead.
    pub(super) fn end(&self, health: &watch::Sender<StoreHealth>, now: impl FnOnce() -> StoreHealth) {
        let mut beat = self.beat();
        beat.busy_since = None;
        if self.0.stalled.swap(false, Ordering::AcqRel) {
            tracing::info!("the disk answers again");
            health.send_replace(now());
        }
    }

    /// Ends the watching thread.
    pub(super) fn stop(&self) {
        self.beat().ended = true;
        self.0.ended.notify_all();
    }

    /// Watches the writer until it is told to stop.
    pub(super) fn watch(&self, health: &watch::Sender<StoreHealth>) {
        let pause = (self.0.patience / 4).clamp(Duration::from_millis(5), LONGEST_PAUSE);
        let mut beat = self.beat();
        while !beat.ended {
            let late = beat.busy_since.is_some_and(|since| since.elapsed() >= self.0.patience);
            if late && !self.0.stalled.swap(true, Ordering::AcqRel) {
                let why = self.late();
                tracing::error!(error = %why, "the record cannot be written");
                health.send_replace(StoreHealth::Failing { why: why.to_string().into() });
            }
            beat = self.0.ended.wait_timeout(beat, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn beat(&self) -> MutexGuard<'_, Beat> {
        self.0.beat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
