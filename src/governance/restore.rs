//! The queue in step with the store: at the start of a run, and after the store has recovered from a fault.

use std::sync::Arc;
use std::time::Duration;

use super::{Governor, Tokens};
use crate::approvals::{Pending, Queue, Unmasked};
use crate::audit::row::AuditRow;
use crate::audit::{Reader, StoreError};
use crate::domain::{Clock, How};

impl Governor {
    /// Brings the queue in step with the store: after a fault, what was reported as failed may be written after all.
    ///
    /// Done in the writer's turn, like every other change of the queue: nothing can be decided between look and change.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let (queue, clock) = (Arc::clone(&self.queue), Arc::clone(&self.clock));
        let tokens = Arc::clone(&self.tokens);
        let (tell, told) = std::sync::mpsc::channel();
        self.store
            .transact(move |tx| {
                tx.after_commit_look(move |reader| {
                    // Whoever asked waits for this answer.
                    let _ = tell.send(reader.and_then(|reader| reconcile(&reader, &queue, &tokens, clock.as_ref())));
                });
                Ok(())
            })
            .await?;
        told.recv().map_err(|_| StoreError::Closed)?
    }
}

/// Ends in the queue what has ended in the store, and puts back what is open there; knows the tokens that are there.
fn reconcile(reader: &Reader, queue: &Queue, tokens: &Tokens, clock: &dyn Clock) -> Result<(), StoreError> {
    tokens.replace(reader.tokens()?);
    for pending in queue.page(None, usize::MAX, |_| true) {
        let row = reader.by_approval(pending.approval_id)?;
        if let Some(ending) = row.and_then(|row| row.state.approval?.state.into()) {
            queue.end(pending.approval_id, ending);
        }
    }
    fill(queue, reader, clock)
}

/// Puts the open questions of the store into the queue.
pub(super) fn fill(queue: &Queue, reader: &Reader, clock: &dyn Clock) -> Result<(), StoreError> {
    for (approval_id, row) in reader.pending()? {
        if queue.get(approval_id).is_none()
            && let Some(pending) = restored(row, clock)
        {
            let caller = slot_key(&pending);
            queue.restore(pending, &caller);
        }
    }
    Ok(())
}

/// Whose place a question takes that the store held: connections do not outlive their daemon, subjects do.
fn slot_key(pending: &Pending) -> String {
    let proposer = &pending.decision.identity;
    match proposer.how {
        How::Anonymous => "earlier connections".to_owned(),
        _ => format!("subject {}", proposer.subject),
    }
}

/// An open question of the store, as the queue holds it. What was masked is unknown.
fn restored(row: AuditRow, clock: &dyn Clock) -> Option<Pending> {
    let AuditRow { time, decision, state, .. } = row;
    let approval = state.approval?;
    // Never longer than it had at first: a wall clock that was put back must not keep a question open.
    let left = approval.expires_at.duration_since(clock.now()).min(approval.expires_at.duration_since(time));
    let left = Duration::try_from(left).unwrap_or_default();
    Some(Pending {
        approval_id: approval.approval_id,
        unmasked: if decision.masked.is_empty() { Unmasked::Nothing } else { Unmasked::Unknown },
        decision: Arc::new(decision),
        requested_at: time,
        expires_at: approval.expires_at,
        deadline: clock.uptime().saturating_add(left),
        timeout_allows: approval.timeout_allows,
    })
}
