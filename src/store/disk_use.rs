//! What the store asks of its disk, counted: writes, syncs, and checkpoints.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{DatabaseError, StorageBackend};

/// How much was written to the files of a store, and how often they were synced.
#[derive(Debug, Default)]
pub struct DiskUse {
    syncs: AtomicU64,
    bytes: AtomicU64,
    checkpoints: AtomicU64,
    checkpoint_micros: AtomicU64,
}

impl DiskUse {
    /// How often a file was synced.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// How many bytes were written.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How often the database was committed durably, and the microseconds that this took altogether. Writes wait
    /// meanwhile.
    pub fn checkpoints(&self) -> (u64, u64) {
        (self.checkpoints.load(Ordering::Relaxed), self.checkpoint_micros.load(Ordering::Relaxed))
    }

    /// Counts a checkpoint.
    pub(super) fn checkpoint(&self, took: Duration) {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.checkpoint_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

/// A file that counts.
#[derive(Debug)]
pub(super) struct Counted {
    file: FileBackend,
    /// Another handle of a file that is locked.
    locked: Option<File>,
    counts: Arc<DiskUse>,
}

impl Counted {
    /// A file that nobody else opens, because a locked one belongs to it.
    pub(super) fn new(file: File, counts: &Arc<DiskUse>) -> Result<Self, DatabaseError> {
        Ok(Self { file: FileBackend::new(file)?, locked: None, counts: Arc::clone(counts) })
    }

    /// A file that one process at a time may open.
    ///
    /// The database locks a [`FileBackend`] by methods that differ between its versions, and that this does not pass
    /// on. The lock here is the one that every version respects.
    pub(super) fn locked(file: File, counts: &Arc<DiskUse>) -> Result<Self, DatabaseError> {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DatabaseError::DatabaseAlreadyOpen),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let locked = Some(file.try_clone()?);
        Ok(Self { locked, ..Self::new(file, counts)? })
    }
}

impl StorageBackend for Counted {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.counts.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        let closed = self.file.close();
        // A snapshot may still hold the file.
        let unlocked = self.locked.as_ref().map_or(Ok(()), File::unlock);
        closed.and(unlocked)
    }
}
