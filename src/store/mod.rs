//! The engine under the record: one file, one writer, many readers. It knows no meaning.
//!
//! - `file`, `slot`, `open`, `begin`: the redb file; where it stands open; its transactions.
//! - `handle`, `queue`, `job`, `writer`, `answers`: from a call to a batch, to the disk, and back. `mode`, `recovery`,
//!   `pulse`, `health`: what happens when the disk fails, is full, or does not answer.
//! - `reader`, `look`: snapshots, and the threads that read them. `standalone`: for programs that answer nobody.
//! - `table`, `meta`, `host`: what the floors above register. A table is registered once, as a [`TableDef`](table::TableDef), with what
//!   it comes from; a [`Host`](host::Host) lists the tables, keeps a part of them in memory, and says what is derived and how.
//!
//! # The file
//!
//! One redb database. What its tables hold is drawn in [`audit`](crate::audit), the host. The engine itself keeps these
//! entries of the table `meta`:
//!
//! ```text
//! "format"      u64: 1                          a program refuses a format that is newer than its own
//! "store_id"    16 random bytes                 the name of this file
//! "created"     i64, microseconds since 1970    for people; nothing reads it
//! "recoveries"  u64                             how often the store was reopened after a fault
//! ```
//!
//! A registered table that the file does not have yet reads as empty: to register another one does not change the
//! format.
//!
//! # What the format should become
//!
//! To be changed once, with the journal:
//!
//! - A batch writes about ten pages and syncs twice. With a journal of changes (table, key, value or nothing) before
//!   the database, one sync of one append is enough. Every change goes through [`Lazy`](table::Lazy) already: that is
//!   where it would be written down. Derived tables need no entry in it.
//! - Facts and row state should have one binary encoding with a version: the JSON of a state is two thirds of a row,
//!   and its checksum is a member of it only so that older programs could pass it over.
//! - Numbers of `meta` that belong to one derivation (`indexed`, `forgotten`) should be one entry for each derivation,
//!   so that the engine can read how far each has come.
//! - `approvals`, `pending` and `confirmations` are sources today, written with the row. With a journal they can be
//!   derived from rows.
//! - `created` has a time that nothing else of the file can prove: it should go, the log's first record has one.

mod answers;
mod begin;
pub(crate) mod error;
mod file;
mod handle;
mod health;
pub(crate) mod host;
mod job;
mod look;
pub(crate) mod meta;
mod mode;
mod open;
mod options;
mod pulse;
mod queue;
pub(crate) mod reader;
mod recovery;
mod slot;
mod standalone;
pub(crate) mod table;
#[cfg(test)]
mod tests;
pub(crate) mod tx;
mod writer;

pub use error::{OpenError, StoreError, TxError};
pub use file::Opener;
pub(crate) use handle::Store;
pub use health::StoreHealth;
#[cfg(test)]
pub(crate) use host::Host;
pub use options::{Entropy, Options};
pub use reader::Reader;
pub(crate) use standalone::Standalone;
pub(crate) use tx::Tx;
