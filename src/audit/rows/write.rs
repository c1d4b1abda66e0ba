//! Writes rows: inserts one for each decision, and updates it with the approval and the result.

use redb::ReadableTable;

use super::bitmaps::{clear_bit, set_bit};
use super::counts::Changing;
use super::draft::{Draft, Inserted};
use super::facts::{Facts, decode_row, encode_row};
use super::idempotency::{is_over, key_prefix};
use super::keys::Kind;
use super::row::RowState;
use super::tail::TailRow;
use crate::audit::log::leaf::leaf_data_of_redacted;
use crate::audit::log::record::{DecisionRecord, Event};
use crate::audit::log::stored::{gone, parse_record};
use crate::audit::state::Tx;
use crate::domain::{ApprovalId, DecisionId, Digest, Timestamp};
use crate::store::error::{TxError, missing};

impl Tx<'_> {
    /// Appends a decision, creates its row, and appends its question to reviewers, if it has one.
    ///
    /// The caller ensures that the decision, the approval, the token and the idempotency key are new. Existing entries
    /// would be replaced.
    pub fn insert_decision(&mut self, draft: Draft) -> Result<Inserted, TxError> {
        let Draft { entry, question, mut state, facts, action_type, rule } = draft;
        let row = self.host.rows.last_row + 1;
        let appended = self.append_unsealed(entry)?;
        state.sequence = appended.sequence;
        if let Some(question) = question {
            self.append_unsealed(question)?;
        }
        let value = encode_row(&facts, &state).map_err(crate::domain::ParamsError::from)?;
        self.tables.rows.insert(row, value.as_slice())?;
        if let Some(confirmation) = &state.confirmation {
            self.tables.confirmations.insert(&confirmation.token_hash.0, row)?;
        }
        if let Some(approval) = &state.approval {
            let id = approval.approval_id.as_bytes();
            self.tables.approvals.insert(id, row)?;
            if approval.state.is_open() {
                self.tables.pending.insert(id, row)?;
                self.host.rows.pending += 1;
            }
        }
        let changing = Changing::of(&facts, &state);
        let key = state.idempotency.map(key_prefix);
        self.host.rows.push(TailRow { facts, key, changing, action_type, rule });
        Ok(Inserted { row, appended, state })
    }

    /// The state of a row.
    pub fn row(&mut self, row: u64) -> Result<RowState, TxError> {
        Ok(self.stored_row(row)?.1)
    }

    pub(crate) fn stored_row(&mut self, row: u64) -> Result<(Facts, RowState), TxError> {
        let rows = self.tables.rows.read()?;
        let value = rows.get(row)?.ok_or_else(|| missing("row", row))?;
        decode_row(value.value()).map_err(TxError::Corrupt)
    }

    /// The row of a decision.
    pub fn row_by_decision(&mut self, decision: DecisionId) -> Result<Option<(u64, RowState)>, TxError> {
        let row = match self.host.rows.by_decision(decision.as_bytes()) {
            Some(row) => Some(row),
            None => self.tables.decisions.read()?.get(decision.as_bytes())?.map(|row| row.value()),
        };
        self.found(row, &decision, |state| state.decision_id == decision)
    }

    /// The row of the decision that waits, or waited, for an approval.
    pub fn row_by_approval(&mut self, approval: ApprovalId) -> Result<Option<(u64, RowState)>, TxError> {
        let row = self.tables.approvals.read()?.get(approval.as_bytes())?.map(|row| row.value());
        self.found(row, &approval, |state| asked_id(state) == Some(approval))
    }

    /// The row of the decision that asked for confirmation with this token, spent or not.
    pub fn row_by_confirmation(&mut self, token_hash: Digest) -> Result<Option<(u64, RowState)>, TxError> {
        let row = self.tables.confirmations.read()?.get(&token_hash.0)?.map(|row| row.value());
        self.found(row, &"a token", |state| state.confirmation.as_ref().is_some_and(|it| it.token_hash == token_hash))
    }

    /// The row of an idempotency key that was used in the last 24 hours. Compare the state's `action_digest` to see
    /// whether the action is the same.
    pub fn idempotent(&mut self, key: Digest, now: Timestamp) -> Result<Option<(u64, RowState)>, TxError> {
        let prefix = key_prefix(key);
        let row = match self.host.rows.by_key(&prefix) {
            Some(row) => Some(row),
            None => self.tables.idempotency.read()?.get(&prefix)?.map(|row| row.value()),
        };
        let Some(row) = row else { return Ok(None) };
        let (facts, state) = self.stored_row(row)?;
        let honoured = state.idempotency == Some(key) && !is_over(facts.time, now.as_microsecond());
        Ok(honoured.then_some((row, state)))
    }

    /// Reads the row that a table points to, and checks that it is the right one.
    fn found(
        &mut self,
        row: Option<u64>,
        sought: &dyn std::fmt::Display,
        is_it: impl FnOnce(&RowState) -> bool,
    ) -> Result<Option<(u64, RowState)>, TxError> {
        let Some(row) = row else { return Ok(None) };
        let state = self.row(row)?;
        if !is_it(&state) {
            return Err(TxError::Corrupt(format!("{sought} points to row {row}, which belongs to another decision")));
        }
        Ok(Some((row, state)))
    }

    /// The record of a row's decision, which must not be redacted.
    pub fn decision_record(&mut self, state: &RowState) -> Result<DecisionRecord, TxError> {
        let value =
            self.tables.records.read()?.get(state.sequence)?.ok_or_else(|| missing("record", state.sequence))?;
        if leaf_data_of_redacted(value.value()).is_some() {
            return Err(gone(state.sequence).into());
        }
        match parse_record(state.sequence, value.value()).map_err(TxError::Corrupt)?.event {
            Event::Decision(decision) => Ok(*decision),
            _ => Err(TxError::Corrupt(format!("record {} is no decision", state.sequence))),
        }
    }

    /// Writes the changed state of a row, and updates the open approvals, the index and the counters.
    ///
    /// The decision, the digest and the position of a row must not change.
    pub fn update_row(&mut self, row: u64, state: &RowState) -> Result<(), TxError> {
        let (before, old) = self.stored_row(row)?;
        if (old.decision_id, old.sequence, old.idempotency) != (state.decision_id, state.sequence, state.idempotency) {
            return Err(TxError::Misuse("a row cannot become that of another decision or key"));
        }
        if asked_id(&old) != asked_id(state) {
            return Err(TxError::Misuse("the approval of a row cannot change"));
        }
        let mut facts = before;
        facts.follow(state);
        let value = encode_row(&facts, state).map_err(crate::domain::ParamsError::from)?;
        self.tables.rows.insert(row, value.as_slice())?;
        match (open_id(&old), open_id(state)) {
            (Some(id), None) => {
                self.tables.pending.remove(id.as_bytes())?;
                self.host.rows.pending = self.host.rows.pending.saturating_sub(1);
            }
            (None, Some(id)) => {
                self.tables.pending.insert(id.as_bytes(), row)?;
                self.host.rows.pending += 1;
            }
            _ => {}
        }
        let changing = Changing::of(&facts, state);
        if let Some(tail) = self.host.rows.get_mut(row) {
            (tail.facts, tail.changing) = (facts, changing);
            return Ok(());
        }
        self.batch.add_changing(Changing::of(&before, &old), -1);
        self.batch.add_changing(changing, 1);
        if before.index_status() != facts.index_status() {
            let index = &mut self.tables.index;
            clear_bit(index, Kind::Status, Facts::word(before.index_status()), row)?;
            set_bit(index, Kind::Status, Facts::word(facts.index_status()), row)?;
        }
        Ok(())
    }
}

fn asked_id(state: &RowState) -> Option<ApprovalId> {
    state.approval.as_ref().map(|approval| approval.approval_id)
}

fn open_id(state: &RowState) -> Option<ApprovalId> {
    state.approval.as_ref().filter(|approval| approval.state.is_open()).map(|approval| approval.approval_id)
}
