//! A disk that is full or gone: nothing is acknowledged that is not there, and the store comes back by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::audit::log::record::Event;
use crate::audit::rows::draft::{Draft, Inserted, Opening};
use crate::audit::rows::filter::RowFilter;
use crate::audit::rows::query::{Order, Query};
use crate::audit::state::Store;
use crate::audit::testing::disk::Disk;
use crate::audit::testing::{UNREPORTED, decision, decision_id, draft, later, options, place, unsettled};
use crate::audit::tests::durability::check_log;
use crate::domain::Digest;
use crate::store::Options;
use crate::store::StoreHealth;
use crate::store::error::StoreError;

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
    assert_eq!(check_log(&reader), 6);
    let said = reader.records(5, 1).unwrap().remove(0);
    let said = &said.record().unwrap().event;
    assert!(matches!(said, Event::RecordRecovered { why, .. } if why.contains("no storage space")), "{said:?}");
    let inserted = insert(&store, 10).await.unwrap();
    assert_eq!((inserted.row, inserted.appended.sequence), (6, 7));
    assert_eq!(*store.committed().borrow(), 7);
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
                    tx.append(later(number), &Event::DaemonStopped)?;
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
        // And one that says what happened.
        assert!(whole(check_log(&reader) - 1, rows));
        reader.check().unwrap();
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

/// What is derived is not made durable by itself: a power failure may take it, and never what it is derived from.
#[tokio::test]
async fn what_was_derived_is_derived_again_after_a_power_failure() {
    let disk = Disk::default();
    let store = disk.open(options()).unwrap();
    let key = |number: u64| Digest::of(&number.to_be_bytes());
    for number in 1..=520 {
        let opening = Opening { idempotency: Some(key(number)), ..Opening::default() };
        let draft = Draft::new(later(number), &decision(number), opening).unwrap();
        store.transact(move |tx| tx.insert_decision(draft)).await.unwrap();
        if number % 128 != 0 {
            continue;
        }
        let survivor = disk.after_power_loss().open(options()).unwrap();
        let filter = RowFilter { session_id: Some("s1".into()), ..RowFilter::default() };
        let query = Query {
            filter: &filter,
            order: Order::OldestFirst,
            after: None,
            limit: 1000,
            now: later(number),
            unreported_after: UNREPORTED,
        };
        let reader = survivor.read().unwrap();
        let found: Vec<_> = reader.rows(&query).unwrap().rows.into_iter().map(|row| row.row).collect();
        assert_eq!(found, (1..=number).collect::<Vec<_>>());
        assert_eq!(unsettled(&reader.stats(later(number), UNREPORTED).unwrap()), number);
        drop(reader);
        survivor
            .transact(move |tx| {
                for number in 1..=number {
                    let by_id = tx.row_by_decision(decision_id(number))?.map(|found| found.0);
                    let by_key = tx.idempotent(key(number), later(number))?.map(|found| found.0);
                    assert_eq!((by_id, by_key), (Some(number), Some(number)));
                }
                Ok(())
            })
            .await
            .unwrap();
        survivor.shutdown();
    }
    store.shutdown();
}

#[tokio::test]
async fn a_disk_that_hangs_is_said_so_and_calls_are_answered() {
    let disk = Disk::default();
    let store = disk.open(Options { patience: Duration::from_millis(100), ..options() }).unwrap();
    insert(&store, 1).await.unwrap();
    disk.hang(true);
    let (first, second) = tokio::join!(insert(&store, 2), insert(&store, 3));
    for refused in [first, second] {
        assert!(matches!(&refused, Err(StoreError::Unavailable { why, .. }) if why.contains("has not answered")));
    }
    let mut health = store.health();
    health.wait_for(|health| matches!(health, StoreHealth::Failing { .. })).await.unwrap();
    // From here on nothing waits in the queue, and what was written before can be read.
    let begun = std::time::Instant::now();
    for number in 100..1100 {
        insert(&store, number).await.unwrap_err();
    }
    assert!(begun.elapsed() < Duration::from_secs(50), "refused at once, not after the time of each");
    assert!(store.read().unwrap().by_decision(decision_id(1)).unwrap().is_some());
    disk.hang(false);
    recovered(&store).await;
    insert(&store, 4).await.unwrap();
    let reader = store.read().unwrap();
    // What was on its way to the disk is there by now; what waited behind it was not carried out.
    assert!(
        reader.by_decision(decision_id(2)).unwrap().is_some() || reader.by_decision(decision_id(3)).unwrap().is_some()
    );
    for number in 100..1100 {
        assert!(reader.by_decision(decision_id(number)).unwrap().is_none());
    }
    reader.check().unwrap();
    drop(reader);
    store.shutdown();
}

#[tokio::test]
async fn a_call_whose_time_is_over_before_its_turn_is_not_carried_out() {
    let disk = Disk::default();
    let store = disk.open(Options { patience: Duration::from_millis(100), ..options() }).unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (entered, running) = tokio::sync::oneshot::channel();
    let slow = tokio::spawn({
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
    insert(&store, 1).await.unwrap_err();
    drop(release);
    slow.await.unwrap().unwrap_err();
    recovered(&store).await;
    insert(&store, 2).await.unwrap();
    assert_eq!(store.read().unwrap().last_row().unwrap(), 1, "of the two only the second is there");
    store.shutdown();
}

#[tokio::test]
async fn a_file_that_is_removed_is_written_out_again_with_all_that_is_in_it() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    for number in 1..=20 {
        insert(&store, number).await.unwrap();
    }
    std::fs::remove_file(&path).unwrap();
    // A call may meet it, be refused, and find by its retry that it is on the record.
    let mut number = 21;
    while insert(&store, number).await.is_err() {
        number += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    store.shutdown();
    let store = Store::open(&path, options()).unwrap();
    let reader = store.read().unwrap();
    reader.check().unwrap();
    for number in (1..=20).chain([number]) {
        assert!(reader.by_decision(decision_id(number)).unwrap().is_some(), "{number}");
    }
    drop(reader);
    store.shutdown();
}

#[tokio::test]
async fn a_file_in_the_place_of_the_record_is_not_written_to() {
    let (directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    insert(&store, 1).await.unwrap();
    let aside = directory.path().join("aside");
    std::fs::write(&aside, b"somebody else's").unwrap();
    std::fs::rename(&aside, &path).unwrap();
    let mut health = store.health();
    // Found by itself, with nothing to write.
    health.wait_for(|health| matches!(health, StoreHealth::Failing { .. })).await.unwrap();
    for number in 2..5 {
        let refused = insert(&store, number).await.unwrap_err();
        assert!(refused.to_string().contains("move it away"), "{refused}");
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"somebody else's");
    std::fs::rename(&path, &aside).unwrap();
    recovered(&store).await;
    insert(&store, 5).await.unwrap();
    assert!(store.read().unwrap().by_decision(decision_id(1)).unwrap().is_some());
    store.shutdown();
    let names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "the record, its journal and reserve, and the file that was moved: {names:?}");
}
