//! The jobs that wait for the writer, in the order in which they came.
//!
//! Coming and ringing are two steps. A job takes its place at once, so that its place is that of its arrival. The
//! writer is woken a moment later, when whatever else was ready to run has come as far: so calls that arrive together
//! are one batch, and not one for the first of them and then another. A commit costs far more than a decision.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::StoreError;
use super::host::Host;
use super::job::Job;

/// What the writer finds when it asks for work.
pub(super) enum Next<H: Host> {
    /// A job.
    Job(Box<dyn Job<H>>),
    /// Nothing, for as long as it was ready to wait.
    Nothing,
    /// Nothing, and nothing will come any more.
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
    /// Whether the writer sleeps, and nobody has rung yet.
    asleep: bool,
    closed: bool,
}

impl<H: Host> std::fmt::Debug for Queue<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.lock().jobs.len()).finish_non_exhaustive()
    }
}

impl<H: Host> Queue<H> {
    /// An empty queue for so many jobs.
    pub(super) fn new(bound: usize) -> Self {
        let waiting = Waiting { jobs: VecDeque::new(), asleep: false, closed: false };
        Self { waiting: Mutex::new(waiting), bell: Condvar::new(), bound }
    }

    /// Takes a place. The writer is not woken before [`Queue::ring`].
    ///
    /// A full queue is an answer, not a wait: those who wait would be a second queue, without a bound.
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

    /// Takes no more jobs. The writer does what is there, and then finds the end.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.ring();
    }

    /// Takes no more jobs, and drops those that are there: whoever waits for one is told that the store is closed.
    pub(super) fn abandon(&self) {
        let left = {
            let mut waiting = self.lock();
            waiting.closed = true;
            std::mem::take(&mut waiting.jobs)
        };
        drop(left);
    }

    /// The next job, if there is one now.
    pub(super) fn try_next(&self) -> Option<Box<dyn Job<H>>> {
        self.lock().jobs.pop_front()
    }

    /// The next job, as soon as somebody rings for it.
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

/// Rings when it goes: also where the caller's future is dropped before it has come to that.
pub(super) struct Ring<'q, H: Host>(pub(super) &'q Queue<H>);

impl<H: Host> Drop for Ring<'_, H> {
    fn drop(&mut self) {
        self.0.ring();
    }
}
