//! The engine with a host that keeps one number. The engine works the same, whatever a host keeps.

use std::time::Duration;

use redb::{ReadTransaction, ReadableTable as _, StorageError};

use super::error::{StoreError, TxError};
use super::handle::Store;
use super::host::{Derivation, Host, Incident};
use super::meta::{META, number};
use super::options::{Entropy, Options};
use super::table::{Bytes, Lazy, Registered, Session, TableDef};
use super::tx::Tx;
use crate::domain::Timestamp;

const CALLS: TableDef<u64, u64> = TableDef::source("calls");
const SUMS: TableDef<u64, u64> = TableDef::derived("sums", &["calls"], "sum");
const SUMMED: &str = "summed";

/// Keeps the number of calls, and sums of their values, four calls at a time.
#[derive(Debug, PartialEq)]
struct Calls {
    last: u64,
    summed: u64,
}

struct Tables<'t> {
    meta: Lazy<'t, &'static str, Bytes>,
    calls: Lazy<'t, u64, u64>,
    sums: Lazy<'t, u64, u64>,
}

impl Host for Calls {
    type Tables<'t> = Tables<'t>;
    type Batch = ();

    const TABLES: &'static [&'static dyn Registered] = &[&META, &CALLS, &SUMS];
    const DERIVATIONS: &'static [Derivation<Self>] =
        &[Derivation { name: "sum", behind: |calls| calls.last - calls.summed, run: sum }];
    const SEGMENT: u64 = 4;

    fn tables(session: Session<'_>) -> Self::Tables<'_> {
        Tables { meta: session.table(META), calls: session.table(CALLS), sums: session.table(SUMS) }
    }

    fn meta<'a, 't>(tables: &'a mut Self::Tables<'t>) -> &'a mut Lazy<'t, &'static str, Bytes> {
        &mut tables.meta
    }

    fn load(read: &ReadTransaction) -> Result<Self, StorageError> {
        Ok(Self { last: CALLS.count(read)?, summed: number(read, SUMMED)? })
    }

    fn last_sequence(&self) -> u64 {
        self.last
    }

    fn finish((): (), _: &mut Self::Tables<'_>) -> Result<(), StorageError> {
        Ok(())
    }

    fn note(
        &mut self,
        tables: &mut Self::Tables<'_>,
        _: &mut dyn Entropy,
        _: Timestamp,
        _: Incident,
    ) -> Result<(), TxError> {
        self.last += 1;
        Ok(tables.calls.insert(self.last, 0)?)
    }
}

fn sum(calls: &mut Calls, tables: &mut Tables<'_>) -> Result<(), StorageError> {
    let mut sum = 0;
    for number in calls.summed + 1..=calls.last {
        sum += tables.calls.read()?.get(number)?.map_or(0, |value| value.value());
        if number % Calls::SEGMENT == 0 {
            tables.sums.insert(number, sum)?;
            calls.summed = number;
        }
    }
    tables.meta.insert(SUMMED, calls.summed.to_be_bytes().as_slice())
}

fn call(tx: &mut Tx<'_, Calls>, value: u64) -> Result<u64, TxError> {
    tx.host.last += 1;
    let number = tx.host.last;
    tx.tables.calls.insert(number, value)?;
    Ok(number)
}

fn open() -> (tempfile::TempDir, Store<Calls>) {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { index_lag: 4, ..Options::default() };
    let store = Store::open(&directory.path().join("calls.redb"), options).unwrap();
    (directory, store)
}

#[tokio::test]
async fn a_derivation_catches_up_and_its_progress_survives_a_restart() {
    let (directory, store) = open();
    for value in 1..=10 {
        assert_eq!(store.transact(move |tx| call(tx, value)).await.unwrap(), value);
    }
    let (last, summed) = store.transact(|tx| Ok((tx.host.last, tx.host.summed))).await.unwrap();
    assert_eq!((last, summed), (10, 8));
    store.shutdown();
    let store = Store::<Calls>::open(&directory.path().join("calls.redb"), Options::default()).unwrap();
    assert_eq!(store.transact(|tx| Ok((tx.host.last, tx.host.summed))).await.unwrap(), (10, 8));
}

#[tokio::test(flavor = "current_thread")]
async fn concurrent_calls_run_in_the_order_in_which_they_were_made() {
    let (_directory, store) = open();
    for _ in 0..20 {
        let calls: Vec<_> = (0..64)
            .map(|value| {
                let store = store.clone();
                tokio::spawn(async move { store.transact(move |tx| call(tx, value)).await })
            })
            .collect();
        let mut numbers = Vec::new();
        for call in calls {
            numbers.push(call.await.unwrap().unwrap());
        }
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}

#[tokio::test]
async fn a_queued_job_runs_even_if_its_caller_has_gone() {
    let (_directory, store) = open();
    {
        // Polled once, so that the job is queued. It is dropped before the writer is woken.
        let mut abandoned = Box::pin(store.transact(|tx| call(tx, 7)));
        let waker = std::task::Waker::noop();
        assert!(abandoned.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    let mut committed = store.committed();
    committed.wait_for(|last| *last == 1).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_finishes_queued_jobs_and_refuses_new_ones() {
    let (_directory, store) = open();
    let queued = tokio::spawn({
        let store = store.clone();
        async move { store.transact(|tx| call(tx, 7)).await }
    });
    tokio::task::yield_now().await;
    let closing = store.clone();
    tokio::task::spawn_blocking(move || closing.shutdown()).await.unwrap();
    assert_eq!(queued.await.unwrap().unwrap(), 1);
    assert!(matches!(store.transact(|tx| call(tx, 8)).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn looks_are_answered_in_the_order_of_the_calls() {
    let (_directory, store) = open();
    store.transact(|tx| call(tx, 7)).await.unwrap();
    let answered = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let looks: Vec<_> = (0..64)
        .map(|number| {
            let (store, answered) = (store.clone(), std::sync::Arc::clone(&answered));
            tokio::spawn(async move {
                let look = store.look(move |reader| {
                    // Here and not in the caller: tasks may run in another order than their answers came in.
                    answered.lock().unwrap().push(number);
                    Ok(reader.table(CALLS)?.get(1)?.map(|value| value.value()))
                });
                look.await.unwrap()
            })
        })
        .collect();
    for look in looks {
        assert_eq!(look.await.unwrap(), Some(7));
    }
    assert!(answered.lock().unwrap().is_sorted());
}

#[tokio::test]
async fn a_look_that_hangs_times_out_and_looks_past_the_bound_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { queue: 2, patience: Duration::from_millis(300), ..Options::default() };
    let store = Store::<Calls>::open(&directory.path().join("calls.redb"), options).unwrap();
    let (begun, begins) = std::sync::mpsc::channel();
    let (go_on, held) = std::sync::mpsc::channel::<()>();
    let hanging = store.look(move |_| {
        begun.send(()).unwrap();
        // Holds the thread, like a disk that does not answer.
        let _ = held.recv();
        Ok(())
    });
    let (hanging, ()) = tokio::join!(hanging, async {
        tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
        let [a, b, c] = [(); 3].map(|()| store.look(|_| Ok(())));
        // Two looks can wait in the queue and time out. The third is refused at once.
        let (a, b, c) = tokio::join!(a, b, c);
        assert!(matches!(c, Err(StoreError::Overloaded)), "{c:?}");
        for waited in [a, b] {
            assert!(matches!(waited, Err(StoreError::Unavailable { .. })), "{waited:?}");
        }
        // Scans have their own threads.
        store.scan(|_| Ok(())).await.unwrap();
    });
    assert!(matches!(hanging, Err(StoreError::Unavailable { .. })), "{hanging:?}");
    go_on.send(()).unwrap();
    // The thread is free again, and skips the two looks whose callers have gone.
    while let Err(StoreError::Overloaded) = store.look(|_| Ok(())).await {
        tokio::task::yield_now().await;
    }
    store.look(|_| Ok(())).await.unwrap();
}

#[tokio::test]
async fn a_look_that_panics_is_reported_as_damage_and_its_thread_continues() {
    let (_directory, store) = open();
    let panicked: Result<(), _> = store.look(|_| panic!("as redb does on a damaged page")).await;
    assert!(matches!(panicked, Err(StoreError::Corrupt { .. })), "{panicked:?}");
    store.look(|_| Ok(())).await.unwrap();
}
