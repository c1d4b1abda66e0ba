//! Reading the log in a snapshot.

use super::stored::{StoredRecord, last_of};
use super::tables::RECORDS;
use crate::store::error::{StoreError, damaged, guarded, missing};
use crate::store::reader::Reader;

/// How many bytes of payload one call of [`Reader::records`] returns at most, but for its first record.
const RECORDS_BYTES: usize = 4 << 20;

impl Reader {
    /// The sequence number of the last record; 0 while there is none.
    pub fn last_sequence(&self) -> Result<u64, StoreError> {
        guarded(|| Ok(last_of(&self.table(RECORDS)?, "records")?))
    }

    /// The records that follow a sequence number, oldest first: at most `limit` of them, and fewer where they are
    /// large. None means that there are none yet.
    pub fn records(&self, after: u64, limit: usize) -> Result<Vec<StoredRecord>, StoreError> {
        guarded(|| {
            let records = self.table(RECORDS)?;
            let (mut found, mut bytes) = (Vec::new(), 0);
            // What ends before its end must not look complete.
            last_of(&records, "records")?;
            for entry in records.range(after.saturating_add(1)..)?.take(limit) {
                let (sequence, value) = entry?;
                let expected = after.saturating_add(1) + found.len() as u64;
                if sequence.value() != expected {
                    return Err(missing("record", expected).into());
                }
                bytes += value.value().len();
                if bytes > RECORDS_BYTES && !found.is_empty() {
                    break;
                }
                found.push(StoredRecord::decode(sequence.value(), value.value()).map_err(damaged)?);
            }
            Ok(found)
        })
    }
}
