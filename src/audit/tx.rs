//! What a job can do inside the writer's transaction.
//!
//! All jobs of a batch share one redb transaction, which cannot take back a part of itself. So that a job that fails
//! leaves no trace, each method here looks and computes before it writes; a job that fails before its first write is left
//! out of the batch, and one that fails after it takes the whole batch with it (see [`writer`](super::writer)). Jobs should
//! therefore check first, write last, and return refusals as values.

use redb::{ReadableTable, StorageError, WriteTransaction};

use super::counts::{Changes, Changing};
use super::draft::{Appended, Draft, Inserted, StoredPolicy};
use super::entry::{Entry, LEAF_HASH_LEN, SALT_LEN, leaf_hash};
use super::error::TxError;
use super::facts::{Facts, decode_row, encode_row};
use super::index::{clear_bit, set_bit};
use super::options::Entropy;
use super::record::{DecisionRecord, Event, Record};
use super::redaction::{gone, leaf_data_of_redacted};
use super::row::RowState;
use super::state::{State, TailRow, key_prefix, missing};
use super::tables::{Kind, Tables};
use crate::domain::{ApprovalId, DecisionId, Digest, RecordId, Timestamp};

/// How long an idempotency key is honoured.
pub const IDEMPOTENCY_WINDOW: std::time::Duration = std::time::Duration::from_hours(24);

/// Something to do once a batch is durable.
pub(super) type AfterCommit = Box<dyn FnOnce() + Send>;

/// The transaction that a job runs in.
pub struct Tx<'t> {
    pub(super) tables: Tables<'t>,
    pub(super) state: &'t mut State,
    entropy: &'t mut dyn Entropy,
    pub(super) after: Vec<AfterCommit>,
    pub(super) counts: Changes,
    /// How many changes were made: a job that fails without having made any leaves no trace.
    pub(super) writes: u64,
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("last_sequence", &self.state.last_sequence).finish_non_exhaustive()
    }
}

impl<'t> Tx<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction, state: &'t mut State, entropy: &'t mut dyn Entropy) -> Self {
        let tables = Tables::new(transaction);
        Self { tables, state, entropy, after: Vec::new(), counts: Changes::default(), writes: 0 }
    }

    /// Writes what was gathered. Nothing may be done afterwards but to commit.
    pub(super) fn finish(mut self) -> Result<Vec<AfterCommit>, StorageError> {
        if !self.counts.is_empty() {
            self.counts.write(self.tables.counts.get()?)?;
        }
        Ok(self.after)
    }

    /// The sequence number of the last record, this transaction's included.
    pub fn last_sequence(&self) -> u64 {
        self.state.last_sequence
    }

    /// How many approvals are open, this transaction's included.
    pub fn pending_count(&self) -> u64 {
        self.state.pending
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

    /// Appends a decision, creates its row, and appends the question to reviewers if there is one.
    ///
    /// The caller has made sure that the decision, the approval, the token and the idempotency key are new: an entry that
    /// exists is replaced.
    pub fn insert_decision(&mut self, draft: Draft) -> Result<Inserted, TxError> {
        let Draft { entry, question, mut state, facts, action_type, rule } = draft;
        let row = self.state.last_row + 1;
        let appended = self.append_entry(entry)?;
        state.sequence = appended.sequence;
        if let Some(question) = question {
            self.append_entry(question)?;
        }
        let value = encode_row(&facts, &state).map_err(crate::domain::ParamsError::from)?;
        self.tables.rows.get()?.insert(row, value.as_slice())?;
        if let Some(confirmation) = &state.confirmation {
            self.tables.confirmations.get()?.insert(&confirmation.token_hash.0, row)?;
        }
        if let Some(approval) = &state.approval {
            let id = approval.approval_id.as_bytes();
            self.tables.approvals.get()?.insert(id, row)?;
            if approval.state.is_open() {
                self.tables.pending.get()?.insert(id, row)?;
                self.state.pending += 1;
            }
        }
        self.state.last_row = row;
        let changing = Changing::of(&facts, &state);
        let key = state.idempotency.map(key_prefix);
        self.state.tail.push(row, TailRow { facts, key, changing, action_type, rule });
        Ok(Inserted { row, appended, state })
    }

    /// The state of a row.
    pub fn row(&mut self, row: u64) -> Result<RowState, TxError> {
        Ok(self.stored_row(row)?.1)
    }

    pub(super) fn stored_row(&mut self, row: u64) -> Result<(Facts, RowState), TxError> {
        let rows = self.tables.rows.get()?;
        let value = rows.get(row)?.ok_or_else(|| missing("row", row))?;
        decode_row(value.value()).map_err(TxError::Corrupt)
    }

    /// The row of a decision.
    pub fn row_by_decision(&mut self, decision: DecisionId) -> Result<Option<(u64, RowState)>, TxError> {
        let row = match self.state.tail.by_decision(decision.as_bytes()) {
            Some(row) => Some(row),
            None => self.tables.decisions.get()?.get(decision.as_bytes())?.map(|row| row.value()),
        };
        self.found(row, &decision, |state| state.decision_id == decision)
    }

    /// The row of the decision that waits, or waited, for an approval.
    pub fn row_by_approval(&mut self, approval: ApprovalId) -> Result<Option<(u64, RowState)>, TxError> {
        let row = self.tables.approvals.get()?.get(approval.as_bytes())?.map(|row| row.value());
        self.found(row, &approval, |state| asked_id(state) == Some(approval))
    }

    /// The row of the decision that asked for confirmation with this token, spent or not.
    pub fn row_by_confirmation(&mut self, token_hash: Digest) -> Result<Option<(u64, RowState)>, TxError> {
        let row = self.tables.confirmations.get()?.get(&token_hash.0)?.map(|row| row.value());
        self.found(row, &"a token", |state| state.confirmation.as_ref().is_some_and(|it| it.token_hash == token_hash))
    }

    /// The row that an idempotency key made in the last 24 hours. Whether the action is the same is told by the state's
    /// `action_digest`.
    pub fn idempotent(&mut self, key: Digest, now: Timestamp) -> Result<Option<(u64, RowState)>, TxError> {
        let prefix = key_prefix(key);
        let row = match self.state.tail.by_key(&prefix) {
            Some(row) => Some(row),
            None => self.tables.idempotency.get()?.get(&prefix)?.map(|row| row.value()),
        };
        let Some(row) = row else { return Ok(None) };
        let (facts, state) = self.stored_row(row)?;
        let honoured = state.idempotency == Some(key) && !is_over(facts.time, now.as_microsecond());
        Ok(honoured.then_some((row, state)))
    }

    /// The row that a table led to, which must be the one that was looked for.
    fn found(
        &mut self,
        row: Option<u64>,
        sought: &dyn std::fmt::Display,
        is_it: impl FnOnce(&RowState) -> bool,
    ) -> Result<Option<(u64, RowState)>, TxError> {
        let Some(row) = row else { return Ok(None) };
        let state = self.row(row)?;
        if !is_it(&state) {
            return Err(TxError::Corrupt(format!("{sought} leads to row {row}, which is another one's")));
        }
        Ok(Some((row, state)))
    }

    /// The record of a row's decision, which must not be redacted.
    pub fn decision_record(&mut self, state: &RowState) -> Result<DecisionRecord, TxError> {
        let value = self.tables.records.get()?.get(state.sequence)?.ok_or_else(|| missing("record", state.sequence))?;
        if leaf_data_of_redacted(value.value()).is_some() {
            return Err(gone(state.sequence).into());
        }
        match parse_record(state.sequence, value.value()).map_err(TxError::Corrupt)?.event {
            Event::Decision(decision) => Ok(*decision),
            _ => Err(TxError::Corrupt(format!("record {} is no decision", state.sequence))),
        }
    }

    /// Writes the changed state of a row, and keeps the open approvals, the index and the counters in step.
    ///
    /// What never changes about a row (its decision, its digest, its place) must be as it was.
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
        self.writes += 1;
        self.tables.rows.get()?.insert(row, value.as_slice())?;
        match (open_id(&old), open_id(state)) {
            (Some(id), None) => {
                self.tables.pending.get()?.remove(id.as_bytes())?;
                self.state.pending = self.state.pending.saturating_sub(1);
            }
            (None, Some(id)) => {
                self.tables.pending.get()?.insert(id.as_bytes(), row)?;
                self.state.pending += 1;
            }
            _ => {}
        }
        let changing = Changing::of(&facts, state);
        if let Some(tail) = self.state.tail_mut(row) {
            (tail.facts, tail.changing) = (facts, changing);
            return Ok(());
        }
        self.counts.add_changing(Changing::of(&before, &old), -1);
        self.counts.add_changing(changing, 1);
        if before.index_status() != facts.index_status() {
            let index = self.tables.index.get()?;
            clear_bit(index, Kind::Status, Facts::word(before.index_status()), row)?;
            set_bit(index, Kind::Status, Facts::word(facts.index_status()), row)?;
        }
        Ok(())
    }

    /// Keeps a policy. Each revision is kept once: the answer says whether it was new.
    pub fn put_policy(&mut self, revision: Digest, policy: &StoredPolicy) -> Result<bool, TxError> {
        if self.tables.policies.get()?.get(&revision.0)?.is_some() {
            return Ok(false);
        }
        let value = serde_json::to_vec(policy).map_err(crate::domain::ParamsError::from)?;
        self.writes += 1;
        self.tables.policies.get()?.insert(&revision.0, value.as_slice())?;
        Ok(true)
    }

    /// Does something once the batch is durable: on the writer's thread, in the order of the calls, before any answer of
    /// the batch goes out. Never if the commit failed. It must not wait: everything else waits for it.
    pub fn after_commit(&mut self, then: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(then));
    }
}

fn asked_id(state: &RowState) -> Option<ApprovalId> {
    state.approval.as_ref().map(|approval| approval.approval_id)
}

fn open_id(state: &RowState) -> Option<ApprovalId> {
    state.approval.as_ref().filter(|approval| approval.state.is_open()).map(|approval| approval.approval_id)
}

/// The record in the value of the `records` table, which must be what was written there.
pub(super) fn parse_record(sequence: u64, value: &[u8]) -> Result<Record, String> {
    let (leaf, rest) = value.split_first_chunk::<LEAF_HASH_LEN>().ok_or("a record is too short")?;
    let (salt, payload) = rest.split_first_chunk::<SALT_LEN>().ok_or("a record is too short")?;
    if leaf_hash(salt, payload).0 != *leaf {
        return Err(format!("record {sequence} is not what its leaf hash is the hash of"));
    }
    let record: Record = serde_json::from_slice(payload).map_err(|error| format!("record {sequence}: {error}"))?;
    if record.sequence != sequence {
        return Err(format!("record {sequence} says that it is record {}", record.sequence));
    }
    Ok(record)
}

/// Whether an idempotency key that was used then is not honoured any more. One from the future is: a clock that was put
/// back must not make anything happen twice.
pub(super) fn is_over(created: i64, now: i64) -> bool {
    let window = i64::try_from(IDEMPOTENCY_WINDOW.as_micros()).unwrap_or(i64::MAX);
    now.saturating_sub(created) >= window
}
