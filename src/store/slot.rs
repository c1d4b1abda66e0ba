//! The open database, shared by the readers and the writer. The writer replaces it after a fault.
//!
//! A reader holds the lock only while it takes a snapshot. A snapshot does not keep the database open: the writer can
//! close the file, and the snapshot then fails on the next page that is not in memory. So no reader can stop the writer
//! from reopening a failed store.

use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, ReadTransaction, ReadableDatabase, StorageError, WriteTransaction};

use super::error::{StoreError, guarded, storage};

/// Closes a database. redb may fail an assertion on a damaged file; that must not end this thread.
pub(super) fn close(database: Database) {
    let closed = guarded(|| {
        drop(database);
        Ok::<_, StorageError>(())
    });
    if let Err(error) = closed {
        tracing::error!(%error, "the record was not closed in good order");
    }
}

/// The database, or why none is open.
#[derive(Debug)]
enum Content {
    Open(Database),
    Without(StoreError),
}

/// The shared database.
#[derive(Clone, Debug)]
pub(super) struct Slot(Arc<RwLock<Content>>);

impl Slot {
    pub(super) fn new(database: Database) -> Self {
        Self(Arc::new(RwLock::new(Content::Open(database))))
    }

    /// A snapshot of the last commit.
    pub(super) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Content::Open(database) => guarded(|| Ok(database.begin_read()?)),
            Content::Without(why) => Err(why.clone()),
        }
    }

    /// Begins a write transaction. Only the writer calls this, one at a time.
    pub(super) fn begin_write(&self) -> Result<WriteTransaction, StorageError> {
        self.with(|database| database.begin_write().map_err(storage))
    }

    /// Runs a function on the open database.
    pub(super) fn with<T>(&self, f: impl FnOnce(&Database) -> Result<T, StorageError>) -> Result<T, StorageError> {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Content::Open(database) => f(database),
            Content::Without(_) => Err(StorageError::DatabaseClosed),
        }
    }

    pub(super) fn put(&self, database: Database) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Content::Open(database);
    }

    /// Closes the database if it is open. From now on readers get this reason as their error.
    pub(super) fn close(&self, why: StoreError) {
        let content = {
            let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *slot, Content::Without(why))
        };
        // Closing may write to the disk and take long, so it happens outside the lock.
        if let Content::Open(database) = content {
            close(database);
        }
    }
}
