//! A disk that is full or gone: nothing is acknowledged that is not there, and the store comes back by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::disk::Disk;
use super::durability::check_log;
use crate::audit::testing::{decision_id, draft, options};
use crate::audit::{Inserted, Store, StoreError, StoreHealth};

async fn insert(store: &Store, number: u64) -> Result<Inserted, StoreError> {
    store.transact(move |tx| tx.insert_decision(draft(number))).await
}

/// Waits until the store can be written again.
async fn recovered(store: &Store) {
    let mut health = store.health();
    let well = health.wait_for(|health| *health == StoreHealth::Ok);
    tokio::time::timeout(Duration::from_secs(20), well).await.expect("recovers by itself").unwrap();
}

#[tokio::test]
async fn a_full_disk_is_said_so_and_left_behind() {
    let disk = Disk::default();
    let store = disk.open(options()).unwrap();
    for number in 1..=5 {
        insert(&store, number).await.unwrap();
    }
    let before = store.read().unwrap();
    disk.set_full(true);
    let after_commit = Arc::new(AtomicBool::new(false));
    let flag = after_commit.clone();
    let failed = store
        .transact(move |tx| {
            tx.after_commit(move || flag.store(true, Ordering::SeqCst));
            tx.insert_decision(draft(6))
        })
        .await;
    assert!(matches!(failed, Err(StoreError::Unavailable { disk_full: true, .. })), "{failed:?}");
    assert!(matches!(&*store.health().borrow(), StoreHealth::Failing { .. }));
    assert!(matches!(store.read(), Err(StoreError::Unavailable { .. })));
    for number in 7..=9 {
        let failed = insert(&store, number).await;
        assert!(matches!(failed, Err(StoreError::Unavailable { disk_full: true, .. })), "{failed:?}");
    }
    disk.repair();
    recovered(&store).await;
    assert!(!after_commit.load(Ordering::SeqCst), "nothing is done after a commit that failed");
    assert_eq!(*store.recoveries().borrow(), 1);
    let reader = store.read().unwrap();
    assert_eq!(check_log(&reader), 5);
    let inserted = insert(&store, 10).await.unwrap();
    assert_eq!((inserted.row, inserted.appended.sequence), (6, 6));
    assert_eq!(*store.committed().borrow(), 6);
    drop(before);
    store.shutdown();
}

#[tokio::test]
async fn a_snapshot_that_is_held_does_not_keep_the_store_from_recovering() {
    let disk = Disk::default();
    let store = disk.open(options()).unwrap();
    insert(&store, 1).await.unwrap();
    let reader = store.read().unwrap();
    disk.break_syncs(true);
    insert(&store, 2).await.unwrap_err();
    disk.repair();
    recovered(&store).await;
    // The old snapshot may answer from memory or say that its file was closed; it must not block or panic.
    if let Err(error) = reader.last_sequence() {
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    }
    insert(&store, 3).await.unwrap();
    store.shutdown();
}

#[tokio::test]
async fn a_job_does_not_wait_for_the_pause_to_end() {
    let disk = Disk::default();
    let store = disk.open(options()).unwrap();
    disk.break_syncs(true);
    insert(&store, 1).await.unwrap_err();
    // Long enough for the pauses to have grown to most of a second.
    tokio::time::sleep(Duration::from_millis(900)).await;
    disk.repair();
    // The first may come right after an attempt; then the second makes another.
    if insert(&store, 2).await.is_err() {
        tokio::time::sleep(Duration::from_millis(60)).await;
        insert(&store, 2).await.unwrap();
    }
    store.shutdown();
}

/// Whatever sync fails (the data's, the header's), nothing that was acknowledged is lost, be it through a power failure
/// then and there, and no batch is there in part.
#[tokio::test]
async fn no_sync_that_fails_loses_what_was_acknowledged() {
    for good in 0..8 {
        let disk = Disk::default();
        let store = disk.open(options()).unwrap();
        for number in 1..=3 {
            insert(&store, number).await.unwrap();
        }
        disk.fail_after_syncs(good);
        let mut acknowledged = 3;
        let failed_at = loop {
            // Two records at a time: half of them would be a batch in part.
            let number = acknowledged + 1;
            let pair = store
                .transact(move |tx| {
                    tx.append(crate::audit::testing::later(number), &crate::audit::Event::DaemonStopped)?;
                    tx.insert_decision(draft(number))
                })
                .await;
            match pair {
                Ok(_) => acknowledged += 1,
                Err(StoreError::Unavailable { .. }) => break number,
                Err(error) => panic!("{error}"),
            }
        };
        let whole = |records: u64, rows: u64| records == 3 + 2 * (rows - 3);

        let lost_power = disk.after_power_loss();
        let survivor = lost_power.open(options()).unwrap();
        let reader = survivor.read().unwrap();
        let rows = reader.last_row().unwrap();
        assert!((acknowledged..=failed_at).contains(&rows), "{rows} of {acknowledged} after {good}");
        assert!(whole(check_log(&reader), rows));
        drop(reader);
        survivor.shutdown();

        disk.repair();
        recovered(&store).await;
        let reader = store.read().unwrap();
        let rows = reader.last_row().unwrap();
        assert!((acknowledged..=failed_at).contains(&rows), "{rows} of {acknowledged} after {good}");
        assert!(whole(check_log(&reader), rows));
        for number in 1..=acknowledged {
            assert!(reader.by_decision(decision_id(number)).unwrap().is_some());
        }
        drop(reader);
        let inserted = insert(&store, 99).await.unwrap();
        assert_eq!(inserted.row, rows + 1);
        store.shutdown();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_comes_and_goes_under_load_loses_nothing_acknowledged() {
    let disk = Disk::default();
    let store = disk.open(options()).unwrap();
    let next = Arc::new(AtomicU64::new(1));
    let done = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for _ in 0..16 {
        let (store, next, done) = (store.clone(), next.clone(), done.clone());
        tasks.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            while !done.load(Ordering::SeqCst) {
                let number = next.fetch_add(1, Ordering::SeqCst);
                match insert(&store, number).await {
                    Ok(inserted) => acknowledged.push((number, inserted.row)),
                    Err(StoreError::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                    Err(error) => panic!("{error}"),
                }
            }
            acknowledged
        }));
    }
    for round in 0..6 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        disk.set_full(round % 2 == 0);
        disk.break_syncs(round % 2 == 1);
        tokio::time::sleep(Duration::from_millis(40)).await;
        disk.repair();
        recovered(&store).await;
    }
    done.store(true, Ordering::SeqCst);
    let reader_of = |store: &Store| store.read().unwrap();
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    recovered(&store).await;
    let reader = reader_of(&store);
    check_log(&reader);
    assert!(!acknowledged.is_empty());
    for (number, row) in acknowledged {
        assert_eq!(reader.by_decision(decision_id(number)).unwrap().map(|found| found.row), Some(row));
    }
    drop(reader);
    store.shutdown();
}
