//! The full check of a record: every table against the log, in one snapshot.
//!
//! The log is the truth, so the check reads it first, with the rules for evidence ([`LogVerifier`]). Each record has
//! its own sequence number and matches its leaf hash. For each missing payload, another record says that it was
//! redacted or retired; and each payload that such a record names is missing.
//!
//! Then the check compares every other table with the log, in both directions: what the log implies is there, and
//! nothing else is. It computes the hashes of the tree again. So it finds what no look-up can find: a missing entry. It
//! reads the whole file and keeps some bytes of every decision in memory. It is for tests and for an operator who
//! doubts a file, not for calls.
//!
//! The log says nothing more about retired records. For them the check proves that the tables are scrubbed, and that
//! only retirement can have removed what is missing.

mod derived;
#[cfg(test)]
mod tests;
mod told;
mod tree;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use redb::{Key, ReadableTable, ReadableTableMetadata, Value};

use self::derived::Derived;
use self::told::{Log, agrees, is_scrubbed};
use self::tree::Tiles;
use super::policies::POLICIES;
use crate::audit::evidence::EntryLine;
use crate::audit::evidence::{LogVerifier, Trust};
use crate::audit::log::leaf::{HEADER_LEN, LEAF_HASH_LEN, REDACTED, SALT_LEN, leaf_data_of_redacted};
use crate::audit::log::record::{Event, Record};
use crate::audit::log::stored::parse_record;
use crate::audit::log::tables::{RECORDS, RETIRED, TREE};
use crate::audit::log::tiles::hashed;
use crate::audit::rows::facts::{Facts, decode_row};
use crate::audit::rows::row::RowState;
use crate::audit::rows::tables::{
    APPROVALS, CONFIRMATIONS, COUNTS, DECISIONS, FORGOTTEN, IDEMPOTENCY, INDEX, PENDING, ROWS, SEGMENTS,
};
use crate::domain::{Digest, TokenId};
use crate::store::error::{StoreError, damaged, guarded};
use crate::store::reader::Reader;
use crate::store::table::TableDef;

/// What the check counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Records of the log.
    pub records: u64,
    /// Records without a payload. For each, another record says why.
    pub redacted: u64,
    /// Decisions.
    pub rows: u64,
    /// Open approvals.
    pub open_approvals: u64,
}

impl Reader {
    /// Reads the whole store and compares every table with the log. Fails with the first difference.
    pub fn check(&self) -> Result<CheckReport, StoreError> {
        guarded(|| {
            let log = self.check_log()?;
            self.check_tokens(&log)?;
            let checked = self.check_rows(log)?;
            self.store_id()?;
            Ok(checked)
        })
    }

    fn check_log(&self) -> Result<Log, StoreError> {
        let policies = self.table(POLICIES)?;
        let mut verifier = LogVerifier::new(Trust::default());
        let (mut log, mut tiles) = (Log::default(), Tiles::default());
        for entry in self.table(RECORDS)?.iter()? {
            let (key, value) = entry?;
            log.records += 1;
            let (sequence, value) = (key.value(), value.value());
            require(sequence == log.records, || format!("record {} is missing: {sequence} follows", log.records))?;
            let wrong = |what: String| damaged(format!("record {sequence}: {what}"));
            let too_short = || wrong("it is too short".into());
            let leaf = Digest(*value.first_chunk::<LEAF_HASH_LEN>().ok_or_else(too_short)?);
            tiles.push(leaf);
            if let Some(leaf_data) = leaf_data_of_redacted(value) {
                verifier
                    .push(&EntryLine::Redacted { leaf_data }, Some(leaf))
                    .map_err(|wrong| damaged(wrong.to_string()))?;
                log.take_redacted(sequence);
                continue;
            }
            let (head, payload) = value.split_first_chunk::<HEADER_LEN>().ok_or_else(too_short)?;
            let mut salt = [0; SALT_LEN];
            salt.copy_from_slice(&head[LEAF_HASH_LEN..]);
            verifier
                .push(&EntryLine::Whole { salt, payload }, Some(leaf))
                .map_err(|wrong| damaged(wrong.to_string()))?;
            let record: Record = serde_json::from_slice(payload).map_err(|error| wrong(error.to_string()))?;
            if let Event::PolicyLoaded { revision, .. } = &record.event {
                let kept = policies.get(&revision.0)?.is_some();
                require(kept, || format!("record {sequence} loads the policy {revision}, which is not kept"))?;
            }
            log.take(record).map_err(wrong)?;
        }
        log.retired = self.number(RETIRED)?;
        log.check_redactions().map_err(damaged)?;
        let (found, wanted) = (self.log()?, verifier.identity());
        require(found == wanted, || format!("the log is {found:?}, and its records say {wanted:?}"))?;
        self.check_tree(&tiles)?;
        Ok(log)
    }

    /// The stored hashes match the leaves, without a gap.
    fn check_tree(&self, tiles: &Tiles) -> Result<(), StoreError> {
        // A store from before the tree existed has no such table.
        let Some(tree) = self.table_if_there(TREE)? else { return Ok(()) };
        let covered = hashed(&tree)?;
        self.same(TREE, "hash of the tree", &tiles.first(covered), |key| *key, |hash| *hash)
    }

    fn check_tokens(&self, log: &Log) -> Result<(), StoreError> {
        let found = self.tokens()?;
        let held: BTreeSet<TokenId> = found.iter().map(|token| token.token_id).collect();
        if let Some(token) = log.tokens().find(|token| !held.contains(token)) {
            return Err(damaged(format!("{token} was created and not revoked, and is missing")));
        }
        for token in found {
            log.may_have_made(token.token_id, token.created_at).map_err(damaged)?;
        }
        Ok(())
    }

    fn check_rows(&self, mut log: Log) -> Result<CheckReport, StoreError> {
        let (indexed, forgotten) = (self.indexed()?, self.number(FORGOTTEN)?);
        let (approvals, pending, confirmations) =
            (self.table(APPROVALS)?, self.table(PENDING)?, self.table(CONFIRMATIONS)?);
        let mut checked = CheckReport { records: log.records, redacted: log.redacted(), ..CheckReport::default() };
        let (mut asked, mut confirmable, mut last_sequence) = (0, 0, 0);
        let mut derived = Derived::default();
        let mut decisions = HashSet::new();
        for entry in self.table(ROWS)?.iter()? {
            let (key, value) = entry?;
            checked.rows += 1;
            let row = key.value();
            require(row == checked.rows, || format!("row {} is missing: {row} follows", checked.rows))?;
            let (facts, state) = decode_row(value.value()).map_err(damaged)?;
            let wrong = |what: String| damaged(format!("row {row}: {what}"));
            require(state.sequence > last_sequence, || format!("row {row} is out of order"))?;
            last_sequence = state.sequence;
            require(decisions.insert(state.decision_id), || format!("row {row} is another row's, too"))?;
            let labels = if state.redacted.is_some() {
                is_scrubbed(&facts, &state).map_err(wrong)?;
                log.redacts(&state).map_err(wrong)?;
                [REDACTED.to_owned(), REDACTED.to_owned()]
            } else {
                self.check_row(&facts, &state, &mut log).map_err(|what| match what {
                    StoreError::Corrupt { what } => wrong(what.to_string()),
                    other => other,
                })?
            };

            let leads_here = |found: Option<u64>| found == Some(row);
            if let Some(approval) = &state.approval {
                asked += 1;
                let id = approval.approval_id.as_bytes();
                let found = approvals.get(id)?.map(|row| row.value());
                require(leads_here(found), || format!("row {row}: its approval leads to {found:?}"))?;
                let open = pending.get(id)?.map(|row| row.value());
                let right = if approval.state.is_open() { leads_here(open) } else { open.is_none() };
                require(right, || format!("row {row}: its approval is open as {open:?}: {approval:?}"))?;
                checked.open_approvals += u64::from(approval.state.is_open());
            }
            if let Some(confirmation) = state.confirmation.as_ref().filter(|_| state.redacted.is_none()) {
                confirmable += 1;
                let found = confirmations.get(&confirmation.token_hash.0)?.map(|row| row.value());
                require(leads_here(found), || format!("row {row}: its token leads to {found:?}"))?;
            }
            derived.note_redacted(&facts, &state);
            if row <= indexed {
                derived.add(row, &facts, &state, &labels, row > forgotten);
            }
        }
        log.is_told(&decisions).map_err(damaged)?;
        require(indexed <= checked.rows, || {
            format!("the index covers {indexed} rows, and there are only {}", checked.rows)
        })?;
        for (name, found, wanted) in [
            ("approvals", approvals.len()?, asked),
            ("open approvals", pending.len()?, checked.open_approvals),
            ("confirmations", confirmations.len()?, confirmable),
        ] {
            require(found == wanted, || format!("there are {found} {name}, and should be {wanted}"))?;
        }
        self.check_derived(&derived)?;
        Ok(checked)
    }

    /// Compares a row that is not redacted with the log. Returns the texts under which it is counted.
    fn check_row(&self, facts: &Facts, state: &RowState, log: &mut Log) -> Result<[String; 2], StoreError> {
        let told = log.tells(state.decision_id).map_err(damaged)?;
        agrees(state, &told).map_err(damaged)?;
        let Some(record) = self.table(RECORDS)?.get(state.sequence)? else {
            return Err(damaged("its record is missing"));
        };
        let record = parse_record(state.sequence, record.value()).map_err(damaged)?;
        let Event::Decision(decision) = record.event else { return Err(damaged("its record is no decision")) };
        require(*facts == Facts::new(record.time, &decision, state), || "its facts are wrong".into())?;
        Ok([decision.action.r#type, decision.matched_rule])
    }

    fn check_derived(&self, derived: &Derived) -> Result<(), StoreError> {
        self.same(DECISIONS, "decision", &derived.decisions, |key| *key, |row| row)?;
        self.same(INDEX, "index entry", &derived.bitmaps, |key| *key, |bitmap| *bitmap)?;
        self.same(SEGMENTS, "segment", &derived.spans, |segment| segment, |span| span)?;
        let mut counts = BTreeMap::new();
        for entry in self.table(COUNTS)?.iter()? {
            let (key, count) = entry?;
            counts.insert(key.value().to_vec(), count.value());
        }
        derived.check_counts(&counts).map_err(damaged)?;

        let keys = self.table(IDEMPOTENCY)?;
        for entry in keys.iter()? {
            let (key, row) = entry?;
            let wanted = derived.keys.get(key.value()).map(|key| key.row);
            require(wanted == Some(row.value()), || {
                format!("an idempotency key leads to row {}, not to {wanted:?}", row.value())
            })?;
        }
        for (prefix, key) in &derived.keys {
            require(!derived.must_know(key) || keys.get(prefix)?.is_some(), || {
                format!("the idempotency key of row {} is missing", key.row)
            })?;
        }
        Ok(())
    }

    /// Whether a table has exactly this content.
    fn same<K, V, OK: Ord + std::fmt::Debug, OV: PartialEq + std::fmt::Debug>(
        &self,
        table: TableDef<K, V>,
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
        for entry in self.table(table)?.iter()? {
            let (key, value) = entry?;
            let (key, value) = (key_of(key.value()), value_of(value.value()));
            let right = wanted.get(&key);
            require(right == Some(&value), || format!("{what} {key:?} is {value:?}, and should be {right:?}"))?;
            found += 1;
        }
        require(found == wanted.len(), || format!("there are {found} of {}: {what}", wanted.len()))
    }
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), StoreError> {
    if holds { Ok(()) } else { Err(damaged(otherwise())) }
}
