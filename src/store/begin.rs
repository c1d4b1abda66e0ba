//! The writer's transactions.

use redb::{Durability, StorageError, WriteTransaction};

use super::slot::Slot;

/// A write transaction, durable or not.
pub(super) fn begin(slot: &Slot, relaxed: bool) -> Result<WriteTransaction, StorageError> {
    prepare(slot.begin_write()?, relaxed)
}

pub(super) fn prepare(mut transaction: WriteTransaction, relaxed: bool) -> Result<WriteTransaction, StorageError> {
    if relaxed {
        transaction.set_durability(Durability::None).map_err(|error| StorageError::Corrupted(error.to_string()))?;
    } else {
        // Two-phase commit: the header changes only after everything that it names is on disk. Quick repair: the next
        // start has nothing to rebuild.
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
    }
    Ok(transaction)
}
