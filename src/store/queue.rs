//! The queue of jobs for the writer, in the order of the calls.
//!
//! A call has two steps. First the job takes its place, so that jobs keep the order of their arrival. A moment later
//! the call wakes the writer; by then, other calls that arrived together with it have queued their jobs too. So they
//! share one batch. That matters because a commit costs far more than a decision.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::StoreError;
use super::host::Host;
use super::job::Job;

/// What the writer gets when it asks for work.
pub(super) enum Next<H: Host> {
    /// A job.
    Job(Box<dyn Job<H>>),
    /// No job came in the time that the writer waited.
    Nothing,
    /// The queue is closed and empty.
    End,
}

/// The queue.
pub(super) struct Queue<H: Host> {
    waiting: Mutex<Waiting<H>>,
    bell: Condvar,
    bound: usize,
}

struct Waiting<H: Host> {
    jobs: VecDeque<Box<dyn Job<H>>>,
    /// Whether the writer sleeps and was not woken yet.
    asleep: bool,
    closed: bool,
}

impl<H: Host> std::fmt::Debug for Queue<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.lock().jobs.len()).finish_non_exhaustive()
    }
}

impl<H: Host> Queue<H> {
    /// An empty queue with this many places.
    pub(super) fn new(bound: usize) -> Self {
        let waiting = Waiting { jobs: VecDeque::new(), asleep: false, closed: false };
        Self { waiting: Mutex::new(waiting), bell: Condvar::new(), bound }
    }

    /// Queues a job. It does not wake the writer: [`Queue::ring`] does.
    ///
    /// Fails at once if the queue is full. Callers that wait for a place would be a second queue, without a bound.
    pub(super) fn push(&self, job: Box<dyn Job<H>>) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(StoreError::Closed);
        }
        if waiting.jobs.len() >= self.bound {
            return Err(StoreError::Overloaded);
        }
        waiting.jobs.push_back(job);
        Ok(())
    }

    /// Wakes the writer, if it sleeps.
    pub(super) fn ring(&self) {
        if std::mem::take(&mut self.lock().asleep) {
            self.bell.notify_one();
        }
    }

    /// Closes the queue. The writer still runs the queued jobs.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.ring();
    }

    /// Closes the queue and drops its jobs. Their callers get the error that the store is closed.
    pub(super) fn abandon(&self) {
        let left = {
            let mut waiting = self.lock();
            waiting.closed = true;
            std::mem::take(&mut waiting.jobs)
        };
        drop(left);
    }

    /// The next job, if one is queued.
    pub(super) fn try_next(&self) -> Option<Box<dyn Job<H>>> {
        self.lock().jobs.pop_front()
    }

    /// Waits for the next job.
    pub(super) fn next(&self, patience: Duration) -> Next<H> {
        let until = Instant::now() + patience;
        let mut waiting = self.lock();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                return Next::Job(job);
            }
            if waiting.closed {
                return Next::End;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Nothing;
            }
            waiting.asleep = true;
            waiting = self.bell.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
            waiting.asleep = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<H>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the writer when it is dropped, so also when the caller drops its future early.
pub(super) struct Ring<'q, H: Host>(pub(super) &'q Queue<H>);

impl<H: Host> Drop for Ring<'_, H> {
    fn drop(&mut self) {
        self.0.ring();
    }
}
