//! Background tasks of the daemon: they end expired questions, follow the health of the store, record refused calls,
//! and retire old records.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::health::Health;
use super::throttle;
use crate::audit::ClockGap;
use crate::auth::Known;
use crate::governance::{self, Governor};
use crate::outbound::witnesses::Witnesses;
use crate::server::gate::Refusals;

/// How often refused calls are recorded, if there were any.
const REFUSALS_EVERY: Duration = Duration::from_mins(1);
/// The longest pause between two checks for old records.
const RETIRE_EVERY: Duration = Duration::from_mins(10);
/// The pause between two checks for old answers.
const FORGET_EVERY: Duration = Duration::from_mins(10);
/// The least time between two announcements of who waits.
const PRESENCE_EVERY: Duration = Duration::from_millis(100);
/// The pause after a step of retention.
const BETWEEN_STEPS: Duration = Duration::from_millis(20);
/// How often the wall clock is compared with the uptime.
const LOOK_AT_CLOCK_EVERY: Duration = Duration::from_millis(500);
/// The pause before the next attempt after the record failed.
const RETRY: Duration = Duration::from_millis(500);

/// Starts all tasks. They end with the token.
pub(crate) fn spawn(
    tasks: &TaskTracker,
    governor: &Arc<Governor>,
    health: &Health,
    refusals: &Arc<Refusals>,
    retain: Option<Duration>,
    stop: &CancellationToken,
) {
    tasks.spawn(throttle::say_left_out(stop.clone()));
    tasks.spawn(governance::watch_policy_files(Arc::clone(governor), stop.clone()));
    tasks.spawn(until(stop.clone(), expire(Arc::clone(governor))));
    tasks.spawn(until(stop.clone(), forget_answers(Arc::clone(governor))));
    tasks.spawn(until(stop.clone(), forget_counts(Arc::clone(governor))));
    tasks.spawn(until(stop.clone(), announce_presence(Arc::clone(governor))));
    tasks.spawn(until(stop.clone(), follow_record(Arc::clone(governor), health.clone())));
    tasks.spawn(until(stop.clone(), follow_recoveries(Arc::clone(governor))));
    tasks.spawn(until(stop.clone(), record_later(Arc::clone(governor))));
    tasks.spawn(until(stop.clone(), follow_policy(Arc::clone(governor), health.clone())));
    if let Some(retain) = retain {
        tasks.spawn(until(stop.clone(), retire(Arc::clone(governor), retain)));
    }
    tasks.spawn(until(stop.clone(), watch_clock(Arc::clone(governor))));
    tasks.spawn(until(stop.clone(), follow_clock(Arc::clone(governor), health.clone(), retain.is_some())));
    tasks.spawn(record_refusals(Arc::clone(governor), Arc::clone(refusals), stop.clone()));
}

/// Updates health: whether the identities in force match their sources.
pub(crate) fn follow_identities(tasks: &TaskTracker, known: &Arc<Known>, health: &Health, stop: &CancellationToken) {
    let (mut staleness, health) = (known.staleness(), health.clone());
    tasks.spawn(until(stop.clone(), async move {
        loop {
            let now = *staleness.borrow_and_update();
            health.auth(now.is_fresh()).await;
            if staleness.changed().await.is_err() {
                return;
            }
        }
    }));
}

/// Updates health: whether every witness accepted the latest checkpoint.
pub(crate) fn follow_witnesses(tasks: &TaskTracker, witnesses: &Witnesses, health: &Health, stop: &CancellationToken) {
    let (mut behind, health) = (witnesses.behind(), health.clone());
    tasks.spawn(until(stop.clone(), async move {
        loop {
            let now = *behind.borrow_and_update();
            if let Some(behind) = now {
                health.witnesses(!behind).await;
            }
            if behind.changed().await.is_err() {
                return;
            }
        }
    }));
}

async fn until(stop: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = task => {}
    }
}

/// Ends expired questions.
async fn expire(governor: Arc<Governor>) {
    loop {
        let next = match governor.expire_due().await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(%error, "expired approvals cannot be ended yet");
                Some(RETRY)
            }
        };
        // The extra time keeps the timer from waking just before the deadline.
        let pause = next.map_or(Duration::from_hours(1), |next| next + Duration::from_millis(1));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = governor.queue().deadlines_changed() => {}
        }
    }
}

/// Forgets the answers to request ids that are no longer valid.
async fn forget_answers(governor: Arc<Governor>) {
    loop {
        match governor.forget_answers().await {
            Ok(true) => tokio::time::sleep(BETWEEN_STEPS).await,
            Ok(false) => tokio::time::sleep(FORGET_EVERY).await,
            Err(error) => {
                tracing::error!(%error, "old answers to request ids cannot be forgotten yet");
                tokio::time::sleep(FORGET_EVERY).await;
            }
        }
    }
}

/// Forgets the counts of limits that say nothing any more, some at a time.
async fn forget_counts(governor: Arc<Governor>) {
    let mut after = None;
    loop {
        match governor.forget_counts(after).await {
            Ok(next) => after = next,
            Err(error) => tracing::error!(%error, "old counts of limits cannot be forgotten yet"),
        }
        tokio::time::sleep(if after.is_some() { BETWEEN_STEPS } else { FORGET_EVERY }).await;
    }
}

/// Tells reviewers whether the proposers of open questions still wait.
async fn announce_presence(governor: Arc<Governor>) {
    loop {
        let next = governor.queue().announce_presence(governor.clock().uptime());
        tokio::select! {
            () = tokio::time::sleep(next.unwrap_or(Duration::from_hours(1)).max(PRESENCE_EVERY)) => {}
            () = governor.queue().presence_changed() => tokio::time::sleep(PRESENCE_EVERY).await,
        }
    }
}

/// Updates health: whether the record can be written.
async fn follow_record(governor: Arc<Governor>, health: Health) {
    let mut record = governor.store().health();
    loop {
        let now = record.borrow_and_update().clone();
        health.record(&now).await;
        if record.changed().await.is_err() {
            return;
        }
    }
}

/// Updates the queue from the store after a fault, because a write that was reported as failed may be on disk after
/// all.
async fn follow_recoveries(governor: Arc<Governor>) {
    let mut recoveries = governor.store().recoveries();
    while recoveries.changed().await.is_ok() {
        while let Err(error) = governor.catch_up().await {
            tracing::error!(%error, "the open approvals cannot be loaded again yet");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Records denials and revocations that took effect while the record could not be written.
async fn record_later(governor: Arc<Governor>) {
    let mut count = governor.unrecorded().count();
    while count.wait_for(|count| *count > 0).await.is_ok() {
        match governor.record_unrecorded().await {
            Ok(()) => tracing::info!("what was denied or revoked while the record could not be written is on it now"),
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

/// Updates health: whether the policy files match the policy in force.
async fn follow_policy(governor: Arc<Governor>, health: Health) {
    let mut state = governor.generations().state();
    loop {
        let good = state.borrow_and_update().rejected.is_none();
        health.policy(good).await;
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// Compares the wall clock with the uptime.
async fn watch_clock(governor: Arc<Governor>) {
    let mut watch = governor.clock_watch();
    loop {
        if let Err(error) = governor.look_at_clock(&mut watch).await {
            tracing::debug!(%error, "a jump of the clock cannot be recorded yet");
        }
        tokio::time::sleep(LOOK_AT_CLOCK_EVERY).await;
    }
}

/// Tells the operator and probes whether the clock is right, and whether retention waits for somebody to confirm it.
async fn follow_clock(governor: Arc<Governor>, health: Health, retains: bool) {
    let (mut state, mut said) = (governor.clock_state(), None);
    loop {
        let now = *state.borrow_and_update();
        health.clock(!now.is_off).await;
        if retains {
            health.retention(now.gap.is_none()).await;
        }
        if let Some(ClockGap { before, after }) = now.gap.filter(|gap| retains && said.replace(*gap) != Some(*gap)) {
            tracing::error!(
                %before,
                %after,
                "the clock has jumped, or the daemon was stopped for long: --retain removes nothing. If the clock is \
                 right, restart with --confirm-clock {before}"
            );
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// Removes the payloads of records older than `retain`, step by step, with pauses for other work.
async fn retire(governor: Arc<Governor>, retain: Duration) {
    let pause = (retain / 4).clamp(Duration::from_millis(100), RETIRE_EVERY);
    loop {
        match governor.retire(retain).await {
            Ok(0) => tokio::time::sleep(pause).await,
            Ok(records) => {
                tracing::info!(records, "removed the payloads of records older than --retain");
                tokio::time::sleep(BETWEEN_STEPS).await;
            }
            Err(error) => {
                tracing::error!(%error, "old records cannot be retired yet");
                tokio::time::sleep(pause.max(RETRY)).await;
            }
        }
    }
}

/// Records the number of refused calls: once a minute, and at the end of the run.
async fn record_refusals(governor: Arc<Governor>, refusals: Arc<Refusals>, stop: CancellationToken) {
    let mut recorded = (0, 0);
    while !stop.is_cancelled() {
        tokio::select! {
            () = tokio::time::sleep(REFUSALS_EVERY) => {}
            () = stop.cancelled() => {}
        }
        let total = refusals.total();
        if total == recorded {
            continue;
        }
        match governor.record_refusals(total.0 - recorded.0, total.1 - recorded.1).await {
            Ok(()) => recorded = total,
            Err(error) => tracing::error!(%error, "refused calls cannot be recorded yet"),
        }
    }
}
