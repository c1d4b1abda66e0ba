//! Jobs for the record's writer that may refuse what was asked.
//!
//! A job ends in one of three ways: done, refused by a rule, or failed because the store did. [`Store::transact`] knows
//! done and failed. [`Refused`] adds the third, so that a job passes all of them on with `?`.

use crate::audit::{Store, StoreError, Tx, TxError};

/// Why a job was not done.
#[derive(Debug)]
pub(super) enum Refused<E> {
    /// A rule says no. What the job wrote before that stays written.
    By(E),
    /// The store failed.
    Failed(TxError),
}

impl<E> From<TxError> for Refused<E> {
    fn from(error: TxError) -> Self {
        Self::Failed(error)
    }
}

/// Runs a job in the writer's next transaction, and answers when that is durable.
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
