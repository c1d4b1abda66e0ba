//! Keeping records only for so long: the payloads of old ones go, their hashes stay, and the record says so.
//!
//! What goes, goes in the order of the log, some whole tiles of 256 records at a time; each step is one job of the
//! writer, with a record of its own that names the range, how many payloads went, and the root of the tree at its end.
//! What is open holds up its tile and all after it: an approval that waits, a confirmation, a result that is not in. So
//! does a record that is younger, as when the clock was put back. Records that say who signs the log, and what was
//! taken from it, stay for ever.

use std::time::Duration;

use super::error::GovernanceError;
use super::governor::Governor;
use super::redact::may_redact;
use crate::audit::record::Event;
use crate::audit::redaction::Retirement;
use crate::audit::{RETIRE_AT_ONCE, StoreError, TILE_WIDTH};

impl Governor {
    /// Takes away payloads that are older than this: one bounded step. The answer is how many records were gone
    /// through; none when there is nothing more to do.
    pub async fn retire(&self, retain: Duration) -> Result<u64, GovernanceError> {
        let (now, unreported_after) = (self.clock.now(), self.settings.unreported_after);
        let Ok(before) = now.checked_sub(retain) else { return Ok(0) };
        let store = self.store.clone();
        let look = move || {
            let durable = *store.durable().borrow();
            let reader = store.read()?;
            let first = reader.retired()? + 1;
            let whole = durable - durable % TILE_WIDTH;
            let last = whole.min(first - 1 + RETIRE_AT_ONCE);
            // The first record is the oldest, as a rule: where it is too young, the writer need not look.
            if first > last || !reader.is_older(first, before)? {
                return Ok(None);
            }
            let roots = (first - 1 + TILE_WIDTH..=last).step_by(256);
            let roots =
                roots.map(|size| Ok((size, reader.tree_root(size)?))).collect::<Result<Vec<_>, StoreError>>()?;
            Ok::<_, StoreError>(Some((first, roots)))
        };
        let found = tokio::task::spawn_blocking(look).await.map_err(|_| StoreError::Closed)??;
        let Some((first, roots)) = found else { return Ok(0) };
        let gone = self.store.transact(move |tx| {
            if tx.retired()? + 1 != first {
                return Ok(0);
            }
            // As many tiles as can go.
            let mut end = None;
            for (last, root) in roots {
                let from = end.map_or(first, |(end, _)| end + 1);
                if !tx.may_retire(from..=last, before, |state| may_redact(state, now, unreported_after).is_err())? {
                    break;
                }
                end = Some((last, root));
            }
            let Some((last, root)) = end else { return Ok(0) };
            let Retirement { count } = tx.retire(first..=last)?;
            if count > 0 {
                tx.append(now, &Event::RecordsRetired { first, last, count, root, before })?;
            }
            Ok(last + 1 - first)
        });
        Ok(gone.await?)
    }
}
