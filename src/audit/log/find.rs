//! Finds a record by its id. No index has these ids: nearly every search is for a record near the end, and the id says
//! when the record was written.

use std::ops::RangeInclusive;

use aho_corasick::AhoCorasick;

use super::leaf::leaf_data_of_redacted;
use super::record::Record;
use super::stored::parse_record;
use super::tables::RECORDS;
use crate::domain::{IdPrefix, RecordId};
use crate::store::error::{StoreError, damaged, guarded};
use crate::store::reader::Reader;

/// How many records one step reads.
const LOOK: u64 = 4096;
/// How many redacted records in a row are skipped to guess.
const REDACTED_SKIPPED: usize = 64;

impl Reader {
    /// About where in the log the record is. A jump of the clock makes the guess wrong, and the search long.
    pub fn guess_sequence(&self, id: RecordId) -> Result<u64, StoreError> {
        guarded(|| {
            let records = self.table(RECORDS)?;
            let (sought, _) = IdPrefix::of_record(id).millis();
            let (mut low, mut high) = (1, self.last_sequence()?.max(1));
            while low < high {
                let middle = low + (high - low) / 2;
                // A redacted record has no time: the next one that has, says enough. Where many are redacted, they are
                // old.
                let mut time = None;
                for entry in records.range(middle..=high)?.take(REDACTED_SKIPPED) {
                    let (sequence, value) = entry?;
                    if leaf_data_of_redacted(value.value()).is_none() {
                        time = Some(parse_record(sequence.value(), value.value()).map_err(damaged)?.time);
                        break;
                    }
                }
                match time {
                    Some(time) if time.as_millisecond() >= sought => high = middle,
                    _ => low = middle + 1,
                }
            }
            Ok(low)
        })
    }

    /// The record with this id among these records. Reads a bounded number of them, and returns where to continue.
    pub fn record_with(&self, id: RecordId, among: RangeInclusive<u64>) -> Result<(Option<Record>, u64), StoreError> {
        guarded(|| {
            let name = AhoCorasick::new([id.to_string()]).map_err(|error| damaged(error.to_string()))?;
            let end = (*among.end()).min(among.start().saturating_add(LOOK - 1));
            for entry in self.table(RECORDS)?.range(*among.start()..=end)? {
                let (sequence, value) = entry?;
                if leaf_data_of_redacted(value.value()).is_none() && name.is_match(value.value()) {
                    let record = parse_record(sequence.value(), value.value()).map_err(damaged)?;
                    if record.record_id == id {
                        return Ok((Some(record), end + 1));
                    }
                }
            }
            Ok((None, end + 1))
        })
    }
}
