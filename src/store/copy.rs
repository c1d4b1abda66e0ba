//! A copy of a whole store: every table of a snapshot as pieces of bytes, and a new database from such pieces.
//!
//! A piece is the changes that write its entries, in the form of the [`journal`](super::journal). So a copy has
//! everything that the journal has, and does not depend on the layout of the database's pages.
//!
//! A snapshot of a running store may be copied: calls go on. Until the copy is complete, the database cannot use the
//! pages again that the snapshot needs, so its file grows meanwhile.

use std::fs::OpenOptions;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase as _, StorageError, WriteTransaction};

use super::begin::prepare;
use super::error::{OpenError, StoreError, guarded, storage};
use super::handle::Store;
use super::host::Host;
use super::journal::changes::Changes;
use super::journal::replay::replay;
use super::meta::Position;
use super::open::explain_storage;
use super::reader::Reader;
use super::table::Registered;

pub(crate) use super::journal::changes::each as each_entry;

/// A piece is complete when it has this many bytes.
const PIECE: usize = 256 << 10;
/// A transaction of a new database has about this many bytes of pieces.
const TRANSACTION: usize = 16 << 20;

impl Reader {
    /// How many entries these tables have.
    pub(crate) fn count_entries(&self, tables: &[&dyn Registered]) -> Result<u64, StoreError> {
        guarded(|| {
            let counts = tables.iter().map(|table| table.count(&self.read));
            Ok(counts.sum::<Result<u64, StorageError>>()?)
        })
    }

    /// Takes the entries of these tables in pieces. Ends with the first error of `take`.
    pub(crate) fn pieces<E>(
        &self,
        tables: &[&'static dyn Registered],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Result<(), E>, StorageError> {
        let mut piece = Changes::default();
        for table in tables {
            let mut failed = None;
            let mut visit = |key: &[u8], value: &[u8]| {
                piece.put(table.name(), key, value);
                if piece.as_bytes().len() >= PIECE {
                    let whole = std::mem::take(&mut piece);
                    if let Err(error) = take(whole.as_bytes()) {
                        failed = Some(error);
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            };
            guarded(|| table.dump(&self.read, &mut visit))?;
            if let Some(error) = failed {
                return Ok(Err(error));
            }
        }
        Ok(if piece.count() > 0 { take(piece.as_bytes()) } else { Ok(()) })
    }
}

impl<H: Host> Store<H> {
    /// Reads a snapshot on a thread of its own, for as long as that takes. One such read at a time: others wait.
    pub(crate) async fn read_aside(
        &self,
        read: impl FnOnce(Result<Reader, StoreError>) + Send + 'static,
    ) -> Result<(), StoreError> {
        let (slot, turns) = self.aside();
        let turn = Arc::clone(turns).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let slot = slot.clone();
        let work = move || {
            let _turn = turn;
            read(slot.begin_read().map(Reader::new));
        };
        let started = std::thread::Builder::new().name("aegis-copy".into()).spawn(work);
        started.map(drop).map_err(|error| StoreError::Unavailable {
            why: format!("no thread to read on: {error}").into(),
            disk_full: false,
        })
    }
}

/// A new database that is built from the pieces of a copy.
pub(crate) struct Rebuilt<'p> {
    path: &'p Path,
    tables: &'static [&'static dyn Registered],
    database: Database,
    waiting: Vec<Vec<u8>>,
    bytes: usize,
    pieces: u64,
}

impl<'p> Rebuilt<'p> {
    /// Creates the file, which must not exist, with mode 0600.
    pub(crate) fn create<H: Host>(path: &'p Path) -> Result<Self, OpenError> {
        let at = |source| OpenError::Io { path: path.to_owned(), source };
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path).map_err(at)?;
        let backend = FileBackend::new(file).map_err(|error| explain_storage(storage(error), path.to_owned()))?;
        let created = Builder::new().create_with_backend(backend);
        let database = created.map_err(|error| explain_storage(storage(error), path.to_owned()))?;
        Ok(Self { path, tables: H::TABLES, database, waiting: Vec::new(), bytes: 0, pieces: 0 })
    }

    /// Adds a piece.
    pub(crate) fn add(&mut self, piece: Vec<u8>) -> Result<(), OpenError> {
        self.bytes += piece.len();
        self.waiting.push(piece);
        if self.bytes < TRANSACTION {
            return Ok(());
        }
        self.write(|_| Ok(()), false)
    }

    /// Makes the database durable. It is closed in good order, so it needs no journal.
    pub(crate) fn finish(mut self) -> Result<(), OpenError> {
        self.write(|_| Ok(()), false)?;
        let read = self.database.begin_read().map_err(storage);
        let position = read.and_then(|read| Position::read(&read)).map_err(|error| self.explain(error))?;
        let closed = Position { frame: 0, closed: true, ..position };
        let tables = self.tables;
        let complete = |transaction: &WriteTransaction| {
            // A table without an entry is in no piece.
            tables.iter().try_for_each(|table| table.create(transaction))?;
            closed.write(transaction).map_err(storage)
        };
        self.write(complete, true)?;
        // The last pages of the file are free, and go.
        let compacted = guarded(|| self.database.compact().map_err(storage));
        compacted.map(drop).map_err(|error| self.explain(error))
    }

    /// Writes the waiting pieces in one transaction.
    fn write(
        &mut self,
        and: impl FnOnce(&WriteTransaction) -> Result<(), StorageError>,
        durably: bool,
    ) -> Result<(), OpenError> {
        let first = self.pieces + 1;
        let written = guarded(|| {
            let transaction = prepare(self.database.begin_write().map_err(storage)?, durably)?;
            let pieces = (first..).zip(self.waiting.iter().map(Vec::as_slice));
            replay(pieces, "copy", self.tables, &transaction)?;
            and(&transaction)?;
            transaction.commit().map_err(storage)
        });
        written.map_err(|error| self.explain(error))?;
        self.pieces += self.waiting.len() as u64;
        self.waiting.clear();
        self.bytes = 0;
        Ok(())
    }

    fn explain(&self, error: StorageError) -> OpenError {
        explain_storage(error, self.path.to_owned())
    }
}
