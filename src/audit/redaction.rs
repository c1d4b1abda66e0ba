//! Taking payloads away, and leaving every proof valid.
//!
//! The value of a record that was redacted is `leaf hash (32) ‖ leaf data (32)`: what its payload and its salt were hashed
//! to is kept, the two are gone. Nobody can guess a payload from it: the salt was 128 random bits and is not kept.
//!
//! What stands beside the record goes with it: texts hashed without a salt in the facts of the row and in the index, the
//! digest of the action, the idempotency key, names and reasons of the ending, data and error of the result, the texts that
//! are counted. Ids, times, risk, outcome and result status stay, so that rows and totals still add up.
//!
//! The file is not shredded: the pages that held a payload are free, and hold it until they are used again.

use std::ops::RangeInclusive;

use aho_corasick::AhoCorasick;
use redb::{ReadableTable as _, StorageError};
use sha2::{Digest as _, Sha256};

use super::counts::{Counted, OTHERS, key, label};
use super::entry::{HEADER_LEN, LEAF_DOMAIN, LEAF_HASH_LEN};
use super::error::{StoreError, TxError, guarded};
use super::facts::{EMPTY, Facts, approval_of_code, encode_row};
use super::index::clear_bit;
use super::merkle::hash_leaf;
use super::reader::{Reader, damaged};
use super::record::{DecisionRecord, Event, IdentityRecord, Record};
use super::row::RowState;
use super::state::missing;
use super::tables::{Kind, META, RECORDS, meta, meta_u64};
use super::tree::TILE_WIDTH;
use super::tx::{Tx, parse_record};
use crate::domain::{Action, Actor, Approval, DecisionId, Digest, How, QuestionState, RecordId, RiskLevel, Timestamp};

/// What stands where something was taken away.
pub const REDACTED: &str = "[redacted]";
/// How long the value of a redacted record is.
const REDACTED_LEN: usize = 2 * LEAF_HASH_LEN;
/// How many records are looked through in one go.
const LOOK: u64 = 4096;

/// The leaf data of a redacted record's value; `None` where the value is whole.
pub(super) fn leaf_data_of_redacted(value: &[u8]) -> Option<Digest> {
    // A payload is an object with at least a version in it: a whole record is longer.
    let data = (value.len() == REDACTED_LEN).then(|| value.last_chunk::<LEAF_HASH_LEN>())??;
    Some(Digest(*data))
}

/// What the leaf hash of a record is made from.
pub fn leaf_data(salt: &[u8], payload: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update(LEAF_DOMAIN).chain_update(salt).chain_update(payload).finalize().into())
}

/// A decision of which nothing is left but what its row keeps.
pub(super) fn redacted_decision(facts: &Facts, state: &RowState) -> DecisionRecord {
    let text = || REDACTED.to_owned();
    DecisionRecord {
        decision_id: state.decision_id,
        actor: Actor { id: text(), r#type: text() },
        identity: IdentityRecord { subject: text(), how: How::Anonymous, actor: None, peer: None },
        session_id: text(),
        metadata: serde_json::Map::new(),
        action: Action { r#type: text(), target: text(), params: serde_json::Map::new(), description: text() },
        action_digest: state.action_digest,
        redact: Vec::new(),
        masked: Vec::new(),
        masked_digests: std::collections::BTreeMap::new(),
        outcome: state.outcome,
        reason: text(),
        risk_level: RiskLevel::ALL.into_iter().find(|level| *level as u8 == facts.risk).unwrap_or(RiskLevel::Critical),
        approval: approval_of_code(facts.approval).unwrap_or(Approval::Block),
        matched_rule: text(),
        constraints: serde_json::Map::new(),
        policy_revision: Digest([0; 32]),
        approval_id: state.approval.as_ref().map(|approval| approval.approval_id),
        expires_at: state.approval.as_ref().map(|approval| approval.expires_at),
        trace_id: String::new(),
    }
}

impl Reader {
    /// The records of these that tell of a decision: the decision itself, its approval, its confirmation, its result.
    /// Looks at a bounded number of them, and says where to go on.
    pub fn records_of(&self, decision: DecisionId, among: RangeInclusive<u64>) -> Result<(Vec<u64>, u64), StoreError> {
        self.find_records(decision, among, |sequence, event, found| {
            if is_of(event, decision) {
                found.push(sequence);
            }
        })
    }

    /// Those, the record of their redaction, and the records that it took the payloads from.
    pub fn records_about(
        &self,
        decision: DecisionId,
        among: RangeInclusive<u64>,
    ) -> Result<(Vec<u64>, u64), StoreError> {
        self.find_records(decision, among, |sequence, event, found| match event {
            Event::DecisionRedacted { decision_id, sequences, .. } if *decision_id == decision => {
                found.extend(sequences.iter().chain([&sequence]));
            }
            event if is_of(event, decision) => found.push(sequence),
            _ => {}
        })
    }

    fn find_records(
        &self,
        decision: DecisionId,
        among: RangeInclusive<u64>,
        take: impl Fn(u64, &Event, &mut Vec<u64>),
    ) -> Result<(Vec<u64>, u64), StoreError> {
        guarded(|| {
            let name = AhoCorasick::new([decision.to_string()]).map_err(|error| damaged(error.to_string()))?;
            let end = (*among.end()).min(among.start().saturating_add(LOOK - 1));
            let mut found = Vec::new();
            for entry in self.table(RECORDS)?.range(*among.start()..=end)? {
                let (sequence, value) = entry?;
                if leaf_data_of_redacted(value.value()).is_none() && name.is_match(value.value()) {
                    let event = parse_record(sequence.value(), value.value()).map_err(damaged)?.event;
                    take(sequence.value(), &event, &mut found);
                }
            }
            Ok((found, end + 1))
        })
    }
}

/// Whether an event is one of those that make up a decision's history, and that go with it.
pub(super) fn is_of(event: &Event, decision: DecisionId) -> bool {
    !matches!(event, Event::DecisionRedacted { .. }) && event.decision_id() == Some(decision)
}

impl Tx<'_> {
    /// Takes the payload and the salt of a record away. The answer is whether there was a payload.
    pub fn drop_payload(&mut self, sequence: u64) -> Result<bool, TxError> {
        let records = self.tables.records.get()?;
        let mut kept = [0; REDACTED_LEN];
        {
            let value = records.get(sequence)?.ok_or_else(|| missing("record", sequence))?;
            let value = value.value();
            if leaf_data_of_redacted(value).is_some() {
                return Ok(false);
            }
            let (Some(leaf), Some((salt, payload))) = (
                value.get(..LEAF_HASH_LEN),
                value.get(LEAF_HASH_LEN..).and_then(|rest| rest.split_at_checked(HEADER_LEN - LEAF_HASH_LEN)),
            ) else {
                return Err(TxError::Corrupt(format!("record {sequence} is too short")));
            };
            let data = leaf_data(salt, payload);
            // What is damaged stays as it is: it is evidence of that.
            if hash_leaf(&data.0).0 != *leaf {
                return Err(TxError::Corrupt(format!("record {sequence} does not have the leaf hash that it should")));
            }
            kept[..LEAF_HASH_LEN].copy_from_slice(leaf);
            kept[LEAF_HASH_LEN..].copy_from_slice(&data.0);
        }
        self.writes += 1;
        records.insert(sequence, kept.as_slice())?;
        Ok(true)
    }

    /// The records of a decision from this one on.
    pub fn records_of(&mut self, decision: DecisionId, from: u64) -> Result<Vec<u64>, TxError> {
        let mut found = Vec::new();
        for entry in self.tables.records.get()?.range(from..)? {
            let (sequence, value) = entry?;
            if leaf_data_of_redacted(value.value()).is_none()
                && is_of(&parse_record(sequence.value(), value.value()).map_err(TxError::Corrupt)?.event, decision)
            {
                found.push(sequence.value());
            }
        }
        Ok(found)
    }

    /// Takes away what a row and its index entries would tell of a decision that is redacted. To be called before the
    /// payload of the decision goes.
    pub fn scrub_row(&mut self, row: u64) -> Result<(), TxError> {
        let (old_facts, mut state) = self.stored_row(row)?;
        if state.redacted.is_some() {
            return Ok(());
        }
        let value = self.tables.records.get()?.get(state.sequence)?.ok_or_else(|| missing("record", state.sequence))?;
        let record = parse_record(state.sequence, value.value()).map_err(TxError::Corrupt)?;
        drop(value);
        let Event::Decision(decision) = record.event else {
            return Err(TxError::Corrupt(format!("record {} is no decision", state.sequence)));
        };
        let key_prefix = state.idempotency.map(super::state::key_prefix);
        let token = state.confirmation.as_ref().map(|confirmation| confirmation.token_hash);
        scrub_state(&mut state, record.record_id);
        let facts = Facts {
            session: EMPTY,
            action_type: EMPTY,
            target: EMPTY,
            actor: EMPTY,
            rule: EMPTY,
            has_key: false,
            ..old_facts
        };
        let value = encode_row(&facts, &state).map_err(crate::domain::ParamsError::from)?;
        self.writes += 1;
        self.tables.rows.get()?.insert(row, value.as_slice())?;
        if let Some(prefix) = key_prefix {
            let keys = self.tables.idempotency.get()?;
            if keys.get(&prefix)?.is_some_and(|now| now.value() == row) {
                keys.remove(&prefix)?;
            }
        }
        if let Some(token) = token {
            self.tables.confirmations.get()?.remove(&token.0)?;
        }
        if let Some(tail) = self.state.tail_mut(row) {
            tail.facts = facts;
            (tail.action_type, tail.rule) = (REDACTED.into(), REDACTED.into());
            if let Some(prefix) = tail.key.take() {
                self.state.tail.forget_key(&prefix, row);
            }
            return Ok(());
        }
        let index = self.tables.index.get()?;
        for (kind, value) in old_facts.index_values() {
            if matches!(kind, Kind::Session | Kind::ActionType | Kind::Actor | Kind::Rule) {
                clear_bit(index, kind, value, row)?;
            }
        }
        self.count_as_redacted(Counted::ActionType, &label(&decision.action.r#type))?;
        self.count_as_redacted(Counted::Rule, &label(&decision.matched_rule))
    }

    fn count_as_redacted(&mut self, kind: Counted, label: &str) -> Result<(), TxError> {
        let apart = self.tables.counts.get()?.get(key(kind, label.as_bytes()).as_slice())?.is_some();
        self.counts.add(kind, if apart { label.as_bytes() } else { OTHERS }, -1);
        let known = match kind {
            Counted::ActionType => &mut self.state.action_types,
            _ => &mut self.state.rules,
        };
        self.counts.add_label(kind, REDACTED, known);
        Ok(())
    }
}

fn scrub_state(state: &mut RowState, record_id: RecordId) {
    state.redacted = Some(record_id);
    state.action_digest = Digest([0; 32]);
    state.action_key = None;
    state.idempotency = None;
    if let Some(confirmation) = &mut state.confirmation {
        confirmation.token_hash = Digest([0; 32]);
    }
    if let Some(QuestionState::Ended(ending)) = state.approval.as_mut().map(|approval| &mut approval.state) {
        (ending.by, ending.reason) = (REDACTED.to_owned(), REDACTED.to_owned());
    }
    if let Some(report) = &mut state.result {
        report.data = None;
        if !report.error.is_empty() {
            REDACTED.clone_into(&mut report.error);
        }
    }
}

/// The error for a record whose payload is gone where one is needed.
pub(super) fn gone(sequence: u64) -> StorageError {
    StorageError::Corrupted(format!("record {sequence} is redacted, and its row does not say so"))
}

/// How many records are retired in one transaction at most.
pub const RETIRE_AT_ONCE: u64 = 4 * TILE_WIDTH;

/// What a retirement took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retirement {
    /// How many payloads.
    pub count: u64,
}

impl Reader {
    /// The last record that was retired, or was gone through and stays; 0 while there is none.
    pub fn retired(&self) -> Result<u64, StoreError> {
        guarded(|| {
            let meta_table = self.table(META)?;
            Ok(meta_table.get(meta::RETIRED)?.and_then(|value| meta_u64(value.value())).unwrap_or(0))
        })
    }

    /// Whether a record is older than this, or has no payload that could tell.
    pub fn is_older(&self, sequence: u64, before: Timestamp) -> Result<bool, StoreError> {
        let record = self.records(sequence.saturating_sub(1), 1)?.into_iter().next();
        Ok(record.is_some_and(|stored| stored.record().is_none_or(|record| record.time < before)))
    }
}

impl Tx<'_> {
    /// The last record that was retired, or was gone through and stays.
    pub fn retired(&mut self) -> Result<u64, TxError> {
        let stored = self.tables.meta.get()?.get(meta::RETIRED)?;
        Ok(stored.and_then(|value| meta_u64(value.value())).unwrap_or(0))
    }

    /// Whether all of these records are older than this, and belong to nothing that is open.
    pub fn may_retire(
        &mut self,
        range: RangeInclusive<u64>,
        before: Timestamp,
        is_open: impl Fn(&RowState) -> bool,
    ) -> Result<bool, TxError> {
        for sequence in range {
            let Some(record) = self.whole_record(sequence)? else { continue };
            if record.time >= before {
                return Ok(false);
            }
            if let Some(decision_id) = record.event.decision_id()
                && let Some((_, state)) = self.row_by_decision(decision_id)?
                && state.redacted.is_none()
                && is_open(&state)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the payloads of these records away, but for those that must stay, and scrubs the rows of their decisions.
    pub fn retire(&mut self, range: RangeInclusive<u64>) -> Result<Retirement, TxError> {
        let (mut count, last) = (0, *range.end());
        for sequence in range {
            let Some(record) = self.whole_record(sequence)? else { continue };
            match record.event {
                Event::LogStarted { .. }
                | Event::LogKeyRotated { .. }
                | Event::DecisionRedacted { .. }
                | Event::RecordsRetired { .. } => continue,
                Event::Decision(decision) => {
                    if let Some((row, _)) = self.row_by_decision(decision.decision_id)? {
                        self.scrub_row(row)?;
                    }
                }
                _ => {}
            }
            count += u64::from(self.drop_payload(sequence)?);
        }
        self.writes += 1;
        self.tables.meta.get()?.insert(meta::RETIRED, last.to_be_bytes().as_slice())?;
        Ok(Retirement { count })
    }

    /// A record; none where it is redacted.
    fn whole_record(&mut self, sequence: u64) -> Result<Option<Record>, TxError> {
        let value = self.tables.records.get()?.get(sequence)?.ok_or_else(|| missing("record", sequence))?;
        if leaf_data_of_redacted(value.value()).is_some() {
            return Ok(None);
        }
        parse_record(sequence, value.value()).map(Some).map_err(TxError::Corrupt)
    }
}
