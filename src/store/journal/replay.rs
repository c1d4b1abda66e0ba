//! Writes the frames of a journal to the tables of the database.

use std::collections::HashMap;

use redb::{StorageError, WriteTransaction};

use super::changes::each;
use crate::store::table::{Registered, Writing};

/// Writes the changes of these numbered frames to the database, in one transaction. Returns the number of the last one.
/// `source` names what has the frames.
///
/// A frame has a right checksum. If its content is wrong all the same, it was written by another program.
pub(in crate::store) fn replay<'f>(
    frames: impl Iterator<Item = (u64, &'f [u8])>,
    source: &str,
    tables: &'static [&'static dyn Registered],
    transaction: &WriteTransaction,
) -> Result<Option<u64>, StorageError> {
    let damaged = |number: u64, what: &str| StorageError::Corrupted(format!("frame {number} of the {source} {what}"));
    let mut open = HashMap::<&str, Box<dyn Writing + '_>>::new();
    let mut last = None;
    for (number, changes) in frames {
        let is_whole = each(changes, |change| {
            if !open.contains_key(change.table) {
                let table = tables.iter().find(|table| table.name() == change.table);
                let table = table.ok_or_else(|| damaged(number, "names a table that this program does not know"))?;
                open.insert(table.name(), table.writing(transaction)?);
            }
            let table = open.get_mut(change.table).ok_or_else(|| damaged(number, "names no table"))?;
            match change.value {
                Some(value) => table.put(change.key, value),
                None => table.remove(change.key),
            }
        })?;
        if !is_whole {
            return Err(damaged(number, "has changes that cannot be read"));
        }
        last = Some(number);
    }
    Ok(last)
}
