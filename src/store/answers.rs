//! Tells the callers of a batch that it is done, with one wake-up for all of them.
//!
//! Waking a task of a runtime from a foreign thread costs a lock and a system call each time. So the writer sends the
//! whole batch to one task of the runtime. That task wakes the others from inside the runtime, where it is cheap. A
//! program can open the store without a runtime; then the writer wakes each caller itself.

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::host::Host;
use super::job::Job;

/// The jobs of a batch that was committed.
type Batch<H> = Vec<Box<dyn Job<H>>>;

/// Sends answers to the callers.
pub(super) struct Answers<H: Host> {
    task: Option<mpsc::UnboundedSender<Batch<H>>>,
}

impl<H: Host> Answers<H> {
    /// Starts the task in the current runtime, if there is one.
    pub(super) fn start() -> Self {
        let Ok(runtime) = Handle::try_current() else { return Self { task: None } };
        // An unbounded channel is safe here: it holds at most the jobs of the writer's queue, which is bounded.
        let (sender, mut batches) = mpsc::unbounded_channel::<Batch<H>>();
        runtime.spawn(async move {
            while let Some(batch) = batches.recv().await {
                answer(batch);
            }
        });
        Self { task: Some(sender) }
    }

    /// Tells the callers of these jobs that they are done.
    pub(super) fn send(&mut self, batch: Batch<H>) {
        let refused = match &self.task {
            None => batch,
            Some(task) => match task.send(batch) {
                Ok(()) => return,
                // The runtime that the store was opened in has ended.
                Err(refused) => refused.0,
            },
        };
        self.task = None;
        answer(refused);
    }
}

fn answer<H: Host>(batch: Batch<H>) {
    for job in batch {
        job.answer(Ok(()));
    }
}
