//! What a job can do inside the writer's transaction.
//!
//! All jobs of a batch share one redb transaction, which cannot take back a part of itself. So that a job that fails
//! leaves no trace, it looks and computes before it writes; a job that fails before its first write is left out of the
//! batch, and one that fails after it takes the whole batch with it (see [`writer`](super::writer)). Jobs should
//! therefore check first, write last, and return refusals as values.

use redb::StorageError;

use super::error::StoreError;
use super::host::Host;
use super::options::Entropy;
use super::reader::Reader;
use super::slot::Slot;
use super::table::Session;

/// Something to do once a batch is durable.
pub(super) type AfterCommit = Box<dyn FnOnce(&Slot) + Send>;

/// The transaction that a job runs in.
pub struct Tx<'t, H: Host> {
    session: Session<'t>,
    /// The tables.
    pub(crate) tables: H::Tables<'t>,
    /// What is kept in memory of them.
    pub(crate) host: &'t mut H,
    /// What is gathered until the end of the batch.
    pub(crate) batch: H::Batch,
    /// Where random bytes come from.
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

    /// How many changes were made: a job that fails without having made any leaves no trace.
    pub(super) fn changes(&self) -> u64 {
        self.session.changes()
    }

    /// Writes what was gathered. Nothing may be done afterwards but to commit.
    pub(super) fn finish(mut self) -> Result<Vec<AfterCommit>, StorageError> {
        H::finish(self.batch, &mut self.tables)?;
        Ok(self.after)
    }

    /// Does something once the batch is durable: on the writer's thread, in the order of the calls, before any answer
    /// of the batch is sent. Never if the commit failed. It must not wait: everything else waits for it.
    pub fn after_commit(&mut self, then: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(|_| then()));
    }

    /// The same with a snapshot of what was committed: on the writer's thread, which may read the disk.
    pub fn after_commit_look(&mut self, then: impl FnOnce(Result<Reader, StoreError>) + Send + 'static) {
        self.after.push(Box::new(|slot| then(slot.begin_read().map(Reader::new))));
    }
}
