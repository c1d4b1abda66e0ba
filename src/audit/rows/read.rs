//! Reads rows in a snapshot.

use std::collections::{HashMap, HashSet};

use redb::{ReadOnlyTable, ReadableTable, ReadableTableMetadata};

use super::facts::{decode_facts, decode_row};
use super::row::{AuditRow, ConfirmationState, Reported, RowState};
use super::scrub::redacted_decision;
use super::tables::{APPROVALS, CONFIRMATIONS, DECISIONS, INDEXED, PENDING, ROWS};
use crate::audit::log::record::{Event, Record};
use crate::audit::log::stored::{last_of, parse_head, parse_record};
use crate::audit::log::tables::RECORDS;
use crate::domain::{ApprovalId, DecisionId, Timestamp};
use crate::store::error::{StoreError, damaged, guarded, missing};
use crate::store::reader::Reader;

impl Reader {
    /// The number of the last row; 0 if there is none.
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
                // Row numbers have no gaps: a missing row is either in the future or lost.
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

    /// The row of a decision without what its proposer sent.
    pub fn head_by_decision(&self, decision: DecisionId) -> Result<Option<AuditRow>, StoreError> {
        guarded(|| {
            let Some(row) = self.row_of(decision)? else { return Ok(None) };
            let (rows, records) = (self.table(ROWS)?, self.table(RECORDS)?);
            let value = rows.get(row)?.ok_or_else(|| missing("row", row))?;
            let (found, _) = row_of_record(&records, row, value.value(), parse_head)?;
            if found.state.decision_id == decision {
                return Ok(Some(found));
            }
            Err(damaged(format!("{decision} points to row {row}, which belongs to another decision")))
        })
    }

    /// Reads the row that a table points to, and checks that it is the right one.
    fn sought(
        &self,
        row: u64,
        sought: &dyn std::fmt::Display,
        is_it: impl FnOnce(&RowState) -> bool,
    ) -> Result<Option<AuditRow>, StoreError> {
        let found = self.row(row)?.filter(|found| is_it(&found.state));
        found
            .map(Some)
            .ok_or_else(|| damaged(format!("{sought} points to row {row}, which belongs to another decision")))
    }

    /// The rows of these decisions in the same order; `None` for an unknown decision.
    pub(crate) fn by_decisions(&self, decisions: &[DecisionId]) -> Result<Vec<Option<AuditRow>>, StoreError> {
        guarded(|| {
            let by_decision = self.table(DECISIONS)?;
            let mut numbers = HashMap::new();
            let mut sought = HashSet::new();
            for decision in decisions {
                match by_decision.get(decision.as_bytes())? {
                    Some(row) => drop(numbers.insert(*decision, row.value())),
                    None => drop(sought.insert(*decision.as_bytes())),
                }
            }
            // Decisions that the table does not cover yet are found in one pass over the later rows.
            let rows = self.table(ROWS)?;
            let mut after = rows.range(self.indexed()? + 1..)?.rev();
            while !sought.is_empty()
                && let Some(entry) = after.next()
            {
                let (row, value) = entry?;
                if let Some(facts) = decode_facts(value.value())
                    && sought.remove(&facts.decision)
                {
                    numbers.insert(DecisionId::from_bytes(facts.decision), row.value());
                }
            }
            let found = decisions.iter().map(|decision| match numbers.get(decision) {
                None => Ok(None),
                Some(row) => self.sought(*row, decision, |state| state.decision_id == *decision),
            });
            found.collect()
        })
    }

    /// The row number of a decision: from the table, or from the rows that it does not cover yet.
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

    /// The ids of the open approvals.
    pub fn open_approvals(&self) -> Result<Vec<ApprovalId>, StoreError> {
        guarded(|| {
            let mut open = Vec::new();
            for entry in self.table(PENDING)?.iter()? {
                open.push(ApprovalId::from_bytes(*entry?.0.value()));
            }
            Ok(open)
        })
    }

    /// The decisions whose confirmation is open, and does not expire before this time.
    pub fn open_confirmations(&self, until: Timestamp) -> Result<Vec<DecisionId>, StoreError> {
        guarded(|| {
            let (rows, mut open) = (self.table(ROWS)?, Vec::new());
            for entry in self.table(CONFIRMATIONS)?.iter()? {
                let row = entry?.1.value();
                let value = rows.get(row)?.ok_or_else(|| missing("row", row))?;
                let (_, state) = decode_row(value.value()).map_err(damaged)?;
                let is_open =
                    |confirmation: &ConfirmationState| confirmation.closed.is_none() && confirmation.expires_at > until;
                if state.confirmation.as_ref().is_some_and(is_open) {
                    open.push(state.decision_id);
                }
            }
            Ok(open)
        })
    }

    /// Visits every open approval with its row, one by one: together they may need too much memory.
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
                    return Err(damaged(format!("{id} points to row {row}, which belongs to another decision")));
                }
                found_open += 1;
                show(id, found)?;
            }
            let count = pending.len()?;
            if count != found_open {
                return Err(damaged(format!(
                    "{count} approvals are open according to the counters, and {found_open} were found"
                )));
            }
            Ok(())
        })
    }
}

fn asked(state: &RowState) -> Option<ApprovalId> {
    state.approval.as_ref().map(|approval| approval.approval_id)
}

/// Builds a row from its value and its record.
pub(crate) fn audit_row(
    records: &ReadOnlyTable<u64, &'static [u8]>,
    row: u64,
    value: &[u8],
) -> Result<AuditRow, StoreError> {
    Ok(sized_row(records, row, value)?.0)
}

/// Builds a row, and counts the bytes that it takes on disk.
pub(crate) fn sized_row(
    records: &ReadOnlyTable<u64, &'static [u8]>,
    row: u64,
    value: &[u8],
) -> Result<(AuditRow, usize), StoreError> {
    row_of_record(records, row, value, parse_record)
}

fn row_of_record(
    records: &ReadOnlyTable<u64, &'static [u8]>,
    row: u64,
    value: &[u8],
    parse: fn(u64, &[u8]) -> Result<Record, String>,
) -> Result<(AuditRow, usize), StoreError> {
    let (facts, mut state) = decode_row(value).map_err(damaged)?;
    if let Some(record_id) = state.redacted {
        let time = Timestamp::from_microsecond(facts.time).map_err(|error| damaged(error.to_string()))?;
        let decision = redacted_decision(&facts, &state);
        return Ok((AuditRow { row, record_id, time, decision, state }, value.len()));
    }
    let record = records.get(state.sequence)?.ok_or_else(|| missing("record", state.sequence))?;
    let mut bytes = value.len() + record.value().len();
    let Record { record_id, time, event, .. } = parse(state.sequence, record.value()).map_err(damaged)?;
    let Event::Decision(decision) = event else {
        return Err(damaged(format!("record {} is no decision", state.sequence)));
    };
    if let Some(Reported { data_in: Some(sequence), marks: found, .. }) = &mut state.reported
        && let Some(result) = &mut state.result
    {
        let sequence = *sequence;
        let record = records.get(sequence)?.ok_or_else(|| missing("record", sequence))?;
        bytes += record.value().len();
        match parse_record(sequence, record.value()).map_err(damaged)?.event {
            Event::Result { decision_id, report, marks, .. } if decision_id == state.decision_id => {
                (result.data, *found) = (report.data, marks);
            }
            _ => return Err(damaged(format!("record {sequence} is no result of {}", state.decision_id))),
        }
    }
    Ok((AuditRow { row, record_id, time, decision: *decision, state }, bytes))
}
