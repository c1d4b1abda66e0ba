//! Reads the log in a snapshot.

use super::stored::{StoredRecord, last_of};
use super::tables::RECORDS;
use crate::store::error::{StoreError, damaged, guarded, missing};
use crate::store::reader::Reader;

/// The most bytes of payload in one result of [`Reader::records`]: what is read of them takes many times as much. The
/// first record may be larger.
const RECORDS_BYTES: usize = 1 << 20;

impl Reader {
    /// The sequence number of the last record; 0 if the log is empty.
    pub fn last_sequence(&self) -> Result<u64, StoreError> {
        guarded(|| Ok(last_of(&self.table(RECORDS)?, "records")?))
    }

    /// The records after a sequence number, oldest first: at most `limit`, and fewer if they are large. Empty if there
    /// are no more yet.
    pub fn records(&self, after: u64, limit: usize) -> Result<Vec<StoredRecord>, StoreError> {
        guarded(|| {
            let records = self.table(RECORDS)?;
            let (mut found, mut bytes) = (Vec::new(), 0);
            // A gap at the end must not look like the end of the log.
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
