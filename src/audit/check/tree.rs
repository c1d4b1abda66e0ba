//! Computes the hashes of whole tiles from the leaves alone.

use std::collections::BTreeMap;

use crate::audit::log::merkle::Frontier;
use crate::audit::log::tiles::{TILE_WIDTH, TreeKey, tree_key};
use crate::domain::Digest;

/// The tiles of a log, built leaf by leaf.
#[derive(Debug, Default)]
pub(super) struct Tiles {
    /// For each level, from 1: the hashes of its whole tiles, and the last, partial tile.
    levels: Vec<(Vec<Digest>, Frontier)>,
}

impl Tiles {
    /// Adds a leaf.
    pub(super) fn push(&mut self, leaf: Digest) {
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push((Vec::new(), Frontier::default()));
            }
            let (whole, tile) = &mut self.levels[level];
            tile.push(hash);
            if tile.size() < TILE_WIDTH {
                return;
            }
            hash = tile.root();
            whole.push(hash);
            *tile = Frontier::default();
        }
    }

    /// What the table must store for this many leaves.
    pub(super) fn first(&self, leaves: u64) -> BTreeMap<TreeKey, [u8; 32]> {
        let mut hashes = BTreeMap::new();
        let mut count = leaves;
        for (level, (whole, _)) in (1..).zip(&self.levels) {
            count /= TILE_WIDTH;
            let first = whole.iter().zip(0..count);
            hashes.extend(first.map(|(hash, index)| (tree_key(level, index), hash.0)));
        }
        hashes
    }
}
