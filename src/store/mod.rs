//! The storage engine of the record: a database and its journal, one writer, many readers. It does not know what its
//! tables mean.
//!
//! - `file`, `placed`, `slot`, `open`, `loaded`, `begin`: the files, the open database, its transactions. `journal`:
//!   the file in which a batch becomes durable, and how it agrees with the database.
//! - `handle`, `queue`, `job`, `writer`, `answers`: from a call to a batch, to the disk, and back. `mode`, `recovery`,
//!   `pulse`, `health`: what happens when the disk fails, is full, or does not answer.
//! - `copy`: every table of a snapshot as pieces of bytes, and a new database from such pieces. `compact`: copies a
//!   store to a smaller file.
//! - `reader`, `look`: snapshots, and the threads that read them. `standalone`: a store for programs without callers,
//!   such as benchmarks. `disk_use`: how much the store writes and syncs.
//! - `table`, `meta`, `host`: what the floor above registers. A [`TableDef`](table::TableDef) names a table and where
//!   its content comes from. A [`Host`](host::Host) lists the tables, keeps a part of them in memory, and derives some
//!   of them from others.
//!
//! # The file
//!
//! The file is one redb database. [`audit`](crate::audit), the host, documents its tables. The engine itself keeps
//! these entries in the table `meta`:
//!
//! ```text
//! "format"      u64: 2                          a program refuses a format that is newer than its own
//! "journal"     generation, frame, closed       which changes of the journal the database has
//! "store_id"    16 random bytes                 the name of this file
//! "created"     i64, microseconds since 1970    for people; nothing reads it
//! "recoveries"  u64                             how often the store was reopened after a fault
//! ```
//!
//! A registered table that is missing in the file reads as empty. So a new table does not change the format. Format 1
//! has no journal. The store opens it, and makes it format 2 with the first checkpoint, which is at once. A program
//! that knows only format 1 then refuses it: without the journal it would lose what was acknowledged.
//!
//! # What the format should become
//!
//! These changes need a new format:
//!
//! - Facts and row state should have one binary encoding with a version: the JSON of a state is two thirds of a row.
//!   Its checksum is a JSON member only because older programs ignore unknown members.
//! - Numbers of `meta` that belong to one derivation (`indexed`, `forgotten`) should be one entry for each derivation,
//!   so that the engine can read the progress of each.
//! - `approvals`, `pending` and `confirmations` are sources today: jobs write them with the row. They can be derived
//!   from rows.
//! - `created` should go: nothing in the file proves this time, and the first record of the log has its own.

mod answers;
mod begin;
mod compact;
pub(crate) mod copy;
mod disk_use;
pub(crate) mod error;
mod file;
mod handle;
mod health;
pub(crate) mod host;
mod job;
mod journal;
mod loaded;
mod look;
pub(crate) mod meta;
mod mode;
mod open;
mod options;
mod placed;
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

pub use compact::Compacted;
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
