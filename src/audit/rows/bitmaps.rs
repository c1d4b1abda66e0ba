//! Changing single bits of the index: one row has a value, or has it no more.

use redb::{ReadableTable as _, StorageError};

use super::keys::{Bitmap, IndexKey, Kind, Short, bit_of, index_key, segment_of};
use crate::store::table::Lazy;

type Index<'t> = Lazy<'t, &'static IndexKey, &'static Bitmap>;

/// Adds a row to those that have a value.
pub(crate) fn set_bit(index: &mut Index<'_>, kind: Kind, value: Short, row: u64) -> Result<(), StorageError> {
    let key = index_key(kind, value, segment_of(row));
    let mut bitmap = index.read()?.get(&key)?.map_or([0; 32], |bitmap| *bitmap.value());
    let (byte, bit) = bit_of(row);
    bitmap[byte] |= bit;
    index.insert(&key, &bitmap)?;
    Ok(())
}

/// Takes a row from those that have a value.
pub(crate) fn clear_bit(index: &mut Index<'_>, kind: Kind, value: Short, row: u64) -> Result<(), StorageError> {
    let key = index_key(kind, value, segment_of(row));
    let Some(mut bitmap) = index.read()?.get(&key)?.map(|bitmap| *bitmap.value()) else { return Ok(()) };
    let (byte, bit) = bit_of(row);
    bitmap[byte] &= !bit;
    if bitmap == [0; 32] {
        index.remove(&key)?;
    } else {
        index.insert(&key, &bitmap)?;
    }
    Ok(())
}
