//! A backup is of one moment, holds everything, and is refused if a byte of it is missing or wrong.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use proptest::prelude::*;

use super::{About, BackupError, BackupReader, BackupWriter, Checker, Chunks, Frame, restore};
use crate::audit::StoredToken;
use crate::audit::log::record::Event;
use crate::audit::state::{State, Store};
use crate::audit::testing::{draft, later, options, place};
use crate::domain::{Digest, TokenId};
use crate::store::Host as _;
use crate::store::reader::Reader;

/// The entries of every table.
type Entries = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

async fn some_store(rows: u64) -> (tempfile::TempDir, Store) {
    let (directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    insert(&store, 1..=rows).await;
    let token = StoredToken {
        token_id: TokenId::from_bytes([7; 16]),
        hash: Digest::of(b"token"),
        subject: "token:ada".into(),
        roles: Vec::new(),
        actor: None,
        created_at: later(0),
        created_by: "local:root".into(),
        expires_at: None,
    };
    let event = Event::TokenCreated {
        token_id: token.token_id,
        subject: token.subject.clone(),
        roles: Vec::new(),
        actor: None,
        expires_at: None,
        by: token.created_by.clone(),
    };
    let made = store.transact(move |tx| {
        tx.append(later(0), &event)?;
        tx.put_token(&token)
    });
    made.await.unwrap();
    (directory, store)
}

async fn insert(store: &Store, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        store.transact(move |tx| tx.insert_decision(draft(number))).await.unwrap();
    }
}

async fn all(mut chunks: Chunks) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.recv().await {
        bytes.extend(chunk.unwrap());
    }
    bytes
}

/// Reads a whole backup without a database.
fn read(bytes: &[u8]) -> Result<About, BackupError> {
    let (about, mut reader) = BackupReader::open(bytes)?;
    let mut checker = Checker::new(&about);
    while let Some(frame) = reader.next_frame()? {
        if let Frame::Entries(entries) = frame {
            checker.take(&entries)?;
        }
    }
    checker.finish()?;
    Ok(about)
}

/// Every entry but the position in the journal, which belongs to the files and not to the record.
fn entries(reader: &Reader) -> Entries {
    let mut entries = Entries::new();
    for table in State::TABLES {
        let mut visit = |key: &[u8], value: &[u8]| {
            entries.insert((table.name(), key.to_vec()), value.to_vec());
            ControlFlow::Continue(())
        };
        table.dump(reader.transaction(), &mut visit).unwrap();
    }
    entries.remove(&("meta", b"journal".to_vec())).unwrap();
    entries
}

#[tokio::test]
async fn a_backup_of_a_running_store_restores_every_entry_of_its_moment() {
    let (directory, store) = some_store(600).await;
    let reader = store.read().unwrap();
    let before = entries(&reader);
    let root = reader.tree_root(601).unwrap();
    drop(reader);
    let mut chunks = store.back_up(later(9)).await.unwrap();
    // The backup has begun, and does not see what follows.
    let first = chunks.recv().await.unwrap().unwrap();
    insert(&store, 601..=700).await;
    let bytes = [first, all(chunks).await].concat();

    let path = directory.path().join("restored.redb");
    let (about, mut reader) = BackupReader::open(&bytes[..]).unwrap();
    assert_eq!((about.last_sequence, about.root, about.made_at), (601, root, later(9)));
    let mut told = 0;
    let files = restore(&mut reader, Checker::new(&about), &path, |records| told = records).unwrap();
    assert_eq!((files, told), (Vec::new(), 601));

    let restored = Store::open(&path, options()).unwrap();
    let reader = restored.read().unwrap();
    reader.check().unwrap();
    assert_eq!(entries(&reader), before);
    drop(reader);
    insert(&restored, 601..=610).await;
    restored.read().unwrap().check().unwrap();
    for store in [store, restored] {
        store.shutdown();
    }
}

#[tokio::test]
async fn one_backup_is_made_at_a_time_and_ends_when_nobody_takes_it() {
    let (_directory, store) = some_store(3_000).await;
    let chunks = store.back_up(later(9)).await.unwrap();
    let mut second = std::pin::pin!(store.back_up(later(9)));
    tokio::select! {
        biased;
        _ = &mut second => panic!("the first one is not over"),
        () = tokio::task::yield_now() => {}
    }
    drop(chunks);
    let chunks = tokio::time::timeout(Duration::from_mins(1), second).await.unwrap().unwrap();
    read(&all(chunks).await).unwrap();
    store.shutdown();
}

#[tokio::test]
async fn a_backup_that_was_cut_or_changed_is_refused() {
    let (_directory, store) = some_store(3).await;
    let bytes = all(store.back_up(later(9)).await.unwrap()).await;
    store.shutdown();
    read(&bytes).unwrap();
    for len in 0..bytes.len() {
        let error = read(&bytes[..len]).unwrap_err();
        assert!(matches!(error, BackupError::Cut { .. } | BackupError::NotABackup), "cut at {len}: {error}");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        assert!(read(&changed).is_err(), "changed at {at}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(read(&longer).is_err());
    assert!(matches!(read(b"SQLite format 3\0"), Err(BackupError::NotABackup)));
    let mut newer = bytes.clone();
    newer[8] += 1;
    assert!(matches!(read(&newer), Err(BackupError::Newer { found: 2 })));
}

/// Writes the frames of a backup again after a change, with right checksums.
fn rewritten(bytes: &[u8], mut change: impl FnMut(&mut About, &mut Vec<Frame>)) -> Vec<u8> {
    let (mut about, mut reader) = BackupReader::open(bytes).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        frames.push(frame);
    }
    change(&mut about, &mut frames);
    let mut writer = BackupWriter::begin(Vec::new(), &about).unwrap();
    for frame in frames {
        match frame {
            Frame::File { name, content } => writer.file(&name, &content).unwrap(),
            Frame::Entries(entries) => writer.entries(&entries).unwrap(),
        }
    }
    writer.finish().unwrap().0
}

#[tokio::test]
async fn a_backup_whose_entries_are_not_those_that_it_says_is_refused() {
    let (_directory, store) = some_store(3).await;
    let bytes = all(store.back_up(later(9)).await.unwrap()).await;
    store.shutdown();
    let wrong = |bytes: Vec<u8>, says: &str| {
        let error = read(&bytes).unwrap_err();
        assert!(matches!(&error, BackupError::Wrong(why) if why.contains(says)), "{error}");
    };
    wrong(rewritten(&bytes, |_, frames| frames.clear()), "0 entries");
    wrong(rewritten(&bytes, |about, _| about.last_sequence -= 1), "records");
    wrong(rewritten(&bytes, |about, _| about.root = Digest::of(b"another")), "root");
    wrong(rewritten(&bytes, |_, frames| frames.push(Frame::Entries(vec![9]))), "cannot be read");
    let payload = b"Mark the leads";
    let change = |_: &mut About, frames: &mut Vec<Frame>| {
        for frame in frames {
            if let Frame::Entries(entries) = frame {
                let at = entries.windows(payload.len()).position(|window| window == payload).unwrap();
                entries[at] = b'm';
            }
        }
    };
    wrong(rewritten(&bytes, change), "leaf hash");

    let files = rewritten(&bytes, |_, frames| {
        frames.push(Frame::File { name: "log-key".into(), content: b"secret".to_vec() });
    });
    let (about, mut reader) = BackupReader::open(&files[..]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("restored.redb");
    let found = restore(&mut reader, Checker::new(&about), &path, |_| ()).unwrap();
    assert_eq!(found, [("log-key".to_owned(), b"secret".to_vec())]);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..6) {
        let _ = read(&bytes);
        let mut frame = [b"aegisbak\x01".as_slice(), &[kind, 0, 0, 0, u8::try_from(bytes.len()).unwrap()]].concat();
        let mut sum = crc32fast::Hasher::new();
        sum.update(&frame[9..]);
        sum.update(&bytes);
        frame.extend(sum.finalize().to_be_bytes());
        frame.extend(bytes);
        let _ = read(&frame);
    }
}
