//! A file as a witness: one line for each checkpoint.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::WitnessError;
use crate::audit::Store;
use crate::audit::checkpoint::{SignedCheckpoint, WitnessLine};

/// How many bytes at the end of a file are read: more than the length of any two lines.
const TAIL: u64 = 256 << 10;

/// A file that checkpoints are appended to.
#[derive(Debug)]
pub(super) struct FileWitness {
    path: PathBuf,
}

impl FileWitness {
    /// Opens the file for appending. Creates a missing file.
    pub(super) fn open(path: &Path) -> Result<Self, WitnessError> {
        append(path).map_err(|error| WitnessError::File { path: path.to_owned(), error })?;
        Ok(Self { path: path.to_owned() })
    }

    pub(super) fn name(&self) -> String {
        format!("file:{}", self.path.display())
    }

    /// Appends a line and syncs it to disk.
    pub(super) async fn hand(&self, checkpoint: &SignedCheckpoint) -> Result<(), String> {
        let (path, line) = (self.path.clone(), WitnessLine::of(checkpoint).to_line());
        let write = move || {
            let mut file = append(&path)?;
            // One write, which starts with a newline in case the last line was cut off. Empty lines are ignored.
            file.write_all(format!("\n{line}\n").as_bytes())?;
            match file.sync_data() {
                // A pipe cannot be synced.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
                synced => synced,
            }
        };
        let written = tokio::task::spawn_blocking(write).await;
        written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o644).open(path)
}

/// Compares the record with the last line of a file.
pub(super) async fn check(path: &Path, store: &Store) -> Result<(), WitnessError> {
    let Some(seen) = last(path)? else { return Ok(()) };
    let unusable = |why: String| WitnessError::Unusable { path: path.to_owned(), why };
    let (origin, size) = (&seen.checkpoint.origin, seen.checkpoint.size);
    let found = store.scan(move |reader| {
        let records = reader.last_sequence()?;
        let root = if size > records { None } else { Some(reader.tree_root(size)?) };
        Ok((reader.log()?, records, root))
    });
    let (log, records, root) = found.await?;
    let Some(log) = log else {
        return Err(unusable(format!(
            "it holds checkpoints of the log `{origin}`, and this record is new: was the record removed? If not, name \
             another file"
        )));
    };
    if log.origin != *origin {
        let why =
            format!("it holds checkpoints of the log `{origin}`, and this log is `{}`: name another file", log.origin);
        return Err(unusable(why));
    }
    let Some(root) = root else {
        return Err(WitnessError::SetBack { path: path.to_owned(), records, seen: size });
    };
    if root != seen.checkpoint.root {
        return Err(WitnessError::Inconsistent { path: path.to_owned(), seen: size });
    }
    let keys: Vec<_> = log.key_at(size).cloned().into_iter().collect();
    seen.note.verify(&keys).map(drop).map_err(|error| unusable(error.to_string()))
}

/// The last checkpoint of a file. `None` if the file is missing or empty.
fn last(path: &Path) -> Result<Option<SignedCheckpoint>, WitnessError> {
    let at = |error| WitnessError::File { path: path.to_owned(), error };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(error)),
    };
    let meta = file.metadata().map_err(at)?;
    if !meta.is_file() {
        // A pipe keeps no content to compare with.
        return Ok(None);
    }
    file.seek(SeekFrom::Start(meta.len().saturating_sub(TAIL))).map_err(at)?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail).map_err(at)?;
    // If the last line was cut off, the line before it counts.
    let whole = tail.split(|byte| *byte == b'\n').rev().filter(|line| !line.is_empty());
    let mut lines = whole.take(2).map(WitnessLine::parse);
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(Ok(last)), _) | (Some(Err(_)), Some(Ok(last))) => Ok(Some(last)),
        (Some(Err(why)), _) => Err(WitnessError::Unusable { path: path.to_owned(), why }),
    }
}
