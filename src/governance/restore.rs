//! The queue in step with the store: at the start of a run, and after the store has recovered from a fault.

use std::sync::Arc;
use std::time::Duration;

use super::governor::Governor;
use super::tokens::Tokens;
use crate::approvals::{Asked, Pending, Queue, Unmasked, UnmaskedCell};
use crate::audit::row::AuditRow;
use crate::audit::{Reader, StoreError};
use crate::domain::{Clock, json_len};

impl Governor {
    /// Brings the queue in step with the store: after a fault, what was reported as failed may be written after all.
    ///
    /// Done in the writer's turn, like every other change of the queue: nothing can be decided between look and change.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let (queue, clock) = (Arc::clone(&self.queue), Arc::clone(&self.clock));
        let (tokens, own_uid) = (Arc::clone(&self.tokens), self.settings.own_uid);
        let (tell, told) = std::sync::mpsc::channel();
        self.store
            .transact(move |tx| {
                tx.after_commit_look(move |reader| {
                    // Whoever asked waits for this answer.
                    let _ = tell
                        .send(reader.and_then(|reader| reconcile(&reader, &queue, &tokens, clock.as_ref(), own_uid)));
                });
                Ok(())
            })
            .await?;
        told.recv().map_err(|_| StoreError::Closed)?
    }
}

/// Ends in the queue what has ended in the store, and puts back what is open there; knows the tokens that are there.
fn reconcile(
    reader: &Reader,
    queue: &Queue,
    tokens: &Tokens,
    clock: &dyn Clock,
    own_uid: u32,
) -> Result<(), StoreError> {
    tokens.replace(reader.tokens()?);
    for pending in queue.page(None, usize::MAX, |_| true) {
        let row = reader.by_approval(pending.approval_id)?;
        if let Some(ending) = row.and_then(|row| row.state.approval?.state.into()) {
            queue.end(pending.approval_id, ending);
        }
    }
    fill(queue, reader, clock, own_uid)
}

/// Puts the open questions of the store into the queue, one after the other: all of them may be more than memory holds.
pub(super) fn fill(queue: &Queue, reader: &Reader, clock: &dyn Clock, own_uid: u32) -> Result<(), StoreError> {
    reader.each_pending(|approval_id, row| {
        if queue.get(approval_id).is_none()
            && let Some(pending) = restored(row, clock, own_uid)
        {
            queue.restore(pending);
        }
        Ok(())
    })
}

/// An open question of the store, as the queue holds it. What was masked is unknown.
fn restored(row: AuditRow, clock: &dyn Clock, own_uid: u32) -> Option<Pending> {
    let AuditRow { time, decision, state, .. } = row;
    let approval = state.approval?;
    // Never longer than it had at first: a wall clock that was put back must not keep a question open.
    let left = approval.expires_at.duration_since(clock.now()).min(approval.expires_at.duration_since(time));
    let left = Duration::try_from(left).unwrap_or_default();
    Some(Pending {
        approval_id: approval.approval_id,
        unmasked: UnmaskedCell::new(if decision.masked.is_empty() { Unmasked::Nothing } else { Unmasked::Unknown }),
        bytes: json_len(&decision).unwrap_or(0),
        decision: Asked::new(Arc::new(decision)),
        connection: None,
        requested_at: time,
        expires_at: approval.expires_at,
        deadline: clock.uptime().saturating_add(left),
        timeout_allows: approval.timeout_allows,
        is_missed: left.is_zero(),
        own_uid,
    })
}
