//! What the floor above registers with the engine: its tables, its state in memory, and the tables that it derives.

use redb::{ReadTransaction, StorageError};

use super::error::TxError;
use super::options::Entropy;
use super::table::{Bytes, Lazy, Registered, Session};
use crate::domain::Timestamp;

/// The user of a [`Store`](super::Store). The engine calls these methods and knows nothing else about the content.
///
/// A value is the part of the file that the writer keeps in memory. The file is the truth: the writer loads the value
/// when the store opens, and again after each batch that was rolled back.
pub trait Host: Sized + Send + 'static {
    /// The tables of a write transaction. Each is opened when it is first used.
    type Tables<'t>;
    /// Changes that the jobs of one batch collect and [`Host::finish`] writes.
    type Batch: Default;

    /// Every table of the file.
    const TABLES: &'static [&'static dyn Registered];
    /// The derivations that run between two batches, in this order.
    const DERIVATIONS: &'static [Derivation<Self>];
    /// The least number of new entries for which a derivation runs.
    const SEGMENT: u64;

    /// The tables of this transaction.
    fn tables(session: Session<'_>) -> Self::Tables<'_>;

    /// The table `meta`, which the engine writes too.
    fn meta<'a, 't>(tables: &'a mut Self::Tables<'t>) -> &'a mut Lazy<'t, &'static str, Bytes>;

    /// Loads the state that the writer keeps in memory.
    fn load(read: &ReadTransaction) -> Result<Self, StorageError>;

    /// The sequence number of the last record, which the writer publishes after each commit. It never decreases.
    fn last_sequence(&self) -> u64;

    /// Writes what a batch collected. It is the last step of the transaction before the commit.
    fn finish(batch: Self::Batch, tables: &mut Self::Tables<'_>) -> Result<(), StorageError>;

    /// Records an event of the store itself.
    fn note(
        &mut self,
        tables: &mut Self::Tables<'_>,
        entropy: &mut dyn Entropy,
        at: Timestamp,
        incident: Incident,
    ) -> Result<(), TxError>;
}

/// Tables that the writer derives from other tables later, in a separate transaction between two batches.
///
/// That transaction is not made durable by itself: it is, together with the next batch. So a derivation must write how
/// far it has come together with its tables. After a power failure it then derives again what was lost.
pub struct Derivation<H: Host> {
    /// The name of the derivation, as in the [`Origin`](super::table::Origin) of its tables.
    pub(crate) name: &'static str,
    /// How many entries of its source are not derived yet.
    pub(crate) behind: fn(&H) -> u64,
    /// Derives a bounded number of the entries that are left.
    pub(crate) run: fn(&mut H, &mut H::Tables<'_>) -> Result<(), StorageError>,
}

/// An event of the store itself that belongs on the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incident {
    /// The disk is full. The store uses the reserve to write this record, and writes nothing else until there is space
    /// again.
    DiskFull {
        /// When writing first failed.
        since: Timestamp,
    },
    /// The store can be written again after a fault.
    Recovered {
        /// When the fault began.
        since: Timestamp,
        /// The last error of the fault.
        why: String,
    },
}
