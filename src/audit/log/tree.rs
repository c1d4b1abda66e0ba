//! The stored Merkle tree of the log. It has the hash of every complete subtree whose height is a multiple of 8. These
//! hashes are derived some time after their leaves are written.
//!
//! The records contain the leaf hashes. The table adds the hash of every 256 leaves, of every 256 of those, and so on.
//! In c2sp.org/tlog-tiles, 256 hashes in a row are a *tile*; the table stores the tiles above the lowest level. That is
//! 0.13 bytes a record, and an append writes none of it. A proof or a root reads at most two tiles on each level. What
//! is not derived yet (see [`hash_tail`]) is computed from the leaves.

use std::collections::HashMap;

use redb::{ReadOnlyTable, ReadableTable, StorageError};

use super::leaf::LEAF_HASH_LEN;
use super::merkle;
use super::merkle::{Frontier, Subtrees};
use super::tables::{RECORDS, TREE};
use super::tiles::{TILE_WIDTH, TreeKey, hashed, index_of_key, tree_key};
use crate::audit::state::State;
use crate::audit::tables::Tables;
use crate::domain::Digest;
use crate::store::error::{StoreError, damaged, guarded, missing};
use crate::store::reader::Reader;
use crate::store::table::Bytes;

/// The height of a tile.
const TILE_HEIGHT: u32 = 8;
/// The most tiles of leaves that one transaction hashes.
const TILES_AT_ONCE: u64 = 64;

/// Derives the hashes of whole tiles of new leaves, a bounded number at a time.
///
/// Like the index, it writes in a separate transaction between two batches, which is not made durable by itself. After
/// a power failure, lost hashes are derived again.
pub(crate) fn hash_tail(state: &mut State, tables: &mut Tables<'_>) -> Result<(), StorageError> {
    let (first, end) = (state.log.hashed / TILE_WIDTH, state.log.last_sequence / TILE_WIDTH);
    let end = end.min(first + TILES_AT_ONCE);
    let Tables { records, tree, .. } = tables;
    for tile in first..end {
        let leaves = leaf_hashes(records.read()?, tile * TILE_WIDTH, TILE_WIDTH)?;
        let mut hash = hash_of(leaves);
        let (mut level, mut index) = (1, tile);
        tree.insert(&tree_key(level, index), &hash.0)?;
        // The last hash of a tile completes the tile.
        while index % TILE_WIDTH == TILE_WIDTH - 1 {
            let row = tile_hashes(tree.read()?, level, index + 1 - TILE_WIDTH, TILE_WIDTH)?;
            hash = hash_of(row);
            (level, index) = (level + 1, index / TILE_WIDTH);
            tree.insert(&tree_key(level, index), &hash.0)?;
        }
    }
    state.log.hashed = end * TILE_WIDTH;
    Ok(())
}

fn hash_of(row: Vec<Digest>) -> Digest {
    let mut frontier = Frontier::default();
    for hash in row {
        frontier.push(hash);
    }
    frontier.root()
}

/// The hashes of this many leaves, from this leaf on.
fn leaf_hashes(records: &impl ReadableTable<u64, Bytes>, first: u64, count: u64) -> Result<Vec<Digest>, StorageError> {
    let mut hashes = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    for (entry, sequence) in records.range(first + 1..=first + count)?.zip(first + 1..) {
        let (key, value) = entry?;
        if key.value() != sequence {
            return Err(missing("record", sequence));
        }
        let hash = value.value().first_chunk::<LEAF_HASH_LEN>();
        hashes.push(Digest(*hash.ok_or_else(|| StorageError::Corrupted("a record is too short".into()))?));
    }
    if hashes.len() as u64 == count { Ok(hashes) } else { Err(missing("record", first + hashes.len() as u64 + 1)) }
}

/// This many stored hashes of a level, from this index on.
fn tile_hashes(
    tree: &impl ReadableTable<&'static TreeKey, &'static [u8; 32]>,
    level: u8,
    first: u64,
    count: u64,
) -> Result<Vec<Digest>, StorageError> {
    let mut hashes = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    for entry in tree.range::<&TreeKey>(&tree_key(level, first)..&tree_key(level, first + count))? {
        let (key, value) = entry?;
        if index_of_key(key.value()) != first + hashes.len() as u64 {
            break;
        }
        hashes.push(Digest(*value.value()));
    }
    if hashes.len() as u64 == count {
        return Ok(hashes);
    }
    Err(missing(&format!("hash of level {level}"), first + hashes.len() as u64))
}

impl Reader {
    /// The root of the tree of the first `size` records. The log must have that many.
    pub fn tree_root(&self, size: u64) -> Result<Digest, StoreError> {
        guarded(|| merkle::root(&mut Tiles::open(self)?, size))
    }

    /// The hash of a leaf, counted from 0.
    pub fn leaf_hash(&self, leaf_index: u64) -> Result<Digest, StoreError> {
        guarded(|| {
            let leaves = leaf_hashes(&self.table(RECORDS)?, leaf_index, 1)?;
            leaves.first().copied().ok_or_else(|| missing("record", leaf_index + 1).into())
        })
    }

    /// The proof that the tree of the first `size` records contains a leaf: see [`merkle::inclusion_proof`].
    pub fn inclusion_proof(&self, leaf_index: u64, size: u64) -> Result<Vec<Digest>, StoreError> {
        guarded(|| merkle::inclusion_proof(&mut Tiles::open(self)?, leaf_index, size))
    }

    /// The proof that the tree of the first `new` records begins with the tree of the first `old`: see
    /// [`merkle::consistency_proof`].
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Digest>, StoreError> {
        guarded(|| merkle::consistency_proof(&mut Tiles::open(self)?, old, new))
    }
}

/// The hashes of a snapshot, with a cache of tiles that were read.
struct Tiles {
    records: ReadOnlyTable<u64, Bytes>,
    tree: Option<ReadOnlyTable<&'static TreeKey, &'static [u8; 32]>>,
    hashed: u64,
    /// Whole tiles with all their inner hashes: heights 0 to 8, by level and tile.
    rows: HashMap<(u32, u64), Vec<Vec<Digest>>>,
}

impl Tiles {
    fn open(reader: &Reader) -> Result<Self, StoreError> {
        let records = reader.table(RECORDS)?;
        let tree = reader.table_if_there(TREE)?;
        let hashed = tree.as_ref().map_or(Ok(0), hashed)?;
        Ok(Self { records, tree, hashed, rows: HashMap::new() })
    }

    /// The existing hashes of a tile, and the complete nodes above them.
    fn row(&mut self, level: u32, tile: u64) -> Result<&[Vec<Digest>], StoreError> {
        if !self.rows.contains_key(&(level, tile)) {
            let width = self.width(level, tile)?;
            let first = tile * TILE_WIDTH;
            let row = match (&self.tree, level) {
                (_, 0) => leaf_hashes(&self.records, first, width)?,
                (Some(tree), level) => tile_hashes(tree, u8::try_from(level).unwrap_or(u8::MAX), first, width)?,
                (None, _) => return Err(damaged("the tree has no hashes")),
            };
            let mut heights = vec![row];
            for height in 0..TILE_HEIGHT as usize {
                let above = heights[height].chunks_exact(2).map(|pair| merkle::hash_node(&pair[0], &pair[1])).collect();
                heights.push(above);
            }
            self.rows.insert((level, tile), heights);
        }
        Ok(&self.rows[&(level, tile)])
    }

    /// How many hashes of a tile exist.
    fn width(&self, level: u32, tile: u64) -> Result<u64, StoreError> {
        let leaves = match level {
            0 => self.records.last()?.map_or(0, |(sequence, _)| sequence.value()),
            _ => self.hashed,
        };
        let at_level = leaves.checked_shr(level * TILE_HEIGHT).unwrap_or(0);
        Ok(at_level.saturating_sub(tile * TILE_WIDTH).min(TILE_WIDTH))
    }
}

impl Subtrees for Tiles {
    type Error = StoreError;

    fn subtree(&mut self, height: u32, index: u64) -> Result<Digest, StoreError> {
        let (level, within) = (height / TILE_HEIGHT, height % TILE_HEIGHT);
        // The stored hashes below the subtree.
        let last = ((index + 1) << within) - 1;
        if level > 0 && (last + 1) << (level * TILE_HEIGHT) > self.hashed {
            // Not derived yet: compute it from its two halves.
            let left = self.subtree(height - 1, index * 2)?;
            return Ok(merkle::hash_node(&left, &self.subtree(height - 1, index * 2 + 1)?));
        }
        let (tile, place) = (last / TILE_WIDTH, (last % TILE_WIDTH) >> within);
        let row = self.row(level, tile)?;
        let hash = usize::try_from(place).ok().and_then(|place| row[within as usize].get(place)).copied();
        hash.ok_or_else(|| damaged(format!("the tree has no hash at height {height}, index {index}")))
    }
}
