//! Where the open database stands, shared between the writer, who replaces it after a fault, and the readers.
//!
//! A reader takes a snapshot and lets go: the lock is held for the moment that this takes. A snapshot does not keep the
//! database open: the writer can close the file under it, and the snapshot's next look at a page that is not in memory
//! is an error. So no reader can keep a failed store from being reopened, and nobody waits for anybody.

use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, ReadTransaction, ReadableDatabase, StorageError, WriteTransaction};

use super::error::{StoreError, guarded, storage};

/// Closes a database. What redb asserts about a damaged file must not end the thread that closes it.
pub(super) fn close(database: Database) {
    let closed = guarded(|| {
        drop(database);
        Ok::<_, StorageError>(())
    });
    if let Err(error) = closed {
        tracing::error!(%error, "the record was not closed in good order");
    }
}

/// The database, or why there is none.
#[derive(Debug)]
enum Content {
    Open(Database),
    Without(StoreError),
}

/// The place where the database stands.
#[derive(Clone, Debug)]
pub(super) struct Slot(Arc<RwLock<Content>>);

impl Slot {
    pub(super) fn new(database: Database) -> Self {
        Self(Arc::new(RwLock::new(Content::Open(database))))
    }

    /// A snapshot of what was last committed.
    pub(super) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Content::Open(database) => guarded(|| Ok(database.begin_read()?)),
            Content::Without(why) => Err(why.clone()),
        }
    }

    /// The writer's transaction. It alone calls this, one at a time.
    pub(super) fn begin_write(&self) -> Result<WriteTransaction, StorageError> {
        self.with(|database| database.begin_write().map_err(storage))
    }

    /// Does something with the open database.
    pub(super) fn with<T>(&self, f: impl FnOnce(&Database) -> Result<T, StorageError>) -> Result<T, StorageError> {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Content::Open(database) => f(database),
            Content::Without(_) => Err(StorageError::DatabaseClosed),
        }
    }

    pub(super) fn put(&self, database: Database) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Content::Open(database);
    }

    /// Closes the database, if there is one. From now on readers are told why there is none.
    pub(super) fn close(&self, why: StoreError) {
        let content = {
            let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *slot, Content::Without(why))
        };
        // Closing may write, and takes as long as the disk does: nobody waits for it at the lock.
        if let Content::Open(database) = content {
            close(database);
        }
    }
}
