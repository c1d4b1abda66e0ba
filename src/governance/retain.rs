//! Retention: removes the payloads of old records and keeps their hashes. Each step is recorded.
//!
//! Retention works in the order of the log, in whole tiles of 256 records. Each step is one job of the store. Its
//! record names the range, the number of removed payloads, and the root of the tree at the end of the range.
//!
//! Age is reckoned by a clock that the daemon can vouch for: see [`clock_gap`](super::clock_gap).
//!
//! A cursor that has not come as far holds a tile up as well: what is to be sent elsewhere is not taken away before.
//! It does so for [`CURSORS_HOLD`] at most. Then the tile goes all the same, and the record names the cursors that
//! were passed.

use std::time::Duration;

use super::error::GovernanceError;
use super::governor::Governor;
use super::redact::may_redact;
use crate::audit::record::Event;
use crate::audit::{RETIRE_AT_ONCE, Retirement, StoreError, TILE_WIDTH};
use crate::domain::Timestamp;

/// How much longer a record is kept because a cursor has not reached it.
const CURSORS_HOLD: Duration = Duration::from_hours(7 * 24);

impl Governor {
    /// Runs one bounded step: removes payloads that are older than this. Returns the number of processed records;
    /// `None` if nothing is left to do.
    pub async fn retire(&self, retain: Duration) -> Result<u64, GovernanceError> {
        let Some(now) = self.vouched_time().await? else { return Ok(0) };
        let unreported_after = self.settings.unreported_after;
        let Ok(before) = now.checked_sub(retain) else { return Ok(0) };
        // If the time cannot be computed, no record is that old.
        let held_before = before.checked_sub(CURSORS_HOLD).unwrap_or(Timestamp::MIN);
        let durable = *self.store.durable().borrow();
        let found = self.store.scan(move |reader| {
            let first = reader.retired()? + 1;
            let whole = durable - durable % TILE_WIDTH;
            let last = whole.min(first - 1 + RETIRE_AT_ONCE);
            // The first record is usually the oldest. If it is too young, no job is needed.
            if first > last || !reader.is_older(first, before)? {
                return Ok(None);
            }
            let roots = (first - 1 + TILE_WIDTH..=last).step_by(256);
            let roots =
                roots.map(|size| Ok((size, reader.tree_root(size)?))).collect::<Result<Vec<_>, StoreError>>()?;
            Ok(Some((first, roots)))
        });
        let Some((first, roots)) = found.await? else { return Ok(0) };
        let gone = self.store.transact(move |tx| {
            if tx.retired()? + 1 != first {
                return Ok(0);
            }
            // As many tiles as possible.
            let (mut end, mut passed) = (None, Vec::new());
            for (last, root) in roots {
                let from = end.map_or(first, |(end, _)| end + 1);
                let behind = tx.cursors_before(last)?;
                let before = if behind.is_empty() { before } else { held_before };
                if !tx.may_retire(from..=last, before, |state| may_redact(state, now, unreported_after).is_err())? {
                    break;
                }
                (end, passed) = (Some((last, root)), behind);
            }
            let Some((last, root)) = end else { return Ok(0) };
            let Retirement { count } = tx.retire(first..=last)?;
            if count > 0 {
                tx.append(now, &Event::RecordsRetired { first, last, count, root, before, passed })?;
            }
            Ok(last + 1 - first)
        });
        Ok(gone.await?)
    }
}
