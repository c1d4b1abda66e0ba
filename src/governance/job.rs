//! Jobs for the store that a rule can refuse.
//!
//! A job ends in one of three ways: it succeeds, a rule refuses it, or the store fails. [`Store::transact`] knows only
//! success and failure. [`Refused`] adds the refusal, so that a job can pass each error on with `?`.

use crate::audit::{Store, StoreError, Tx, TxError};

/// Why a job did not succeed.
#[derive(Debug)]
pub(super) enum Refused<E> {
    /// A rule refuses it. Earlier writes of the job stay.
    By(E),
    /// The store failed.
    Failed(TxError),
}

impl<E> From<TxError> for Refused<E> {
    fn from(error: TxError) -> Self {
        Self::Failed(error)
    }
}

/// Runs a job in the store's next transaction, and returns when that is durable.
pub(super) async fn run<T, E, F>(store: &Store, job: F) -> Result<T, E>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, Refused<E>> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let transact = store.transact(move |tx| match job(tx) {
        Ok(done) => Ok(Ok(done)),
        Err(Refused::By(refusal)) => Ok(Err(refusal)),
        Err(Refused::Failed(error)) => Err(error),
    });
    transact.await?
}
