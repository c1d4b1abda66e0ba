//! The record: an append-only, durable log, and the state that changes with it, in one transactional file.
//!
//! This floor stores and finds. It does not decide anything: what a decision is, when an approval may end and who may
//! end it are the business of the floors above, which say so in jobs that run inside the writer's transaction ([`Tx`]).
//!
//! - [`log`]: records, the tree over them, and what signs for it.
//! - [`rows`]: each decision with its approval and its result folded in; the index and the counters over them.
//! - `policies`, `tokens`: what records name and what must change in one transaction with them. Each keeps a table of
//!   its own. They stand here, not with the floors whose words they are, because `check` holds them against the log.
//! - `retention`: takes the payloads of old records away.
//! - [`follow`]: reading on from a place in the log, and cursors that survive a restart.
//! - `check`: everything that must hold between the tables. [`evidence`]: what leaves the machine, and how it is
//!   verified.
//! - `tables`, `state`, `host`: what this floor registers with the engine, [`store`](crate::store).
//!
//! A [`Store`] has one thread that writes, in batches; any number of [`Reader`]s look at snapshots. A call of
//! [`Store::transact`](crate::store::Store::transact) is answered only when what it wrote is on disk.
//!
//! # The file, format 1
//!
//! One redb database. Integers in keys and values that are drawn as bytes are big-endian. A program refuses a format
//! that is newer than its own, and a file that is something else.
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
//!                                              "log"         JSON: the log's origin and keys, see `log::identity`
//!                                              "retired"     u64: the last record that retention has gone through
//!                                              "clock_gap"   two i64: the wall clock before and after a jump that nobody
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
//! The leaf covers every byte of the payload, and with it the sequence number, the record's name and its time. The salt
//! is 16 random bytes: whoever holds the leaf hash of a record that was redacted learns nothing about it by guessing.
//! Salt and payload can be dropped and the leaf data kept in their place, so that proofs over the log stay valid: see
//! `log::redaction`.
//!
//! The leaves are those of an RFC 6962 tree ([`log::merkle`]): record `n` is leaf `n − 1`, and the tree of size `n` is
//! that of the records from 1 to `n`.
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
//! *Short* is the first eight bytes of a text's SHA-256. Texts are the agent's to choose, and would otherwise be keys
//! of any length; hashed, an index entry is 49 bytes, and a value that extends another cannot be mistaken for it. Two
//! texts can agree in eight bytes, so a match is a hint: every row is verified against its record before it is shown.
//! The hash needs no secret: whoever makes two texts collide makes their own queries a little slower.
//!
//! The JSON ends with one more member, `"sum"`: the first eight bytes, in hexadecimal, of the SHA-256 of all that
//! stands before its comma, facts included. Rows of before there were checksums have none.
//!
//! Kinds of the index: 1 session, 2 action type, 3 actor, 4 risk, 5 status, 6 rule. The values of 4 and 5 are the codes
//! of the facts. Empty texts are not indexed. The status changes as the row changes: 1 waits for a person, 2 allowed
//! and not reported (which is *unknown* once it is old enough, a matter of the time of reading), then 3 success, 4
//! failed, 5 blocked, 6 denied, 7 skipped, 8 rolled back, 9 reported as unknown (indexed under 2).
//!
//! Kinds of the counters: 1 risk, 2 status, 3 outcome, 4 action type, 5 rule, 6 allowed and unreported by minute. A
//! text is counted under itself up to 96 bytes, then under its beginning and a hash; past 1,000 texts of a kind the
//! rest is counted together, under the byte 0xff.
//!
//! ## The derived tables lag behind
//!
//! They are derived from the rows, whole segments at a time (`index`; the tree from the records: `tree`), and `indexed`
//! says how far they reach. The writer keeps the rows after that in memory, reads them again when it starts, and so
//! finds every decision and every key; readers look at them one by one. What is not derived is written in the very
//! transaction that an answer waits for.
//!
//! ## What is never lost, and what can be
//!
//! Commits are durable and two-phase: everything is synced, then the header is flipped and synced. A batch is there
//! whole or not at all. What is read is held against its leaf hash or its checksum, and a table that leads to a row
//! against the row: a damaged page is an error of whatever it is read for, never an answer. After a failure that a
//! caller was told about, its batch may be there (the last sync failed, and the header reached the disk all the same)
//! or not; nothing in between. `relaxed` gives up durability against power loss, in the open.

mod check;
pub mod evidence;
pub mod follow;
mod host;
pub mod log;
mod policies;
mod retention;
pub(crate) mod rows;
mod state;
mod tables;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tokens;

pub use check::CheckReport;
pub use log::{
    Appended, Content, Cursor, DecisionRecord, Event, IdentityRecord, LEAF_DOMAIN, LEAF_HASH_LEN, RECORD_VERSION,
    REDACTED, Record, SALT_LEN, StoredRecord, TILE_WIDTH, checkpoint, leaf_hash, merkle, note, record,
};
pub use policies::{StoredLayer, StoredPolicy};
pub use retention::{ClockGap, RETIRE_AT_ONCE, Retirement};
pub(crate) use rows::row;
pub use rows::{
    ApprovalState, AuditRow, ConfirmationClosed, ConfirmationState, Draft, IDEMPOTENCY_WINDOW, Inserted, Opening,
    Order, Page, Query, RowFilter, RowState, Stats,
};
pub use state::{Standalone, State, Store, Tx};
pub use tokens::StoredToken;

pub use crate::store::{Entropy, OpenError, Opener, Options, Reader, StoreError, StoreHealth, TxError};
