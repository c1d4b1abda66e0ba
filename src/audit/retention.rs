//! Retention: removes the payloads of old records, range by range.

use std::ops::RangeInclusive;

use redb::ReadableTable as _;

use super::state::Tx;
use crate::audit::log::record::Event;
use crate::audit::log::tables::{CLOCK_GAP, RETIRED};
use crate::audit::log::tiles::TILE_WIDTH;
use crate::audit::rows::row::RowState;
use crate::domain::Timestamp;
use crate::store::error::{StoreError, TxError, damaged, guarded};
use crate::store::meta::{META, decode_number};
use crate::store::reader::Reader;

/// The most records that one transaction retires.
pub const RETIRE_AT_ONCE: u64 = 4 * TILE_WIDTH;

/// The result of a retirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retirement {
    /// How many payloads were removed.
    pub count: u64,
}

/// A jump of the wall clock, or a stop of the daemon: from within one cannot be told from the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockGap {
    /// The last time before it.
    pub before: Timestamp,
    /// The first time after it.
    pub after: Timestamp,
}

impl ClockGap {
    fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.before.as_microsecond().to_be_bytes());
        bytes[8..].copy_from_slice(&self.after.as_microsecond().to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 16] = bytes.try_into().ok()?;
        let (before, after) = (bytes.first_chunk::<8>()?, bytes.last_chunk::<8>()?);
        let time = |bytes: &[u8; 8]| Timestamp::from_microsecond(i64::from_be_bytes(*bytes)).ok();
        Some(Self { before: time(before)?, after: time(after)? })
    }
}

impl Reader {
    /// The jump of the clock that nobody has confirmed.
    pub fn clock_gap(&self) -> Result<Option<ClockGap>, StoreError> {
        guarded(|| {
            let Some(stored) = self.table(META)?.get(CLOCK_GAP)? else { return Ok(None) };
            let gap = ClockGap::decode(stored.value());
            gap.map(Some).ok_or_else(|| damaged(format!("`{CLOCK_GAP}` is no two times")))
        })
    }

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
    /// Notes a jump of the clock, or that it was confirmed.
    pub fn set_clock_gap(&mut self, gap: Option<ClockGap>) -> Result<(), TxError> {
        match gap {
            Some(gap) => self.tables.meta.insert(CLOCK_GAP, gap.encode().as_slice())?,
            None => self.tables.meta.remove(CLOCK_GAP)?,
        }
        Ok(())
    }

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
                | Event::LogSucceeds { .. }
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
