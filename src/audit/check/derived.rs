//! The expected content of the derived tables, computed from the rows.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::rows::counts::{Changes, Changing, Counted, OTHERS, key, label};
use crate::audit::rows::facts::Facts;
use crate::audit::rows::idempotency::{is_over, key_prefix};
use crate::audit::rows::keys::{Bitmap, IndexKey, bit_of, index_key, segment_of};
use crate::audit::rows::row::RowState;

/// The expected content of the derived tables.
#[derive(Debug, Default)]
pub(super) struct Derived {
    pub(super) decisions: BTreeMap<[u8; 16], u64>,
    pub(super) keys: BTreeMap<[u8; 16], LastUse>,
    pub(super) bitmaps: BTreeMap<IndexKey, Bitmap>,
    pub(super) spans: BTreeMap<u64, (i64, i64)>,
    counts: Changes,
    action_types: BTreeSet<Box<str>>,
    rules: BTreeSet<Box<str>>,
    /// The time of the newest redacted decision.
    redacted: Option<i64>,
}

/// The last use of an idempotency key, as the rows show it.
#[derive(Debug)]
pub(super) struct LastUse {
    /// The row.
    pub(super) row: u64,
    time: i64,
    /// Whether the key must still be stored.
    remembered: bool,
}

impl Derived {
    pub(super) fn note_redacted(&mut self, facts: &Facts, state: &RowState) {
        if state.redacted.is_some() {
            self.redacted = self.redacted.max(Some(facts.time));
        }
    }

    /// Adds an indexed row. It is counted under these texts: its action's type and its rule.
    pub(super) fn add(&mut self, row: u64, facts: &Facts, state: &RowState, labels: &[String; 2], remembered: bool) {
        self.decisions.insert(facts.decision, row);
        if let Some(key) = state.idempotency {
            self.keys.insert(key_prefix(key), LastUse { row, time: facts.time, remembered });
        }
        let (byte, bit) = bit_of(row);
        for (kind, value) in facts.index_values() {
            self.bitmaps.entry(index_key(kind, value, segment_of(row))).or_insert([0; 32])[byte] |= bit;
        }
        let span = self.spans.entry(segment_of(row)).or_insert((facts.time, facts.time));
        *span = (span.0.min(facts.time), span.1.max(facts.time));
        self.counts.add(Counted::Risk, &[facts.risk], 1);
        self.counts.add_changing(Changing::of(facts, state), 1);
        let [action_type, rule] = labels;
        self.counts.add_label(Counted::ActionType, &label(action_type), &mut self.action_types);
        self.counts.add_label(Counted::Rule, &label(rule), &mut self.rules);
    }

    /// Whether an idempotency key must be in the table. A later decision may have used the same key after it expired;
    /// redacting that decision removed the key.
    pub(super) fn must_know(&self, key: &LastUse) -> bool {
        key.remembered && !self.redacted.is_some_and(|redacted| is_over(key.time, redacted))
    }

    /// Whether the counters have these values. The first texts of a kind get their own counter, and the later ones
    /// share one. Redaction removes texts, so which came first is then unknown. Once texts share a counter, only the
    /// total of a kind is certain.
    pub(super) fn check_counts(&self, found: &BTreeMap<Vec<u8>, u64>) -> Result<(), String> {
        let mut wanted = BTreeMap::new();
        for (kind, value, by) in self.counts.iter().filter(|(_, _, by)| *by != 0) {
            wanted.insert([&[kind], value].concat(), by.unsigned_abs());
        }
        for counted in Counted::ALL {
            let of_kind = |counts: &BTreeMap<Vec<u8>, u64>| -> BTreeMap<Vec<u8>, u64> {
                let kind = |key: &[u8]| key.first() == Some(&(counted as u8));
                counts.iter().filter(|(key, _)| kind(key)).map(|(key, count)| (key.clone(), *count)).collect()
            };
            let (found, wanted) = (of_kind(found), of_kind(&wanted));
            let together = self.redacted.is_some() && found.contains_key(&key(counted, OTHERS));
            let right =
                if together { found.values().sum::<u64>() == wanted.values().sum::<u64>() } else { found == wanted };
            if !right {
                return Err(format!("the counters of {counted:?} are {found:?}, and should be {wanted:?}"));
            }
        }
        if found.keys().any(|key| !Counted::ALL.iter().any(|counted| key.first() == Some(&(*counted as u8)))) {
            return Err("a counter has an unknown kind".to_owned());
        }
        Ok(())
    }
}
