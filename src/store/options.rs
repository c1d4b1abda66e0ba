//! The options of a store: durability, memory, bounds, and its source of random bytes.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Clock, SystemClock};

/// Is told of a batch.
pub(crate) type OnBatch = Arc<dyn Fn(usize, Duration) + Send + Sync>;

/// The options of a store.
pub struct Options {
    /// Acknowledge writes before they are durable. A power failure may then lose the writes of the last
    /// [`Options::sync_every`]; a crash of the process loses none. Default: off.
    pub relaxed: bool,
    /// How often a relaxed store syncs its writes. Default 200 ms.
    pub sync_every: Duration,
    /// How many bytes the journal has before the database is committed durably and the journal begins again. Default
    /// 4 MiB.
    pub journal_bytes: u64,
    /// Open the store even if its journal does not fit, and give up the writes that only the journal has. Default: off.
    pub discard_journal: bool,
    /// The size of the page cache in bytes. Default 16 MiB.
    pub cache_size: usize,
    /// The bound of each queue: jobs, looks and scans. One more is
    /// [`StoreError::Overloaded`](super::StoreError::Overloaded). Default 16,384.
    pub queue: usize,
    /// The most jobs in one transaction, so that no answer waits for an endless batch. Default 512.
    pub batch: usize,
    /// How many rows may lack an index before the writer indexes them between two batches, in segments of 256. Default
    /// 1,024.
    pub index_lag: usize,
    /// How long a call waits for its answer at most. A disk that takes longer than this for one batch counts as failed.
    /// Default 5 s.
    pub patience: Duration,
    /// Told of each batch that reached the disk: its jobs, and how long the disk took. Default: nobody.
    pub on_batch: Option<OnBatch>,
    /// The clock for the store's own records. Default: the machine's clocks.
    pub clock: Arc<dyn Clock>,
    /// The source of salts and record ids. Default: the operating system.
    pub entropy: Box<dyn Entropy>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            relaxed: false,
            sync_every: Duration::from_millis(200),
            journal_bytes: 4 << 20,
            discard_journal: false,
            cache_size: 16 << 20,
            queue: 16_384,
            batch: 512,
            index_lag: 1024,
            patience: Duration::from_secs(5),
            on_batch: None,
            clock: Arc::new(SystemClock::start()),
            entropy: Box::new(SystemEntropy::default()),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("relaxed", &self.relaxed)
            .field("sync_every", &self.sync_every)
            .field("journal_bytes", &self.journal_bytes)
            .field("discard_journal", &self.discard_journal)
            .field("cache_size", &self.cache_size)
            .field("queue", &self.queue)
            .field("batch", &self.batch)
            .field("index_lag", &self.index_lag)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// A source of random bytes.
pub trait Entropy: Send + 'static {
    /// Fills the buffer with random bytes, or says why it cannot.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()>;
}

impl<F: FnMut(&mut [u8]) + Send + 'static> Entropy for F {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self(bytes);
        Ok(())
    }
}

/// Random bytes of the operating system. Reads a page at a time, because one system call for each salt is slow.
#[derive(Debug)]
struct SystemEntropy {
    page: Vec<u8>,
    used: usize,
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self { page: vec![0; 4096], used: 4096 }
    }
}

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        if bytes.len() > self.page.len() {
            return getrandom::fill(bytes).map_err(io::Error::other);
        }
        if self.used + bytes.len() > self.page.len() {
            getrandom::fill(&mut self.page).map_err(io::Error::other)?;
            self.used = 0;
        }
        let fresh = &mut self.page[self.used..self.used + bytes.len()];
        bytes.copy_from_slice(fresh);
        // Bytes that were used must not stay in memory.
        fresh.fill(0);
        self.used += bytes.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_never_returns_the_same_bytes_twice() {
        let mut entropy = SystemEntropy::default();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let mut salt = [0; 16];
            entropy.fill(&mut salt).unwrap();
            assert!(seen.insert(salt));
        }
        let mut long = vec![0; 10_000];
        entropy.fill(&mut long).unwrap();
        assert!(long.iter().any(|byte| *byte != 0));
    }
}
