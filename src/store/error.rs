//! Errors of opening, writing and reading the record.
//!
//! An error here always means that the store could not do its work. It says nothing about the action. What a caller's
//! own rules refuse (a spent token, an ended approval) is not an error here: the job returns it as a value.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use redb::StorageError;

use super::journal::fault::JournalFault;
use crate::domain::ParamsError;

/// The store could not be opened. Each case says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process holds the file.
    #[error(
        "{} is open in another process: stop the other daemon, or give this one its own data directory",
        path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version of the program.
    #[error(
        "{} has format {found}, this program knows up to {known}: run the newer program, \
         or restore a backup of this version",
        path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: u32,
        /// The newest format that this program knows.
        known: u32,
    },
    /// The file is not a record of Aegis.
    #[error(
        "{} is not a record written by aegis ({why}): name another file, or move this one away. If it was copied while a \
         daemon ran, the copy is of no use: make one with `aegis backup`",
        path.display()
    )]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file was a store and is damaged.
    #[error(
        "{} is damaged ({why}). If it was copied while a daemon ran, the copy is of no use: make one with `aegis backup`. \
         Otherwise keep a copy of it for inspection and restore a backup (`aegis restore`)",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file system has no space left. Opening the store writes to it.
    #[error("no space left to open {}: free some on that file system", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The journal does not fit the file. Without the right one, acknowledged writes may be missing.
    #[error(
        "{} cannot be used ({fault}), and the record may lack what it acknowledged last. If the files were copied while a \
         daemon ran, the copy is of no use: make one with `aegis backup`. Otherwise put back the right file, or restore a \
         backup (`aegis restore`). To go on without the journal, and lose what only it has, start once with \
         --discard-journal",
        path.display()
    )]
    Journal {
        /// The journal.
        path: PathBuf,
        /// Why it does not fit.
        fault: JournalFault,
    },
    /// The operating system refused.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The store could not do what the caller asked. It acknowledged nothing.
///
/// After [`StoreError::Unavailable`] on a write it is unknown whether the records of that call are on disk. Either all
/// of them are, or none is. A caller finds out by retrying with the same idempotency key.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The queue of writes, or of reads, is full. Nothing was written; try again.
    #[error("the record is busy: too many calls are waiting for it")]
    Overloaded,
    /// The store cannot write or read now. It keeps trying to recover by itself.
    #[error("the record is unavailable: {why}")]
    Unavailable {
        /// What happened.
        why: Arc<str>,
        /// Whether the file system is full.
        disk_full: bool,
    },
    /// This call, or another call of the same batch, has a bug. The store rolled the batch back.
    #[error("the write was rolled back: {why}")]
    Aborted {
        /// What happened.
        why: Arc<str>,
    },
    /// The content of the file is damaged.
    #[error(
        "the record is damaged: {what}; stop the daemon, keep a copy of the file for inspection and restore a backup"
    )]
    Corrupt {
        /// What was found.
        what: Arc<str>,
    },
    /// The store has been shut down.
    #[error("the record is closed")]
    Closed,
}

/// A step of a transaction failed. The job passes the error on with `?`, and the store rolls the batch back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TxError {
    /// The storage failed.
    #[error("storage: {0}")]
    Storage(#[from] StorageError),
    /// The content of the file is damaged.
    #[error("the record is damaged: {0}")]
    Corrupt(String),
    /// A record or state has no JSON form.
    #[error(transparent)]
    Encode(#[from] ParamsError),
    /// The machine gave no random bytes.
    #[error("no random bytes: {0}")]
    Entropy(io::Error),
    /// The caller broke a rule of this floor.
    #[error("{0}")]
    Misuse(&'static str),
}

/// Whether an I/O error means that there is no space.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// Converts every error of redb to a storage error. What a sound file never causes (a table of another type) is damage.
pub(crate) fn storage(error: impl Into<redb::Error>) -> StorageError {
    match error.into() {
        redb::Error::Io(error) => StorageError::Io(error),
        redb::Error::PreviousIo => StorageError::PreviousIo,
        redb::Error::DatabaseClosed => StorageError::DatabaseClosed,
        redb::Error::ValueTooLarge(len) => StorageError::ValueTooLarge(len),
        other => StorageError::Corrupted(other.to_string()),
    }
}

/// Reports a panic as damage of the file. redb does not check everything that it reads: a damaged page can fail one of
/// its assertions. That must not end the daemon or its writer.
pub(crate) fn guarded<T, E: From<StorageError>>(f: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(f))
        .unwrap_or_else(|panic| Err(StorageError::Corrupted(format!("a panic: {}", panic_text(&*panic))).into()))
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

impl From<redb::TableError> for TxError {
    fn from(error: redb::TableError) -> Self {
        Self::Storage(storage(error))
    }
}

impl From<StorageError> for StoreError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Corrupted(what) => Self::Corrupt { what: what.into() },
            StorageError::Io(error) => {
                Self::Unavailable { why: error.to_string().into(), disk_full: is_disk_full(&error) }
            }
            other => Self::Unavailable { why: other.to_string().into(), disk_full: false },
        }
    }
}

impl From<redb::TableError> for StoreError {
    fn from(error: redb::TableError) -> Self {
        storage(error).into()
    }
}

impl From<redb::TransactionError> for StoreError {
    fn from(error: redb::TransactionError) -> Self {
        storage(error).into()
    }
}

impl From<TxError> for StoreError {
    fn from(error: TxError) -> Self {
        match error {
            TxError::Storage(error) => error.into(),
            TxError::Corrupt(what) => Self::Corrupt { what: what.into() },
            other => Self::Aborted { why: other.to_string().into() },
        }
    }
}

/// The error for a missing entry that another part of the file points at.
pub(crate) fn missing(what: &str, number: u64) -> StorageError {
    StorageError::Corrupted(format!("{what} {number} is missing"))
}

/// The error for an entry that does not decode.
pub(crate) fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Corrupt { what: what.into().into() }
}
