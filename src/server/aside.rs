//! Heavy calls run on threads of their own: large requests, many evaluations, pages and exports of the record, and the
//! messages of streams.
//!
//! What takes more than a moment of a processor must not hold up the threads that answer everybody. Each kind of heavy
//! call has a thread: so a large proposal does not wait for a batch of evaluations, and nobody with a credential for
//! those without one. These threads have the same priority as the others: a lower one could be interrupted while it has
//! a lock that the others wait for.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

use super::access::{self, Route};

/// A request with more bytes is heavy.
const LARGE: usize = 64 << 10;
/// A request for evaluations with more bytes is heavy.
const MANY_EVALUATIONS: usize = 4 << 10;

/// What makes a call heavy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heavy {
    /// Its request is large.
    Large,
    /// It reads much of the record, or evaluates many actions.
    Long,
}

/// Why a call with so many bytes is heavy, if it is.
pub(super) fn heavy(route: Route<'_>, bytes: usize) -> Option<Heavy> {
    if access::reads_much(route) || (bytes > MANY_EVALUATIONS && access::works_long(route)) {
        return Some(Heavy::Long);
    }
    (bytes > LARGE).then_some(Heavy::Large)
}

/// The threads for what is heavy.
#[derive(Debug)]
pub(crate) struct Aside {
    /// By whether the caller has a credential, and by what makes the call heavy.
    calls: [[Thread; 2]; 2],
    streams: Thread,
}

/// A thread. It ends with this.
#[derive(Debug)]
struct Thread {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Aside {
    /// Starts the threads.
    pub(crate) fn start() -> io::Result<Self> {
        let both = |who: &str| {
            Ok::<_, io::Error>([Thread::start(&format!("{who}-large"))?, Thread::start(&format!("{who}-long"))?])
        };
        Ok(Self { calls: [both("any")?, both("known")?], streams: Thread::start("streams")? })
    }

    /// Runs this on the thread for such calls. It ends with the caller's interest.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        is_known: bool,
        heavy: Heavy,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let thread = &self.calls[usize::from(is_known)][heavy as usize];
        AbortOnDropHandle::new(thread.handle.spawn(work)).await.ok()
    }

    /// The thread that makes the messages of streams.
    pub(crate) fn streams(&self) -> Handle {
        self.streams.handle.clone()
    }
}

impl Thread {
    fn start(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .thread_name(format!("aegis-{name}"))
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // This may be a thread that must not wait.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_proposal_and_a_batch_of_evaluations_are_heavy_for_different_reasons() {
        let propose = Route::Grpc("/aegis.v1.GovernanceService/Propose");
        let evaluate = Route::Grpc("/aegis.v1.GovernanceService/Evaluate");
        let export = Route::Http("GET", "/api/v1/audit/records");
        assert_eq!(heavy(propose, LARGE), None);
        assert_eq!(heavy(propose, LARGE + 1), Some(Heavy::Large));
        assert_eq!(heavy(evaluate, MANY_EVALUATIONS), None);
        assert_eq!(heavy(evaluate, MANY_EVALUATIONS + 1), Some(Heavy::Long));
        assert_eq!(heavy(export, 0), Some(Heavy::Long));
    }

    #[tokio::test]
    async fn who_works_long_holds_up_no_large_request_and_nobody_with_a_credential() {
        let aside = Aside::start().unwrap();
        let (block, blocked) = std::sync::mpsc::channel::<()>();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let long = aside.run(false, Heavy::Long, async move {
            let _ = begun.send(());
            let _ = blocked.recv();
        });
        let others = async {
            has_begun.await.unwrap();
            for (is_known, heavy) in [(false, Heavy::Large), (true, Heavy::Large), (true, Heavy::Long)] {
                assert_eq!(aside.run(is_known, heavy, async { 1 }).await, Some(1));
            }
            assert_eq!(aside.streams().spawn(async { 1 }).await.unwrap(), 1);
            drop(block);
        };
        tokio::join!(long, others);
    }
}
