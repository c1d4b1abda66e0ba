//! Table definitions. Each table is registered once, with its types and where its content comes from. The engine can
//! dump and count every registered table.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::ops::ControlFlow;

use redb::{
    Key, ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata as _, StorageError, Table,
    TableDefinition, TableError, Value, WriteTransaction,
};

use super::error::storage;
use super::journal::changes::Changes;

/// The table type for bytes.
pub(crate) type Bytes = &'static [u8];

/// Where the content of a table comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Jobs write the table. No other table has the same data.
    Source,
    /// The table can be rebuilt from other tables, and may lag behind them.
    Derived {
        /// The names of those tables.
        from: &'static [&'static str],
        /// The name of the [`Derivation`](super::host::Derivation) that writes it.
        by: &'static str,
    },
}

/// A table: its name, the types of its keys and values, and where its content comes from.
pub(crate) struct TableDef<K: Key + 'static, V: Value + 'static> {
    name: &'static str,
    definition: TableDefinition<'static, K, V>,
    origin: Origin,
}

impl<K: Key + 'static, V: Value + 'static> Clone for TableDef<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Key + 'static, V: Value + 'static> Copy for TableDef<K, V> {}

impl<K: Key + 'static, V: Value + 'static> TableDef<K, V> {
    /// Defines a table that jobs write.
    pub(crate) const fn source(name: &'static str) -> Self {
        Self { name, definition: TableDefinition::new(name), origin: Origin::Source }
    }

    /// Defines a table that this derivation builds from these tables.
    pub(crate) const fn derived(name: &'static str, from: &'static [&'static str], by: &'static str) -> Self {
        Self { name, definition: TableDefinition::new(name), origin: Origin::Derived { from, by } }
    }

    /// The table in a snapshot.
    pub(crate) fn open(&self, read: &ReadTransaction) -> Result<ReadOnlyTable<K, V>, TableError> {
        read.open_table(self.definition)
    }

    /// The table in a snapshot. `None` if nothing was ever written to it, as in a file that is older than the table.
    pub(crate) fn open_if_there(&self, read: &ReadTransaction) -> Result<Option<ReadOnlyTable<K, V>>, TableError> {
        match self.open(read) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The table in a write transaction, for the engine itself. The journal does not get these changes.
    pub(super) fn open_to_write<'t>(&self, transaction: &'t WriteTransaction) -> Result<Table<'t, K, V>, TableError> {
        transaction.open_table(self.definition)
    }

    /// The definition for redb: for tests that damage the table.
    #[cfg(test)]
    pub(crate) fn definition(&self) -> TableDefinition<'static, K, V> {
        self.definition
    }
}

/// A table of a write transaction, with keys and values as stored bytes.
pub trait Writing {
    /// Inserts or replaces the value of the key.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError>;

    /// Removes the key, if it exists.
    fn remove(&mut self, key: &[u8]) -> Result<(), StorageError>;
}

impl<K: Key + 'static, V: Value + 'static> Writing for Table<'_, K, V> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.insert(K::from_bytes(key), V::from_bytes(value)).map(drop)
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), StorageError> {
        Table::remove(self, K::from_bytes(key)).map(drop)
    }
}

/// Visits an entry: its key and its value as stored bytes.
pub(crate) type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// Operations of the engine on any table.
pub trait Registered: Sync {
    /// The name of the table.
    fn name(&self) -> &'static str;

    /// Where its content comes from.
    fn origin(&self) -> Origin;

    /// Makes sure that the table exists.
    fn create(&self, transaction: &WriteTransaction) -> Result<(), StorageError>;

    /// The table in a write transaction, for a replay.
    fn writing<'t>(&self, transaction: &'t WriteTransaction) -> Result<Box<dyn Writing + 't>, StorageError>;

    /// How many entries it has.
    fn count(&self, read: &ReadTransaction) -> Result<u64, StorageError>;

    /// Visits the entries in key order, with key and value as stored bytes, until `each` breaks off.
    fn dump(&self, read: &ReadTransaction, each: &mut Visit<'_>) -> Result<(), StorageError>;
}

impl<K: Key + Sync + 'static, V: Value + Sync + 'static> Registered for TableDef<K, V> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn origin(&self) -> Origin {
        self.origin
    }

    fn create(&self, transaction: &WriteTransaction) -> Result<(), StorageError> {
        transaction.open_table(self.definition).map(drop).map_err(storage)
    }

    fn writing<'t>(&self, transaction: &'t WriteTransaction) -> Result<Box<dyn Writing + 't>, StorageError> {
        Ok(Box::new(self.open_to_write(transaction).map_err(storage)?))
    }

    fn count(&self, read: &ReadTransaction) -> Result<u64, StorageError> {
        self.open_if_there(read).map_err(storage)?.map_or(Ok(0), |table| table.len())
    }

    fn dump(&self, read: &ReadTransaction, each: &mut Visit<'_>) -> Result<(), StorageError> {
        let Some(table) = self.open_if_there(read).map_err(storage)? else { return Ok(()) };
        for entry in table.iter()? {
            let (key, value) = entry?;
            if each(K::as_bytes(&key.value()).as_ref(), V::as_bytes(&value.value()).as_ref()).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// A write transaction that collects its changes for the journal. Every change goes through one of its [`Lazy`] tables.
#[derive(Clone, Copy)]
pub struct Session<'t> {
    transaction: &'t WriteTransaction,
    changes: &'t RefCell<Changes>,
}

impl<'t> Session<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction, changes: &'t RefCell<Changes>) -> Self {
        Self { transaction, changes }
    }

    /// A table of the transaction.
    pub(crate) fn table<K: Key + 'static, V: Value + 'static>(self, table: TableDef<K, V>) -> Lazy<'t, K, V> {
        Lazy { session: self, name: table.name, definition: table.definition, table: None }
    }

    /// How many changes the transaction has made.
    pub(super) fn changes(self) -> u64 {
        self.changes.borrow().count()
    }

    /// How many bytes the changes are in the journal.
    pub(super) fn changed_bytes(self) -> usize {
        self.changes.borrow().as_bytes().len()
    }
}

/// A table of a write transaction that is opened on first use, so that a batch pays only for the tables that it uses.
pub struct Lazy<'t, K: Key + 'static, V: Value + 'static> {
    session: Session<'t>,
    name: &'static str,
    definition: TableDefinition<'static, K, V>,
    table: Option<Table<'t, K, V>>,
}

impl<'t, K: Key + 'static, V: Value + 'static> Lazy<'t, K, V> {
    /// The table, for reading.
    pub(crate) fn read(&mut self) -> Result<&Table<'t, K, V>, StorageError> {
        self.table().map(|table| &*table)
    }

    /// Inserts or replaces the value of the key.
    pub(crate) fn insert<'k, 'v>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
    ) -> Result<(), StorageError> {
        // First, because a change that fails half-way may have modified the table.
        let (key_bytes, value_bytes) = (K::as_bytes(key.borrow()), V::as_bytes(value.borrow()));
        self.session.changes.borrow_mut().put(self.name, key_bytes.as_ref(), value_bytes.as_ref());
        drop((key_bytes, value_bytes));
        self.table()?.insert(key, value).map(drop)
    }

    /// Removes the key, if it exists.
    pub(crate) fn remove<'k>(&mut self, key: impl Borrow<K::SelfType<'k>>) -> Result<(), StorageError> {
        self.session.changes.borrow_mut().remove(self.name, K::as_bytes(key.borrow()).as_ref());
        self.table()?.remove(key).map(drop)
    }

    fn table(&mut self) -> Result<&mut Table<'t, K, V>, StorageError> {
        match &mut self.table {
            Some(table) => Ok(table),
            slot => {
                let table = self.session.transaction.open_table(self.definition).map_err(storage)?;
                Ok(slot.insert(table))
            }
        }
    }
}
