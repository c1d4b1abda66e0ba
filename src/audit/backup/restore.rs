//! Builds a database from a backup.

use std::io::Read;
use std::path::Path;

use super::{BackupError, BackupReader, Checker, Frame};
use crate::audit::state::State;
use crate::store::copy::Rebuilt;

/// The most files of a data directory. There are two.
const MOST_FILES: usize = 16;

/// Builds a database at this path, where no file is, from the rest of a backup. Returns the files of the data directory
/// that the backup has: their names and contents. The whole backup has been checked when this returns.
///
/// `tell` hears how many records are written.
pub fn restore(
    reader: &mut BackupReader<impl Read>,
    mut checker: Checker,
    path: &Path,
    mut tell: impl FnMut(u64),
) -> Result<Vec<(String, Vec<u8>)>, BackupError> {
    let mut files = Vec::new();
    let mut rebuilt = Rebuilt::create::<State>(path)?;
    while let Some(frame) = reader.next_frame()? {
        match frame {
            Frame::File { .. } if files.len() == MOST_FILES => {
                return Err(BackupError::Wrong(format!("it has more than {MOST_FILES} files")));
            }
            Frame::File { name, content } => files.push((name, content)),
            Frame::Entries(entries) => {
                checker.take(&entries)?;
                rebuilt.add(entries)?;
                tell(checker.records());
            }
        }
    }
    checker.finish()?;
    rebuilt.finish()?;
    Ok(files)
}
