//! The files of the record: the database, its journal, and the reserve of disk space next to them. The database is
//! created whole or not at all.
//!
//! The reserve is a file of random bytes: a file system may compress other content to nothing. When the disk is full,
//! the store deletes the reserve and uses the space for a record of that. It creates the reserve again once twice its
//! size is free.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, StorageBackend};

use super::disk_use::{Counted, DiskUse};
use super::placed::Placed;

/// The size of the reserve: enough for one small batch and the pages that it changes.
pub(super) const RESERVE_BYTES: u64 = 1 << 20;

/// The bytes of a journal.
pub(super) type JournalFile = Box<dyn StorageBackend>;

/// Opens a database.
pub(super) type OpenDatabase = Box<dyn FnMut(&Builder) -> Result<Database, DatabaseError> + Send>;

/// Opens a journal.
pub(super) type OpenJournal = Box<dyn FnMut() -> io::Result<Box<dyn StorageBackend>> + Send>;

/// Opens a store that is not in files, at the start and again after each fault.
pub struct Opener {
    /// Opens the database. The first call creates a missing one.
    pub database: OpenDatabase,
    /// Opens the journal, which is empty at first.
    pub journal: OpenJournal,
}

/// Where a database and its journal are stored.
pub(super) trait Medium: Send {
    /// Opens the database. The first call creates a missing one.
    fn open(&mut self, builder: &Builder) -> Result<Database, DatabaseError>;

    /// Opens the journal; `None` if there is none. The database is open.
    fn open_journal(&mut self) -> io::Result<Option<JournalFile>>;

    /// Opens a new, empty journal.
    fn create_journal(&mut self) -> io::Result<JournalFile>;

    /// Keeps the journal under another name, and opens a new, empty one.
    fn replace_journal(&mut self) -> io::Result<JournalFile>;

    /// Fails if a path no longer leads to the file that is open.
    fn check(&self) -> io::Result<()> {
        Ok(())
    }

    /// Creates the reserve if it is missing. Fails unless the disk has space for it twice.
    fn hold_reserve(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Deletes the reserve.
    fn release_reserve(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for Opener {
    fn open(&mut self, builder: &Builder) -> Result<Database, DatabaseError> {
        (self.database)(builder)
    }

    fn open_journal(&mut self) -> io::Result<Option<JournalFile>> {
        (self.journal)().map(Some)
    }

    fn create_journal(&mut self) -> io::Result<JournalFile> {
        (self.journal)()
    }

    fn replace_journal(&mut self) -> io::Result<JournalFile> {
        let journal = (self.journal)()?;
        journal.set_len(0)?;
        Ok(journal)
    }
}

/// The files of a record, with mode 0600.
pub(super) struct RecordFiles {
    record: Placed,
    journal: Placed,
    disk_use: Arc<DiskUse>,
}

impl RecordFiles {
    pub(super) fn new(path: PathBuf, disk_use: &Arc<DiskUse>) -> Self {
        let (journal, record) = (Placed::new(journal_path(&path)), Placed::new(path));
        Self { record, journal, disk_use: Arc::clone(disk_use) }
    }

    /// Creates the database. It has a temporary name until it is whole: a power failure must not leave half a file
    /// under the real name.
    fn create(&self, builder: &Builder) -> Result<(), DatabaseError> {
        let (new, file) = self.record.new_file()?;
        drop(builder.create_with_backend(FileBackend::new(file)?)?);
        match self.record.put_in_place(&new) {
            // Another daemon was faster. The lock on that file decides which of the two may continue.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            placed => Ok(placed?),
        }
    }

    fn reserve(&self) -> PathBuf {
        self.record.path.with_extension("reserve")
    }
}

/// Where the journal of this record is.
pub(super) fn journal_path(record: &Path) -> PathBuf {
    record.with_extension("journal")
}

impl Medium for RecordFiles {
    fn open(&mut self, builder: &Builder) -> Result<Database, DatabaseError> {
        let file = if let Some(file) = self.record.open()? {
            file
        } else if fs::exists(&self.journal.path)? {
            return Err(io::Error::other(format!(
                "it is missing, and its journal {journal} is there: restore it, or move the journal away to begin a new \
                 record",
                journal = self.journal.path.display()
            ))
            .into());
        } else {
            self.create(builder)?;
            self.record.open()?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?
        };
        builder.create_with_backend(Counted::locked(file, &self.disk_use)?)
    }

    fn open_journal(&mut self) -> io::Result<Option<JournalFile>> {
        let Some(file) = self.journal.open()? else { return Ok(None) };
        Ok(Some(Box::new(Counted::new(file, &self.disk_use).map_err(io::Error::other)?)))
    }

    fn create_journal(&mut self) -> io::Result<JournalFile> {
        self.journal.create()?;
        self.open_journal()?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn replace_journal(&mut self) -> io::Result<JournalFile> {
        self.journal.move_to(&self.journal.path.with_extension("journal.discarded"))?;
        self.create_journal()
    }

    fn check(&self) -> io::Result<()> {
        self.record.check()?;
        self.journal.check()
    }

    fn hold_reserve(&mut self) -> io::Result<()> {
        let path = self.reserve();
        if fs::metadata(&path).is_ok_and(|reserve| reserve.len() == RESERVE_BYTES) {
            return Ok(());
        }
        // The free space is checked first: an attempt that fails would take space from other programs meanwhile.
        let free = rustix::fs::statvfs(self.record.path.as_path()).map_err(io::Error::from)?;
        if free.f_blocks > 0 && free.f_bavail.saturating_mul(free.f_frsize) < 2 * RESERVE_BYTES {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let made = (|| {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            let mut random = vec![0; 64 << 10];
            getrandom::fill(&mut random).map_err(io::Error::other)?;
            for _ in 0..2 * RESERVE_BYTES / random.len() as u64 {
                file.write_all(&random)?;
            }
            // Some file systems allocate space only when the bytes go to the disk: the sync shows whether there is
            // space.
            file.sync_data()?;
            file.set_len(RESERVE_BYTES)
        })();
        if made.is_err() {
            self.release_reserve()?;
        }
        made
    }

    fn release_reserve(&mut self) -> io::Result<()> {
        match fs::remove_file(self.reserve()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
