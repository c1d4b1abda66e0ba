//! The file: what is written today is read by every later version, and what is no store is refused with the reason.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use redb::{Database, TableDefinition};

use crate::audit::log::record::Event;
use crate::audit::log::stored::Content;
use crate::audit::policies::{StoredLayer, StoredPolicy};
use crate::audit::rows::draft::{Draft, Opening};
use crate::audit::rows::filter::RowFilter;
use crate::audit::rows::query::{Order, Query};
use crate::audit::rows::row::ApprovalState;
use crate::audit::state::Store;
use crate::audit::testing::{UNREPORTED, decision, decision_id, draft, later, options, place, report, unsettled};
use crate::audit::tests::durability::check_log;
use crate::domain::{Approval, ApprovalId, Digest, Ending, EndingKind, Outcome, QuestionState, ResultStatus};
use crate::store::error::OpenError;

/// The last row that the derived tables of the committed store cover, and the last row.
const INDEXED: u64 = 256;
const ROWS: u64 = 270;

fn committed_store() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store-v1.redb")
}

fn asked() -> ApprovalId {
    ApprovalId::from_bytes([7; 16])
}

fn policy() -> (Digest, StoredPolicy) {
    let layers = vec![StoredLayer { name: "base.yaml".into(), source: "version: '1'\n".into() }];
    (Digest::of(b"policy"), StoredPolicy { layers, merged: serde_json::json!({"version": "1"}) })
}

/// Writes a store with something in every table.
async fn write_everything(store: &Store) {
    store
        .transact(|tx| {
            let (revision, policy) = policy();
            tx.append(later(0), &Event::DaemonStarted { program: "0.1.0".into(), flags: vec!["dev".into()] })?;
            tx.put_policy(revision, &policy)?;
            let layers = vec!["base.yaml".into()];
            tx.append(later(0), &Event::PolicyLoaded { revision, layers, by: String::new(), comment: String::new() })
        })
        .await
        .unwrap();
    for number in 1..ROWS {
        store.transact(move |tx| tx.insert_decision(draft(number))).await.unwrap();
    }
    let mut escalated = decision(ROWS);
    (escalated.outcome, escalated.approval, escalated.approval_id) =
        (Outcome::Escalate, Approval::Approve, Some(asked()));
    let approval = ApprovalState {
        approval_id: asked(),
        expires_at: later(9000),
        timeout_allows: false,
        state: QuestionState::Open,
        votes: Vec::new(),
    };
    let opening = Opening { approval: Some(approval), idempotency: Some(Digest::of(b"key")), ..Opening::default() };
    let draft = Draft::new(later(ROWS), &escalated, opening).unwrap();
    store.transact(move |tx| tx.insert_decision(draft)).await.unwrap();
    store
        .transact(|tx| {
            let (row, mut state) = tx.row_by_decision(decision_id(2))?.expect("it was inserted");
            let report = report(ResultStatus::Failed);
            tx.append(
                later(300),
                &Event::Result { decision_id: decision_id(2), report: report.clone(), masked: vec![], marks: vec![] },
            )?;
            state.result = Some(report);
            tx.update_row(row, &state)
        })
        .await
        .unwrap();
}

#[test]
#[ignore = "writes tests/data/store-v1.redb: run it only to make the file of a new format, never to change an old one"]
fn write_the_committed_store() {
    let path = committed_store();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = std::fs::remove_file(&path);
    let store = Store::open(&path, options()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(write_everything(&store));
    store.shutdown();
}

#[tokio::test]
async fn the_committed_store_of_format_1_is_read_and_written() {
    let (_directory, path) = place();
    std::fs::copy(committed_store(), &path).unwrap();
    let store = Store::open(&path, options()).unwrap();
    let reader = store.read().unwrap();
    assert_eq!(check_log(&reader), 2 + ROWS + 2);
    assert_eq!((reader.last_row().unwrap(), reader.indexed().unwrap()), (ROWS, INDEXED));
    for number in [1, INDEXED, ROWS - 1] {
        let row = reader.by_decision(decision_id(number)).unwrap().unwrap();
        assert_eq!((row.row, row.time, row.decision), (number, later(number), decision(number)));
    }
    let (revision, policy) = policy();
    assert_eq!(reader.policy(revision).unwrap(), Some(policy));
    assert_eq!(reader.pending().unwrap()[0].0, asked());
    let filter = RowFilter { statuses: vec![ResultStatus::Failed], ..RowFilter::default() };
    let query = Query {
        filter: &filter,
        order: Order::NewestFirst,
        after: None,
        limit: 10,
        now: later(300),
        unreported_after: UNREPORTED,
    };
    assert_eq!(reader.rows(&query).unwrap().rows.iter().map(|row| row.row).collect::<Vec<_>>(), [2]);
    let numbers = reader.stats(later(300), UNREPORTED).unwrap();
    assert_eq!((numbers.decisions, unsettled(&numbers)), (ROWS, ROWS - 1));
    // The first record as bytes: a change to how records are written is a change of their version.
    let Content::Whole { record, payload, .. } = reader.records(0, 1).unwrap().remove(0).content else {
        panic!("it was not redacted")
    };
    assert_eq!(
        String::from_utf8(payload).unwrap(),
        format!(
            concat!(
                r#"{{"flags":["dev"],"kind":"daemon_started","program":"0.1.0","record_id":"{}","#,
                r#""sequence":1,"time":"2026-01-02T03:04:05Z","version":1}}"#
            ),
            record.record_id
        )
    );
    drop(reader);

    let ended = store
        .transact(|tx| {
            let (keyed, state) = tx.idempotent(Digest::of(b"key"), later(400))?.expect("the key is known");
            assert_eq!(tx.row_by_decision(state.decision_id)?, Some((keyed, state)));
            let (row, mut state) = tx.row_by_approval(asked())?.expect("the approval is known");
            let ending = Ending {
                kind: EndingKind::Denied,
                allows: false,
                by: "jane".into(),
                at: later(400),
                reason: "no".into(),
                code: String::new(),
            };
            state.approval.as_mut().expect("it was asked").state = QuestionState::Ended(ending);
            tx.update_row(row, &state)?;
            Ok((keyed, row, tx.host.rows.pending))
        })
        .await
        .unwrap();
    assert_eq!(ended, (ROWS, ROWS, 0));
    store.shutdown();
}

#[tokio::test]
async fn a_new_file_is_its_owners_alone() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let id = store.read().unwrap().store_id().unwrap();
    store.shutdown();
    let store = Store::open(&path, options()).unwrap();
    assert_eq!(store.read().unwrap().store_id().unwrap(), id);
    store.shutdown();
}

#[tokio::test]
async fn one_process_holds_the_file() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    let second = Store::open(&path, options());
    assert!(matches!(&second, Err(OpenError::Locked { .. })), "{second:?}");
    assert!(second.unwrap_err().to_string().contains("open in another process"));
    // Not even a snapshot that is still held keeps the file after the store was shut down.
    let reader = store.read().unwrap();
    store.shutdown();
    Store::open(&path, options()).unwrap().shutdown();
    drop(reader);
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    let (_directory, path) = place();
    Store::open(&path, options()).unwrap().shutdown();
    let database = Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(META).unwrap().insert("format", 3u64.to_be_bytes().as_slice()).unwrap();
    write.commit().unwrap();
    drop(database);
    let refused = Store::open(&path, options());
    assert!(matches!(&refused, Err(OpenError::NewerFormat { found: 3, known: 2, .. })), "{refused:?}");
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    const OTHER: TableDefinition<'_, u64, u64> = TableDefinition::new("other");
    let (_directory, path) = place();
    let noise: Vec<u8> = (0u32..100_000).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let page = vec![b'x'; 4096];
    for garbage in [b"hello".as_slice(), b"{}\n", &page, &noise] {
        std::fs::write(&path, garbage).unwrap();
        let refused = Store::open(&path, options());
        assert!(matches!(&refused, Err(OpenError::NotAStore { .. })), "{} bytes: {refused:?}", garbage.len());
        assert_eq!(std::fs::read(&path).unwrap(), garbage, "it is left as it was");
    }
    std::fs::remove_file(&path).unwrap();
    let database = Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(OTHER).unwrap().insert(1, 2).unwrap();
    write.commit().unwrap();
    drop(database);
    let refused = Store::open(&path, options());
    assert!(matches!(&refused, Err(OpenError::NotAStore { .. })), "{refused:?}");
    let missing = Store::open(Path::new("/nowhere/at/all.redb"), options());
    assert!(matches!(&missing, Err(OpenError::Io { .. })), "{missing:?}");
}

/// Damage of any kind is an error, or is not noticed; it is never a panic and never ends the process.
#[test]
fn a_damaged_store_is_an_error_and_never_a_panic() {
    let whole = std::fs::read(committed_store()).unwrap();
    let (_directory, path) = place();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for round in 0..60usize {
        let mut damaged = whole.clone();
        if round % 4 == 0 {
            damaged.truncate(damaged.len() * (round + 1) / 62);
        } else {
            for i in 0..=round {
                let at = (round * 7919 + i * 104_729) % damaged.len();
                damaged[at] ^= 0x55;
            }
        }
        std::fs::write(&path, &damaged).unwrap();
        let Ok(store) = Store::open(&path, options()) else { continue };
        if let Ok(reader) = store.read() {
            let _ = reader.records(0, 1000);
            let _ = reader.pending();
            let _ = reader.stats(later(0), UNREPORTED);
            for number in 1..ROWS {
                let _ = reader.by_decision(decision_id(number));
            }
        }
        let insert = store.transact(|tx| tx.insert_decision(draft(9999)));
        let _ = runtime.block_on(async { tokio::time::timeout(std::time::Duration::from_secs(5), insert).await });
        store.shutdown();
    }
}
