//! Jumps of the wall clock: noticed, recorded, and what retention must not take for age.
//!
//! A record is as old as the wall clock says, and a wall clock may be wrong. While the daemon runs, its uptime
//! vouches for the time that passes: the two clocks are compared again and again. While it does not run, nothing does:
//! a gap of a day and more between two runs may be a jump of the clock as well as a long stop. After such a gap, or
//! such a jump, nothing is retired until an operator confirms the clock.

use std::time::Duration;

use tokio::sync::watch;

use super::clock_state::{ClockState, Clocks};
use super::governor::Governor;
use crate::audit::record::Event;
use crate::audit::{ClockGap, Store, StoreError};
use crate::domain::{Defence, Timestamp};

/// From here on a gap or a jump needs to be confirmed.
const LONGEST: Duration = Duration::from_hours(24);
/// From here on a jump is recorded. A clock that is corrected slowly, as NTP does, moves by less in any second.
const JUMP: Duration = Duration::from_secs(2);
/// How far the wall clock may be from the time that passed since the start.
const AGREES: Duration = Duration::from_mins(1);

/// The last look at the clocks, and a jump that is not on the record yet.
#[derive(Debug)]
pub struct ClockWatch {
    last: Clocks,
    unrecorded: Option<ClockGap>,
}

fn distance(one: Timestamp, other: Timestamp) -> Duration {
    other.duration_since(one).unsigned_abs()
}

fn gap(before: Timestamp, after: Timestamp) -> Option<ClockGap> {
    (Defence::ClockGap.on() && distance(before, after) >= LONGEST).then_some(ClockGap { before, after })
}

/// Looks for a gap before this run, before the run puts anything on the record. A gap stays until it is confirmed by
/// the time at which it began. A clock that was set back since the last record is recorded.
pub async fn find_clock_gap(store: &Store, now: Timestamp, confirmed: Option<Timestamp>) -> Result<(), StoreError> {
    let (known, last) = store
        .scan(|reader| {
            let last = reader.records(reader.last_sequence()?.saturating_sub(1), 1)?;
            let last = last.first().and_then(|stored| stored.record()).map(|record| record.time);
            Ok((reader.clock_gap()?, last))
        })
        .await?;
    // A clock that was set back makes nothing older.
    let new = last.filter(|last| *last < now).and_then(|last| gap(last, now));
    let open = known.into_iter().chain(new).find(|gap| Some(gap.before) != confirmed);
    let set_back = last.filter(|last| *last > now && distance(*last, now) >= JUMP);
    if let Some(last) = set_back {
        tracing::warn!(%last, %now, "the wall clock was set back while the daemon was not running");
    }
    if open != known || set_back.is_some() {
        store
            .transact(move |tx| {
                if let Some(before) = set_back {
                    tx.append(now, &Event::ClockJumped { before, after: now })?;
                }
                tx.set_clock_gap(open)
            })
            .await?;
    }
    Ok(())
}

impl Governor {
    /// The time that retention may go by; none while a gap is not confirmed.
    pub(super) async fn vouched_time(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = Clocks::read(&*self.clock);
        let vouched = self.started.expected(now.uptime);
        if self.clock_state.borrow().gap.is_some() {
            return Ok(None);
        }
        let ahead = (now.time > vouched).then(|| gap(vouched, now.time)).flatten();
        let Some(found) = ahead else { return Ok(Some(now.time.min(vouched))) };
        self.hold_retention(found);
        self.store.transact(move |tx| tx.set_clock_gap(Some(found))).await?;
        Ok(None)
    }

    /// Starts to watch the clocks.
    pub fn clock_watch(&self) -> ClockWatch {
        ClockWatch { last: self.started, unrecorded: None }
    }

    /// Compares the wall clock with the time that passed since the last look. A jump is logged, counted and recorded.
    pub async fn look_at_clock(&self, watch: &mut ClockWatch) -> Result<(), StoreError> {
        let now = Clocks::read(&*self.clock);
        let (before, after) = (watch.last.expected(now.uptime), now.time);
        watch.last = now;
        let is_off = distance(self.started.expected(now.uptime), after) >= AGREES;
        let has_jumped = distance(before, after) >= JUMP && Defence::ClockWatch.on();
        self.clock_state.send_if_modified(|state| {
            let changed = ClockState { is_off, jumps: state.jumps + u64::from(has_jumped), ..*state };
            std::mem::replace(state, changed) != changed
        });
        if has_jumped {
            tracing::warn!(%before, %after, "the wall clock jumped while the daemon was running");
            if let Some(found) = gap(before, after) {
                self.hold_retention(found);
            }
            // Several jumps while the record cannot be written are one.
            let before = watch.unrecorded.map_or(before, |unrecorded| unrecorded.before);
            watch.unrecorded = Some(ClockGap { before, after });
        }
        let Some(jump) = watch.unrecorded else { return Ok(()) };
        let gap = self.clock_state.borrow().gap;
        let ClockGap { before, after } = jump;
        self.store
            .transact(move |tx| {
                tx.append(after, &Event::ClockJumped { before, after })?;
                tx.set_clock_gap(gap)
            })
            .await?;
        watch.unrecorded = None;
        Ok(())
    }

    /// Retires nothing until somebody confirms the clock.
    fn hold_retention(&self, found: ClockGap) {
        self.clock_state.send_if_modified(|state| state.gap.is_none() && state.gap.replace(found).is_none());
    }

    /// What is known about the wall clock, and every change of it.
    pub fn clock_state(&self) -> watch::Receiver<ClockState> {
        self.clock_state.subscribe()
    }
}
