//! Backups: one file with everything that a restore needs, and the way back from it.
//!
//! - `layout`: the frames of the file. `check`: compares the entries of a backup with the log in it.
//! - `make`: the backup of a running store. `restore`: a new database from a backup.
//!
//! The file holds secrets: the key of the log and the store's secret. These are files of the data directory, and never
//! leave it through the API. A running daemon sends a backup without them, and the command line adds them.
//!
//! # The file
//!
//! Integers are big-endian.
//!
//! ```text
//! file     "aegisbak" ‖ version (1) ‖ about ‖ files ‖ entries … ‖ end
//!
//! frame    0      1        5       9
//!          ├──────┼────────┼───────┼─────────────┤
//!          │ kind │ length │ crc32 │ content     │
//!
//! kind     1  about: JSON of [`About`]. The first frame
//!          2  a file of the data directory: length of its name (1) ‖ name ‖ content
//!          3  entries of tables, as changes of the journal: see `store::journal`
//!          4  end: number of the frames before it (8) ‖ SHA-256 of everything before this frame. The last frame
//! ```
//!
//! The length is that of the content. The checksum covers kind, length and content, and finds out what a disk or a
//! network did to a frame. The last frame finds out that a file was cut off, or that frames are missing. The leaf
//! hashes and the root in `about` find out that the log is not the one that was backed up. None of that protects a
//! backup from a person who can write it: signed checkpoints and witnesses do.
//!
//! A backup is of one snapshot. The entries of a table follow each other in the order of their keys, and records come
//! in the order of their sequence. So a reader needs memory for one frame.

mod check;
mod layout;
mod make;
mod restore;
#[cfg(test)]
mod tests;

use std::io;

use serde::{Deserialize, Serialize};

pub use self::check::Checker;
pub use self::layout::{BackupReader, BackupWriter, Frame};
pub use self::make::Chunks;
pub use self::restore::restore;
use crate::domain::{Digest, Timestamp};
use crate::store::{OpenError, StoreError};

/// The version of the file. A reader refuses a newer one.
pub const BACKUP_VERSION: u8 = 1;

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The version of the program that made it.
    pub program: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// The random name of the store, in hex.
    pub store_id: String,
    /// The name of the log; empty if it has none yet.
    pub origin: String,
    /// The verifier key that signs the log; empty if it has none yet.
    pub key: String,
    /// The sequence number of the last record.
    pub last_sequence: u64,
    /// The root of the tree of all records.
    pub root: Digest,
    /// How many entries of tables the backup has.
    pub entries: u64,
}

/// A backup cannot be made, read or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("this is no backup of aegis: name a file that `aegis backup` wrote")]
    NotABackup,
    /// A later program made it.
    #[error("the backup has version {found}, and this program knows up to {BACKUP_VERSION}: use the newer program")]
    Newer {
        /// Its version.
        found: u8,
    },
    /// It ends too early.
    #[error("the backup ends at byte {at}, before its last frame: it was cut off. Use another one")]
    Cut {
        /// Where it ends.
        at: u64,
    },
    /// It is damaged.
    #[error("the backup is damaged at byte {at}: {what}. Use another one")]
    Damaged {
        /// The offset of the frame.
        at: u64,
        /// What is wrong there.
        what: String,
    },
    /// What is in it does not fit together.
    #[error("the backup does not hold together: {0}. Use another one")]
    Wrong(String),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new database cannot be written.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl From<redb::StorageError> for BackupError {
    fn from(error: redb::StorageError) -> Self {
        Self::Store(error.into())
    }
}
