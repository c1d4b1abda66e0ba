//! The Merkle tree of a store gives the same roots and proofs as its leaves alone, however much of it is derived.

use crate::audit::log::merkle::{Frontier, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion};
use crate::audit::log::record::Event;
use crate::audit::merkle::tests::InMemory;
use crate::audit::merkle::tests::naive;
use crate::audit::state::Store;
use crate::audit::testing::{draft, later, options, place};
use crate::domain::Digest;
use crate::store::Options;
use crate::store::reader::Reader;

fn leaves(reader: &Reader) -> Vec<Digest> {
    let mut leaves = Vec::new();
    loop {
        let page = reader.records(leaves.len() as u64, 4096).unwrap();
        if page.is_empty() {
            return leaves;
        }
        leaves.extend(page.into_iter().map(|record| record.leaf_hash));
    }
}

/// Checks the roots of all sizes, and proofs at every edge of a tile.
fn check(reader: &Reader) {
    let leaves = leaves(reader);
    let mut frontier = Frontier::default();
    let mut roots = vec![frontier.root()];
    for leaf in &leaves {
        frontier.push(*leaf);
        roots.push(frontier.root());
    }
    let last = leaves.len() as u64;
    let edges = [1, 2, 255, 256, 257, 511, 512, 513, 700, last / 2, last - 1, last];
    let sizes: Vec<u64> = edges.into_iter().filter(|size| (1..=last).contains(size)).collect();
    for &size in &sizes {
        let at = |n: u64| usize::try_from(n).unwrap();
        let (root, known) = (roots[at(size)], &leaves[..at(size)]);
        assert_eq!(reader.tree_root(size).unwrap(), root, "size {size}");
        for index in [0, 1, 254, 255, 256, size / 2, size - 1].into_iter().filter(|index| *index < size) {
            let proof = reader.inclusion_proof(index, size).unwrap();
            assert_eq!(proof, inclusion_proof(&mut InMemory(known), index, size).unwrap());
            verify_inclusion(&leaves[at(index)], index, size, &proof, &root).unwrap();
        }
        for &old in sizes.iter().filter(|old| **old <= size) {
            let proof = reader.consistency_proof(old, size).unwrap();
            assert_eq!(proof, consistency_proof(&mut InMemory(known), old, size).unwrap());
            verify_consistency(old, &roots[at(old)], size, &root, &proof).unwrap();
        }
    }
}

async fn append(store: &Store, count: u64) {
    store
        .transact(move |tx| (0..count).try_for_each(|n| tx.append(later(n), &Event::DaemonStopped).map(drop)))
        .await
        .unwrap();
}

#[tokio::test]
async fn proofs_are_the_same_before_and_after_the_tree_is_derived() {
    let (_directory, path) = place();
    let store = Store::open(&path, Options { index_lag: 1_000_000, ..options() }).unwrap();
    append(&store, 300).await;
    store.transact(|tx| tx.insert_decision(draft(1))).await.unwrap();
    append(&store, 999).await;
    check(&store.read().unwrap());
    store.shutdown();
    let store = Store::open(&path, options()).unwrap();
    append(&store, 1).await;
    // The writer derives between two batches. Once the second batch is acknowledged, it has derived after the first.
    append(&store, 1).await;
    check(&store.read().unwrap());
    store.shutdown();
}

/// More than 65,536 leaves, so that there is a second level. It is derived 64 tiles at a time.
#[tokio::test]
async fn a_large_log_has_a_second_level() {
    let (_directory, path) = place();
    let store = Store::open(&path, Options { relaxed: true, ..options() }).unwrap();
    for _ in 0..68 {
        append(&store, 1000).await;
    }
    append(&store, 1).await;
    let reader = store.read().unwrap();
    let leaves = leaves(&reader);
    let size = leaves.len() as u64;
    let mut frontier = Frontier::default();
    let mut old_root = frontier.root();
    let old = 65_536 + 300;
    for leaf in &leaves {
        frontier.push(*leaf);
        if frontier.size() == old {
            old_root = frontier.root();
        }
    }
    let root = frontier.root();
    assert_eq!(reader.tree_root(size).unwrap(), root);
    for index in [0, 255, 256, 65_535, 65_536, size - 1] {
        let proof = reader.inclusion_proof(index, size).unwrap();
        verify_inclusion(&leaves[usize::try_from(index).unwrap()], index, size, &proof, &root).unwrap();
    }
    let proof = reader.consistency_proof(old, size).unwrap();
    verify_consistency(old, &old_root, size, &root, &proof).unwrap();
    let few = naive::root(&leaves[..300]);
    verify_consistency(300, &few, size, &root, &reader.consistency_proof(300, size).unwrap()).unwrap();
    drop(reader);
    store.shutdown();
}

#[tokio::test]
async fn a_root_of_more_records_than_there_are_is_an_error() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    append(&store, 3).await;
    assert!(store.read().unwrap().tree_root(4).is_err());
    store.shutdown();
}
