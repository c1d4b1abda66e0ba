//! How a store is run: durability, memory, bounds, and where its random bytes come from.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Clock, SystemClock};

/// How a store is run.
pub struct Options {
    /// Answer before a write is durable: what was acknowledged in the last [`Options::sync_every`] may be lost with the
    /// machine's power (not with the process). Off by default.
    pub relaxed: bool,
    /// How often a relaxed store makes what it has durable. Default 200 ms.
    pub sync_every: Duration,
    /// Bytes of the file that are kept in memory. Default 16 MiB.
    pub cache_size: usize,
    /// How many jobs may wait, and how many looks, and how many scans; one more is
    /// [`StoreError::Overloaded`](super::StoreError::Overloaded). Default 16,384.
    pub queue: usize,
    /// How many jobs one transaction takes at most, so that no answer waits for an endless batch. Default 512.
    pub batch: usize,
    /// How many rows may be without index before the writer indexes them between two batches, whole segments of 256 at
    /// a time. Default 1,024.
    pub index_lag: usize,
    /// How long the disk may take over one batch before it counts as out of order, and how long a call waits for its
    /// answer at most. Default 5 s.
    pub patience: Duration,
    /// What the times of the store's own records come from. Default: the machine's clocks.
    pub clock: Arc<dyn Clock>,
    /// Where salts and record ids come from. Default: the operating system.
    pub entropy: Box<dyn Entropy>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            relaxed: false,
            sync_every: Duration::from_millis(200),
            cache_size: 16 << 20,
            queue: 16_384,
            batch: 512,
            index_lag: 1024,
            patience: Duration::from_secs(5),
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
    /// Fills the buffer, or says why there are no random bytes.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()>;
}

impl<F: FnMut(&mut [u8]) + Send + 'static> Entropy for F {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self(bytes);
        Ok(())
    }
}

/// The operating system's random bytes, fetched a page at a time: a system call for every salt would show.
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
        // What was handed out is not kept.
        fresh.fill(0);
        self.used += bytes.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_never_hands_out_the_same_bytes_twice() {
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
