//! Opening the file: creating it, and telling apart the ways in which it cannot be opened.

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

/// What is kept in memory of an open file.
pub(super) struct Loaded<H> {
    /// What the floor above keeps.
    pub(super) host: H,
    /// How often the store was reopened after a fault, over its whole life.
    pub(super) recoveries: u64,
}

impl<H: Host> Loaded<H> {
    /// Reads it from the file.
    pub(super) fn load(database: &Database) -> Result<Self, StorageError> {
        let read = database.begin_read().map_err(storage)?;
        Ok(Self { host: H::load(&read)?, recoveries: meta::number(&read, meta::RECOVERIES)? })
    }
}

/// Opens the database and, if it is new, lays it out. The path is for messages.
pub(super) fn open<H: Host>(
    medium: &mut dyn Medium,
    cache_size: usize,
    entropy: &mut dyn Entropy,
    path: &Path,
) -> Result<(Database, Loaded<H>), OpenError> {
    let path = || path.to_owned();
    let mut builder = Builder::new();
    builder.set_cache_size(cache_size);
    // redb checks what it reads and still has assertions of its own: a damaged file must not end the daemon.
    let result = catch_unwind(AssertUnwindSafe(|| {
        let database = medium.open(&builder).map_err(|error| explain_database(error, path()))?;
        check_format::<H>(&database, entropy, &path())?;
        let loaded = Loaded::load(&database).map_err(|error| explain_storage(error, path()))?;
        Ok((database, loaded))
    }));
    result.unwrap_or_else(|_| Err(OpenError::Corrupt { path: path(), why: "reading it failed".into() }))
}

/// How many pages are in use of a database that has never been written to, at most.
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
            // What names the tables is itself on a page. Where that one is damaged, everything else is still there: a
            // new record must not be begun over it.
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

/// How many pages are in use.
fn pages(database: &Database) -> Result<u64, StorageError> {
    let transaction = database.begin_write().map_err(storage)?;
    let pages = transaction.stats()?.allocated_pages();
    transaction.abort()?;
    Ok(pages)
}

/// Lays out an empty database, in one transaction: a crash leaves all of it or nothing.
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
        // The one moment that is not passed in: it is for people who look at the file, and nothing reads it.
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

/// What a failed storage means for whoever opens it.
pub(super) fn explain_storage(error: StorageError, path: PathBuf) -> OpenError {
    match error {
        StorageError::Io(error) if is_disk_full(&error) => OpenError::DiskFull { path },
        // What redb says of a file without its magic number, or cut short.
        StorageError::Io(error)
            if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            OpenError::NotAStore { path, why: error.to_string() }
        }
        StorageError::Io(source) => OpenError::Io { path, source },
        other => OpenError::Corrupt { path, why: other.to_string() },
    }
}
