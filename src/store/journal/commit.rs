//! The order of steps between the journal and the database. The module above says what each step is for.

use redb::{StorageError, WriteTransaction};

use super::changes::Changes;
use super::file::Journal;
use crate::store::error::storage;
use crate::store::options::Entropy;

/// How a batch goes to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Sync {
    /// It is durable when this returns.
    Now,
    /// It is written, and durable with the next sync.
    Later,
    /// It is written together with the next batch.
    WithTheNext,
}

/// Commits a transaction that began without durability: to the journal, then to the database.
pub(in crate::store) fn commit(
    journal: &mut Journal,
    transaction: WriteTransaction,
    changes: &Changes,
    sync: Sync,
) -> Result<(), StorageError> {
    journal.next_position().write(&transaction).map_err(storage)?;
    journal.append(changes)?;
    match sync {
        Sync::Now => journal.sync()?,
        Sync::Later => journal.write()?,
        Sync::WithTheNext => {}
    }
    transaction.commit().map_err(storage)
}

/// Commits a durable transaction to the database alone, with all that was committed before, and lets the journal begin
/// again. The changes of the transaction itself need no frame.
pub(in crate::store) fn checkpoint(
    journal: &mut Journal,
    transaction: WriteTransaction,
    entropy: &mut dyn Entropy,
    closed: bool,
) -> Result<(), StorageError> {
    let position = journal.prepare(entropy, closed)?;
    position.write(&transaction).map_err(storage)?;
    transaction.commit().map_err(storage)?;
    Ok(journal.begin_again()?)
}
