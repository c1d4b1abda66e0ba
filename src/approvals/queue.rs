//! [`Queue`]: the open questions, and those who watch or wait for them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::pending::Pending;
use super::presence::Presence;
use super::proposer::quota_key;
use crate::audit::ApprovalState;
use crate::domain::{ApprovalId, ConnectionId};
use crate::limits::{OverQuota, Quota, QuotaKey, QuotaLimits, Resource, Share, Whose};
use crate::metrics::Metrics;

/// How many changes a watcher may fall behind before it gets [`Lagged`].
const CHANGES_KEPT: usize = 1024;

/// How many changes of presence are announced at once. Watchers read them before the next ones come.
const ANNOUNCED_AT_ONCE: usize = 128;

/// The limit of open questions is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct QueueFull(pub OverQuota);

impl QueueFull {
    fn text(&self) -> String {
        let OverQuota { whose, resource, limit } = self.0;
        let (who, flag) = match whose {
            Whose::Everybody => ("this daemon keeps", ""),
            Whose::Anonymous => ("callers without a credential may have together", "--anonymous-share of "),
            Whose::Caller => ("one caller may have", ""),
        };
        let of_caller = if whose == Whose::Caller { "-per-caller" } else { "" };
        let (what, flag) = match resource {
            Resource::Count => ("pending approvals", format!("{flag}--max-pending{of_caller}")),
            Resource::Bytes => ("bytes of pending approvals", format!("{flag}--max-pending-bytes{of_caller}")),
        };
        format!("{limit} {what} are all that {who} ({flag})")
    }
}

/// A question and how it ended.
#[derive(Debug)]
pub struct Ended {
    /// The question.
    pub pending: Arc<Pending>,
    /// How it ended, with the votes.
    pub approval: ApprovalState,
}

/// A change of the queue.
#[derive(Clone, Debug)]
pub enum QueueEvent {
    /// A question was asked.
    Added(Arc<Pending>),
    /// Whether its proposer still waits has changed.
    Changed(Arc<Pending>),
    /// A question ended.
    Ended(Arc<Ended>),
}

/// The watcher was too slow and missed this many changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(pub u64);

struct Entry {
    pending: Arc<Pending>,
    /// Created for the first waiter: most open questions have none, and ten thousand may be open.
    ended: Option<watch::Sender<Option<Arc<Ended>>>>,
    share: Share,
}

/// The open questions by id and by deadline. Both maps always hold the same questions. `presence` holds no others.
#[derive(Default)]
struct Open {
    by_id: BTreeMap<ApprovalId, Entry>,
    by_deadline: BTreeSet<(Duration, ApprovalId)>,
    presence: Presence,
}

/// The open questions of one daemon.
pub struct Queue {
    metrics: Arc<Metrics>,
    quota: Quota,
    open: Mutex<Open>,
    changes: broadcast::Sender<QueueEvent>,
    /// Notified when the earliest deadline may have changed.
    deadlines: Notify,
    /// Notified when a proposer comes or goes.
    presence: Notify,
    /// True when the daemon stops: all waiting ends.
    closed: CancellationToken,
}

impl Queue {
    /// An empty queue.
    pub fn new(limits: QuotaLimits, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            quota: Quota::new(limits),
            open: Mutex::default(),
            changes: broadcast::Sender::new(CHANGES_KEPT),
            deadlines: Notify::new(),
            presence: Notify::new(),
            closed: CancellationToken::new(),
        }
    }

    /// Reserves a place for a question of this size before the question is written.
    pub fn take_place(&self, caller: &QuotaKey, bytes: usize) -> Result<Share, QueueFull> {
        self.quota.take(caller, bytes).map_err(QueueFull)
    }

    /// Adds a new question after it is durable. Its proposer called at this uptime.
    pub fn ask(&self, pending: Pending, place: Share, uptime: Duration) {
        self.insert(pending, place, Some(uptime));
        self.presence.notify_one();
    }

    /// Adds a question after it is durable. If it is already in the queue, nothing changes.
    pub fn add(&self, pending: Pending, place: Share) {
        self.insert(pending, place, None);
    }

    fn insert(&self, pending: Pending, place: Share, called: Option<Duration>) {
        let pending = Arc::new(pending);
        let entry = Entry { pending: Arc::clone(&pending), ended: None, share: place };
        let mut open = self.lock();
        if open.by_id.contains_key(&pending.approval_id) {
            return;
        }
        open.by_deadline.insert((pending.deadline, pending.approval_id));
        if let Some((connection, uptime)) = pending.connection.zip(called) {
            open.presence.asked(pending.approval_id, connection, uptime);
        }
        open.by_id.insert(pending.approval_id, entry);
        // Sent under the lock, so that there is no gap between a watcher's snapshot and its changes. The send fails if
        // nobody watches.
        let _ = self.changes.send(QueueEvent::Added(pending));
        drop(open);
        self.deadlines.notify_one();
    }

    /// Restores a question from the store when the daemon starts. It counts against the limit of its proposer.
    pub fn restore(&self, pending: Pending) {
        let place = self.quota.restore(&quota_key(pending.decision.identity()), pending.bytes);
        self.add(pending, place);
    }

    /// Removes a question that has ended, notifies every watcher and waiter, and returns its place. `None` if it was
    /// not open.
    pub fn end(&self, approval: ApprovalState) -> Option<Share> {
        let approval_id = approval.approval_id;
        let mut open = self.lock();
        let entry = open.by_id.remove(&approval_id)?;
        open.by_deadline.remove(&(entry.pending.deadline, approval_id));
        open.presence.forget(approval_id);
        entry.pending.unmasked.forget();
        if let Some(ending) = approval.ending() {
            let asked = entry.pending.requested_at;
            // A clock that was set back makes it zero.
            let took = Duration::try_from(ending.at.duration_since(asked)).unwrap_or_default();
            self.metrics.answer(ending.kind.as_str(), took);
        }
        let ended = Arc::new(Ended { pending: entry.pending, approval });
        let _ = self.changes.send(QueueEvent::Ended(Arc::clone(&ended)));
        if let Some(waiting) = entry.ended {
            waiting.send_replace(Some(ended));
        }
        Some(entry.share)
    }

    /// Ends all waiting, now and later, because the daemon stops. The questions stay open: a vote that arrives during
    /// the last calls is still answered.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// The open question with this id.
    pub fn get(&self, approval_id: ApprovalId) -> Option<Arc<Pending>> {
        self.lock().by_id.get(&approval_id).map(|entry| Arc::clone(&entry.pending))
    }

    /// At most `limit` open questions after this one, oldest first.
    pub fn page(&self, after: Option<ApprovalId>, limit: usize, keep: impl Fn(&Pending) -> bool) -> Vec<Arc<Pending>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let open = self.lock();
        let later = open.by_id.range((from, Bound::Unbounded)).map(|(_, entry)| &entry.pending);
        later.filter(|pending| keep(pending)).take(limit).map(Arc::clone).collect()
    }

    /// How many questions are open.
    pub fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Whether no question is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until the question ends. Returns `None` at once if the question is not open: the store knows its ending.
    /// Returns `None` too when the daemon stops; then the question is still open.
    pub async fn ended(&self, approval_id: ApprovalId) -> Option<Arc<Ended>> {
        let mut receiver = {
            let mut open = self.lock();
            open.by_id.get_mut(&approval_id)?.ended.get_or_insert_default().subscribe()
        };
        tokio::select! {
            biased;
            // The sender is gone: the daemon has ended.
            ended = receiver.wait_for(Option::is_some) => ended.ok()?.clone(),
            () = self.closed.cancelled() => None,
        }
    }

    /// A call of the proposer of this question begins, over this connection. Returns false if the question is not open.
    pub fn called(&self, approval_id: ApprovalId, connection: ConnectionId) -> bool {
        let mut open = self.lock();
        let is_open = open.by_id.contains_key(&approval_id);
        if is_open {
            open.presence.called(approval_id, connection);
            self.presence.notify_one();
        }
        is_open
    }

    /// Such a call has ended.
    pub fn left(&self, approval_id: ApprovalId, uptime: Duration) {
        self.lock().presence.left(approval_id, uptime);
        self.presence.notify_one();
    }

    /// A connection is closed: nobody waits over it any more.
    pub fn closed(&self, connection: ConnectionId) {
        self.lock().presence.closed(connection);
        self.presence.notify_one();
    }

    /// Whether the proposer of this question still waits. `None` if nobody knows: not since the start.
    pub fn caller_waits(&self, approval_id: ApprovalId) -> Option<bool> {
        self.lock().presence.waits(approval_id)
    }

    /// Announces a few of the questions whose proposers came or went. Returns the time until the next may go.
    pub fn announce_presence(&self, uptime: Duration) -> Option<Duration> {
        let mut open = self.lock();
        let (changed, next) = open.presence.changes(uptime, ANNOUNCED_AT_ONCE);
        for entry in changed.iter().filter_map(|id| open.by_id.get(id)) {
            let _ = self.changes.send(QueueEvent::Changed(Arc::clone(&entry.pending)));
        }
        next
    }

    /// Waits until a proposer came or went since the last call.
    pub async fn presence_changed(&self) {
        self.presence.notified().await;
    }

    /// A snapshot of the open questions, and every later change.
    pub fn watch(&self) -> (Vec<Arc<Pending>>, Watcher) {
        let open = self.lock();
        let snapshot = open.by_id.values().map(|entry| Arc::clone(&entry.pending)).collect();
        (snapshot, Watcher { changes: self.changes.subscribe() })
    }

    /// The questions whose deadline has passed, and the time until the next deadline.
    pub fn due(&self, uptime: Duration) -> (Vec<ApprovalId>, Option<Duration>) {
        let open = self.lock();
        let due = open.by_deadline.iter().take_while(|(deadline, _)| *deadline <= uptime).map(|(_, id)| *id).collect();
        let next = open.by_deadline.iter().find(|(deadline, _)| *deadline > uptime);
        (due, next.map(|(deadline, _)| deadline.saturating_sub(uptime)))
    }

    /// Waits until a question was added since the last call, because the next deadline may then be earlier.
    pub async fn deadlines_changed(&self) {
        self.deadlines.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watcher's position in the stream of changes.
pub struct Watcher {
    changes: broadcast::Receiver<QueueEvent>,
}

impl Watcher {
    /// The next change; `None` when the daemon ends. After [`Lagged`] the watcher must take a new snapshot.
    pub async fn next(&mut self) -> Option<Result<QueueEvent, Lagged>> {
        match self.changes.recv().await {
            Ok(change) => Some(Ok(change)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approvals::testing::pending;
    use crate::domain::{Ending, EndingKind, QuestionState, Timestamp};
    use crate::limits::Amount;

    fn queue() -> Queue {
        let all = Amount { count: 10_000, bytes: 10_000 };
        Queue::new(QuotaLimits { total: all, anonymous: all, per_caller: all }, Arc::default())
    }

    fn ended(approval_id: ApprovalId) -> ApprovalState {
        let ending = Ending {
            kind: EndingKind::Approved,
            allows: true,
            by: "local:ada".into(),
            at: Timestamp::UNIX_EPOCH,
            reason: String::new(),
            code: String::new(),
        };
        ApprovalState { approval_id, state: QuestionState::Ended(ending), ..pending(1, 60).open_state() }
    }

    fn put(queue: &Queue, pending: Pending) -> ApprovalId {
        let id = pending.approval_id;
        let place = queue.take_place(&quota_key(pending.decision.identity()), 1).unwrap();
        queue.add(pending, place);
        id
    }

    #[tokio::test]
    async fn a_waiter_hears_how_its_question_ended() {
        let queue = Arc::new(queue());
        let id = put(&queue, pending(1, 60));
        let waiter = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.ended(id).await }
        });
        tokio::task::yield_now().await;
        queue.end(ended(id));
        assert_eq!(waiter.await.unwrap().unwrap().approval.ending().unwrap().by, "local:ada");
        assert!(queue.ended(id).await.is_none(), "the store knows how an ended question ended");
    }

    #[tokio::test]
    async fn a_closed_queue_keeps_its_questions_and_lets_every_waiter_go() {
        let queue = Arc::new(queue());
        let early = put(&queue, pending(1, 60));
        let waiter = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.ended(early).await }
        });
        tokio::task::yield_now().await;
        queue.close();
        assert!(waiter.await.unwrap().is_none());
        let late = put(&queue, pending(2, 60));
        assert!(queue.ended(late).await.is_none(), "a waiter that comes after the close does not wait either");
        assert!(queue.get(early).is_some() && queue.get(late).is_some());
    }

    #[tokio::test]
    async fn a_watcher_gets_a_snapshot_and_then_every_change() {
        let queue = queue();
        let first = put(&queue, pending(1, 60));
        let (snapshot, mut watcher) = queue.watch();
        assert_eq!(snapshot.len(), 1);
        put(&queue, pending(2, 60));
        queue.end(ended(first));
        assert!(
            matches!(watcher.next().await, Some(Ok(QueueEvent::Added(added))) if added.approval_id.as_bytes()[0] == 2)
        );
        assert!(
            matches!(watcher.next().await, Some(Ok(QueueEvent::Ended(ended))) if ended.pending.approval_id == first)
        );
    }

    #[tokio::test]
    async fn a_watcher_that_falls_behind_is_told_by_how_much() {
        let queue = queue();
        let (_, mut watcher) = queue.watch();
        for _ in 0..CHANGES_KEPT + 5 {
            let id = put(&queue, pending(1, 60));
            queue.end(ended(id));
        }
        let Some(Err(Lagged(missed))) = watcher.next().await else { panic!("the watcher was not told that it lagged") };
        assert!(missed > 0);
    }

    #[test]
    fn deadlines_are_told_and_the_next_one_too() {
        let queue = queue();
        let early = put(&queue, pending(1, 10));
        put(&queue, pending(2, 30));
        let (due, next) = queue.due(Duration::from_secs(10));
        assert_eq!(due, [early]);
        assert_eq!(next, Some(Duration::from_secs(20)));
    }
}
