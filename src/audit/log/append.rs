//! Appends records to the log.

use super::end::LogEnd;
use super::leaf::SALT_LEN;
use super::record::Event;
use super::unsealed::Unsealed;
use crate::audit::state::Tx;
use crate::domain::{RecordId, Timestamp};
use crate::store::Entropy;
use crate::store::error::TxError;
use crate::store::table::{Bytes, Lazy};

/// The position and the id of an appended record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its sequence number.
    pub sequence: u64,
    /// Its id.
    pub record_id: RecordId,
}

impl Tx<'_> {
    /// The sequence number of the last record, including this transaction.
    pub fn last_sequence(&self) -> u64 {
        self.host.log.last_sequence
    }

    /// Appends a record of an event.
    pub fn append(&mut self, at: Timestamp, event: &Event) -> Result<Appended, TxError> {
        self.append_unsealed(Unsealed::new(at, event)?)
    }

    /// Appends a record that was serialized before.
    pub fn append_unsealed(&mut self, entry: Unsealed) -> Result<Appended, TxError> {
        append(&mut self.host.log, &mut self.tables.records, self.entropy, entry)
    }
}

/// Gives a record its id, sequence number and salt, and writes it.
pub(crate) fn append(
    log: &mut LogEnd,
    records: &mut Lazy<'_, u64, Bytes>,
    entropy: &mut dyn Entropy,
    entry: Unsealed,
) -> Result<Appended, TxError> {
    let mut random = [0; SALT_LEN + 10];
    entropy.fill(&mut random).map_err(TxError::Entropy)?;
    let (mut salt, mut id) = ([0; SALT_LEN], [0; 10]);
    salt.copy_from_slice(&random[..SALT_LEN]);
    id.copy_from_slice(&random[SALT_LEN..]);
    let sequence = log.last_sequence + 1;
    let record_id = RecordId::new(entry.time(), id);
    let value = entry.seal(sequence, record_id, salt);
    records.insert(sequence, value.as_slice())?;
    log.last_sequence = sequence;
    Ok(Appended { sequence, record_id })
}
