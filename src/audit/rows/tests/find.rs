//! Decisions and records are found by their ids, whether the index covers them yet or not, and wherever the clock was.

use crate::audit::rows::find::MOST_FOUND;
use crate::audit::testing::disk::Disk;
use crate::audit::testing::{decision, decision_id, draft, later, options, report};
use crate::audit::{Draft, Event, Opening, Store};
use crate::domain::{DecisionId, IdPrefix, RecordId, ResultStatus};
use crate::store::reader::Reader;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// 600 decisions: two whole segments are indexed, the rest is not. Then a report for each hundredth.
fn filled() -> Store {
    let store = Disk::default().open(options()).unwrap();
    runtime().block_on(async {
        for chunk in 0..6 {
            let drafts: Vec<_> = (0..100).map(|i| draft(chunk * 100 + i)).collect();
            let insert = |tx: &mut crate::audit::Tx<'_>| {
                drafts.into_iter().try_for_each(|draft| tx.insert_decision(draft).map(drop))
            };
            store.transact(insert).await.unwrap();
        }
        for number in (0..600).step_by(100) {
            let report = report(ResultStatus::Success);
            let event = Event::Result { decision_id: decision_id(number), report, masked: vec![], marks: vec![] };
            store.transact(move |tx| tx.append(later(number), &event)).await.unwrap();
        }
    });
    store
}

fn found(reader: &Reader, text: &str) -> Vec<u64> {
    reader.rows_with(&text.parse().unwrap()).unwrap()
}

#[test]
fn a_decision_is_found_by_its_id_that_of_its_record_and_the_beginning_of_either() {
    let store = filled();
    let reader = store.read().unwrap();
    assert!((256..600).contains(&reader.indexed().unwrap()), "some rows are indexed and some are not");
    for row in [1, 200, 256, 257, 512, 513, 600] {
        let whole = reader.row(row).unwrap().unwrap();
        for id in [whole.decision.decision_id.to_string(), whole.record_id.to_string()] {
            assert_eq!(found(&reader, &id), [row], "{id}");
            assert_eq!(found(&reader, &id[..39]), [row], "{id}");
            assert_eq!(
                found(&reader, &id.to_uppercase().replacen(&id[..4].to_uppercase(), &id[..4], 1)),
                [row],
                "{id}"
            );
        }
    }
    // Many decisions are made in the time that a short beginning stands for: enough of them to say so.
    let id = decision_id(300).to_string();
    assert_eq!(found(&reader, &id[..12]).len(), MOST_FOUND);
    let of_record = reader.row(300).unwrap().unwrap().record_id.to_string();
    assert_eq!(found(&reader, &of_record[..12]).len(), MOST_FOUND);
    for nobody in ["dec_ffffffff", "apr_ffffffff", "aud_ffffffff", "aud_00000000"] {
        assert_eq!(found(&reader, nobody), [0_u64; 0], "{nobody}");
    }
    drop(reader);
    store.shutdown();
}

/// Reads the log for a record as the floor above does, in whole steps.
fn sought(reader: &Reader, id: RecordId) -> Option<u64> {
    let (mut next, end) = (1, reader.last_sequence().unwrap());
    while next <= end {
        let (record, after) = reader.record_with(id, next..=end).unwrap();
        if let Some(record) = record {
            return Some(record.sequence);
        }
        next = after;
    }
    None
}

#[test]
fn a_record_is_found_by_its_id_and_its_time_says_about_where() {
    let store = filled();
    let reader = store.read().unwrap();
    let records = reader.records(0, 1000).unwrap();
    for record in records.iter().filter_map(|record| record.record()).step_by(37) {
        assert_eq!(sought(&reader, record.record_id), Some(record.sequence));
        // The reports are written after all decisions, with earlier times.
        if record.sequence <= 600 {
            assert_eq!(reader.guess_sequence(record.record_id).unwrap(), record.sequence);
        }
    }
    assert_eq!(sought(&reader, RecordId::from_bytes([7; 16])), None);
    // An id in a payload is not the record's own.
    assert_eq!(sought(&reader, RecordId::from_bytes(*decision_id(3).as_bytes())), None);
    drop(reader);

    runtime().block_on(store.transact(|tx| tx.retire(1..=512).map(drop))).unwrap();
    let reader = store.read().unwrap();
    for number in [550, 590] {
        let row = reader.row(number).unwrap().unwrap();
        assert_eq!(reader.guess_sequence(row.record_id).unwrap(), number, "past what is retired");
    }
    drop(reader);
    store.shutdown();
}

#[test]
fn a_decision_whose_clock_was_wrong_is_found_all_the_same() {
    let store = Disk::default().open(options()).unwrap();
    // The clock jumps by years in the middle of a segment.
    for number in 0..300 {
        let at = if number == 100 { later(1_000_000_000) } else { later(number) };
        let decision = decision(number);
        let opening = Opening { allowed_at: Some(at), ..Opening::default() };
        let draft = Draft::new(at, &decision, opening).unwrap();
        runtime().block_on(store.transact(move |tx| tx.insert_decision(draft))).unwrap();
    }
    let reader = store.read().unwrap();
    let jumped = reader.row(101).unwrap().unwrap();
    assert_eq!(reader.rows_with(&IdPrefix::of_record(jumped.record_id)).unwrap(), [101]);
    assert_eq!(reader.decision_of_row(101).unwrap(), decision_id(100));
    assert_eq!(reader.decision_of_row(101).unwrap(), DecisionId::from_bytes(*jumped.decision.decision_id.as_bytes()));
    drop(reader);
    store.shutdown();
}
