//! Makes the file of a store smaller, while nobody serves it.
//!
//! Redaction and retention make values shorter. The database does not join the pages that are nearly empty then, and
//! its own compaction only moves pages, and cuts off what is free at the end. So the store is copied to a new file,
//! table by table, in the order of the keys. The new file takes the place of the old one when it is whole and durable.
//! A kill or a power failure before leaves the old one as it was.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use redb::ReadableDatabase as _;

use super::begin::prepare;
use super::copy::Rebuilt;
use super::error::{OpenError, guarded, storage};
use super::file::RecordFiles;
use super::handle::Store;
use super::host::Host;
use super::journal::commit::checkpoint;
use super::open::{Opened, explain_storage, open};
use super::options::Options;
use super::reader::Reader;
use super::slot::close;

/// The size of the file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Before.
    pub before: u64,
    /// Now.
    pub after: u64,
}

impl<H: Host> Store<H> {
    /// Makes the file as small as it can be. Fails if the store is open elsewhere. Needs space for the new file.
    pub fn compact(path: &Path, mut options: Options) -> Result<Compacted, OpenError> {
        let at = |source| OpenError::Io { path: path.to_owned(), source };
        let size = || fs::metadata(path).map(|found| found.len()).map_err(at);
        let before = size()?;
        let new = path.with_extension("compacting");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(error)),
            _ => {}
        }
        let mut medium = RecordFiles::new(path.to_owned(), &Arc::default());
        let Opened { database, mut journal, .. } = open::<H>(&mut medium, &mut options, false, path)?;
        let copied = (|| {
            // What the journal has must be in the database, which alone is copied.
            let closed = guarded(|| {
                let transaction = prepare(database.begin_write().map_err(storage)?, true)?;
                checkpoint(&mut journal, transaction, &mut *options.entropy, true)?;
                database.begin_read().map_err(storage)
            });
            let reader = Reader::new(closed.map_err(|error| explain_storage(error, path.to_owned()))?);
            let mut rebuilt = Rebuilt::create::<H>(&new)?;
            let read = reader.pieces(H::TABLES, |piece| rebuilt.add(piece.to_vec()));
            read.map_err(|error| explain_storage(error, path.to_owned()))??;
            rebuilt.finish()?;
            // The old file is still locked, so no daemon can have begun to use it.
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::rename(&new, path).and_then(|()| File::open(directory)?.sync_all()).map_err(at)
        })();
        close(database);
        if copied.is_err() {
            // It is of no use, and takes space.
            let _ = fs::remove_file(&new);
        }
        copied?;
        Ok(Compacted { before, after: size()? })
    }
}
