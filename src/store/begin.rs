//! The writer's transactions.

use redb::{Durability, StorageError, WriteTransaction};

use super::slot::Slot;

/// A write transaction. One for a batch is not durable by itself: the journal is. One for a checkpoint is.
pub(super) fn begin(slot: &Slot, checkpoint: bool) -> Result<WriteTransaction, StorageError> {
    prepare(slot.begin_write()?, checkpoint)
}

pub(super) fn prepare(mut transaction: WriteTransaction, checkpoint: bool) -> Result<WriteTransaction, StorageError> {
    if checkpoint {
        // Two-phase commit: the header changes only after everything that it names is on disk. Quick repair: the next
        // start has nothing to rebuild.
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
    } else {
        transaction.set_durability(Durability::None).map_err(|error| StorageError::Corrupted(error.to_string()))?;
    }
    Ok(transaction)
}
