//! [`Unsealed`]: a record that the caller has serialized, before the writer gives it its id and sequence number.
//!
//! Writing canonical JSON is the largest cost of a record. So the caller does it, outside the writer thread. It leaves
//! a blank for the record's id and its sequence number, which are unknown there. The writer fills in the blanks, adds
//! the salt and hashes the record.

use serde::Serialize;

use super::leaf::{HEADER_LEN, LEAF_HASH_LEN, SALT_LEN, leaf_hash};
use super::record::{DecisionRecord, Event, RECORD_VERSION};
use crate::domain::{Canonical, ParamsError, RecordId, Timestamp};

/// A record without its id and its sequence number.
#[derive(Clone, Debug)]
pub struct Unsealed {
    /// A blank header, then the payload with blanks for the id and the sequence number.
    bytes: Vec<u8>,
    record_id_at: usize,
    sequence_at: usize,
    time: Timestamp,
}

impl Unsealed {
    /// Serializes an event. Call this outside the job, so that the writer thread need not do it.
    pub fn new(at: Timestamp, event: &Event) -> Result<Self, ParamsError> {
        #[derive(Serialize)]
        struct Blank<'a> {
            version: u32,
            sequence: u64,
            record_id: RecordId,
            time: Timestamp,
            #[serde(flatten)]
            event: &'a Event,
        }
        let time = to_the_microsecond(at);
        Self::from_blank(time, &Blank { version: RECORD_VERSION, sequence: 0, record_id: BLANK_ID, time, event })
    }

    /// Serializes a decision without copying it.
    pub(crate) fn of_decision(at: Timestamp, decision: &DecisionRecord) -> Result<Self, ParamsError> {
        #[derive(Serialize)]
        struct Blank<'a> {
            version: u32,
            sequence: u64,
            record_id: RecordId,
            time: Timestamp,
            kind: &'static str,
            #[serde(flatten)]
            decision: &'a DecisionRecord,
        }
        let (version, time) = (RECORD_VERSION, to_the_microsecond(at));
        let kind = "decision";
        Self::from_blank(time, &Blank { version, sequence: 0, record_id: BLANK_ID, time, kind, decision })
    }

    fn from_blank<T: Serialize>(time: Timestamp, blank: &T) -> Result<Self, ParamsError> {
        let canonical = Canonical::object(blank, HEADER_LEN)?;
        let place = |key| {
            let place = canonical.value_of(key).map(|range| range.start);
            place.ok_or_else(|| serde::ser::Error::custom("a record has a name and a sequence number"))
        };
        let (record_id_at, sequence_at) =
            (place("record_id").map_err(as_params)?, place("sequence").map_err(as_params)?);
        Ok(Self { bytes: canonical.bytes, record_id_at, sequence_at, time })
    }

    /// About how many bytes its stored value has.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The time of the record.
    pub(crate) fn time(&self) -> Timestamp {
        self.time
    }

    /// The stored value: `leaf hash ‖ salt ‖ payload`.
    pub(crate) fn seal(mut self, sequence: u64, record_id: RecordId, salt: [u8; SALT_LEN]) -> Vec<u8> {
        // The id comes before the sequence number and its blank has the right length. So filling in one does not move
        // the other.
        debug_assert!(self.record_id_at < self.sequence_at, "`record_id` sorts before `sequence`");
        let name = record_id.to_string();
        let name_at = self.record_id_at + 1;
        self.bytes[name_at..name_at + name.len()].copy_from_slice(name.as_bytes());
        self.bytes.splice(self.sequence_at..=self.sequence_at, sequence.to_string().into_bytes());
        let leaf = leaf_hash(&salt, &self.bytes[HEADER_LEN..]);
        self.bytes[..LEAF_HASH_LEN].copy_from_slice(&leaf.0);
        self.bytes[LEAF_HASH_LEN..HEADER_LEN].copy_from_slice(&salt);
        self.bytes
    }
}

const BLANK_ID: RecordId = RecordId::from_bytes([0; 16]);

fn as_params(error: serde_json::Error) -> ParamsError {
    error.into()
}

/// Records have times in whole microseconds, because rows are found by time: the stored and the shown time must be
/// equal.
pub(crate) fn to_the_microsecond(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::log::record::Record;
    use crate::audit::testing::decision;

    #[test]
    fn a_sealed_entry_is_the_canonical_json_of_its_record() {
        let at: Timestamp = "2026-01-02T03:04:05.123456789Z".parse().unwrap();
        let decision = decision(7);
        let record_id = RecordId::new(at, [9; 10]);
        for (entry, event) in [
            (Unsealed::of_decision(at, &decision).unwrap(), Event::Decision(Box::new(decision.clone()))),
            (Unsealed::new(at, &Event::DaemonStopped).unwrap(), Event::DaemonStopped),
            (
                Unsealed::new(at, &Event::Decision(Box::new(decision.clone()))).unwrap(),
                Event::Decision(Box::new(decision)),
            ),
        ] {
            for sequence in [1, 10, u64::from(u32::MAX)] {
                let record = Record {
                    version: RECORD_VERSION,
                    sequence,
                    record_id,
                    time: "2026-01-02T03:04:05.123456Z".parse().unwrap(),
                    event: event.clone(),
                };
                let value = entry.clone().seal(sequence, record_id, [3; 16]);
                let (header, payload) = value.split_at(HEADER_LEN);
                assert_eq!(payload, record.to_canonical().unwrap());
                assert_eq!(serde_json::from_slice::<Record>(payload).unwrap(), record);
                assert_eq!(&header[..32], leaf_hash(&[3; 16], payload).0);
                assert_eq!(&header[32..], [3; 16]);
            }
        }
    }
}
