//! [`Presence`]: whether the proposer of an open question still waits for it.
//!
//! Somebody waits while a call waits. Between two calls, somebody waits while the connection of the last one is open
//! and the last one ended less than [`PATIENCE`] ago. After a restart nobody knows, until the proposer asks.
//!
//! This is a state machine without a clock: the caller passes the uptime. Changes are handed out a few at a time, each
//! question once: an agent that comes and goes cannot flood the reviewers.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::domain::{ApprovalId, ConnectionId};

/// The longest time between two calls of a proposer that waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// What is known about the proposers of open questions.
#[derive(Debug, Default)]
pub(super) struct Presence {
    by_id: HashMap<ApprovalId, Seen>,
    by_connection: HashMap<ConnectionId, BTreeSet<ApprovalId>>,
    /// When nobody waits any more, unless another call comes.
    by_end: BTreeSet<(Duration, ApprovalId)>,
    /// The questions whose state may differ from what was handed out.
    changed: BTreeSet<ApprovalId>,
}

/// What is known about one proposer.
#[derive(Debug)]
struct Seen {
    /// The connection of the last call.
    connection: ConnectionId,
    /// How many calls wait.
    calls: usize,
    /// The end of [`PATIENCE`] after the last call.
    end: Option<Duration>,
    waits: bool,
    /// What was handed out last.
    told: Option<bool>,
}

impl Presence {
    /// Whether somebody waits. `None` if nobody knows.
    pub(super) fn waits(&self, id: ApprovalId) -> Option<bool> {
        self.by_id.get(&id).map(|seen| seen.waits)
    }

    /// A proposer asks a new question. Watchers learn of the question itself.
    pub(super) fn asked(&mut self, id: ApprovalId, connection: ConnectionId, uptime: Duration) {
        self.called(id, connection);
        self.left(id, uptime);
        if let Some(seen) = self.by_id.get_mut(&id) {
            seen.told = Some(true);
        }
        self.changed.remove(&id);
    }

    /// A call of the proposer begins.
    pub(super) fn called(&mut self, id: ApprovalId, connection: ConnectionId) {
        let new = Seen { connection, calls: 0, end: None, waits: false, told: None };
        let seen = self.by_id.entry(id).or_insert(new);
        seen.calls += 1;
        if let Some(end) = seen.end.take() {
            self.by_end.remove(&(end, id));
        }
        let before = std::mem::replace(&mut seen.connection, connection);
        if before != connection {
            remove(&mut self.by_connection, before, id);
        }
        self.by_connection.entry(connection).or_default().insert(id);
        self.set(id, true);
    }

    /// A call of the proposer has ended.
    pub(super) fn left(&mut self, id: ApprovalId, uptime: Duration) {
        let Some(seen) = self.by_id.get_mut(&id) else { return };
        seen.calls = seen.calls.saturating_sub(1);
        // After its connection is closed, nobody waits at once.
        if seen.calls == 0 && seen.waits {
            let end = uptime.saturating_add(PATIENCE);
            seen.end = Some(end);
            self.by_end.insert((end, id));
        }
    }

    /// A connection is closed.
    pub(super) fn closed(&mut self, connection: ConnectionId) {
        for id in self.by_connection.remove(&connection).unwrap_or_default() {
            self.end(id);
        }
    }

    /// The question is not open any more.
    pub(super) fn forget(&mut self, id: ApprovalId) {
        let Some(seen) = self.by_id.remove(&id) else { return };
        if let Some(end) = seen.end {
            self.by_end.remove(&(end, id));
        }
        remove(&mut self.by_connection, seen.connection, id);
        self.changed.remove(&id);
    }

    /// At most so many questions whose state has changed since it was handed out, and the time until the next may
    /// change. `None` if no time is known.
    pub(super) fn changes(&mut self, uptime: Duration, limit: usize) -> (Vec<ApprovalId>, Option<Duration>) {
        while let Some(&(end, id)) = self.by_end.first()
            && end <= uptime
        {
            self.end(id);
        }
        let mut changes = Vec::new();
        while changes.len() < limit
            && let Some(id) = self.changed.pop_first()
        {
            let Some(seen) = self.by_id.get_mut(&id) else { continue };
            if seen.told.replace(seen.waits) != Some(seen.waits) {
                changes.push(id);
            }
        }
        let next = self.by_end.first().map(|(end, _)| end.saturating_sub(uptime));
        (changes, if self.changed.is_empty() { next } else { Some(Duration::ZERO) })
    }

    /// Nobody waits for this question.
    fn end(&mut self, id: ApprovalId) {
        if let Some(end) = self.by_id.get_mut(&id).and_then(|seen| seen.end.take()) {
            self.by_end.remove(&(end, id));
        }
        self.set(id, false);
    }

    fn set(&mut self, id: ApprovalId, waits: bool) {
        if let Some(seen) = self.by_id.get_mut(&id)
            && std::mem::replace(&mut seen.waits, waits) != waits
        {
            self.changed.insert(id);
        }
    }
}

fn remove(by_connection: &mut HashMap<ConnectionId, BTreeSet<ApprovalId>>, connection: ConnectionId, id: ApprovalId) {
    if let Some(ids) = by_connection.get_mut(&connection) {
        ids.remove(&id);
        if ids.is_empty() {
            by_connection.remove(&connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConnectionId = ConnectionId(1);
    const B: ConnectionId = ConnectionId(2);

    fn id(n: u8) -> ApprovalId {
        ApprovalId::from_bytes([n; 16])
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn changes(presence: &mut Presence, seconds: u64) -> Vec<ApprovalId> {
        presence.changes(at(seconds), 100).0
    }

    #[test]
    fn somebody_waits_from_the_question_until_ninety_seconds_without_a_call() {
        let mut presence = Presence::default();
        presence.asked(id(1), A, at(0));
        assert_eq!(presence.changes(at(1), 100), (Vec::new(), Some(at(89))));
        assert_eq!(presence.waits(id(1)), Some(true));
        presence.called(id(1), A);
        assert_eq!(presence.changes(at(1000), 100), (Vec::new(), None), "a call that waits is somebody who waits");
        presence.left(id(1), at(1000));
        assert_eq!(changes(&mut presence, 1089), []);
        assert_eq!(changes(&mut presence, 1090), [id(1)]);
        assert_eq!(presence.waits(id(1)), Some(false));
        presence.called(id(1), A);
        assert_eq!(changes(&mut presence, 1091), [id(1)]);
        assert_eq!(presence.waits(id(1)), Some(true), "who comes back waits again");
    }

    #[test]
    fn nobody_waits_when_the_connection_is_closed_even_if_its_calls_end_later() {
        let mut presence = Presence::default();
        presence.asked(id(1), A, at(0));
        presence.called(id(1), A);
        presence.closed(A);
        assert_eq!(changes(&mut presence, 1), [id(1)]);
        presence.left(id(1), at(2));
        assert_eq!((presence.waits(id(1)), changes(&mut presence, 3)), (Some(false), vec![]));
    }

    #[test]
    fn the_connection_of_the_last_call_counts() {
        let mut presence = Presence::default();
        presence.asked(id(1), A, at(0));
        presence.called(id(1), B);
        presence.closed(A);
        assert_eq!(presence.waits(id(1)), Some(true));
        presence.closed(B);
        assert_eq!(presence.waits(id(1)), Some(false));
    }

    #[test]
    fn a_question_of_an_earlier_run_is_unknown_until_its_proposer_calls() {
        let mut presence = Presence::default();
        assert_eq!(presence.waits(id(1)), None);
        presence.called(id(1), A);
        assert_eq!((presence.waits(id(1)), changes(&mut presence, 0)), (Some(true), vec![id(1)]));
    }

    #[test]
    fn coming_and_going_is_told_once_and_a_few_questions_at_a_time() {
        let mut presence = Presence::default();
        for n in 0..10 {
            presence.asked(id(n), A, at(0));
        }
        for _ in 0..100 {
            presence.closed(A);
            for n in 0..10 {
                presence.called(id(n), A);
                presence.left(id(n), at(0));
            }
        }
        assert_eq!(changes(&mut presence, 1), [], "all is as it was");
        presence.closed(A);
        let (first, next) = presence.changes(at(1), 4);
        assert_eq!((first.len(), next), (4, Some(Duration::ZERO)));
        assert_eq!(changes(&mut presence, 1).len(), 6);
    }

    #[test]
    fn nothing_is_left_of_questions_that_have_ended() {
        let mut presence = Presence::default();
        presence.asked(id(1), A, at(0));
        presence.called(id(1), B);
        presence.forget(id(1));
        presence.left(id(1), at(1));
        presence.asked(id(2), A, at(0));
        presence.forget(id(2));
        assert!(presence.by_id.is_empty() && presence.by_connection.is_empty());
        assert!(presence.by_end.is_empty() && presence.changed.is_empty());
    }
}
