//! The check of a whole store accepts what redaction and retention removed, and finds each kind of damage.

use std::path::Path;

use redb::{Database, ReadableTable, WriteTransaction};

use crate::audit::CheckReport;
use crate::audit::log::identity::{LogIdentity, LogKey, sign_rotation};
use crate::audit::log::note::SigningKey;
use crate::audit::log::record::Event;
use crate::audit::log::tables::{LOG, RECORDS, RETIRED, TREE};
use crate::audit::log::tiles::tree_key;
use crate::audit::rows::draft::{Draft, Opening};
use crate::audit::rows::facts::{Facts, decode_row, encode_row};
use crate::audit::rows::keys::short;
use crate::audit::rows::tables::{COUNTS, ROWS};
use crate::audit::state::Store;
use crate::audit::testing::{decision, decision_id, later, options, place, report};
use crate::audit::tokens::StoredToken;
use crate::domain::{Digest, How, ResultStatus, TokenId};
use crate::store::meta::META;

fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_seed("example.com/log", [seed; 32]).unwrap()
}

/// Writes a log with a name, a token, this many reported decisions, and a second key.
async fn write(store: &Store, count: u64) {
    let token_id = TokenId::new(later(0), [1; 10]);
    store
        .transact(move |tx| {
            let (origin, key) = ("example.com/log".to_owned(), signing_key(1).verifier().clone());
            tx.append(later(0), &Event::LogStarted { origin: origin.clone(), key: key.to_string() })?;
            tx.put_log(&LogIdentity { origin, keys: vec![LogKey { sequence: 1, key }] })?;
            let (subject, by) = ("token:ci".to_owned(), "local:ada".to_owned());
            let stored = StoredToken {
                token_id,
                hash: Digest([1; 32]),
                subject: subject.clone(),
                roles: Vec::new(),
                actor: None,
                created_at: later(0),
                created_by: by.clone(),
                expires_at: None,
            };
            tx.put_token(&stored)?;
            let roles = Vec::new();
            tx.append(later(0), &Event::TokenCreated { token_id, subject, roles, actor: None, expires_at: None, by })?;
            tx.append(later(0), &Event::DaemonStopped)
        })
        .await
        .unwrap();
    for number in 0..count {
        let at = later(number);
        let idempotency = Some(Digest::of(&number.to_be_bytes()));
        let opening = Opening { allowed_at: Some(at), idempotency, ..Opening::default() };
        let draft = Draft::new(at, &decision(number), opening).unwrap();
        store
            .transact(move |tx| {
                let inserted = tx.insert_decision(draft)?;
                let (report, decision_id) = (report(ResultStatus::Success), decision_id(number));
                tx.append(
                    at,
                    &Event::Result { decision_id, report: report.clone(), masked: Vec::new(), marks: Vec::new() },
                )?;
                let mut state = inserted.state;
                state.result = Some(report);
                tx.update_row(inserted.row, &state)
            })
            .await
            .unwrap();
    }
    store
        .transact(|tx| {
            let (old, new) = (signing_key(1), signing_key(2));
            let event = Event::LogKeyRotated {
                old_key: old.verifier().to_string(),
                new_key: new.verifier().to_string(),
                statement: sign_rotation("example.com/log", &old, &new),
                by: "local:ada".into(),
            };
            let appended = tx.append(later(0), &event)?;
            let mut log = tx.log()?.unwrap();
            log.keys.push(LogKey { sequence: appended.sequence, key: new.verifier().clone() });
            tx.put_log(&log)
        })
        .await
        .unwrap();
}

async fn redact(store: &Store, number: u64) {
    let decision_id = decision_id(number);
    store
        .transact(move |tx| {
            let (row, state) = tx.row_by_decision(decision_id)?.unwrap();
            let sequences = tx.records_of(decision_id, state.sequence)?;
            tx.scrub_row(row)?;
            for sequence in &sequences {
                assert!(tx.drop_payload(*sequence)?);
            }
            let (reason, by, how) = (String::new(), "local:ada".to_owned(), How::UnixPeer);
            tx.append(later(0), &Event::DecisionRedacted { decision_id, sequences, reason, by, how })
        })
        .await
        .unwrap();
}

async fn retire(store: &Store, last: u64) {
    let root = store.read().unwrap().tree_root(last).unwrap();
    store
        .transact(move |tx| {
            let first = tx.retired()? + 1;
            let count = tx.retire(first..=last)?.count;
            tx.append(
                later(0),
                &Event::RecordsRetired { first, last, count, root, before: later(1000), passed: vec![] },
            )
        })
        .await
        .unwrap();
}

/// Writes 300 decisions. Two are redacted. Then the first 127 are retired, except for the result of the last of them.
async fn store(path: &Path) -> Store {
    let store = Store::open(path, options()).unwrap();
    write(&store, 300).await;
    redact(&store, 5).await;
    redact(&store, 200).await;
    retire(&store, 256).await;
    store
}

#[tokio::test]
async fn a_sound_store_passes_the_check() {
    let (_directory, path) = place();
    let mut at_work = store(&path).await;
    for _ in 0..2 {
        let found = at_work.read().unwrap().check().unwrap();
        // Retired records: the name of the log stays. The two more are the redacted records of decision 200.
        assert_eq!(found, CheckReport { records: 607, redacted: 255 + 2, rows: 300, open_approvals: 0 });
        at_work.shutdown();
        at_work = Store::open(&path, options()).unwrap();
    }
    at_work.shutdown();
}

/// A change to the file of a store.
type Wrong = fn(&WriteTransaction);

fn put_meta(transaction: &WriteTransaction, key: &str, value: &[u8]) {
    transaction.open_table(META.definition()).unwrap().insert(key, value).unwrap();
}

fn change_row(transaction: &WriteTransaction, row: u64, change: impl FnOnce(&mut Facts)) {
    let mut rows = transaction.open_table(ROWS.definition()).unwrap();
    let value = rows.get(row).unwrap().unwrap().value().to_vec();
    let (mut facts, state) = decode_row(&value).unwrap();
    change(&mut facts);
    rows.insert(row, encode_row(&facts, &state).unwrap().as_slice()).unwrap();
}

/// Replaces a record's value by its leaf hash and leaf data.
fn drop_payload(transaction: &WriteTransaction, sequence: u64) {
    let mut records = transaction.open_table(RECORDS.definition()).unwrap();
    let value = records.get(sequence).unwrap().unwrap().value().to_vec();
    let data = crate::audit::log::leaf_data(&value[32..48], &value[48..]);
    records.insert(sequence, [&value[..32], &data.0].concat().as_slice()).unwrap();
}

#[tokio::test]
async fn each_kind_of_damage_is_found_and_named() {
    let (directory, path) = place();
    store(&path).await.shutdown();
    let wrong: [(&str, Wrong); 12] = [
        ("hash of the tree", |t| {
            t.open_table(TREE.definition()).unwrap().insert(&tree_key(1, 0), &[7; 32]).unwrap();
        }),
        ("hash of the tree", |t| {
            t.open_table(TREE.definition()).unwrap().remove(&tree_key(1, 0)).unwrap();
        }),
        ("hash of the tree", |t| {
            t.open_table(TREE.definition()).unwrap().insert(&tree_key(2, 0), &[7; 32]).unwrap();
        }),
        ("its records say", |t| {
            t.open_table(META.definition()).unwrap().remove(LOG).unwrap();
        }),
        ("its records say", |t| {
            let key = signing_key(1).verifier().to_string();
            let json = format!(r#"{{"origin":"example.com/log","keys":[{{"sequence":1,"key":"{key}"}}]}}"#);
            put_meta(t, LOG, json.as_bytes());
        }),
        ("retention has processed 0", |t| put_meta(t, RETIRED, &0u64.to_be_bytes())),
        ("retention has processed 257 records, and only", |t| put_meta(t, RETIRED, &257u64.to_be_bytes())),
        ("row 201: it is redacted, and its facts are not scrubbed", |t| {
            change_row(t, 201, |facts| facts.session = short("s1"));
        }),
        ("record 601 has no payload, and no record says", |t| drop_payload(t, 601)),
        ("record 100: it does not hash to its leaf", |t| {
            let mut records = t.open_table(RECORDS.definition()).unwrap();
            let mut value = records.get(100).unwrap().unwrap().value().to_vec();
            value[40] ^= 1;
            records.insert(100, value.as_slice()).unwrap();
        }),
        ("row 300", |t| change_row(t, 300, |facts| facts.session = short("another"))),
        ("the counters of ActionType", |t| {
            t.open_table(COUNTS.definition())
                .unwrap()
                .insert([&[4][..], b"[redacted]"].concat().as_slice(), 1)
                .unwrap();
        }),
    ];
    for (place, (says, change)) in wrong.into_iter().enumerate() {
        let copy = directory.path().join(format!("copy-{place}.redb"));
        std::fs::copy(&path, &copy).unwrap();
        let database = Database::open(&copy).unwrap();
        let transaction = database.begin_write().unwrap();
        change(&transaction);
        transaction.commit().unwrap();
        drop(database);
        let store = Store::open(&copy, options()).unwrap();
        let error = store.read().unwrap().check().unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
        store.shutdown();
    }
}

/// A payload that a record names as removed must be missing.
#[tokio::test]
async fn a_redaction_that_left_a_payload_is_found() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    write(&store, 10).await;
    store.read().unwrap().check().unwrap();
    let (reason, by, how) = (String::new(), "local:ada".to_owned(), How::UnixPeer);
    let event = Event::DecisionRedacted { decision_id: decision_id(3), sequences: vec![10, 11], reason, by, how };
    store
        .transact(move |tx| {
            let (row, _) = tx.row_by_decision(decision_id(3))?.unwrap();
            tx.scrub_row(row)?;
            tx.drop_payload(10)?;
            tx.append(later(0), &event)
        })
        .await
        .unwrap();
    let error = store.read().unwrap().check().unwrap_err().to_string();
    assert!(error.contains("it says that record 11 was removed"), "{error}");
    store.shutdown();
}
