//! What a job can do inside the writer's transaction.
//!
//! All jobs of a batch share one redb transaction, which cannot take back a part of itself. So that a job that fails
//! leaves no trace, each method here looks and computes before it writes; a job that fails before its first write is left
//! out of the batch, and one that fails after it takes the whole batch with it (see [`writer`](super::writer)). Jobs should
//! therefore check first, write last, and return refusals as values.

use redb::{StorageError, WriteTransaction};

use super::options::Entropy;
use super::state::State;
use super::tables::Tables;
use crate::audit::rows::counts::Changes;

/// Something to do once a batch is durable.
pub(crate) type AfterCommit = Box<dyn FnOnce() + Send>;

/// The transaction that a job runs in.
pub struct Tx<'t> {
    pub(crate) tables: Tables<'t>,
    pub(crate) state: &'t mut State,
    pub(crate) entropy: &'t mut dyn Entropy,
    pub(crate) after: Vec<AfterCommit>,
    pub(crate) counts: Changes,
    /// How many changes were made: a job that fails without having made any leaves no trace.
    pub(crate) writes: u64,
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("last_sequence", &self.state.last_sequence).finish_non_exhaustive()
    }
}

impl<'t> Tx<'t> {
    pub(crate) fn new(transaction: &'t WriteTransaction, state: &'t mut State, entropy: &'t mut dyn Entropy) -> Self {
        let tables = Tables::new(transaction);
        Self { tables, state, entropy, after: Vec::new(), counts: Changes::default(), writes: 0 }
    }

    /// Writes what was gathered. Nothing may be done afterwards but to commit.
    pub(crate) fn finish(mut self) -> Result<Vec<AfterCommit>, StorageError> {
        if !self.counts.is_empty() {
            self.counts.write(self.tables.counts.get()?)?;
        }
        Ok(self.after)
    }

    /// Does something once the batch is durable: on the writer's thread, in the order of the calls, before any answer of
    /// the batch goes out. Never if the commit failed. It must not wait: everything else waits for it.
    pub fn after_commit(&mut self, then: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(then));
    }
}
