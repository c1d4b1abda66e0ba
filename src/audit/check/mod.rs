//! Everything that must hold between the tables, looked at in one snapshot.
//!
//! The log is the truth and is read first: each record stands where it says, and is what its leaf hash is the hash of.
//! Then every other table is held against it, in both directions: what the log implies is there, and nothing else is. So
//! it finds what no look-up can, an entry that is missing. It reads the whole file, and keeps some bytes of every decision
//! in memory: it is for tests and for an operator who doubts a file, not for the way of a call.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use redb::{Key, ReadableTable, ReadableTableMetadata, TableDefinition, Value};

use super::counts::{Changes, Changing, Counted, label};
use super::error::{StoreError, guarded};
use super::facts::{Facts, decode_row};
use super::reader::{Reader, damaged};
use super::record::{DecisionRecord, Event};
use super::row::{ConfirmationClosed, RowState};
use super::state::key_prefix;
use super::tables::{
    APPROVALS, Bitmap, CONFIRMATIONS, COUNTS, DECISIONS, IDEMPOTENCY, INDEX, IndexKey, META, PENDING, POLICIES,
    RECORDS, ROWS, SEGMENTS, bit_of, index_key, meta, meta_u64, segment_of,
};
use super::tx::parse_record;
use crate::domain::{ApprovalId, DecisionId, Ending, Report, ResultStatus, Timestamp, TokenId};

/// How much was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Records of the log.
    pub records: u64,
    /// Decisions.
    pub rows: u64,
    /// Approvals that are open.
    pub open_approvals: u64,
}

/// What the log says of one decision.
#[derive(Debug)]
struct Told {
    sequence: u64,
    question: Option<Question>,
    ending: Option<Ending>,
    closed: Option<ConfirmationClosed>,
    report: Option<Report>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Question {
    approval_id: ApprovalId,
    expires_at: Timestamp,
    timeout_allows: bool,
}

/// What the log says altogether.
#[derive(Debug, Default)]
struct Log {
    records: u64,
    decisions: HashMap<DecisionId, Told>,
    tokens: BTreeSet<TokenId>,
}

/// What the derived tables must hold.
#[derive(Debug, Default)]
struct Derived {
    decisions: BTreeMap<[u8; 16], u64>,
    /// By key: the last row that used it, and whether it must not have been forgotten yet.
    keys: BTreeMap<[u8; 16], (u64, bool)>,
    bitmaps: BTreeMap<IndexKey, Bitmap>,
    spans: BTreeMap<u64, (i64, i64)>,
    counts: Changes,
    action_types: BTreeSet<Box<str>>,
    rules: BTreeSet<Box<str>>,
}

impl Reader {
    /// Reads the whole store and holds every table against the log. What is wrong first is the error.
    pub fn check(&self) -> Result<Checked, StoreError> {
        guarded(|| {
            let log = self.check_log()?;
            let checked = self.check_rows(&log)?;
            let tokens: BTreeSet<_> = self.tokens()?.into_iter().map(|token| token.token_id).collect();
            require(tokens == log.tokens, || format!("the tokens are {tokens:?}, the log has {:?}", log.tokens))?;
            self.store_id()?;
            Ok(checked)
        })
    }

    fn check_log(&self) -> Result<Log, StoreError> {
        let policies = self.table(POLICIES)?;
        let mut log = Log::default();
        for entry in self.table(RECORDS)?.iter()? {
            let (key, value) = entry?;
            log.records += 1;
            let sequence = key.value();
            require(sequence == log.records, || format!("record {} is missing: {sequence} follows", log.records))?;
            let event = parse_record(sequence, value.value()).map_err(damaged)?.event;
            if let Event::PolicyLoaded { revision, .. } = &event {
                let kept = policies.get(&revision.0)?.is_some();
                require(kept, || format!("record {sequence} loads the policy {revision}, which is not kept"))?;
            }
            log.take(sequence, event).map_err(|what| damaged(format!("record {sequence}: {what}")))?;
        }
        Ok(log)
    }

    fn check_rows(&self, log: &Log) -> Result<Checked, StoreError> {
        let (indexed, forgotten) = (self.indexed()?, self.number(meta::FORGOTTEN)?);
        let records = self.table(RECORDS)?;
        let (approvals, pending, confirmations) =
            (self.table(APPROVALS)?, self.table(PENDING)?, self.table(CONFIRMATIONS)?);
        let mut checked = Checked { records: log.records, ..Checked::default() };
        let (mut asked, mut confirmable, mut last_sequence) = (0, 0, 0);
        let mut derived = Derived::default();
        for entry in self.table(ROWS)?.iter()? {
            let (key, value) = entry?;
            checked.rows += 1;
            let row = key.value();
            require(row == checked.rows, || format!("row {} is missing: {row} follows", checked.rows))?;
            let (facts, state) = decode_row(value.value()).map_err(damaged)?;
            let wrong = |what: String| damaged(format!("row {row}: {what}"));
            require(state.sequence > last_sequence, || format!("row {row} is out of order"))?;
            last_sequence = state.sequence;
            let Some(told) = log.decisions.get(&state.decision_id) else {
                return Err(wrong(format!("the log has no {}", state.decision_id)));
            };
            agrees(&state, told).map_err(wrong)?;
            let Some(record) = records.get(state.sequence)? else { return Err(wrong("its record is missing".into())) };
            let record = parse_record(state.sequence, record.value()).map_err(damaged)?;
            let Event::Decision(decision) = record.event else { return Err(wrong("its record is no decision".into())) };
            require(facts == Facts::new(record.time, &decision, &state), || format!("row {row}: its facts are wrong"))?;

            let leads_here = |found: Option<u64>| found == Some(row);
            if let Some(approval) = &state.approval {
                asked += 1;
                let id = approval.approval_id.as_bytes();
                let found = approvals.get(id)?.map(|row| row.value());
                require(leads_here(found), || format!("row {row}: its approval leads to {found:?}"))?;
                let open = pending.get(id)?.map(|row| row.value());
                let right = if approval.ending.is_none() { leads_here(open) } else { open.is_none() };
                require(right, || format!("row {row}: its approval is open as {open:?}: {approval:?}"))?;
                checked.open_approvals += u64::from(approval.ending.is_none());
            }
            if let Some(confirmation) = &state.confirmation {
                confirmable += 1;
                let found = confirmations.get(&confirmation.token_hash.0)?.map(|row| row.value());
                require(leads_here(found), || format!("row {row}: its token leads to {found:?}"))?;
            }
            if row <= indexed {
                derived.add(row, &facts, &state, &decision, row > forgotten);
            }
        }
        require(checked.rows == log.decisions.len() as u64, || {
            format!("there are {} rows and {} decisions", checked.rows, log.decisions.len())
        })?;
        require(indexed <= checked.rows, || format!("{indexed} of {} rows are indexed", checked.rows))?;
        for (name, found, wanted) in [
            ("approvals", approvals.len()?, asked),
            ("open approvals", pending.len()?, checked.open_approvals),
            ("confirmations", confirmations.len()?, confirmable),
        ] {
            require(found == wanted, || format!("there are {found} {name} in place of {wanted}"))?;
        }
        self.check_derived(&derived)?;
        Ok(checked)
    }

    fn check_derived(&self, derived: &Derived) -> Result<(), StoreError> {
        self.same(DECISIONS, "decision", &derived.decisions, |key| *key, |row| row)?;
        self.same(INDEX, "index entry", &derived.bitmaps, |key| *key, |bitmap| *bitmap)?;
        self.same(SEGMENTS, "segment", &derived.spans, |segment| segment, |span| span)?;
        let counts: BTreeMap<Vec<u8>, u64> = derived
            .counts
            .iter()
            .filter(|(_, _, by)| *by != 0)
            .map(|(kind, value, by)| ([&[kind], value].concat(), by.unsigned_abs()))
            .collect();
        self.same(COUNTS, "counter", &counts, <[u8]>::to_vec, |count| count)?;

        let keys = self.table(IDEMPOTENCY)?;
        for entry in keys.iter()? {
            let (key, row) = entry?;
            let wanted = derived.keys.get(key.value()).map(|(row, _)| *row);
            require(wanted == Some(row.value()), || {
                format!("an idempotency key leads to row {}, not to {wanted:?}", row.value())
            })?;
        }
        for (key, (row, remembered)) in &derived.keys {
            require(!remembered || keys.get(key)?.is_some(), || {
                format!("the idempotency key of row {row} is missing")
            })?;
        }
        Ok(())
    }

    /// Whether a table holds exactly this.
    fn same<K, V, OK: Ord + std::fmt::Debug, OV: PartialEq + std::fmt::Debug>(
        &self,
        definition: TableDefinition<'static, K, V>,
        what: &str,
        wanted: &BTreeMap<OK, OV>,
        key_of: impl Fn(K::SelfType<'_>) -> OK,
        value_of: impl Fn(V::SelfType<'_>) -> OV,
    ) -> Result<(), StoreError>
    where
        K: Key + 'static,
        V: Value + 'static,
    {
        let mut found = 0;
        for entry in self.table(definition)?.iter()? {
            let (key, value) = entry?;
            let (key, value) = (key_of(key.value()), value_of(value.value()));
            let right = wanted.get(&key);
            require(right == Some(&value), || format!("{what} {key:?} is {value:?} in place of {right:?}"))?;
            found += 1;
        }
        require(found == wanted.len(), || format!("there are {found} of {}: {what}", wanted.len()))
    }

    fn number(&self, key: &str) -> Result<u64, StoreError> {
        Ok(self.table(META)?.get(key)?.and_then(|value| meta_u64(value.value())).unwrap_or(0))
    }
}

impl Log {
    /// Takes in the next record; an error where it does not follow from those before it.
    fn take(&mut self, sequence: u64, event: Event) -> Result<(), String> {
        match event {
            Event::Decision(decision) => {
                let told = Told { sequence, question: None, ending: None, closed: None, report: None };
                if self.decisions.insert(decision.decision_id, told).is_some() {
                    return Err(format!("{} is decided twice", decision.decision_id));
                }
            }
            Event::ApprovalRequested { approval_id, decision_id, expires_at, timeout_allows } => {
                let told = self.told(decision_id)?;
                if told.question.replace(Question { approval_id, expires_at, timeout_allows }).is_some() {
                    return Err(format!("{decision_id} asks twice"));
                }
            }
            Event::ApprovalEnded { approval_id, decision_id, ending, .. } => {
                let told = self.told(decision_id)?;
                if told.question.is_none_or(|question| question.approval_id != approval_id) {
                    return Err(format!("{approval_id} was never asked"));
                }
                if told.ending.replace(ending).is_some() {
                    return Err(format!("{approval_id} ends twice"));
                }
            }
            Event::Confirmed { decision_id, confirmed_by } => {
                self.told(confirmed_by)?;
                let redeemed = ConfirmationClosed::Redeemed(confirmed_by);
                if self.told(decision_id)?.closed.replace(redeemed).is_some() {
                    return Err(format!("{decision_id} is confirmed twice"));
                }
            }
            Event::ConfirmationCancelled { decision_id } => {
                self.told(decision_id)?.closed = Some(ConfirmationClosed::Cancelled);
            }
            Event::Result { decision_id, report, .. } => self.told(decision_id)?.report = Some(report),
            Event::TokenCreated { token_id, .. } => drop(self.tokens.insert(token_id)),
            Event::TokenRevoked { token_id, .. } => {
                let known = self.tokens.remove(&token_id);
                known.then_some(()).ok_or_else(|| format!("{token_id} is revoked and was never made"))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn told(&mut self, decision_id: DecisionId) -> Result<&mut Told, String> {
        self.decisions.get_mut(&decision_id).ok_or_else(|| format!("there was no {decision_id} before it"))
    }
}

/// Whether the state of a row is what the log says.
fn agrees(state: &RowState, told: &Told) -> Result<(), String> {
    if state.sequence != told.sequence {
        return Err(format!("its record is {}, not {}", told.sequence, state.sequence));
    }
    let question = state.approval.as_ref().map(|approval| Question {
        approval_id: approval.approval_id,
        expires_at: approval.expires_at,
        timeout_allows: approval.timeout_allows,
    });
    let ending = state.approval.as_ref().and_then(|approval| approval.ending.as_ref());
    let closed = state.confirmation.as_ref().and_then(|confirmation| confirmation.closed);
    if question != told.question || ending != told.ending.as_ref() {
        return Err(format!(
            "its approval is {:?}, the log has {:?}, {:?}",
            state.approval, told.question, told.ending
        ));
    }
    if closed != told.closed {
        return Err(format!("its confirmation is {closed:?}, the log has {:?}", told.closed));
    }
    let settled_by_us = [ResultStatus::Blocked, ResultStatus::Denied, ResultStatus::Skipped];
    match (&state.result, &told.report) {
        (None, None) => Ok(()),
        (Some(result), Some(report)) if result == report => Ok(()),
        // The daemon settles these with the decision, or with its end.
        (Some(result), None) if settled_by_us.contains(&result.status) => Ok(()),
        (result, report) => Err(format!("its result is {result:?}, the log has {report:?}")),
    }
}

impl Derived {
    fn add(&mut self, row: u64, facts: &Facts, state: &RowState, decision: &DecisionRecord, remembered: bool) {
        self.decisions.insert(facts.decision, row);
        if let Some(key) = state.idempotency {
            self.keys.insert(key_prefix(key), (row, remembered));
        }
        let (byte, bit) = bit_of(row);
        for (kind, value) in facts.index_values() {
            self.bitmaps.entry(index_key(kind, value, segment_of(row))).or_insert([0; 32])[byte] |= bit;
        }
        let span = self.spans.entry(segment_of(row)).or_insert((facts.time, facts.time));
        *span = (span.0.min(facts.time), span.1.max(facts.time));
        self.counts.add(Counted::Risk, &[facts.risk], 1);
        self.counts.add_changing(Changing::of(facts, state), 1);
        self.counts.add_label(Counted::ActionType, &label(&decision.action.r#type), &mut self.action_types);
        self.counts.add_label(Counted::Rule, &label(&decision.matched_rule), &mut self.rules);
    }
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), StoreError> {
    if holds { Ok(()) } else { Err(damaged(otherwise())) }
}
