//! Reading rows in a snapshot.

use redb::{ReadOnlyTable, ReadableTable, ReadableTableMetadata};

use super::facts::{decode_facts, decode_row};
use super::row::{AuditRow, RowState};
use super::scrub::redacted_decision;
use super::tables::{APPROVALS, DECISIONS, INDEXED, PENDING, ROWS};
use crate::audit::log::record::{Event, Record};
use crate::audit::log::stored::{last_of, parse_record};
use crate::audit::log::tables::RECORDS;
use crate::domain::{ApprovalId, DecisionId, Timestamp};
use crate::store::error::{StoreError, damaged, guarded, missing};
use crate::store::reader::Reader;

impl Reader {
    /// The number of the last row; 0 while there is none.
    pub fn last_row(&self) -> Result<u64, StoreError> {
        guarded(|| Ok(last_of(&self.table(ROWS)?, "rows")?))
    }

    /// The last row that the index covers.
    pub(crate) fn indexed(&self) -> Result<u64, StoreError> {
        self.number(INDEXED)
    }

    /// A row by its number.
    pub fn row(&self, row: u64) -> Result<Option<AuditRow>, StoreError> {
        guarded(|| {
            let rows = self.table(ROWS)?;
            let Some(value) = rows.get(row)? else {
                // They have no gaps: one that is not there is yet to come, or lost.
                let lost = (1..=self.last_row()?).contains(&row);
                return if lost { Err(missing("row", row).into()) } else { Ok(None) };
            };
            audit_row(&self.table(RECORDS)?, row, value.value()).map(Some)
        })
    }

    /// The row of a decision.
    pub fn by_decision(&self, decision: DecisionId) -> Result<Option<AuditRow>, StoreError> {
        guarded(|| match self.row_of(decision)? {
            None => Ok(None),
            Some(row) => self.sought(row, &decision, |state| state.decision_id == decision),
        })
    }

    /// The row that a table led to, which must be the one that was looked for.
    fn sought(
        &self,
        row: u64,
        sought: &dyn std::fmt::Display,
        is_it: impl FnOnce(&RowState) -> bool,
    ) -> Result<Option<AuditRow>, StoreError> {
        let found = self.row(row)?.filter(|found| is_it(&found.state));
        found.map(Some).ok_or_else(|| damaged(format!("{sought} leads to row {row}, which is another one's")))
    }

    /// The number of a decision's row: from the table, or else among the rows that it does not cover yet.
    pub(crate) fn row_of(&self, decision: DecisionId) -> Result<Option<u64>, StoreError> {
        if let Some(row) = self.table(DECISIONS)?.get(decision.as_bytes())? {
            return Ok(Some(row.value()));
        }
        for entry in self.table(ROWS)?.range(self.indexed()? + 1..)?.rev() {
            let (row, value) = entry?;
            if decode_facts(value.value()).is_some_and(|facts| facts.decision == *decision.as_bytes()) {
                return Ok(Some(row.value()));
            }
        }
        Ok(None)
    }

    /// The row of the decision that waits, or waited, for an approval.
    pub fn by_approval(&self, approval: ApprovalId) -> Result<Option<AuditRow>, StoreError> {
        guarded(|| match self.table(APPROVALS)?.get(approval.as_bytes())? {
            None => Ok(None),
            Some(row) => self.sought(row.value(), &approval, |state| asked(state) == Some(approval)),
        })
    }

    /// Every open approval with its row, oldest first.
    pub fn pending(&self) -> Result<Vec<(ApprovalId, AuditRow)>, StoreError> {
        let mut open = Vec::new();
        self.each_pending(|id, row| {
            open.push((id, row));
            Ok(())
        })?;
        open.sort_by_key(|(_, row)| row.row);
        Ok(open)
    }

    /// Shows every open approval with its row, one after the other: all of them may be more than memory holds.
    pub fn each_pending(
        &self,
        mut show: impl FnMut(ApprovalId, AuditRow) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        guarded(|| {
            let (rows, records) = (self.table(ROWS)?, self.table(RECORDS)?);
            let mut found_open = 0;
            let pending = self.table(PENDING)?;
            for entry in pending.iter()? {
                let (id, row) = entry?;
                let (id, row) = (ApprovalId::from_bytes(*id.value()), row.value());
                let value = rows.get(row)?.ok_or_else(|| missing("row", row))?;
                let found = audit_row(&records, row, value.value())?;
                if asked(&found.state) != Some(id) {
                    return Err(damaged(format!("{id} leads to row {row}, which is another one's")));
                }
                found_open += 1;
                show(id, found)?;
            }
            let count = pending.len()?;
            if count != found_open {
                return Err(damaged(format!("{count} approvals are open, and {found_open} are found")));
            }
            Ok(())
        })
    }
}

fn asked(state: &RowState) -> Option<ApprovalId> {
    state.approval.as_ref().map(|approval| approval.approval_id)
}

/// Puts a row together from its value and its record.
pub(crate) fn audit_row(
    records: &ReadOnlyTable<u64, &'static [u8]>,
    row: u64,
    value: &[u8],
) -> Result<AuditRow, StoreError> {
    let (facts, state) = decode_row(value).map_err(damaged)?;
    if let Some(record_id) = state.redacted {
        let time = Timestamp::from_microsecond(facts.time).map_err(|error| damaged(error.to_string()))?;
        return Ok(AuditRow { row, record_id, time, decision: redacted_decision(&facts, &state), state });
    }
    let record = records.get(state.sequence)?.ok_or_else(|| missing("record", state.sequence))?;
    let Record { record_id, time, event, .. } = parse_record(state.sequence, record.value()).map_err(damaged)?;
    let Event::Decision(decision) = event else {
        return Err(damaged(format!("record {} is no decision", state.sequence)));
    };
    Ok(AuditRow { row, record_id, time, decision: *decision, state })
}
