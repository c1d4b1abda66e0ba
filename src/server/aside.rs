//! Large requests are read, and answered, on a thread of their own.
//!
//! What takes more than a moment of a processor must not hold up the threads that answer everybody. The thread has their
//! priority: a lower one could be interrupted while it has a lock that they wait for.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// A request whose message is larger than this is read aside.
pub(super) const LARGE: usize = 64 << 10;

/// The thread for large requests.
#[derive(Debug)]
pub(crate) struct Aside(Option<Runtime>);

impl Aside {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .thread_name("aegis-large")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs this there. It ends with the caller's interest.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let handle: &Handle = self.0.as_ref()?.handle();
        AbortOnDropHandle::new(handle.spawn(work)).await.ok()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // This may be a thread that must not wait.
            runtime.shutdown_background();
        }
    }
}
