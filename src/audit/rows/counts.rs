//! The counters for statistics: their keys, their bounds, and changes, which are written once for each batch.
//!
//! A key is a kind and a value. Values that an agent chooses (the action's type) are bounded in length and in number:
//! after [`MAX_LABELS`] different values, all others share one counter.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadableTable, StorageError};

use super::facts::{Facts, STATUS_UNREPORTED};
use super::row::RowState;
use crate::domain::{Digest, Timestamp};
use crate::store::table::{Bytes, Lazy};

/// How many values of one kind have their own counter.
pub(crate) const MAX_LABELS: usize = 1000;
/// The longest text, in bytes, that is its own key.
const MAX_LABEL_LEN: usize = 96;
/// The value of the shared counter. No UTF-8 text is this byte.
pub(crate) const OTHERS: &[u8] = &[0xff];

/// A text as a counter's value.
pub(crate) type Label = Box<str>;

/// The text itself, or the beginning and a hash of a long one.
pub(crate) fn label(text: &str) -> Label {
    if text.len() <= MAX_LABEL_LEN {
        return text.into();
    }
    let end = text.floor_char_boundary(MAX_LABEL_LEN - 20);
    let hash = Digest::of(text.as_bytes()).to_string();
    format!("{}…{}", &text[..end], &hash[..16]).into()
}

/// The kind of a counter. Its number is the first byte of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Counted {
    Risk = 1,
    Status = 2,
    Outcome = 3,
    ActionType = 4,
    Rule = 5,
    /// Allowed and unreported rows, by the minute in which they were allowed.
    UnreportedMinute = 6,
}

impl Counted {
    pub(crate) const ALL: [Self; 6] =
        [Self::Risk, Self::Status, Self::Outcome, Self::ActionType, Self::Rule, Self::UnreportedMinute];
}

/// The key of a counter.
pub(crate) fn key(kind: Counted, value: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + value.len());
    key.push(kind as u8);
    key.extend_from_slice(value);
    key
}

/// A minute as a key's value. The bytes sort like the minutes.
pub(crate) fn minute_value(minute: i64) -> [u8; 8] {
    (minute.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The minute that a key's value names.
pub(crate) fn minute_of_value(value: &[u8]) -> Option<i64> {
    Some((u64::from_be_bytes(value.try_into().ok()?) ^ (1 << 63)).cast_signed())
}

/// The minute of a moment.
pub(crate) fn minute_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

/// The parts of a row that are counted and may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Changing {
    status: u8,
    outcome: u8,
    unreported: Option<i64>,
}

impl Changing {
    pub(crate) fn of(facts: &Facts, state: &RowState) -> Self {
        let unreported = state.allowed_at.filter(|_| facts.status == STATUS_UNREPORTED).map(minute_of);
        Self { status: facts.status, outcome: facts.outcome, unreported }
    }
}

/// Collected changes to counters.
#[derive(Debug, Default)]
pub struct Changes(BTreeMap<Vec<u8>, i64>);

impl Changes {
    pub(crate) fn add(&mut self, kind: Counted, value: &[u8], by: i64) {
        *self.0.entry(key(kind, value)).or_default() += by;
    }

    pub(crate) fn add_changing(&mut self, changing: Changing, by: i64) {
        self.add(Counted::Status, &[changing.status], by);
        self.add(Counted::Outcome, &[changing.outcome], by);
        if let Some(minute) = changing.unreported {
            self.add(Counted::UnreportedMinute, &minute_value(minute), by);
        }
    }

    /// The changes in key order: kind, value, difference.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u8, &[u8], i64)> {
        self.0.iter().filter_map(|(key, by)| key.split_first().map(|(kind, value)| (*kind, value, *by)))
    }

    /// Counts a text: under its own counter, or under the shared one if there are too many.
    pub(crate) fn add_label(&mut self, kind: Counted, label: &str, known: &mut BTreeSet<Box<str>>) {
        if known.contains(label) || known.len() < MAX_LABELS {
            self.add(kind, label.as_bytes(), 1);
            if !known.contains(label) {
                known.insert(label.into());
            }
        } else {
            self.add(kind, OTHERS, 1);
        }
    }

    /// Writes the changes in key order, and clears them.
    pub(crate) fn write(&mut self, counts: &mut Lazy<'_, Bytes, u64>) -> Result<(), StorageError> {
        for (key, by) in std::mem::take(&mut self.0) {
            if by == 0 {
                continue;
            }
            let before = counts.read()?.get(key.as_slice())?.map_or(0, |count| count.value());
            let after = before.saturating_add_signed(by);
            if after == 0 {
                counts.remove(key.as_slice())?;
            } else {
                counts.insert(key.as_slice(), after)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_labels_are_cut_and_stay_different() {
        assert_eq!(&*label("read"), "read");
        let (a, b) = (label(&format!("{}a", "é".repeat(5000))), label(&format!("{}b", "é".repeat(5000))));
        assert!(a.len() <= MAX_LABEL_LEN && b.len() <= MAX_LABEL_LEN);
        assert_ne!(a, b);
    }

    #[test]
    fn too_many_labels_are_counted_together() {
        let (mut changes, mut known) = (Changes::default(), BTreeSet::new());
        for i in 0..MAX_LABELS + 10 {
            changes.add_label(Counted::ActionType, &format!("type-{i}"), &mut known);
        }
        changes.add_label(Counted::ActionType, "type-3", &mut known);
        assert_eq!(changes.0[&key(Counted::ActionType, OTHERS)], 10);
        assert_eq!(changes.0[&key(Counted::ActionType, b"type-3")], 2);
    }

    #[test]
    fn minutes_sort_as_their_bytes_do() {
        let mut last = None;
        for minute in [i64::MIN, -1, 0, 1, i64::MAX] {
            let value = minute_value(minute);
            assert_eq!(minute_of_value(&value), Some(minute));
            assert!(last.is_none_or(|last| last < value));
            last = Some(value);
        }
    }
}
