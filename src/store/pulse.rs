//! Notices that the disk does not answer.
//!
//! A write that fails is an answer; one that hangs is none, and the writer hangs with it. So somebody else looks on:
//! when the writer has been at one thing for too long, everybody is told that the record is failing, and calls are
//! refused instead of queued. When the writer comes back, all of that is taken back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::error::StoreError;
use super::health::StoreHealth;

/// The longest time between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The writer's pulse. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Pulse(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    patience: Duration,
    beat: Mutex<Beat>,
    ended: Condvar,
    /// Said in the [`Beat`] too; here for those who only look.
    stalled: AtomicBool,
}

#[derive(Debug, Default)]
struct Beat {
    busy_since: Option<Instant>,
    ended: bool,
}

impl Pulse {
    /// A pulse that may stop for so long.
    pub(super) fn new(patience: Duration) -> Self {
        let (beat, ended, stalled) = (Mutex::default(), Condvar::new(), AtomicBool::new(false));
        Self(Arc::new(Inner { patience, beat, ended, stalled }))
    }

    /// How long the writer may be at one thing.
    pub(super) fn patience(&self) -> Duration {
        self.0.patience
    }

    /// Why a call is not worth queueing now, where it is not.
    pub(super) fn stalled(&self) -> Option<StoreError> {
        self.0.stalled.load(Ordering::Acquire).then(|| self.late())
    }

    /// What a call is told that has waited for too long.
    pub(super) fn late(&self) -> StoreError {
        let why = format!("the disk has not answered for {:?}", self.0.patience);
        StoreError::Unavailable { why: why.into(), disk_full: false }
    }

    /// The writer sets to work.
    pub(super) fn begin(&self) {
        self.beat().busy_since = Some(Instant::now());
    }

    /// The writer is done. If it was missed meanwhile, what is so now is said instead.
    pub(super) fn end(&self, health: &watch::Sender<StoreHealth>, now: impl FnOnce() -> StoreHealth) {
        let mut beat = self.beat();
        beat.busy_since = None;
        if self.0.stalled.swap(false, Ordering::AcqRel) {
            tracing::info!("the disk answers again");
            health.send_replace(now());
        }
    }

    /// Nobody needs to look on any more.
    pub(super) fn stop(&self) {
        self.beat().ended = true;
        self.0.ended.notify_all();
    }

    /// Looks on until told to stop.
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
