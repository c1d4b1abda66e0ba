//! [`Follower`]: reads the log from a position on, and waits for new records.

use tokio::sync::watch;

use super::batch::{Batch, StatusTime, View, read_after};
use crate::audit::state::Store;
use crate::store::StoreError;

/// Which records a follower may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Acknowledged records. In a relaxed store a power failure may still lose them.
    Committed,
    /// Durable records: for data that leaves this machine.
    Durable,
}

/// Reads the log from a position on.
pub struct Follower {
    store: Store,
    view: View,
    time: StatusTime,
    end: watch::Receiver<u64>,
    position: u64,
}

impl Follower {
    /// Follows the records after this sequence number.
    pub fn after(store: &Store, until: Until, position: u64, view: View, time: StatusTime) -> Self {
        let end = match until {
            Until::Committed => store.committed(),
            Until::Durable => store.durable(),
        };
        Self { store: store.clone(), view, time, end, position }
    }

    /// The last sequence number that was read: resume after it.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The last sequence number that it may read now.
    pub fn end(&self) -> u64 {
        *self.end.borrow()
    }

    /// The next batch without waiting; `None` if everything was read. A batch is empty if none of its records is in the
    /// view.
    pub async fn ready(&mut self) -> Result<Option<Batch>, StoreError> {
        let until = *self.end.borrow_and_update();
        if self.position >= until {
            return Ok(None);
        }
        let (view, after, now) = (self.view.clone(), self.position, self.time.now());
        let read = self.store.scan(move |reader| read_after(reader, &view, after, until, now));
        // No await follows: a dropped future has read a whole batch or nothing.
        let (batch, position) = read.await?;
        self.position = position;
        Ok(Some(batch))
    }

    /// Waits until there is something to read.
    pub async fn has_more(&mut self) -> Result<(), StoreError> {
        while self.position >= *self.end.borrow_and_update() {
            self.end.changed().await.map_err(|_| StoreError::Closed)?;
        }
        Ok(())
    }

    /// Waits for the next batch. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Batch, StoreError> {
        loop {
            if let Some(batch) = self.ready().await? {
                return Ok(batch);
            }
            self.has_more().await?;
        }
    }
}
