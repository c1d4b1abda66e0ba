//! The files of the log's key, in the data directory.
//!
//! | file | holds |
//! | --- | --- |
//! | `log-key` | the key that signs, in the form of Go's `golang.org/x/mod/sumdb/note`: a secret, 0600 |
//! | `log-key.pub` | its verifier key: give it to those who verify the record |
//! | `log-key.next-ID` | the new key during a rotation; the ID keeps the files of two rotations apart |
//!
//! The record says which key signs; the files only contain keys. So after an interrupted rotation, the record decides
//! whether the rotation is finished or dropped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::audit::note::{NoteError, SigningKey, VerifierKey};

/// The prefix of the files of new keys during a rotation.
const NEXT: &str = "log-key.next-";

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The operating system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its error.
        error: io::Error,
    },
    /// Other users can read the file.
    #[error(
        "other users can read {} (mode {mode:o}): run chmod 600, and rotate the key if someone may have read it",
        path.display()
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file does not contain a key.
    #[error("{}: {error}", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: NoteError,
    },
}

/// The files of the keys.
#[derive(Clone, Debug)]
pub struct KeyFiles {
    directory: PathBuf,
}

impl KeyFiles {
    /// The files in this data directory, which exists.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The signing key.
    pub(super) fn key(&self) -> PathBuf {
        self.directory.join("log-key")
    }

    fn next(&self, key: &VerifierKey) -> PathBuf {
        self.directory.join(format!("{NEXT}{:08x}", key.id()))
    }

    /// The signing key, if it exists.
    pub(super) fn read(&self) -> Result<Option<SigningKey>, KeyFileError> {
        read(&self.key())
    }

    /// The private key of an unfinished rotation, if its file exists.
    pub(super) fn read_next(&self, key: &VerifierKey) -> Result<Option<SigningKey>, KeyFileError> {
        read(&self.next(key))
    }

    /// Removes the keys of dropped rotations. Call it only while no rotation runs.
    pub(super) fn forget_next(&self) -> Result<(), KeyFileError> {
        let at = |error| KeyFileError::Io { path: self.directory.clone(), error };
        for entry in fs::read_dir(&self.directory).map_err(at)? {
            let entry = entry.map_err(at)?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(NEXT)) {
                fs::remove_file(entry.path()).map_err(at)?;
            }
        }
        Ok(())
    }

    /// Stores a new key, which signs after the record names it.
    pub(super) fn write_next(&self, key: &SigningKey) -> Result<(), KeyFileError> {
        let (path, half) = (self.next(key.verifier()), self.directory.join("log-key.half"));
        let at = |error| KeyFileError::Io { path: path.clone(), error };
        // An unfinished file of an earlier attempt contains no key that is in use.
        let _ = fs::remove_file(&half);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half).map_err(at)?;
        writeln!(file, "{}", key.to_secret_text()).and_then(|()| file.sync_all()).map_err(at)?;
        fs::rename(&half, &path).and_then(|()| self.sync()).map_err(at)
    }

    /// Makes the new key the signing key.
    pub(super) fn promote_next(&self, key: &SigningKey) -> Result<(), KeyFileError> {
        let path = self.key();
        fs::rename(self.next(key.verifier()), &path)
            .and_then(|()| self.sync())
            .map_err(|error| KeyFileError::Io { path, error })
    }

    /// Writes the verifier key to its public file.
    pub(super) fn publish(&self, key: &SigningKey) -> Result<(), KeyFileError> {
        let path = self.directory.join("log-key.pub");
        let text = format!("{}\n", key.verifier());
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        fs::write(&path, text).map_err(|error| KeyFileError::Io { path, error })
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

fn read(path: &Path) -> Result<Option<SigningKey>, KeyFileError> {
    let at = |error| KeyFileError::Io { path: path.to_owned(), error };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(error)),
    };
    let mode = file.metadata().map_err(at)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::TooOpen { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).map_err(at)?;
    SigningKey::from_text(&text).map(Some).map_err(|error| KeyFileError::NotAKey { path: path.to_owned(), error })
}
