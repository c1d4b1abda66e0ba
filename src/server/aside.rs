//! Heavy calls run on a thread of their own: large requests, many evaluations, and pages and exports of the record.
//!
//! What takes more than a moment of a processor must not hold up the thread that answers everybody. The thread for
//! heavy calls has the same priority: a lower one could be interrupted while it has a lock that the others wait for.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

use super::access::{self, Route};

/// A request with more bytes is heavy.
const LARGE: usize = 64 << 10;
/// A request for evaluations with more bytes is heavy.
const MANY_EVALUATIONS: usize = 4 << 10;

/// Whether a call with so many bytes runs on the thread for heavy calls.
pub(super) fn is_heavy(route: Route<'_>, bytes: usize) -> bool {
    bytes > LARGE || access::reads_much(route) || (bytes > MANY_EVALUATIONS && access::works_long(route))
}

/// The thread for heavy calls.
#[derive(Debug)]
pub(crate) struct Aside(Option<Runtime>);

impl Aside {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .thread_name("aegis-heavy")
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
