//! Jumps of the wall clock: what retention must not take for age.
//!
//! A record is as old as the wall clock says, and a wall clock may be wrong. While the daemon runs, its uptime
//! vouches for the time that passes. While it does not, nothing does: a gap of a day and more between two runs may be
//! a jump of the clock as well as a long stop. Then nothing is retired until an operator confirms the clock.

use std::time::Duration;

use super::governor::Governor;
use crate::audit::{ClockGap, Store, StoreError};
use crate::domain::{Defence, Timestamp};

/// From here on a gap needs to be confirmed.
const LONGEST: Duration = Duration::from_hours(24);

fn gap(before: Timestamp, after: Timestamp) -> Option<ClockGap> {
    let length = after.duration_since(before);
    (Defence::ClockGap.on() && length.is_positive() && length.unsigned_abs() >= LONGEST)
        .then_some(ClockGap { before, after })
}

/// Looks for a gap before this run, before the run puts anything on the record. A gap stays until it is confirmed by
/// the time at which it began.
pub async fn find_clock_gap(store: &Store, now: Timestamp, confirmed: Option<Timestamp>) -> Result<(), StoreError> {
    let (known, last) = store
        .scan(|reader| {
            let last = reader.records(reader.last_sequence()?.saturating_sub(1), 1)?;
            let last = last.first().and_then(|stored| stored.record()).map(|record| record.time);
            Ok((reader.clock_gap()?, last))
        })
        .await?;
    let new = last.and_then(|last| gap(last, now));
    let open = known.into_iter().chain(new).find(|gap| Some(gap.before) != confirmed);
    if open != known {
        store.transact(move |tx| tx.set_clock_gap(open)).await?;
    }
    Ok(())
}

impl Governor {
    /// The time that retention may go by; none while a gap is not confirmed.
    pub(super) async fn vouched_time(&self) -> Result<Option<Timestamp>, StoreError> {
        if self.clock_gap.borrow().is_some() {
            return Ok(None);
        }
        let (started, uptime) = self.started;
        let passed = self.clock.uptime().saturating_sub(uptime);
        let (now, vouched) = (self.clock.now(), started.checked_add(passed).unwrap_or(Timestamp::MAX));
        let Some(found) = gap(vouched, now) else { return Ok(Some(now.min(vouched))) };
        self.store.transact(move |tx| tx.set_clock_gap(Some(found))).await?;
        self.clock_gap.send_replace(Some(found));
        Ok(None)
    }

    /// The gap that is not confirmed, and whoever wants to know when there is one.
    pub fn clock_gap(&self) -> tokio::sync::watch::Receiver<Option<ClockGap>> {
        self.clock_gap.subscribe()
    }
}
