//! Request ids: a repeated change receives the answer to the first one, and is not made again.
//!
//! The answer is written in the transaction that makes the change. It is kept as long as an idempotency key.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::approvals::quota_key;
use crate::audit::record::IdentityRecord;
use crate::audit::{Store, StoreError, StoredAnswer, Tx, TxError};
use crate::domain::{Caller, Digest, ParamsError, Timestamp, canonical_json};

/// A request id of a caller, with the request that it stands for.
#[derive(Clone, Debug)]
pub(super) struct RequestId {
    key: Digest,
    request: Digest,
}

/// Why there is no earlier answer to give.
#[derive(Debug, thiserror::Error)]
pub enum RequestIdError {
    /// The id was used for another request.
    #[error("request_id was used for another request: a retry must send the very same request")]
    Reused,
    /// The request has no canonical form.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// The answer cannot be read.
    #[error("the answer to the first request cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

impl RequestId {
    /// The id of a request to this method; `None` if the caller sent none. Each caller has its own ids.
    pub(super) fn new(
        caller: &Caller,
        id: Option<&str>,
        method: &str,
        request: &impl Serialize,
    ) -> Result<Option<Self>, RequestIdError> {
        let Some(id) = id else { return Ok(None) };
        let caller = quota_key(&IdentityRecord::of(caller));
        let key = canonical_json(&("request", caller.is_anonymous, &*caller.name, id))?;
        let request = canonical_json(&(method, request))?;
        Ok(Some(Self { key: Digest::of(&key), request: Digest::of(&request) }))
    }

    /// The answer to the same request, if one was given.
    pub(super) async fn answered<A, E>(&self, store: &Store, now: Timestamp) -> Result<Option<A>, E>
    where
        A: DeserializeOwned,
        E: From<StoreError> + From<RequestIdError>,
    {
        let key = self.key;
        let stored = store.look(move |reader| reader.answer(key, now)).await?;
        Ok(self.read(stored)?)
    }

    /// The answer to the same request, if one was given: in the transaction that would make the change.
    pub(super) fn answered_in<A: DeserializeOwned>(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
    ) -> Result<Result<Option<A>, RequestIdError>, TxError> {
        Ok(self.read(tx.answer(self.key, now)?))
    }

    /// Keeps the answer.
    pub(super) fn keep(&self, tx: &mut Tx<'_>, now: Timestamp, answer: &impl Serialize) -> Result<(), TxError> {
        let answer = serde_json::to_value(answer).map_err(ParamsError::from)?;
        tx.put_answer(self.key, &StoredAnswer { at: now, request: self.request, answer })
    }

    fn read<A: DeserializeOwned>(&self, stored: Option<StoredAnswer>) -> Result<Option<A>, RequestIdError> {
        match stored {
            None => Ok(None),
            Some(stored) if stored.request != self.request => Err(RequestIdError::Reused),
            Some(stored) => Ok(Some(serde_json::from_value(stored.answer)?)),
        }
    }
}
