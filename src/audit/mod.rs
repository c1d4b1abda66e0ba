//! The record: a durable append-only log, and the tables that change with it, in one transactional file.
//!
//! This floor stores and finds data. The floors above decide: they run jobs inside the writer's transaction ([`Tx`]),
//! and these say what a decision is, when an approval ends and who may end it.
//!
//! - [`log`]: records, their Merkle tree, and its signatures.
//! - [`rows`]: each decision together with its approval and its result; the index and the counters of these rows.
//! - `policies`, `tokens`, `spent`, `halts`: data that records name and that must change in the same transaction. Each
//!   has its own table. They are here, not in the floors that use them, because `check` compares them with the log.
//! - `retention`: removes the payloads of old records.
//! - [`follow`]: reading the log from a position on, and durable cursors.
//! - `check`: compares every table with the log. [`evidence`]: exports that can be verified elsewhere. [`backup`]:
//!   files from which the whole store can be restored.
//! - `tables`, `state`, `host`: what this floor registers with the storage engine, [`store`](crate::store).
//!
//! A [`Store`] has one thread that writes in batches. Any number of [`Reader`]s read snapshots.
//! [`Store::transact`](crate::store::Store::transact) returns only after its writes are on disk.
//!
//! # The file, format 2
//!
//! The file is one redb database. Its latest changes may be in a second file: the journal, which
//! [`store`](crate::store) describes. Integers in byte layouts are big-endian. A program refuses a newer format and any
//! other kind of file.
//!
//! ```text
//! table           key                          value
//! ─────────────── ──────────────────────────── ─────────────────────────────────────────────────────────────
//! meta            name                         "format"      u64: 1
//!                                              "store_id"    16 random bytes
//!                                              "created"     i64, microseconds since 1970
//!                                              "indexed"     u64: the last row that the derived tables cover
//!                                              "forgotten"   u64: the last row whose key was considered for forgetting
//!                                              "recoveries"  u64: how often the store was reopened after a fault
//!                                              "journal"     u64, u64, u8: the generation, the last frame of it that
//!                                                            the file has, whether the store was closed
//!                                              "log"         JSON: the log's origin and keys, see `log::identity`
//!                                              "retired"     u64: the last record that retention has gone through
//!                                              "clock_gap"   two i64: the wall clock before and after a jump that
//!                                              nobody
//!                                                            has confirmed, in microseconds
//! records         sequence u64, from 1,        ┌────────────────┬──────────┬──────────────────────────────┐
//!                 without gaps                 │ leaf hash (32) │ salt (16)│ payload: RFC 8785 JSON of the │
//!                                              │                │          │ Record                        │
//!                                              └────────────────┴──────────┴──────────────────────────────┘
//!                                              redacted: leaf hash (32) ‖ leaf data (32)
//! rows            row u64, from 1, without     ┌─────────────────────┬────────────────────────────────────┐
//!                 gaps: one per decision, in   │ facts (69), below   │ JSON of the RowState, checksum     │
//!                 the order of commits         └─────────────────────┴────────────────────────────────────┘
//! approvals       approval UUID (16)           row; every approval there ever was
//! pending         approval UUID (16)           row; those that are open
//! confirmations   hash of the token (32)       row
//! policies        revision (32)                JSON: the layers' names and sources, the merged policy
//! tokens          token UUID (16)              JSON of the StoredToken: the token's hash, never the token
//! cursors         name                         u64: how far somebody outside has followed the log
//! spent           keyed hash of a limit and    i64: from when on it says nothing, in microseconds; JSON of the
//!                 what it counts by (32)       StoredSpent
//! spent_anonymous the same                     the same, of callers without a credential
//! halts           hash of the scope (32)       JSON of the StoredHalt
//! derived:
//! decisions       decision UUID (16)           row
//! idempotency     the first half of the hash   row, for a day: its state has the whole hash, and what it was used for
//!                 of the key (16)
//! index           kind (1) ‖ value (8) ‖       bitmap (32): which rows of the segment have the value; row n of the
//!                 segment (8)                  segment, counted from 0, is bit n % 8, lowest first, of byte n / 8
//! segments        segment: (row − 1) / 256     the earliest and the latest time of the segment's rows
//! counts          kind (1) ‖ value             u64
//! tree            level (1), from 1 ‖          hash (32): of 256 leaves at level 1, of 256 of those at level 2, and so
//!                 index (8)                    on; whole ones only
//! ```
//!
//! ## What is hashed
//!
//! ```text
//! leaf data = SHA-256("aegis/record/v1" ‖ 0x00 ‖ salt ‖ payload)
//! leaf hash = SHA-256(0x00 ‖ leaf data)                              RFC 6962, section 2.1
//! ```
//!
//! The leaf covers every byte of the payload, and so the sequence number, the record's id and its time. The salt is 16
//! random bytes. With it, nobody can guess a redacted payload from its leaf hash. Redaction replaces salt and payload
//! by the leaf data, so that proofs over the log stay valid: see `log::redaction`.
//!
//! The leaves are those of an RFC 6962 tree ([`log::merkle`]): record `n` is leaf `n − 1`, and the tree of size `n`
//! covers the records from 1 to `n`.
//!
//! ## Facts of a row
//!
//! ```text
//!  0       8         24        32      40       48      56      64     65         66        67       68          69
//!  ├───────┼─────────┼─────────┼───────┼────────┼───────┼───────┼──────┼──────────┼─────────┼────────┼───────────┤
//!  │ time  │ decision│ session │ type  │ target │ actor │ rule  │ risk │ approval │ outcome │ status │ has a key │
//!  │ i64 µs│ UUID    │ short   │ short │ short  │ short │ short │      │          │ as it is│ as it is│          │
//! ```
//!
//! *Short* is the first eight bytes of a text's SHA-256. An agent chooses these texts, so they can have any length;
//! with the hash, each index entry has 49 bytes. Two texts can have the same eight bytes, so a match is only a hint:
//! each row is compared with its record before it is shown. The hash needs no secret: a collision only makes queries a
//! little slower.
//!
//! The JSON ends with one more member, `"sum"`. It is the first eight bytes, in hexadecimal, of the SHA-256 of
//! everything before its comma, including the facts. Older rows have no checksum.
//!
//! Kinds of the index: 1 session, 2 action type, 3 actor, 4 risk, 5 status, 6 rule. The values of 4 and 5 are the codes
//! of the facts. Empty texts are not indexed. The status changes with the row: 1 waits for a person, 2 allowed and not
//! reported (a reader shows it as *unknown* once it is old enough), 3 success, 4 failed, 5 blocked, 6 denied, 7
//! skipped, 8 rolled back, 9 reported as unknown (indexed under 2).
//!
//! Kinds of the counters: 1 risk, 2 status, 3 outcome, 4 action type, 5 rule, 6 allowed and unreported by minute. A
//! text of up to 96 bytes is its own key; of a longer one, the key is its beginning and a hash. After 1,000 texts of a
//! kind, all others share one counter, under the byte 0xff.
//!
//! ## The derived tables lag behind
//!
//! The writer derives them from the rows in whole segments (module `index`), and the tree from the records (module
//! `tree`). `indexed` is the last row that they cover. The writer keeps the later rows in memory, and so finds every
//! decision and every key; readers read the later rows one by one. All other tables are written in the transaction that
//! the caller waits for.
//!
//! ## What is never lost, and what can be
//!
//! A batch is durable when it is in the journal, as a whole or not at all. Each read is checked against a leaf hash, a
//! checksum, or the row that a table points to. A damaged page gives an error, never a wrong answer. After a failed
//! call, its whole batch may still be on disk (if only the sync failed), or nothing of it. With `relaxed`, a power
//! failure can lose acknowledged writes.

pub mod backup;
mod check;
pub mod evidence;
pub mod follow;
mod halts;
mod host;
pub mod log;
mod policies;
mod requests;
mod retention;
pub(crate) mod rows;
mod spent;
mod state;
mod tables;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tokens;

pub use check::CheckReport;
pub use halts::StoredHalt;
pub use log::{
    Appended, Content, Cursor, DecisionRecord, Event, IdentityRecord, LEAF_DOMAIN, LEAF_HASH_LEN, RECORD_VERSION,
    REDACTED, Record, SALT_LEN, StoredRecord, TILE_WIDTH, VoteRecord, checkpoint, leaf_hash, merkle, note, record,
};
pub use policies::{StoredLayer, StoredPolicy};
pub use requests::StoredAnswer;
pub use retention::{ClockGap, RETIRE_AT_ONCE, Retirement};
pub(crate) use rows::row;
pub use rows::{
    ApprovalState, AuditRow, ConfirmationClosed, ConfirmationState, Draft, Failures, IDEMPOTENCY_WINDOW, Inserted,
    MOST_FOUND, Opening, Order, Page, Query, RowFilter, RowState, Spend, SpentKey, Stats, TextFilter, Vote,
};
pub use spent::StoredSpent;
pub use state::{Standalone, State, Store, Tx};
pub use tokens::StoredToken;

pub use crate::store::{Compacted, Entropy, OpenError, Opener, Options, Reader, StoreError, StoreHealth, TxError};
