//! Following, through a store that is written to meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::{Batch, CursorError, Followed, Follower, History, Selection, StatusTime, StreamCursor, Until, View};
use crate::audit::testing::{UNREPORTED, decision, decision_id, draft, later, options, place, report};
use crate::audit::{Cursor, Draft, Event, Opening, Options, Order, RowFilter, Store, TxError};
use crate::domain::{ResultStatus, SystemClock};

fn time() -> StatusTime {
    StatusTime { clock: Arc::new(SystemClock::start()), unreported_after: UNREPORTED }
}

async fn decide(store: &Store, numbers: std::ops::Range<u64>) {
    for number in numbers {
        store.transact(move |tx| tx.insert_decision(draft(number))).await.unwrap();
    }
}

async fn settle(store: &Store, number: u64) {
    let settled = store.transact(move |tx| {
        let (row, mut state) = tx.row_by_decision(decision_id(number))?.expect("it was decided");
        let report = report(ResultStatus::Success);
        let result =
            Event::Result { decision_id: decision_id(number), report: report.clone(), masked: vec![], marks: vec![] };
        tx.append(later(number), &result)?;
        state.result = Some(report);
        tx.update_row(row, &state)
    });
    settled.await.unwrap();
}

/// Everything that is there, with what it was resumed after.
async fn ready(follower: &mut Follower) -> Vec<(u64, Followed)> {
    let mut items = Vec::new();
    while let Some(batch) = follower.ready().await.unwrap() {
        assert!(batch.items.is_sorted_by_key(|(sequence, _)| *sequence));
        items.extend(batch.items);
    }
    items
}

fn rows(items: &[(u64, Followed)]) -> Vec<(u64, u64)> {
    let row = |(sequence, item): &(u64, Followed)| match item {
        Followed::Row(row) => (*sequence, row.row),
        other => panic!("not a row: {other:?}"),
    };
    items.iter().map(row).collect()
}

#[tokio::test]
async fn rows_come_again_as_they_change_and_several_changes_at_once_are_one() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    // More than one batch, and more than what is indexed.
    decide(&store, 0..600).await;
    for number in [3, 599] {
        settle(&store, number).await;
    }
    let view = View::Rows(RowFilter::default());
    let mut follower = Follower::after(&store, Until::Committed, 0, view.clone(), time());
    let seen = rows(&ready(&mut follower).await);
    // The last of row 600 is in the batch of its decision, that of row 4 is not.
    let wanted = (1..=599).map(|row| (row, row)).chain([(601, 4), (602, 600)]);
    assert_eq!(seen, wanted.collect::<Vec<_>>());
    assert_eq!(follower.position(), 602);

    settle(&store, 5).await;
    assert_eq!(rows(&follower.next().await.unwrap().items), [(603, 6)]);
    let mut resumed = Follower::after(&store, Until::Committed, 600, view, time());
    assert_eq!(rows(&ready(&mut resumed).await), [(601, 4), (602, 600), (603, 6)]);

    let filter = RowFilter { statuses: vec![ResultStatus::Success], ..RowFilter::default() };
    let mut filtered = Follower::after(&store, Until::Committed, 0, View::Rows(filter), time());
    assert_eq!(rows(&ready(&mut filtered).await), [(4, 4), (6, 6), (601, 4), (602, 600), (603, 6)]);
}

#[tokio::test]
async fn a_follower_that_is_dropped_while_it_reads_loses_nothing() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    decide(&store, 0..300).await;
    let mut follower = Follower::after(&store, Until::Committed, 0, View::Records, time());
    let mut seen = Vec::new();
    while follower.position() < 300 {
        // Polled once, which begins to read, and dropped.
        let waker = std::task::Waker::noop();
        let polled = Box::pin(follower.next()).as_mut().poll(&mut std::task::Context::from_waker(waker));
        if let std::task::Poll::Ready(batch) = polled {
            seen.extend(batch.unwrap().items);
        }
        if let Some(batch) = follower.ready().await.unwrap() {
            seen.extend(batch.items);
        }
    }
    assert!(seen.iter().map(|(sequence, _)| *sequence).eq(1..=300));
}

#[tokio::test]
async fn what_leaves_the_machine_is_on_disk() {
    let (_directory, path) = place();
    let relaxed = Options { relaxed: true, sync_every: Duration::from_hours(1), ..options() };
    let store = Store::open(&path, relaxed).unwrap();
    decide(&store, 0..3).await;
    let after = |until| Follower::after(&store, until, 0, View::Records, time());
    assert_eq!(ready(&mut after(Until::Committed)).await.len(), 3);
    assert_eq!(ready(&mut after(Until::Durable)).await.len(), 0);
}

#[tokio::test]
async fn who_comes_too_late_for_payloads_is_told_which() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    decide(&store, 0..600).await;
    store.transact(|tx| tx.retire(1..=512).map(drop)).await.unwrap();
    let mut follower = Follower::after(&store, Until::Committed, 0, View::Rows(RowFilter::default()), time());
    let items = ready(&mut follower).await;
    let gaps: Vec<_> = items
        .iter()
        .filter_map(|(sequence, item)| match item {
            Followed::Gap { first, last } => Some((*sequence, *first, *last)),
            _ => None,
        })
        .collect();
    assert_eq!(gaps, [(256, 1, 256), (512, 257, 512)]);
    assert_eq!(rows(&items[2..]), (513..=600).map(|row| (row, row)).collect::<Vec<_>>());
}

async fn all(mut history: History) -> Vec<(u64, Followed)> {
    let mut items = Vec::new();
    while let Some(Batch { items: more, .. }) = history.next().await.unwrap() {
        items.extend(more);
    }
    items
}

fn sequences(items: &[(u64, Followed)]) -> Vec<u64> {
    let sequence = |(at, item): &(u64, Followed)| match item {
        Followed::Record(record) => {
            assert!(*at == record.sequence || *at == 0);
            record.sequence
        }
        other => panic!("not a record: {other:?}"),
    };
    items.iter().map(sequence).collect()
}

#[tokio::test]
async fn large_records_are_read_in_smaller_batches_and_none_is_left_out_in_either_order() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    for number in 0..40 {
        let mut decision = decision(number);
        // Most batches would hold more than the bytes that one may have.
        decision.action.description = "x".repeat(300_000 + usize::try_from(number).unwrap());
        let opening = Opening { allowed_at: Some(later(number)), ..Opening::default() };
        let draft = Draft::new(later(number), &decision, opening).unwrap();
        store.transact(move |tx| tx.insert_decision(draft)).await.unwrap();
    }
    for (order, limit, wanted) in [
        (Order::OldestFirst, None, (1..=40).collect::<Vec<_>>()),
        (Order::NewestFirst, None, (1..=40).rev().collect()),
        (Order::OldestFirst, Some(30), (11..=40).collect()),
        (Order::NewestFirst, Some(30), (11..=40).rev().collect()),
    ] {
        let history = History::begin(&store, Selection::Newest(View::Records, limit), order, time()).await.unwrap();
        assert_eq!(sequences(&all(history).await), wanted, "{order:?} {limit:?}");
    }
}

#[tokio::test]
async fn a_cursor_moves_forwards_only_and_survives() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    decide(&store, 0..10).await;
    store.transact(|tx| tx.advance_cursor("siem", 7)).await.unwrap();
    store.transact(|tx| tx.advance_cursor("siem", 4)).await.unwrap();
    store.transact(|tx| tx.advance_cursor("mail", 2)).await.unwrap();
    let past = store.transact(|tx| tx.advance_cursor("mail", 11)).await;
    assert!(past.is_err(), "there is no record 11");
    store.shutdown();

    let store = Store::open(&path, options()).unwrap();
    assert_eq!(store.look(|reader| reader.cursor("siem")).await.unwrap(), Some(7));
    let behind = store.transact(|tx| tx.cursors_before(7)).await.unwrap();
    assert_eq!(behind, [Cursor { name: "mail".to_owned(), sequence: 2 }]);
    store.transact(|tx| tx.drop_cursor("mail")).await.unwrap();
    assert_eq!(store.transact(|tx| Ok::<_, TxError>(tx.cursors_before(10)?.len())).await.unwrap(), 1);
    assert_eq!(store.look(|reader| reader.cursor("mail")).await.unwrap(), None);
}

#[tokio::test]
async fn a_cursor_resumes_its_own_log_and_no_other_place() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    decide(&store, 0..10).await;
    let cursor = store.look(|reader| reader.cursor_after(7)).await.unwrap();
    let read: StreamCursor = cursor.to_string().parse().unwrap();
    assert_eq!(read, cursor);
    assert_eq!(store.look(move |reader| reader.resume(read)).await.unwrap(), Ok(7));
    let begin = store.look(|reader| reader.cursor_after(0)).await.unwrap();
    assert_eq!(store.look(move |reader| reader.resume(begin)).await.unwrap(), Ok(0));

    // A shorter log of the same name, and then one that went on in another way.
    let (_directory, path) = place();
    let other = Store::open(&path, options()).unwrap();
    decide(&other, 0..5).await;
    let ahead = CursorError::Ahead { sequence: 7, last: 5 };
    assert_eq!(other.look(move |reader| reader.resume(read)).await.unwrap(), Err(ahead));
    decide(&other, 100..110).await;
    let fork = CursorError::OtherLog { sequence: 7 };
    assert_eq!(other.look(move |reader| reader.resume(read)).await.unwrap(), Err(fork));
    for malformed in ["", "7", &cursor.to_string()[2..]] {
        assert_eq!(malformed.parse::<StreamCursor>(), Err(CursorError::Malformed));
    }
}

#[tokio::test]
async fn every_item_that_can_be_resumed_after_has_its_cursor() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    decide(&store, 0..300).await;
    settle(&store, 3).await;
    let log = store.look(crate::store::Reader::log_mark).await.unwrap();
    for view in [View::Records, View::Rows(RowFilter::default())] {
        let newest = Selection::Newest(view.clone(), None);
        let mut history = History::begin(&store, newest, Order::OldestFirst, time()).await.unwrap();
        let mut follower = Follower::after(&store, Until::Committed, 0, view, time());
        let mut batches = Vec::new();
        while let Some(batch) = history.next().await.unwrap() {
            batches.push(batch);
        }
        while let Some(batch) = follower.ready().await.unwrap() {
            batches.push(batch);
        }
        let mut count = 0;
        for batch in batches {
            for (sequence, _) in &batch.items {
                let cursor = log.cursor(*sequence, batch.leaf(*sequence));
                assert_eq!(store.look(move |reader| reader.resume(cursor)).await.unwrap(), Ok(*sequence));
                count += 1;
            }
        }
        assert!(count >= 600, "{count}");
    }
}

#[tokio::test]
async fn a_row_that_came_after_the_history_began_is_left_to_the_follower() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    decide(&store, 0..2).await;
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let view = View::Rows(RowFilter::default());
        let mut history = History::begin(&store, Selection::Newest(view.clone(), None), order, time()).await.unwrap();
        let before = history.end();
        decide(&store, before..before + 1).await;
        let mut seen = Vec::new();
        while let Some(batch) = history.next().await.unwrap() {
            seen.extend(batch.items.into_iter().map(|(_, item)| match item {
                Followed::Row(row) => row.state.sequence,
                other => panic!("not a row: {other:?}"),
            }));
        }
        assert!(seen.iter().all(|sequence| *sequence <= before), "{seen:?} up to {before}");
        let mut follower = Follower::after(&store, Until::Committed, before, view, time());
        assert_eq!(ready(&mut follower).await.len(), 1);
    }
}

#[tokio::test]
async fn a_row_that_stops_matching_leaves_and_one_that_never_could_does_not() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    decide(&store, 0..3).await;
    let clock =
        StatusTime { clock: Arc::new(SystemClock::start()), unreported_after: Duration::from_secs(u64::MAX / 4) };
    let waiting = |session: &str| RowFilter {
        statuses: vec![ResultStatus::Failed],
        session_id: Some(session.to_owned()),
        ..RowFilter::default()
    };
    settle(&store, 1).await;
    for (session, left) in [("s1", 1), ("another", 0)] {
        let mut follower = Follower::after(&store, Until::Committed, 3, View::Rows(waiting(session)), clock.clone());
        let items = ready(&mut follower).await;
        assert_eq!(items.len(), left, "{session}: {items:?}");
        for (sequence, item) in items {
            assert!(matches!(item, Followed::Left { row: 2, decision_id: id } if id == decision_id(1)));
            assert_eq!(sequence, 4);
        }
    }
}
