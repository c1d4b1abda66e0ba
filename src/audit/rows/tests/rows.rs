//! What a governance transaction needs: keys, approvals, tokens, policies, exactly once and across restarts.

use std::sync::Arc;

use crate::audit::log::record::Event;
use crate::audit::policies::{StoredLayer, StoredPolicy};
use crate::audit::rows::draft::{Draft, Inserted, Opening};
use crate::audit::rows::row::{ApprovalState, ConfirmationClosed, ConfirmationState};
use crate::audit::state::Store;
use crate::audit::testing::disk::Disk;
use crate::audit::testing::{decision, decision_id, later, options, place};
use crate::audit::tests::durability::check_log;
use crate::domain::{ApprovalId, Digest, Ending, EndingKind, Outcome, QuestionState, Timestamp};
use crate::store::error::{StoreError, TxError};

fn with_key(number: u64, at: Timestamp, key: Digest) -> Draft {
    let opening = Opening { idempotency: Some(key), allowed_at: Some(at), ..Opening::default() };
    Draft::new(at, &decision(number), opening).unwrap()
}

/// Inserts a decision unless the key has made one.
async fn once(store: &Store, draft: Draft, key: Digest, now: Timestamp) -> Result<(u64, bool), StoreError> {
    store
        .transact(move |tx| match tx.idempotent(key, now)? {
            Some((row, _)) => Ok((row, false)),
            None => tx.insert_decision(draft).map(|inserted| (inserted.row, true)),
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_makes_one_decision_however_many_call_at_once() {
    let store = Arc::new(Disk::default().open(options()).unwrap());
    let mut tasks = Vec::new();
    for number in 0..100 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let key = Digest::of(&[u8::try_from(number % 5).unwrap()]);
            once(&store, with_key(number, later(number), key), key, later(number)).await.unwrap()
        }));
    }
    let mut made = 0;
    for task in tasks {
        made += usize::from(task.await.unwrap().1);
    }
    assert_eq!(made, 5);
    assert_eq!(check_log(&store.read().unwrap()), 5);
    store.shutdown();
}

#[tokio::test]
async fn a_key_is_honoured_for_a_day_and_then_forgotten() {
    const DAY: u64 = 24 * 60 * 60;
    let store = Disk::default().open(options()).unwrap();
    let key = |number: u64| Digest::of(&number.to_be_bytes());
    for number in 0..256 {
        assert!(
            once(&store, with_key(number, later(number), key(number)), key(number), later(number)).await.unwrap().1
        );
    }
    let again = |now| once(&store, with_key(1000, now, key(0)), key(0), now);
    assert_eq!(again(later(DAY - 1)).await.unwrap(), (1, false));
    // A clock that was put back does not make anything happen twice.
    assert_eq!(again(later(0) - std::time::Duration::from_secs(5)).await.unwrap(), (1, false));
    assert_eq!(again(later(DAY)).await.unwrap(), (257, true), "a day later the key is free");
    for number in 2000..2300 {
        store.transact(move |tx| tx.insert_decision(with_key(number, later(2 * DAY - 10), key(number)))).await.unwrap();
    }
    // By now the writer has walked over the first rows: their keys are gone, whatever time it is said to be.
    let left = store
        .transact(move |tx| {
            (1..100).map(|number| tx.idempotent(key(number), later(number))).collect::<Result<Vec<_>, _>>()
        })
        .await
        .unwrap();
    assert!(left.iter().all(Option::is_none));
    let used_again = store.transact(move |tx| tx.idempotent(key(0), later(DAY))).await.unwrap().unwrap();
    assert_eq!(used_again.0, 257, "the key that was used again is the later row's");
    store.shutdown();
}

fn approval_id(number: u8) -> ApprovalId {
    ApprovalId::from_bytes([number; 16])
}

async fn ask(store: &Store, number: u8) -> Inserted {
    let mut escalated = decision(u64::from(number));
    escalated.outcome = Outcome::Escalate;
    escalated.approval_id = Some(approval_id(number));
    let approval = ApprovalState {
        approval_id: approval_id(number),
        expires_at: later(900),
        timeout_allows: false,
        state: QuestionState::Open,
        votes: Vec::new(),
    };
    let opening = Opening { approval: Some(approval), ..Opening::default() };
    let draft = Draft::new(later(u64::from(number)), &escalated, opening).unwrap();
    store.transact(move |tx| tx.insert_decision(draft)).await.unwrap()
}

#[tokio::test]
async fn an_open_approval_survives_a_restart_and_ends() {
    let (_directory, path) = place();
    let store = Store::open(&path, options()).unwrap();
    ask(&store, 1).await;
    let asked = ask(&store, 2).await;
    assert_eq!(asked.appended.sequence, 3, "each decision is followed by its question");
    store.shutdown();

    let store = Store::open(&path, options()).unwrap();
    let reader = store.read().unwrap();
    let open = reader.pending().unwrap();
    assert_eq!(
        open.iter().map(|(id, row)| (*id, row.row)).collect::<Vec<_>>(),
        [(approval_id(1), 1), (approval_id(2), 2)]
    );
    let records = reader.records(2, 2).unwrap();
    let Event::ApprovalRequested { approval_id: asked, .. } = records[1].record().unwrap().event else {
        panic!("it asks nobody: {records:?}")
    };
    assert_eq!(asked, approval_id(2));
    drop(reader);

    let end = |number: u8| {
        move |tx: &mut crate::audit::Tx<'_>| {
            let Some((row, mut state)) = tx.row_by_approval(approval_id(number))? else { return Ok(Err("unknown")) };
            let Some(approval) = state.approval.as_mut() else { return Ok(Err("no approval")) };
            if !approval.state.is_open() {
                return Ok(Err("ended"));
            }
            let ending = Ending {
                kind: EndingKind::Approved,
                allows: true,
                by: "jane".into(),
                at: later(10),
                reason: "looks right".into(),
                code: String::new(),
            };
            approval.state = QuestionState::Ended(ending);
            state.allowed_at = Some(later(10));
            tx.update_row(row, &state)?;
            Ok::<_, TxError>(Ok(tx.host.rows.pending))
        }
    };
    assert_eq!(store.transact(end(2)).await.unwrap(), Ok(1));
    assert_eq!(store.transact(end(2)).await.unwrap(), Err("ended"), "a refusal is a value");
    assert_eq!(store.transact(end(9)).await.unwrap(), Err("unknown"));
    let reader = store.read().unwrap();
    assert_eq!(reader.pending().unwrap().len(), 1);
    let row = reader.by_approval(approval_id(2)).unwrap().unwrap();
    assert_eq!((row.state.outcome_now(), row.ending_kind()), (Outcome::Allow, Some(EndingKind::Approved)));
    drop(reader);
    store.shutdown();
}

#[tokio::test]
async fn a_row_stays_that_of_its_decision_and_approval() {
    let store = Disk::default().open(options()).unwrap();
    ask(&store, 1).await;
    ask(&store, 2).await;
    for wrong in [0, 1] {
        let refused = store
            .transact(move |tx| {
                let (_, mut other) = tx.row_by_decision(decision_id(2))?.unwrap();
                let (row, state) = tx.row_by_decision(decision_id(1))?.unwrap();
                if wrong == 1 {
                    other = crate::audit::RowState { approval: other.approval, ..state };
                }
                tx.update_row(row, &other)
            })
            .await;
        assert!(matches!(refused, Err(StoreError::Aborted { .. })));
    }
    store.shutdown();
}

#[tokio::test]
async fn a_confirmation_is_found_by_its_token_spent_or_not() {
    let store = Disk::default().open(options()).unwrap();
    let token_hash = Digest::of(b"token");
    let confirmation = ConfirmationState { token_hash, expires_at: later(900), closed: None };
    let opening = Opening { confirmation: Some(confirmation), ..Opening::default() };
    let draft = Draft::new(later(1), &decision(1), opening).unwrap();
    store.transact(move |tx| tx.insert_decision(draft)).await.unwrap();
    for expected in [None, Some(ConfirmationClosed::Redeemed(decision_id(2)))] {
        let closed = store
            .transact(move |tx| {
                let (row, mut state) = tx.row_by_confirmation(token_hash)?.unwrap();
                let confirmation = state.confirmation.as_mut().unwrap();
                let before = confirmation.closed.replace(ConfirmationClosed::Redeemed(decision_id(2)));
                tx.update_row(row, &state)?;
                Ok(before)
            })
            .await
            .unwrap();
        assert_eq!(closed, expected);
    }
    assert!(store.transact(|tx| tx.row_by_confirmation(Digest::of(b"other"))).await.unwrap().is_none());
    store.shutdown();
}

#[tokio::test]
async fn a_policy_is_kept_once() {
    let store = Disk::default().open(options()).unwrap();
    let revision = Digest::of(b"policy");
    let policy = StoredPolicy {
        layers: vec![StoredLayer { name: "base.yaml".into(), source: "version: '1'".into() }],
        merged: serde_json::json!({"version": "1"}),
    };
    for new in [true, false] {
        let policy = policy.clone();
        assert_eq!(store.transact(move |tx| tx.put_policy(revision, &policy)).await.unwrap(), new);
    }
    let reader = store.read().unwrap();
    assert_eq!(reader.policy(revision).unwrap(), Some(policy));
    assert_eq!(reader.policy(Digest::of(b"other")).unwrap(), None);
    drop(reader);
    store.shutdown();
}
