//! Retention: removes the payloads of old records, range by range.

use std::ops::RangeInclusive;

use redb::ReadableTable as _;

use super::state::Tx;
use crate::audit::log::record::Event;
use crate::audit::log::tables::RETIRED;
use crate::audit::log::tiles::TILE_WIDTH;
use crate::audit::rows::row::RowState;
use crate::domain::Timestamp;
use crate::store::error::{StoreError, TxError, guarded};
use crate::store::meta::decode_number;
use crate::store::reader::Reader;

/// The most records that one transaction retires.
pub const RETIRE_AT_ONCE: u64 = 4 * TILE_WIDTH;

/// The result of a retirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retirement {
    /// How many payloads were removed.
    pub count: u64,
}

impl Reader {
    /// The last record that retention has processed, retired or kept; 0 while there is none.
    pub fn retired(&self) -> Result<u64, StoreError> {
        guarded(|| self.number(RETIRED))
    }

    /// Whether a record is older than this, or has no payload with a time.
    pub fn is_older(&self, sequence: u64, before: Timestamp) -> Result<bool, StoreError> {
        let record = self.records(sequence.saturating_sub(1), 1)?.into_iter().next();
        Ok(record.is_some_and(|stored| stored.record().is_none_or(|record| record.time < before)))
    }
}

impl Tx<'_> {
    /// The last record that retention has processed, retired or kept.
    pub fn retired(&mut self) -> Result<u64, TxError> {
        let stored = self.tables.meta.read()?.get(RETIRED)?;
        Ok(stored.and_then(|value| decode_number(value.value())).unwrap_or(0))
    }

    /// Whether all these records are older than this and nothing open needs them.
    pub fn may_retire(
        &mut self,
        range: RangeInclusive<u64>,
        before: Timestamp,
        is_open: impl Fn(&RowState) -> bool,
    ) -> Result<bool, TxError> {
        for sequence in range {
            let Some(record) = self.whole_record(sequence)? else { continue };
            if record.time >= before {
                return Ok(false);
            }
            if let Some(decision_id) = record.event.decision_id()
                && let Some((_, state)) = self.row_by_decision(decision_id)?
                && state.redacted.is_none()
                && is_open(&state)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes the payloads of these records, except those that must stay, and scrubs the rows of their decisions.
    pub fn retire(&mut self, range: RangeInclusive<u64>) -> Result<Retirement, TxError> {
        let (mut count, last) = (0, *range.end());
        for sequence in range {
            let Some(record) = self.whole_record(sequence)? else { continue };
            match record.event {
                Event::LogStarted { .. }
                | Event::LogKeyRotated { .. }
                | Event::DecisionRedacted { .. }
                | Event::RecordsRetired { .. } => continue,
                Event::Decision(decision) => {
                    if let Some((row, _)) = self.row_by_decision(decision.decision_id)? {
                        self.scrub_row(row)?;
                    }
                }
                _ => {}
            }
            count += u64::from(self.drop_payload(sequence)?);
        }
        self.tables.meta.insert(RETIRED, last.to_be_bytes().as_slice())?;
        Ok(Retirement { count })
    }
}
