//! Appending to the log.

use super::entry::Entry;
use super::leaf::SALT_LEN;
use super::record::Event;
use crate::audit::error::TxError;
use crate::audit::tx::Tx;
use crate::domain::{RecordId, Timestamp};

/// Where a record came to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its place in the log.
    pub sequence: u64,
    /// Its name.
    pub record_id: RecordId,
}

impl Tx<'_> {
    /// The sequence number of the last record, this transaction's included.
    pub fn last_sequence(&self) -> u64 {
        self.state.last_sequence
    }

    /// Appends a record of something that happened.
    pub fn append(&mut self, at: Timestamp, event: &Event) -> Result<Appended, TxError> {
        self.append_entry(Entry::new(at, event)?)
    }

    /// Appends a record that was written out before.
    pub fn append_entry(&mut self, entry: Entry) -> Result<Appended, TxError> {
        let mut random = [0; SALT_LEN + 10];
        self.entropy.fill(&mut random).map_err(TxError::Entropy)?;
        let (mut salt, mut id) = ([0; SALT_LEN], [0; 10]);
        salt.copy_from_slice(&random[..SALT_LEN]);
        id.copy_from_slice(&random[SALT_LEN..]);
        let sequence = self.state.last_sequence + 1;
        let record_id = RecordId::new(entry.time(), id);
        let value = entry.seal(sequence, record_id, salt);
        self.writes += 1;
        self.tables.records.get()?.insert(sequence, value.as_slice())?;
        self.state.last_sequence = sequence;
        Ok(Appended { sequence, record_id })
    }
}
