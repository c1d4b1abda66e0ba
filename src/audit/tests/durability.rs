//! What was acknowledged is there, in order, without gaps, with the hashes that the documentation draws.

use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};

use crate::audit::log::record::Event;
use crate::audit::log::stored::Content;
use crate::audit::rows::filter::RowFilter;
use crate::audit::rows::query::{Order, Query};
use crate::audit::state::Store;
use crate::audit::testing::disk::Disk;
use crate::audit::testing::{UNREPORTED, decision, decision_id, draft, later, options, place, report, unsettled};
use crate::domain::{Outcome, ResultStatus};
use crate::store::Options;
use crate::store::error::{StoreError, TxError};
use crate::store::reader::Reader;

/// The leaf hash as the module documentation words it, with nothing of the store's own code.
pub(super) fn independent_leaf_hash(salt: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut data = Vec::from(*b"aegis/record/v1\0");
    data.extend_from_slice(salt);
    data.extend_from_slice(payload);
    let data = Sha256::digest(&data);
    let mut leaf = vec![0u8];
    leaf.extend_from_slice(&data);
    Sha256::digest(&leaf).to_vec()
}

/// Checks that the log is gapless and that every leaf hash is right; answers how many records there are.
pub(crate) fn check_log(reader: &Reader) -> u64 {
    let mut last = 0;
    loop {
        let records = reader.records(last, 100).unwrap();
        if records.is_empty() {
            assert_eq!(last, reader.last_sequence().unwrap());
            return last;
        }
        for stored in records {
            last += 1;
            assert!(stored.is_intact());
            let Content::Whole { record, salt, payload } = stored.content else { panic!("nothing was redacted") };
            assert_eq!((stored.sequence, record.sequence), (last, last));
            assert_eq!(stored.leaf_hash.0.to_vec(), independent_leaf_hash(&salt, &payload));
            assert_eq!(record.to_canonical().unwrap(), payload);
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    let started = store.transact(|tx| tx.append(later(0), &Event::DaemonStopped)).await.unwrap();
    assert_eq!(started.sequence, 1);
    for number in 1..=20 {
        let inserted = store.transact(move |tx| tx.insert_decision(draft(number))).await.unwrap();
        assert_eq!((inserted.row, inserted.appended.sequence), (number, number + 1));
    }
    store.shutdown();
    assert!(matches!(store.read(), Err(StoreError::Closed)));

    let store = Store::open(&path, options()).unwrap();
    let reader = store.read().unwrap();
    assert_eq!(check_log(&reader), 21);
    assert_eq!(*store.committed().borrow(), 21);
    let row = reader.by_decision(decision_id(13)).unwrap().unwrap();
    assert_eq!((row.row, row.time, row.decision), (13, later(13), decision(13)));
    assert!(reader.by_decision(decision_id(21)).unwrap().is_none());
    let stats = reader.stats(later(20), UNREPORTED).unwrap();
    assert_eq!((stats.decisions, stats.records, unsettled(&stats)), (20, 21, 20));
    assert_eq!(stats.by_outcome[Outcome::Allow.as_str()], 20);
    store.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_leave_no_gap() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for task in 0..64u64 {
        let (store, order) = (store.clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            for i in 0..20 {
                let draft = draft(task * 100 + i);
                let order = order.clone();
                let inserted = store
                    .transact(move |tx| {
                        let inserted = tx.insert_decision(draft)?;
                        let row = inserted.row;
                        tx.after_commit(move || order.lock().unwrap().push(row));
                        Ok(inserted)
                    })
                    .await
                    .unwrap();
                assert!(*store.committed().borrow() >= inserted.appended.sequence);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let reader = store.read().unwrap();
    assert_eq!(check_log(&reader), 64 * 20);
    assert_eq!(reader.last_row().unwrap(), 64 * 20);
    for task in 0..64 {
        for i in 0..20 {
            assert!(reader.by_decision(decision_id(task * 100 + i)).unwrap().is_some());
        }
    }
    assert_eq!(*order.lock().unwrap(), (1..=64 * 20).collect::<Vec<_>>(), "after the commit, in order");
    drop(reader);
    store.shutdown();
}

#[tokio::test]
async fn a_job_that_fails_leaves_no_trace_and_does_not_harm_the_others() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    let refused = store.transact::<(), _>(|_| Err(TxError::Misuse("no"))).await;
    assert!(matches!(refused, Err(StoreError::Aborted { .. })), "{refused:?}");
    let panicked = store.transact::<(), _>(|_| panic!("a fault of the program")).await;
    assert!(matches!(&panicked, Err(StoreError::Aborted { why }) if why.contains("a fault of the program")));
    let half = store
        .transact::<(), _>(|tx| {
            tx.after_commit(|| panic!("must not run"));
            tx.insert_decision(draft(1))?;
            panic!("after a write")
        })
        .await;
    assert!(matches!(half, Err(StoreError::Aborted { .. })));
    assert_eq!(store.read().unwrap().last_sequence().unwrap(), 0);
    let inserted = store.transact(|tx| tx.insert_decision(draft(2))).await.unwrap();
    assert_eq!((inserted.row, inserted.appended.sequence), (1, 1));
    store.shutdown();
}

#[tokio::test]
async fn a_full_queue_is_an_answer() {
    let (_directory, path) = place();
    let store = Store::open(&path, Options { queue: 2, ..options() }).unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (entered, running) = tokio::sync::oneshot::channel();
    let blocker = tokio::spawn({
        let store = store.clone();
        async move {
            let job = move |_: &mut crate::audit::Tx<'_>| {
                entered.send(()).unwrap();
                let _ = held.recv();
                Ok(())
            };
            store.transact(job).await
        }
    });
    running.await.unwrap();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.transact(|_| Ok(())).await })
        })
        .collect();
    tokio::task::yield_now().await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert!(matches!(store.transact(|_| Ok(())).await, Err(StoreError::Overloaded)));
    release.send(()).unwrap();
    blocker.await.unwrap().unwrap();
    for task in waiting {
        task.await.unwrap().unwrap();
    }
    store.shutdown();
    assert!(matches!(store.transact(|_| Ok(())).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn a_relaxed_store_keeps_what_it_answered_when_it_is_shut_down() {
    let (_directory, path) = place();
    let store = Store::open(&path, Options { relaxed: true, ..options() }).unwrap();
    for number in 1..=30 {
        store.transact(move |tx| tx.insert_decision(draft(number))).await.unwrap();
    }
    store.shutdown();
    let store = Store::open(&path, options()).unwrap();
    assert_eq!(check_log(&store.read().unwrap()), 30);
    store.shutdown();
}

#[tokio::test]
async fn a_result_changes_the_row_wherever_it_stands() {
    let store = Disk::default().open(options()).unwrap();
    for number in 1..=300 {
        store.transact(move |tx| tx.insert_decision(draft(number))).await.unwrap();
    }
    // Row 3 is indexed by now, row 300 is not.
    for number in [3, 300] {
        let found = store
            .transact(move |tx| {
                let (row, mut state) = tx.row_by_decision(decision_id(number))?.unwrap();
                let found = tx.decision_record(&state)?;
                state.result = Some(report(ResultStatus::Failed));
                tx.update_row(row, &state)?;
                Ok(found)
            })
            .await
            .unwrap();
        assert_eq!(found, decision(number));
    }
    let reader = store.read().unwrap();
    let stats = reader.stats(later(300), UNREPORTED).unwrap();
    assert_eq!((stats.by_status["failed"], unsettled(&stats)), (2, 298));
    let filter = RowFilter { statuses: vec![ResultStatus::Failed], ..RowFilter::default() };
    let query = Query {
        filter: &filter,
        order: Order::NewestFirst,
        after: None,
        limit: 10,
        now: later(300),
        unreported_after: UNREPORTED,
    };
    let found: Vec<_> = reader.rows(&query).unwrap().rows.into_iter().map(|row| row.row).collect();
    assert_eq!(found, [300, 3]);
    drop(reader);
    store.shutdown();
}
