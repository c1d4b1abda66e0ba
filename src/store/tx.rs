//! [`Tx`]: the transaction that a job runs in.
//!
//! All jobs of a batch share one redb transaction, and redb cannot undo a part of a transaction. A job that fails
//! before its first write is left out of the batch. A job that fails after it makes the whole batch fail (see
//! [`writer`](super::writer)). So a job should check first, write last, and return refusals as values.

use redb::StorageError;

use super::error::StoreError;
use super::host::Host;
use super::options::Entropy;
use super::reader::Reader;
use super::slot::Slot;
use super::table::Session;

/// An action to run once the batch is durable.
pub(super) type AfterCommit = Box<dyn FnOnce(&Slot) + Send>;

/// The transaction that a job runs in.
pub struct Tx<'t, H: Host> {
    session: Session<'t>,
    /// The tables.
    pub(crate) tables: H::Tables<'t>,
    /// The state that the writer keeps in memory.
    pub(crate) host: &'t mut H,
    /// Changes that are collected until the end of the batch.
    pub(crate) batch: H::Batch,
    /// The source of random bytes.
    pub(crate) entropy: &'t mut dyn Entropy,
    pub(super) after: Vec<AfterCommit>,
}

impl<H: Host> std::fmt::Debug for Tx<'_, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("last_sequence", &self.host.last_sequence()).finish_non_exhaustive()
    }
}

impl<'t, H: Host> Tx<'t, H> {
    pub(super) fn new(session: Session<'t>, host: &'t mut H, entropy: &'t mut dyn Entropy) -> Self {
        let tables = H::tables(session);
        Self { session, tables, host, batch: H::Batch::default(), entropy, after: Vec::new() }
    }

    /// How many changes were made so far. The writer compares this before and after a job that fails.
    pub(super) fn changes(&self) -> u64 {
        self.session.changes()
    }

    /// Writes what was collected: the last step before the commit.
    pub(super) fn finish(mut self) -> Result<Vec<AfterCommit>, StorageError> {
        H::finish(self.batch, &mut self.tables)?;
        Ok(self.after)
    }

    /// Runs an action after the batch is durable, and never if the commit failed. It runs on the writer's thread, in
    /// the order of the calls, before the batch is answered. It must not block, because everything else waits for it.
    pub fn after_commit(&mut self, then: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(|_| then()));
    }

    /// Like [`Tx::after_commit`], with a snapshot of the new commit. It may read the disk.
    pub fn after_commit_look(&mut self, then: impl FnOnce(Result<Reader, StoreError>) + Send + 'static) {
        self.after.push(Box::new(|slot| then(slot.begin_read().map(Reader::new))));
    }
}
