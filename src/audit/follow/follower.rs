//! Going on from a place in the log.

use tokio::sync::watch;

use super::batch::{Batch, StatusTime, View, read_after};
use crate::audit::state::Store;
use crate::store::StoreError;

/// How far a follower goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To what was acknowledged. In a relaxed store a power failure may still take that back.
    Committed,
    /// To what is on disk: for whatever leaves this machine.
    Durable,
}

/// Reads on from a place in the log, for as long as it is asked.
pub struct Follower {
    store: Store,
    view: View,
    time: StatusTime,
    end: watch::Receiver<u64>,
    position: u64,
}

impl Follower {
    /// Follows what comes after this sequence number.
    pub fn after(store: &Store, until: Until, position: u64, view: View, time: StatusTime) -> Self {
        let end = match until {
            Until::Committed => store.committed(),
            Until::Durable => store.durable(),
        };
        Self { store: store.clone(), view, time, end, position }
    }

    /// Everything up to this sequence number was read: what to resume after.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How far it could go now.
    pub fn end(&self) -> u64 {
        *self.end.borrow()
    }

    /// What is there by now, as far as one batch goes; none where everything was read. A batch may be empty: nothing of
    /// it is in the view.
    pub async fn ready(&mut self) -> Result<Option<Batch>, StoreError> {
        let until = *self.end.borrow_and_update();
        if self.position >= until {
            return Ok(None);
        }
        let (view, after, now) = (self.view.clone(), self.position, self.time.now());
        let read = self.store.scan(move |reader| read_after(reader, &view, after, until, now));
        // Nothing is awaited from here on: whoever drops this future has read all of a batch, or nothing.
        let (batch, position) = read.await?;
        self.position = position;
        Ok(Some(batch))
    }

    /// The next batch, as soon as there is one. May be dropped at any time.
    pub async fn next(&mut self) -> Result<Batch, StoreError> {
        loop {
            if let Some(batch) = self.ready().await? {
                return Ok(batch);
            }
            self.end.changed().await.map_err(|_| StoreError::Closed)?;
        }
    }
}
