//! What retention takes away gives its space back.

use std::fs;
use std::path::Path;

use crate::audit::state::Store;
use crate::audit::testing::{draft, place};
use crate::store::Options;

/// Other random bytes in every run of the store: what its journal is told apart by.
fn options() -> Options {
    Options { index_lag: 256, ..Options::default() }
}

/// The decisions of one batch, in whole tiles of the tree.
const BATCH: u64 = 1024;

async fn write(store: &Store, batch: u64) {
    for number in batch * BATCH..(batch + 1) * BATCH {
        store.transact(move |tx| tx.insert_decision(draft(number))).await.unwrap();
    }
}

async fn retire(store: &Store, batch: u64) {
    let records = batch * BATCH + 1..=(batch + 1) * BATCH;
    store.transact(move |tx| tx.retire(records)).await.unwrap();
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[tokio::test]
async fn what_was_retired_leaves_its_space_to_what_follows() {
    let (_directory, path) = place();
    let mut sizes = Vec::new();
    for batch in 0..4 {
        let store = Store::open(&path, options()).unwrap();
        if batch > 0 {
            retire(&store, batch - 1).await;
        }
        write(&store, batch).await;
        assert_eq!(store.read().unwrap().last_sequence().unwrap(), (batch + 1) * BATCH);
        store.shutdown();
        let compacted = Store::compact(&path, options()).unwrap();
        assert_eq!(compacted.after, size(&path));
        sizes.push(compacted.after);
    }
    // What is left of a retired batch is hashes, ids and codes: less than half.
    let left = (sizes[3] - sizes[0]) / 3;
    assert!(left * 2 < sizes[0], "a retired batch leaves {left} bytes: {sizes:?}");
    let store = Store::open(&path, options()).unwrap();
    assert_eq!(store.read().unwrap().last_sequence().unwrap(), 4 * BATCH);
    store.shutdown();
}
