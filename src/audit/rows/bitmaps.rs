//! Changes single bits of the index: a row gets a value or loses it.

use redb::{ReadableTable as _, StorageError};

use super::keys::{Bitmap, IndexKey, Kind, Short, bit_of, index_key, segment_of};
use crate::store::table::Lazy;

type Index<'t> = Lazy<'t, &'static IndexKey, &'static Bitmap>;

/// Adds a row to the rows with a value.
pub(crate) fn set_bit(index: &mut Index<'_>, kind: Kind, value: Short, row: u64) -> Result<(), StorageError> {
    let key = index_key(kind, value, segment_of(row));
    let mut bitmap = index.read()?.get(&key)?.map_or([0; 32], |bitmap| *bitmap.value());
    let (byte, bit) = bit_of(row);
    bitmap[byte] |= bit;
    index.insert(&key, &bitmap)?;
    Ok(())
}

/// Removes a row from the rows with a value.
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
