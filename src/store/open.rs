//! Opens or creates the database, and says precisely why a file cannot be opened.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableError};

use super::error::{OpenError, is_disk_full, storage};
use super::file::Medium;
use super::host::Host;
use super::meta::{self, META};
use super::options::Entropy;
use super::table::Session;
use crate::domain::Timestamp;

/// What the writer keeps in memory while the file is open.
pub(super) struct Loaded<H> {
    /// The state of the floor above.
    pub(super) host: H,
    /// How often the store was reopened after a fault, over its whole life.
    pub(super) recoveries: u64,
}

impl<H: Host> Loaded<H> {
    /// Loads the state from the file.
    pub(super) fn load(database: &Database) -> Result<Self, StorageError> {
        let read = database.begin_read().map_err(storage)?;
        Ok(Self { host: H::load(&read)?, recoveries: meta::number(&read, meta::RECOVERIES)? })
    }
}

/// Opens the database and creates the tables of a new one. The path is only for messages.
pub(super) fn open<H: Host>(
    medium: &mut dyn Medium,
    cache_size: usize,
    entropy: &mut dyn Entropy,
    path: &Path,
) -> Result<(Database, Loaded<H>), OpenError> {
    let path = || path.to_owned();
    let mut builder = Builder::new();
    builder.set_cache_size(cache_size);
    // redb may fail an assertion on a damaged file. That must not end the daemon.
    let result = catch_unwind(AssertUnwindSafe(|| {
        let database = medium.open(&builder).map_err(|error| explain_database(error, path()))?;
        check_format::<H>(&database, entropy, &path())?;
        let loaded = Loaded::load(&database).map_err(|error| explain_storage(error, path()))?;
        Ok((database, loaded))
    }));
    result.unwrap_or_else(|_| Err(OpenError::Corrupt { path: path(), why: "reading it failed".into() }))
}

/// The most pages that a database uses before anything was written to it.
const EMPTY_PAGES: u64 = 8;

fn check_format<H: Host>(database: &Database, entropy: &mut dyn Entropy, path: &Path) -> Result<(), OpenError> {
    let storage_error = |error| explain_storage(error, path.to_owned());
    let not_a_store = |why: &str| OpenError::NotAStore { path: path.to_owned(), why: why.into() };
    let read = database.begin_read().map_err(storage).map_err(storage_error)?;
    let meta_table = match META.open(&read) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => {
            if read.list_tables().map_err(storage_error)?.next().is_some() {
                return Err(not_a_store("it is a database of another program"));
            }
            drop(read);
            // The list of tables is a page too. If only that page is damaged, the rest of the record may be intact: do
            // not start a new record over it.
            if pages(database).map_err(storage_error)? > EMPTY_PAGES {
                let why = "it names no tables, and is not empty".to_owned();
                return Err(OpenError::Corrupt { path: path.to_owned(), why });
            }
            return create::<H>(database, entropy).map_err(storage_error);
        }
        Err(TableError::Storage(error)) => return Err(storage_error(error)),
        Err(error) => return Err(not_a_store(&error.to_string())),
    };
    let format = meta_table.get(meta::FORMAT_KEY).map_err(storage_error)?;
    let format =
        format.and_then(|value| meta::decode_number(value.value())).and_then(|format| u32::try_from(format).ok());
    match format {
        None => Err(not_a_store("it names no format")),
        Some(meta::FORMAT) => Ok(()),
        Some(found) if found > meta::FORMAT => {
            Err(OpenError::NewerFormat { path: path.to_owned(), found, known: meta::FORMAT })
        }
        Some(_) => Err(not_a_store("its format never existed")),
    }
}

/// How many pages the database uses.
fn pages(database: &Database) -> Result<u64, StorageError> {
    let transaction = database.begin_write().map_err(storage)?;
    let pages = transaction.stats()?.allocated_pages();
    transaction.abort()?;
    Ok(pages)
}

/// Creates the tables of an empty database in one transaction: after a crash, all of them exist or none.
fn create<H: Host>(database: &Database, entropy: &mut dyn Entropy) -> Result<(), StorageError> {
    let mut id = [0; 16];
    entropy.fill(&mut id)?;
    let mut transaction = database.begin_write().map_err(storage)?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    {
        for table in H::TABLES {
            table.create(&transaction)?;
        }
        let changes = Cell::new(0);
        let mut meta_table = Session::new(&transaction, &changes).table(META);
        meta_table.insert(meta::FORMAT_KEY, u64::from(meta::FORMAT).to_be_bytes().as_slice())?;
        meta_table.insert(meta::STORE_ID, id.as_slice())?;
        // This is the only time that is not passed in. It is for people who inspect the file; no code reads it.
        let created = Timestamp::now().as_microsecond();
        meta_table.insert(meta::CREATED, created.to_be_bytes().as_slice())?;
    }
    transaction.commit().map_err(storage)
}

fn explain_database(error: DatabaseError, path: PathBuf) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Locked { path },
        DatabaseError::Storage(StorageError::Corrupted(why)) => OpenError::Corrupt { path, why },
        DatabaseError::Storage(error) => explain_storage(error, path),
        other => OpenError::NotAStore { path, why: other.to_string() },
    }
}

/// Converts a storage error to an error of opening.
pub(super) fn explain_storage(error: StorageError, path: PathBuf) -> OpenError {
    match error {
        StorageError::Io(error) if is_disk_full(&error) => OpenError::DiskFull { path },
        // redb returns this for a file without its magic number, or a truncated one.
        StorageError::Io(error)
            if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            OpenError::NotAStore { path, why: error.to_string() }
        }
        StorageError::Io(source) => OpenError::Io { path, source },
        other => OpenError::Corrupt { path, why: other.to_string() },
    }
}
