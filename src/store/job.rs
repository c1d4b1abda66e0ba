//! A job: a caller's work that the writer runs, and its answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use redb::StorageError;
use tokio::sync::oneshot;

use super::error::{StoreError, TxError, panic_text};
use super::host::Host;
use super::tx::Tx;

/// What a job means for its batch after it ran.
#[derive(Debug)]
pub(super) enum Ran {
    /// The job succeeded and is part of the batch.
    Done,
    /// The job failed before it changed anything. The batch continues without it.
    LeftOut,
    /// The job failed after it changed something. The writer rolls the batch back.
    Abort(String),
    /// The storage failed. The batch is lost, and the writer reopens the database.
    Fault(StorageError),
}

/// A caller's work.
pub(super) trait Job<H: Host>: Send {
    /// Runs the work inside the transaction.
    fn run(&mut self, tx: &mut Tx<'_, H>) -> Ran;

    /// Tells the caller how the batch ended: what the work returned, or why the batch failed.
    fn answer(self: Box<Self>, end: Result<(), StoreError>);
}

/// Tells the callers of these jobs that their batch failed.
pub(super) fn answer_all<H: Host>(jobs: Vec<Box<dyn Job<H>>>, error: &StoreError) {
    for job in jobs {
        job.answer(Err(error.clone()));
    }
}

/// The job of a call to [`Store::transact`](super::Store::transact).
pub(super) struct Call<F, T> {
    work: Option<F>,
    /// When the caller stops waiting.
    until: Instant,
    result: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Call<F, T> {
    pub(super) fn new(work: F, answer: oneshot::Sender<Result<T, StoreError>>, until: Instant) -> Self {
        Self { work: Some(work), until, result: None, answer }
    }
}

impl<H, F, T> Job<H> for Call<F, T>
where
    H: Host,
    F: FnOnce(&mut Tx<'_, H>) -> Result<T, TxError> + Send,
    T: Send,
{
    fn run(&mut self, tx: &mut Tx<'_, H>) -> Ran {
        let Some(work) = self.work.take() else { return Ran::LeftOut };
        // The caller has given up and was told that the job did not run.
        if Instant::now() >= self.until {
            let why = "its turn did not come in time".into();
            self.result = Some(Err(StoreError::Unavailable { why, disk_full: false }));
            return Ran::LeftOut;
        }
        let (changes, after) = (tx.changes(), tx.after.len());
        // A job must not panic. If it does, its caller gets an error, and the writer continues.
        let result = catch_unwind(AssertUnwindSafe(|| work(tx)));
        let (ran, error) = match result {
            Ok(Ok(value)) => {
                self.result = Some(Ok(value));
                return Ran::Done;
            }
            Ok(Err(error)) => {
                let why = error.to_string();
                match error {
                    TxError::Storage(
                        error @ (StorageError::Io(_) | StorageError::PreviousIo | StorageError::DatabaseClosed),
                    ) => return Ran::Fault(error),
                    error => (Ran::Abort(why), StoreError::from(error)),
                }
            }
            Err(panic) => {
                let why = format!("a job panicked: {}", panic_text(&*panic));
                (Ran::Abort(why.clone()), StoreError::Aborted { why: why.into() })
            }
        };
        self.result = Some(Err(error));
        if tx.changes() == changes {
            tx.after.truncate(after);
            return Ran::LeftOut;
        }
        ran
    }

    fn answer(self: Box<Self>, end: Result<(), StoreError>) {
        let result = match (end, self.result) {
            (Ok(()), Some(result)) => result,
            // A job's own error says more than "the batch was rolled back".
            (Err(_), Some(Err(own))) => Err(own),
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(StoreError::Closed),
        };
        // The caller may have gone; then nobody needs the answer.
        let _ = self.answer.send(result);
    }
}
