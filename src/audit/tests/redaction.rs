//! What is taken away is gone from the row, the index and the totals, and the tree stays as it was.

use crate::audit::log::leaf::REDACTED;
use crate::audit::log::stored::Content;
use crate::audit::retention::Retirement;
use crate::audit::rows::draft::{Draft, Opening};
use crate::audit::rows::filter::{RowFilter, TextFilter};
use crate::audit::rows::query::{Order, Query};
use crate::audit::state::Store;
use crate::audit::testing::{UNREPORTED, decision, decision_id, later, options, place, report};
use crate::domain::{Digest, ResultStatus};
use crate::store::reader::Reader;

/// The hash of a key that a decision was proposed with.
fn key(number: u64) -> Digest {
    Digest::of(format!("key {number}").as_bytes())
}

/// Decisions that are told apart by everything that an index holds, each reported.
async fn write(store: &Store, count: u64) {
    for number in 0..count {
        let mut decision = decision(number);
        decision.session_id = format!("session {number}");
        decision.action.r#type = format!("type {number}");
        decision.actor.id = format!("actor {number}");
        decision.matched_rule = format!("rule {number}");
        let at = later(number);
        let opening = Opening {
            allowed_at: Some(at),
            idempotency: Some(key(number)),
            result: Some(report(ResultStatus::Success)),
            ..Opening::default()
        };
        let draft = Draft::new(at, &decision, opening).unwrap();
        store.transact(move |tx| tx.insert_decision(draft)).await.unwrap();
    }
}

fn found(reader: &Reader, filter: &RowFilter) -> Vec<u64> {
    let (order, now) = (Order::OldestFirst, later(1000));
    let query = Query { filter, order, after: None, limit: 1000, now, unreported_after: UNREPORTED };
    reader.rows(&query).unwrap().rows.into_iter().map(|row| row.row).collect()
}

#[tokio::test]
async fn a_row_that_is_redacted_is_found_by_nothing_that_it_said() {
    let (_directory, path) = place();
    let mut store = Store::open(&path, options()).unwrap();
    write(&store, 300).await;
    let reader = store.read().unwrap();
    let root = reader.tree_root(300).unwrap();
    // Row 3 is indexed by now, row 300 is not.
    for number in [2, 299] {
        let (sequences, _) = reader.records_of(decision_id(number), 1..=300).unwrap();
        assert_eq!(sequences, [number + 1]);
        store
            .transact(move |tx| {
                let (row, _) = tx.row_by_decision(decision_id(number))?.unwrap();
                tx.scrub_row(row)?;
                tx.drop_payload(sequences[0])?;
                assert!(!tx.drop_payload(sequences[0])?, "it is gone already");
                tx.scrub_row(row)
            })
            .await
            .unwrap();
    }
    drop(reader);
    for _ in 0..2 {
        let reader = store.read().unwrap();
        assert_eq!(reader.tree_root(300).unwrap(), root);
        for (number, row) in [(2, 3), (299, 300)] {
            let text = |name: &str| Some(format!("{name} {number}"));
            for filter in [
                RowFilter { session_id: text("session"), ..RowFilter::default() },
                RowFilter { action_type: text("type").map(TextFilter::new), ..RowFilter::default() },
                RowFilter { actor_id: text("actor"), ..RowFilter::default() },
                RowFilter { matched_rule: text("rule"), ..RowFilter::default() },
            ] {
                assert!(found(&reader, &filter).is_empty(), "{filter:?}");
            }
            let shown = reader.by_decision(decision_id(number)).unwrap().unwrap();
            assert_eq!((shown.row, shown.time, &*shown.decision.session_id), (row, later(number), REDACTED));
            assert_eq!(shown.state.result.unwrap().status, ResultStatus::Success);
            assert_eq!((shown.state.idempotency, shown.state.action_digest), (None, Digest([0; 32])));
            let stored = reader.records(number, 1).unwrap().remove(0);
            assert!(stored.is_intact() && matches!(stored.content, Content::Redacted { .. }));
        }
        let all = RowFilter { statuses: vec![ResultStatus::Success], ..RowFilter::default() };
        assert_eq!(found(&reader, &all).len(), 300);
        let stats = reader.stats(later(1000), UNREPORTED).unwrap();
        assert_eq!((stats.decisions, stats.by_status["success"]), (300, 300));
        assert_eq!(stats.by_rule.get(REDACTED), Some(&2));
        assert!(!stats.by_action_type.contains_key("type 2") && !stats.by_action_type.contains_key("type 299"));
        assert_eq!(stats.by_action_type.values().sum::<u64>(), 300);
        drop(reader);
        for number in [2, 299] {
            let known = store.transact(move |tx| tx.idempotent(key(number), later(1000))).await.unwrap();
            assert!(known.is_none(), "its key leads nowhere");
        }
        store.shutdown();
        store = Store::open(&path, options()).unwrap();
    }
    store.shutdown();
}

#[tokio::test]
async fn what_is_retired_is_whole_tiles_of_what_is_old_and_not_open() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    write(&store, 600).await;
    let root = store.read().unwrap().tree_root(600).unwrap();
    let retired = store
        .transact(|tx| {
            assert!(!tx.may_retire(1..=256, later(255), |_| false)?, "the last of them is not older");
            assert!(!tx.may_retire(1..=256, later(256), |state| state.decision_id == decision_id(100))?, "one is open");
            assert!(tx.may_retire(1..=256, later(256), |_| false)?);
            tx.retire(1..=256)
        })
        .await
        .unwrap();
    assert_eq!(retired, Retirement { count: 256 });
    let reader = store.read().unwrap();
    assert_eq!((reader.retired().unwrap(), reader.tree_root(600).unwrap()), (256, root));
    assert!(reader.by_decision(decision_id(255)).unwrap().unwrap().state.redacted.is_some());
    assert!(reader.by_decision(decision_id(256)).unwrap().unwrap().state.redacted.is_none());
    assert_eq!(reader.stats(later(1000), UNREPORTED).unwrap().by_rule[REDACTED], 256);
    drop(reader);
    store.shutdown();
}
