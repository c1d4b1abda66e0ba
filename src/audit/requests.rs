//! The table of answers to requests with a request id. A repeated request receives the first answer for as long as an
//! idempotency key is valid.
//!
//! A job writes the answer in the transaction that makes the change, so there is an answer exactly if the change was
//! made.

use redb::ReadableTable as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rows::is_over;
use super::state::Tx;
use crate::domain::{Digest, Timestamp};
use crate::store::error::{StoreError, TxError, damaged};
use crate::store::reader::Reader;
use crate::store::table::{Bytes, TableDef};

/// The table.
pub(crate) const REQUESTS: TableDef<&[u8; 32], Bytes> = TableDef::source("requests");

/// How many answers one transaction forgets.
const FORGET_AT_ONCE: usize = 1000;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredAnswer {
    /// When the request was answered.
    pub at: Timestamp,
    /// The digest of the request: another request under the same key is refused.
    pub request: Digest,
    /// The answer.
    pub answer: Value,
}

impl StoredAnswer {
    fn is_over(&self, now: Timestamp) -> bool {
        is_over(self.at.as_microsecond(), now.as_microsecond())
    }
}

impl Tx<'_> {
    /// The answer under this key, if it is still valid.
    pub fn answer(&mut self, key: Digest, now: Timestamp) -> Result<Option<StoredAnswer>, TxError> {
        let Some(stored) = self.tables.requests.read()?.get(&key.0)?.map(|value| decode(value.value())) else {
            return Ok(None);
        };
        Ok(Some(stored.map_err(TxError::Corrupt)?).filter(|stored| !stored.is_over(now)))
    }

    /// Stores an answer under this key, in place of an earlier one.
    pub fn put_answer(&mut self, key: Digest, answer: &StoredAnswer) -> Result<(), TxError> {
        let value = serde_json::to_vec(answer).map_err(crate::domain::ParamsError::from)?;
        self.tables.requests.insert(&key.0, value.as_slice())?;
        Ok(())
    }

    /// Forgets answers that are no longer valid, a bounded number of them. Returns how many it has forgotten.
    pub fn forget_answers(&mut self, now: Timestamp) -> Result<usize, TxError> {
        let mut over = Vec::new();
        for entry in self.tables.requests.read()?.iter()? {
            let (key, value) = entry?;
            if over.len() < FORGET_AT_ONCE && decode(value.value()).map_err(TxError::Corrupt)?.is_over(now) {
                over.push(*key.value());
            }
        }
        for key in &over {
            self.tables.requests.remove(key)?;
        }
        Ok(over.len())
    }
}

impl Reader {
    /// The answer under this key, if it is still valid.
    pub fn answer(&self, key: Digest, now: Timestamp) -> Result<Option<StoredAnswer>, StoreError> {
        // A store from before request ids existed has no such table.
        let Some(requests) = self.table_if_there(REQUESTS)? else { return Ok(None) };
        let Some(stored) = requests.get(&key.0)?.map(|value| decode(value.value())) else { return Ok(None) };
        Ok(Some(stored.map_err(damaged)?).filter(|stored| !stored.is_over(now)))
    }

    /// Goes through the answers that are still valid.
    pub fn each_answer(&self, now: Timestamp, each: impl FnMut(StoredAnswer)) -> Result<(), StoreError> {
        self.answers()?.into_iter().filter(|stored| !stored.is_over(now)).for_each(each);
        Ok(())
    }

    /// Whether an answer is no longer valid.
    pub fn has_old_answers(&self, now: Timestamp) -> Result<bool, StoreError> {
        Ok(self.answers()?.iter().any(|stored| stored.is_over(now)))
    }

    fn answers(&self) -> Result<Vec<StoredAnswer>, StoreError> {
        let Some(requests) = self.table_if_there(REQUESTS)? else { return Ok(Vec::new()) };
        requests.iter()?.map(|entry| decode(entry?.1.value()).map_err(damaged)).collect()
    }
}

fn decode(value: &[u8]) -> Result<StoredAnswer, String> {
    serde_json::from_slice(value).map_err(|error| format!("an answer to a request: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::state::Store;
    use crate::audit::testing::{options, place};

    #[tokio::test]
    async fn an_answer_is_given_for_a_day_and_then_forgotten() {
        let (_directory, path) = place();
        let store = Store::open(&path, options()).unwrap();
        let at = |hours| Timestamp::UNIX_EPOCH + std::time::Duration::from_hours(hours);
        let (key, request) = (Digest::of(b"key"), Digest::of(b"request"));
        let answer = StoredAnswer { at: at(100), request, answer: Value::from("done") };
        let kept = answer.clone();
        store.transact(move |tx| tx.put_answer(key, &kept)).await.unwrap();
        // The clock may be set back: what was done is not done again.
        for (hours, expected) in [(1, Some(&answer)), (100, Some(&answer)), (123, Some(&answer)), (124, None)] {
            let found = store.look(move |reader| reader.answer(key, at(hours))).await.unwrap();
            assert_eq!(found.as_ref(), expected, "{hours}");
            assert_eq!(store.transact(move |tx| tx.answer(key, at(hours))).await.unwrap().as_ref(), expected);
        }
        assert_eq!(store.transact(move |tx| tx.forget_answers(at(123))).await.unwrap(), 0);
        assert!(store.look(move |reader| reader.has_old_answers(at(124))).await.unwrap());
        assert_eq!(store.transact(move |tx| tx.forget_answers(at(124))).await.unwrap(), 1);
        assert!(!store.look(move |reader| reader.has_old_answers(at(124))).await.unwrap());
        assert_eq!(store.look(move |reader| reader.answer(key, at(100))).await.unwrap(), None, "nothing is left");
        store.shutdown();
    }
}
