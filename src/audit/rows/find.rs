//! Finds decisions by an id, or by the beginning of one.

use super::facts::decode_facts;
use super::keys::{first_row, segment_of};
use super::read::audit_row;
use super::tables::{APPROVALS, DECISIONS, ROWS, SEGMENTS};
use crate::audit::log::tables::RECORDS;
use crate::domain::{DecisionId, IdKind, IdPrefix};
use crate::store::error::{StoreError, damaged, guarded, missing};
use crate::store::reader::Reader;

/// The most decisions that are found: two say that a prefix is ambiguous, a few more help to write a longer one.
pub const MOST_FOUND: usize = 5;

impl Reader {
    /// The rows of the decisions that have such an id, an approval with such an id, or a record of the decision itself
    /// with such an id: at most [`MOST_FOUND`], in the order of their ids.
    pub fn rows_with(&self, sought: &IdPrefix) -> Result<Vec<u64>, StoreError> {
        guarded(|| match sought.kind {
            IdKind::Decision => self.with_decision(sought),
            IdKind::Approval => {
                let approvals = self.table(APPROVALS)?;
                let entries = approvals.range::<&[u8; 16]>(&sought.first..=&sought.last)?.take(MOST_FOUND);
                entries.map(|entry| Ok(entry?.1.value())).collect()
            }
            IdKind::Record => self.with_record(sought),
        })
    }

    fn with_decision(&self, sought: &IdPrefix) -> Result<Vec<u64>, StoreError> {
        let decisions = self.table(DECISIONS)?;
        let entries = decisions.range::<&[u8; 16]>(&sought.first..=&sought.last)?.take(MOST_FOUND);
        let mut found = entries.map(|entry| Ok(entry?.1.value())).collect::<Result<Vec<_>, StoreError>>()?;
        // The table does not cover the last rows.
        for entry in self.table(ROWS)?.range(self.indexed()? + 1..)? {
            let (row, value) = entry?;
            let facts = decode_facts(value.value()).ok_or_else(|| damaged("a row is too short"))?;
            if found.len() < MOST_FOUND && sought.contains(&facts.decision) {
                found.push(row.value());
            }
        }
        Ok(found)
    }

    /// The id of a record begins with its time, which is that of its row. So only rows of this time are read.
    fn with_record(&self, sought: &IdPrefix) -> Result<Vec<u64>, StoreError> {
        let (first, last) = sought.millis();
        let (since, until) = (first.saturating_mul(1000), last.saturating_mul(1000).saturating_add(999));
        let (rows, records, indexed) = (self.table(ROWS)?, self.table(RECORDS)?, self.indexed()?);
        let mut ranges = Vec::new();
        for entry in self.table(SEGMENTS)?.range(..segment_of(indexed + 1))? {
            let (segment, span) = entry?;
            let (earliest, latest) = span.value();
            if earliest <= until && latest >= since {
                ranges.push(first_row(segment.value())..=first_row(segment.value() + 1) - 1);
            }
        }
        ranges.push(indexed + 1..=u64::MAX);
        let mut found = Vec::new();
        for entry in ranges.into_iter().map(|range| rows.range(range)) {
            for entry in entry? {
                let (row, value) = entry?;
                let facts = decode_facts(value.value()).ok_or_else(|| damaged("a row is too short"))?;
                if !(since..=until).contains(&facts.time) {
                    continue;
                }
                let row = row.value();
                if sought.contains(audit_row(&records, row, value.value())?.record_id.as_bytes()) {
                    found.push(row);
                }
                if found.len() == MOST_FOUND {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// The decision of a row.
    pub fn decision_of_row(&self, row: u64) -> Result<DecisionId, StoreError> {
        guarded(|| {
            let rows = self.table(ROWS)?;
            let value = rows.get(row)?.ok_or_else(|| missing("row", row))?;
            let facts = decode_facts(value.value()).ok_or_else(|| damaged("a row is too short"))?;
            Ok(DecisionId::from_bytes(facts.decision))
        })
    }
}
