//! Opens or creates the database, and says precisely why a file cannot be opened.

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableError};

use super::begin::prepare;
use super::error::{OpenError, is_disk_full, storage};
use super::file::{Medium, journal_path};
use super::host::Host;
use super::journal::fault::JournalFault;
use super::journal::file::Journal;
use super::journal::replay::replay;
use super::loaded::Loaded;
use super::meta::{self, META, Position};
use super::options::{Entropy, Options};
use super::table::Session;
use crate::domain::Timestamp;

/// A store that was opened, with the changes of its journal.
pub(super) struct Opened<H> {
    pub(super) database: Database,
    pub(super) loaded: Loaded<H>,
    pub(super) journal: Journal,
    /// Why the journal was discarded, if it was.
    pub(super) discarded: Option<JournalFault>,
}

/// Opens the database, creates the tables of a new one, and replays the journal, without a sync: a checkpoint must
/// follow. The path is only for messages.
pub(super) fn open<H: Host>(
    medium: &mut dyn Medium,
    options: &mut Options,
    discard: bool,
    path: &Path,
) -> Result<Opened<H>, OpenError> {
    let path = || path.to_owned();
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_size);
    // redb may fail an assertion on a damaged file. That must not end the daemon.
    let result = catch_unwind(AssertUnwindSafe(|| {
        let database = medium.open(&builder).map_err(|error| explain_database(error, path()))?;
        check_format::<H>(&database, &mut *options.entropy, &path())?;
        let (journal, discarded) = open_journal::<H>(medium, &database, options.journal_bytes, discard, &path())?;
        let loaded = Loaded::load(&database).map_err(|error| explain_storage(error, path()))?;
        Ok(Opened { database, loaded, journal, discarded })
    }));
    result.unwrap_or_else(|_| Err(OpenError::Corrupt { path: path(), why: "reading it failed".into() }))
}

/// Opens the journal of this database and replays what the database lacks.
fn open_journal<H: Host>(
    medium: &mut dyn Medium,
    database: &Database,
    bound: u64,
    discard: bool,
    path: &Path,
) -> Result<(Journal, Option<JournalFault>), OpenError> {
    let storage_error = |error| explain_storage(error, path.to_owned());
    let io_error = |error: io::Error| explain_storage(error.into(), journal_path(path));
    let (store, position) = {
        let read = database.begin_read().map_err(storage).map_err(storage_error)?;
        (meta::store_id(&read).map_err(storage_error)?, Position::read(&read).map_err(storage_error)?)
    };
    // Nothing is expected of the journal of a closed store.
    let as_closed = Position { closed: true, ..position };
    let (mut journal, contents) = match medium.open_journal().map_err(io_error)? {
        Some(file) => Journal::open(file, store, position, bound).map_err(io_error)?,
        None if position.generation == 0 || position.closed => {
            Journal::open(medium.create_journal().map_err(io_error)?, store, position, bound).map_err(io_error)?
        }
        None if discard => {
            let file = medium.create_journal().map_err(io_error)?;
            let (journal, _) = Journal::open(file, store, as_closed, bound).map_err(io_error)?;
            return Ok((journal, Some(JournalFault::Missing)));
        }
        None => return Err(OpenError::Journal { path: journal_path(path), fault: JournalFault::Missing }),
    };
    if let Some(fault) = contents.fault.clone() {
        if !discard {
            return Err(OpenError::Journal { path: journal_path(path), fault });
        }
        drop(journal);
        let file = medium.replace_journal().map_err(io_error)?;
        journal = Journal::open(file, store, as_closed, bound).map_err(io_error)?.0;
    }
    let replayed = (|| {
        let transaction = prepare(database.begin_write().map_err(storage)?, false)?;
        match replay(contents.frames(), "journal", H::TABLES, &transaction)? {
            Some(frame) => Position { frame, ..position }.write(&transaction).map_err(storage)?,
            None => return transaction.abort(),
        }
        transaction.commit().map_err(storage)
    })();
    replayed.map_err(storage_error)?;
    Ok((journal, contents.fault))
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
        Some(meta::FORMAT | meta::FORMAT_WITHOUT_JOURNAL) => Ok(()),
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
        let changes = RefCell::default();
        let mut meta_table = Session::new(&transaction, &changes).table(META);
        meta_table.insert(meta::FORMAT_KEY, u64::from(meta::FORMAT_WITHOUT_JOURNAL).to_be_bytes().as_slice())?;
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
