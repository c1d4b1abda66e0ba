//! The registry of tables: what the engine knows of each.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use redb::TableHandle as _;

use crate::audit::Event;
use crate::audit::state::{State, Store};
use crate::audit::testing::{draft, later, options, place};
use crate::store::Host;
use crate::store::table::Origin;

fn names(origin: impl Fn(Origin) -> bool) -> BTreeSet<&'static str> {
    State::TABLES.iter().filter(|table| origin(table.origin())).map(|table| table.name()).collect()
}

async fn some_store(rows: u64) -> (tempfile::TempDir, Store) {
    let (directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    for number in 0..rows {
        store.transact(move |tx| tx.insert_decision(draft(number))).await.unwrap();
    }
    store.transact(|tx| tx.append(later(0), &Event::DaemonStopped).map(drop)).await.unwrap();
    (directory, store)
}

#[tokio::test]
async fn every_table_of_the_file_is_registered_once() {
    let (_directory, store) = some_store(1).await;
    let reader = store.read().unwrap();
    let there: BTreeSet<String> = reader.transaction().list_tables().unwrap().map(|it| it.name().to_owned()).collect();
    let registered: Vec<_> = State::TABLES.iter().map(|table| table.name().to_owned()).collect();
    assert_eq!(there, registered.iter().cloned().collect());
    assert_eq!(there.len(), registered.len());
}

#[test]
fn what_is_derived_comes_from_sources_by_a_derivation_that_there_is() {
    let sources = names(|origin| origin == Origin::Source);
    let known: BTreeSet<&str> = State::DERIVATIONS.iter().map(|derivation| derivation.name).collect();
    let mut used = BTreeSet::new();
    for table in State::TABLES {
        if let Origin::Derived { from, by } = table.origin() {
            assert!(!from.is_empty() && from.iter().all(|from| sources.contains(from)), "{}: {from:?}", table.name());
            used.insert(by);
        }
    }
    assert_eq!(used, known);
}

#[tokio::test]
async fn a_dump_has_every_entry_as_bytes_in_the_order_of_the_keys() {
    let (_directory, store) = some_store(600).await;
    let reader = store.read().unwrap();
    let read = reader.transaction();
    for table in State::TABLES {
        let mut entries = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            entries.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        table.dump(read, &mut visit).unwrap();
        assert_eq!(entries.len() as u64, table.count(read).unwrap(), "{}", table.name());
        let empty = [
            "approvals",
            "pending",
            "confirmations",
            "idempotency",
            "policies",
            "tokens",
            "cursors",
            "requests",
            "policy_comments",
            "spent",
            "spent_anonymous",
            "halts",
        ];
        assert_eq!(entries.is_empty(), empty.contains(&table.name()), "{}", table.name());
        match table.name() {
            // redb keeps whole numbers little-endian.
            "records" | "rows" | "segments" => {
                let keys: Vec<_> =
                    entries.iter().map(|(key, _)| u64::from_le_bytes((**key).try_into().unwrap())).collect();
                assert!(keys.is_sorted());
            }
            _ => assert!(entries.is_sorted_by_key(|(key, _)| key.clone()), "{}", table.name()),
        }
    }
}
