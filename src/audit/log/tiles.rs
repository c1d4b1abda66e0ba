//! The stored hashes of whole tiles: their keys, and how many leaves they cover.

use redb::{ReadableTable, StorageError};

/// The number of hashes in a tile.
pub const TILE_WIDTH: u64 = 256;

/// The key of a hash of the tree: `level ‖ index`.
pub(crate) type TreeKey = [u8; 9];

/// The key of the hash of tile `index` of `level`. The hash is an entry of a tile of the level above.
pub(crate) fn tree_key(level: u8, index: u64) -> TreeKey {
    let mut key = [0; 9];
    key[0] = level;
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

pub(crate) fn index_of_key(key: &TreeKey) -> u64 {
    let mut index = [0; 8];
    index.copy_from_slice(&key[1..]);
    u64::from_be_bytes(index)
}

/// The number of leaves that the stored tree covers.
pub(crate) fn hashed(tree: &impl ReadableTable<&'static TreeKey, &'static [u8; 32]>) -> Result<u64, StorageError> {
    let last = tree.range::<&TreeKey>(&tree_key(1, 0)..=&tree_key(1, u64::MAX))?.next_back();
    Ok(last.transpose()?.map_or(0, |(key, _)| (index_of_key(key.value()) + 1) * TILE_WIDTH))
}
