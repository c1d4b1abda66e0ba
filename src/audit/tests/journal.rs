//! The journal and the database agree, or the store does not open: it never falls back behind what was acknowledged.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::audit::log::record::Event;
use crate::audit::state::Store;
use crate::audit::testing::{decision_id, draft, options};
use crate::audit::tests::durability::check_log;
use crate::store::Options;
use crate::store::error::OpenError;

/// The files of a store, and copies of them.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn record(&self) -> PathBuf {
        self.0.path().join("record.redb")
    }

    fn journal(&self) -> PathBuf {
        self.0.path().join("record.journal")
    }

    fn open(&self, options: Options) -> Result<Store, OpenError> {
        Store::open(&self.record(), options)
    }

    /// A copy of both files as they are now: what a crash would leave.
    fn copy(&self) -> Self {
        let copy = Self::new();
        fs::copy(self.record(), copy.record()).unwrap();
        fs::copy(self.journal(), copy.journal()).unwrap();
        copy
    }

    fn refused(&self) -> String {
        let refused = self.open(options()).expect_err("the journal does not fit");
        assert!(matches!(refused, OpenError::Journal { .. }), "{refused:?}");
        let said = refused.to_string();
        assert!(said.contains("record.journal") && said.contains("--discard-journal"), "{said}");
        said
    }
}

async fn insert(store: &Store, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        store.transact(move |tx| tx.insert_decision(draft(number))).await.unwrap();
    }
}

fn rows(store: &Store) -> u64 {
    let reader = store.read().unwrap();
    reader.check().unwrap();
    let rows = reader.last_row().unwrap();
    for number in 1..=rows {
        assert!(reader.by_decision(decision_id(number)).unwrap().is_some(), "{number}");
    }
    rows
}

/// A store that ended without its shutdown, with 20 rows of which only the journal has the last ones.
async fn crashed() -> Files {
    let files = Files::new();
    let store = files.open(options()).unwrap();
    insert(&store, 1..=20).await;
    let crashed = files.copy();
    store.shutdown();
    crashed
}

fn flip(path: &Path, at: usize) {
    let mut content = fs::read(path).unwrap();
    content[at] ^= 1;
    fs::write(path, content).unwrap();
}

#[tokio::test]
async fn what_only_the_journal_has_is_there_after_a_crash_and_after_the_next() {
    let files = crashed().await;
    let store = files.open(options()).unwrap();
    assert_eq!(rows(&store), 20);
    insert(&store, 21..=300).await;
    let again = files.copy();
    store.shutdown();
    let store = again.open(options()).unwrap();
    assert_eq!(rows(&store), 300, "with the index, which covers the first 256");
    store.shutdown();
}

#[tokio::test]
async fn a_relaxed_store_loses_nothing_when_only_the_process_ends() {
    let files = Files::new();
    let store = files.open(Options { relaxed: true, ..options() }).unwrap();
    insert(&store, 1..=600).await;
    let crashed = files.copy();
    store.shutdown();
    let store = crashed.open(options()).unwrap();
    assert_eq!(rows(&store), 600);
    store.shutdown();
}

#[tokio::test]
async fn a_missing_journal_is_refused_unless_the_store_was_closed() {
    let files = crashed().await;
    fs::remove_file(files.journal()).unwrap();
    assert!(files.refused().contains("it is missing"));
    fs::write(files.journal(), b"").unwrap();
    assert!(files.refused().contains("it is missing"), "an empty one is no better");

    let files = Files::new();
    let store = files.open(options()).unwrap();
    insert(&store, 1..=20).await;
    store.shutdown();
    fs::remove_file(files.journal()).unwrap();
    let store = files.open(options()).unwrap();
    assert_eq!(rows(&store), 20);
    store.shutdown();
}

#[tokio::test]
async fn the_journal_of_another_record_is_refused() {
    let (files, other) = (crashed().await, Files::new());
    // Other random bytes, and so another name.
    let entropy = |bytes: &mut [u8]| bytes.fill(3);
    other.open(Options { entropy: Box::new(entropy), ..options() }).unwrap().shutdown();
    fs::copy(other.journal(), files.journal()).unwrap();
    assert!(files.refused().contains("another record"));
}

#[tokio::test]
async fn no_record_is_begun_beside_the_journal_of_a_missing_one() {
    let files = crashed().await;
    fs::remove_file(files.record()).unwrap();
    let refused = files.open(options()).unwrap_err().to_string();
    assert!(refused.contains("record.redb") && refused.contains("move the journal away"), "{refused}");
    assert!(!files.record().exists());
}

#[tokio::test]
async fn a_journal_and_a_record_of_two_moments_are_refused() {
    let old = crashed().await;
    let new = old.copy();
    let store = new.open(options()).unwrap();
    insert(&store, 21..=25).await;
    let now = new.copy();
    store.shutdown();

    fs::copy(old.journal(), new.journal()).unwrap();
    assert!(new.refused().contains("it is older than the record"));
    fs::copy(now.journal(), old.journal()).unwrap();
    assert!(old.refused().contains("the record is older than it"));
}

#[tokio::test]
async fn a_journal_that_is_damaged_before_its_end_is_refused_and_one_that_was_cut_off_is_not() {
    let files = crashed().await;
    // In the first frames, which later ones call synced.
    for at in [8192, 8192 + 5, 8192 + 40, 8192 + 2000] {
        flip(&files.journal(), at);
        assert!(files.refused().contains("is damaged"), "{at}");
        flip(&files.journal(), at);
    }
    for header in [0, 4096] {
        let damaged = files.copy();
        fs::write(damaged.journal(), {
            let mut content = fs::read(files.journal()).unwrap();
            content[header..header + 512].fill(0xff);
            content
        })
        .unwrap();
        // The header of the generation before is not needed.
        if let Ok(store) = damaged.open(options()) {
            assert_eq!(rows(&store), 20);
            store.shutdown();
        }
    }
    let content = fs::read(files.journal()).unwrap();
    let end = content.iter().rposition(|byte| *byte != 0).unwrap();
    fs::write(files.journal(), &content[..end - 20]).unwrap();
    let store = files.open(options()).unwrap();
    assert_eq!(rows(&store), 19, "the last write was not whole, and so nobody was told that it is done");
    store.shutdown();
}

#[tokio::test]
async fn a_journal_that_does_not_fit_can_be_discarded_which_is_on_the_record() {
    let files = crashed().await;
    let content = fs::read(files.journal()).unwrap();
    flip(&files.journal(), content.iter().rposition(|byte| *byte != 0).unwrap() / 2);
    files.refused();
    let store = files.open(Options { discard_journal: true, ..options() }).unwrap();
    let kept = rows(&store);
    assert!((1..20).contains(&kept), "what was before the damage: {kept}");
    let reader = store.read().unwrap();
    let last = reader.records(reader.last_sequence().unwrap() - 1, 1).unwrap().remove(0);
    let event = &last.record().unwrap().event;
    assert!(matches!(event, Event::RecordRecovered { why, .. } if why.contains("discarded")), "{event:?}");
    assert!(files.0.path().join("record.journal.discarded").exists());
    drop(reader);
    store.shutdown();
    let store = files.open(options()).unwrap();
    insert(&store, kept + 1..=30).await;
    assert_eq!(rows(&store), 30);
    store.shutdown();

    let files = crashed().await;
    fs::remove_file(files.journal()).unwrap();
    let store = files.open(Options { discard_journal: true, ..options() }).unwrap();
    assert_eq!(check_log(&store.read().unwrap()), 1, "the record has what its last checkpoint had, and this");
    store.shutdown();
}

#[tokio::test]
async fn the_journal_stays_within_its_bound() {
    let files = Files::new();
    let store = files.open(Options { journal_bytes: 64 << 10, ..options() }).unwrap();
    insert(&store, 1..=400).await;
    let len = fs::metadata(files.journal()).unwrap().len();
    // The bound, a frame with derived tables behind it, the headers, and a step.
    assert!(len <= 128 << 10, "{len} bytes");
    let crashed = files.copy();
    store.shutdown();
    let store = crashed.open(options()).unwrap();
    assert_eq!(rows(&store), 400);
    store.shutdown();
}
