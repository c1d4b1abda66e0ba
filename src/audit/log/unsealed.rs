//! A record on its way into the log: written out by the caller, sealed by the writer.
//!
//! Canonical JSON is the larger part of what a record costs. It is written where the event arises, outside the writer
//! thread, with a blank in place of the two things that are not known there: the record's name and its sequence number.
//! The writer fills the blanks in, salts and hashes.

use serde::Serialize;

use super::leaf::{HEADER_LEN, LEAF_HASH_LEN, SALT_LEN, leaf_hash};
use super::record::{DecisionRecord, Event, RECORD_VERSION};
use crate::domain::{Canonical, ParamsError, RecordId, Timestamp};

/// A record that only lacks its name and its place.
#[derive(Clone, Debug)]
pub struct Unsealed {
    /// The header, blank, then the payload with blanks for the name and the sequence number.
    bytes: Vec<u8>,
    record_id_at: usize,
    sequence_at: usize,
    time: Timestamp,
}

impl Unsealed {
    /// Writes an event out. Call this before handing a job to the store: it is work that the writer need not do.
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

    /// Writes a decision out, without a copy of it.
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

    /// The time of the record.
    pub(crate) fn time(&self) -> Timestamp {
        self.time
    }

    /// The value that is stored: `leaf hash ‖ salt ‖ payload`.
    pub(crate) fn seal(mut self, sequence: u64, record_id: RecordId, salt: [u8; SALT_LEN]) -> Vec<u8> {
        // The name stands before the number and its blank has its length, so that neither moves the other.
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

/// Records keep time to the microsecond: rows are found by it, and what is found must compare equal to what is shown.
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
