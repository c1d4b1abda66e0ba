//! Reading a snapshot: rows, records, policies, and what is open.
//!
//! A reader sees the store as it was when it was taken, whatever is written meanwhile. Hold it for one answer, not for
//! long: as long as it lives, no page that it could look at is used again.

use redb::{Key, ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, Value};

use super::draft::StoredPolicy;
use super::entry::{HEADER_LEN, LEAF_HASH_LEN, SALT_LEN, leaf_hash};
use super::error::{StoreError, guarded};
use super::facts::{decode_facts, decode_row};
use super::merkle::hash_leaf;
use super::record::{Event, Record};
use super::redaction::{leaf_data_of_redacted, redacted_decision};
use super::row::{AuditRow, RowState};
use super::state::{last_of, missing};
use super::tables::{APPROVALS, DECISIONS, META, PENDING, POLICIES, RECORDS, ROWS, meta, meta_u64};
use super::tx::parse_record;
use crate::domain::{ApprovalId, DecisionId, Digest, Timestamp};

/// How many bytes of payload one call of [`Reader::records`] returns at most, but for its first record.
const RECORDS_BYTES: usize = 4 << 20;

/// A snapshot of the store.
#[derive(Debug)]
pub struct Reader {
    read: ReadTransaction,
}

/// A record with what proves it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRecord {
    /// Its place in the log, from 1.
    pub sequence: u64,
    /// Its leaf in the Merkle tree.
    pub leaf_hash: Digest,
    /// What it says, or what is left of that.
    pub content: Content,
}

/// What a record says, or what is left of that.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// All of it.
    Whole {
        /// The record.
        record: Box<Record>,
        /// What its payload was hashed with.
        salt: [u8; SALT_LEN],
        /// Its canonical JSON, byte for byte as it was hashed.
        payload: Vec<u8>,
    },
    /// It was taken away.
    Redacted {
        /// What payload and salt were hashed to: what the leaf hash is made from.
        leaf_data: Digest,
    },
}

impl StoredRecord {
    pub(super) fn decode(sequence: u64, value: &[u8]) -> Result<Self, String> {
        let leaf_hash = value.first_chunk::<LEAF_HASH_LEN>().map(|leaf| Digest(*leaf));
        let leaf_hash = leaf_hash.ok_or("a record is too short")?;
        if let Some(leaf_data) = leaf_data_of_redacted(value) {
            return Ok(Self { sequence, leaf_hash, content: Content::Redacted { leaf_data } });
        }
        let record = Box::new(parse_record(sequence, value)?);
        let mut salt = [0; SALT_LEN];
        salt.copy_from_slice(&value[LEAF_HASH_LEN..HEADER_LEN]);
        let content = Content::Whole { record, salt, payload: value[HEADER_LEN..].to_vec() };
        Ok(Self { sequence, leaf_hash, content })
    }

    /// What it says, unless that was taken away.
    pub fn record(&self) -> Option<&Record> {
        match &self.content {
            Content::Whole { record, .. } => Some(record),
            Content::Redacted { .. } => None,
        }
    }

    /// Whether the leaf hash is that of the content.
    pub fn is_intact(&self) -> bool {
        match &self.content {
            Content::Whole { salt, payload, .. } => leaf_hash(salt, payload) == self.leaf_hash,
            Content::Redacted { leaf_data } => hash_leaf(&leaf_data.0) == self.leaf_hash,
        }
    }
}

impl Reader {
    pub(super) fn new(read: ReadTransaction) -> Self {
        Self { read }
    }

    pub(super) fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<ReadOnlyTable<K, V>, StoreError> {
        Ok(self.read.open_table(definition)?)
    }

    pub(super) fn open_table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<ReadOnlyTable<K, V>, redb::TableError> {
        self.read.open_table(definition)
    }

    /// The random name that the store got when it was created.
    pub fn store_id(&self) -> Result<[u8; 16], StoreError> {
        guarded(|| {
            let meta_table = self.table(META)?;
            let id = meta_table.get(meta::STORE_ID)?.and_then(|value| value.value().try_into().ok());
            id.ok_or_else(|| damaged("the store has no name"))
        })
    }

    /// The sequence number of the last record; 0 while there is none.
    pub fn last_sequence(&self) -> Result<u64, StoreError> {
        guarded(|| Ok(last_of(&self.table(RECORDS)?, "records")?))
    }

    /// The number of the last row; 0 while there is none.
    pub fn last_row(&self) -> Result<u64, StoreError> {
        guarded(|| Ok(last_of(&self.table(ROWS)?, "rows")?))
    }

    /// The last row that the index covers.
    pub(super) fn indexed(&self) -> Result<u64, StoreError> {
        let meta_table = self.table(META)?;
        Ok(meta_table.get(meta::INDEXED)?.and_then(|value| meta_u64(value.value())).unwrap_or(0))
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
    pub(super) fn row_of(&self, decision: DecisionId) -> Result<Option<u64>, StoreError> {
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

    /// The records that follow a sequence number, oldest first: at most `limit` of them, and fewer where they are large.
    /// None means that there are none yet.
    pub fn records(&self, after: u64, limit: usize) -> Result<Vec<StoredRecord>, StoreError> {
        guarded(|| {
            let records = self.table(RECORDS)?;
            let (mut found, mut bytes) = (Vec::new(), 0);
            // What ends before its end must not look complete.
            last_of(&records, "records")?;
            for entry in records.range(after.saturating_add(1)..)?.take(limit) {
                let (sequence, value) = entry?;
                let expected = after.saturating_add(1) + found.len() as u64;
                if sequence.value() != expected {
                    return Err(missing("record", expected).into());
                }
                bytes += value.value().len();
                if bytes > RECORDS_BYTES && !found.is_empty() {
                    break;
                }
                found.push(StoredRecord::decode(sequence.value(), value.value()).map_err(damaged)?);
            }
            Ok(found)
        })
    }

    /// A policy by its revision.
    pub fn policy(&self, revision: Digest) -> Result<Option<StoredPolicy>, StoreError> {
        guarded(|| {
            let policies = self.table(POLICIES)?;
            let Some(value) = policies.get(&revision.0)? else { return Ok(None) };
            serde_json::from_slice(value.value()).map(Some).map_err(|error| damaged(format!("a policy: {error}")))
        })
    }
}

fn asked(state: &RowState) -> Option<ApprovalId> {
    state.approval.as_ref().map(|approval| approval.approval_id)
}

/// Puts a row together from its value and its record.
pub(super) fn audit_row(
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

/// The error for what cannot be read.
pub(super) fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Corrupt { what: what.into().into() }
}
