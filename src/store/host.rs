//! What the floor above registers: its tables, what it keeps in memory beside them, and what it derives from them.

use redb::{ReadTransaction, StorageError};

use super::error::TxError;
use super::options::Entropy;
use super::table::{Bytes, Lazy, Registered, Session};
use crate::domain::Timestamp;

/// What a [`Store`](super::Store) is used for. The engine calls it, and knows nothing else of it.
///
/// A value is what the writer keeps in memory of the file. It is never the truth: it is loaded when the store opens,
/// and again whenever a batch was rolled back.
pub trait Host: Sized + Send + 'static {
    /// The tables of a write transaction, each opened when it is first touched.
    type Tables<'t>;
    /// What the jobs of one batch gather and [`Host::finish`] writes.
    type Batch: Default;

    /// Every table of the file.
    const TABLES: &'static [&'static dyn Registered];
    /// What is derived between two batches, in this order.
    const DERIVATIONS: &'static [Derivation<Self>];
    /// How much a derivation takes on at least: it is not due for less.
    const SEGMENT: u64;

    /// The tables of this transaction.
    fn tables(session: Session<'_>) -> Self::Tables<'_>;

    /// The table `meta` among them, which the engine writes to as well.
    fn meta<'a, 't>(tables: &'a mut Self::Tables<'t>) -> &'a mut Lazy<'t, &'static str, Bytes>;

    /// Reads what is kept in memory.
    fn load(read: &ReadTransaction) -> Result<Self, StorageError>;

    /// How far the file goes: what is announced when a batch is committed. It never goes back.
    fn last_sequence(&self) -> u64;

    /// Writes what a batch gathered. Nothing is done in the transaction after this but to commit it.
    fn finish(batch: Self::Batch, tables: &mut Self::Tables<'_>) -> Result<(), StorageError>;

    /// Records what happened to the store itself.
    fn note(
        &mut self,
        tables: &mut Self::Tables<'_>,
        entropy: &mut dyn Entropy,
        at: Timestamp,
        incident: Incident,
    ) -> Result<(), TxError>;
}

/// Tables that are written some time after those that they come from, in a transaction of their own between two
/// batches.
///
/// The transaction is not durable by itself. How far a derivation has come must be in what it writes, so that what a
/// power failure takes of it is derived again.
pub struct Derivation<H: Host> {
    /// Its name: the [`Origin`](super::table::Origin) of each of its tables gives it.
    pub(crate) name: &'static str,
    /// How many entries of its source it has not covered.
    pub(crate) behind: fn(&H) -> u64,
    /// Covers what is there by now, a bounded number of entries at a time.
    pub(crate) run: fn(&mut H, &mut H::Tables<'_>) -> Result<(), StorageError>,
}

/// Something that happened to the store, and belongs on the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incident {
    /// There was no space left. This is written into the reserve; until there is space again, nothing else is.
    DiskFull {
        /// Since when nothing could be written.
        since: Timestamp,
    },
    /// The store could not be written for some time, and can be again.
    Recovered {
        /// Since when it could not.
        since: Timestamp,
        /// Why, as it was last seen.
        why: String,
    },
}
