//! Loads the queue from the store at the start, and updates it after the store recovered from a fault.

use std::sync::Arc;
use std::time::Duration;

use super::governor::Governor;
use super::unrecorded::Unrecorded;
use crate::approvals::{Asked, Pending, Queue, Unmasked, UnmaskedCell};
use crate::audit::row::AuditRow;
use crate::audit::{Reader, StoreError};
use crate::domain::{Clock, json_len};

impl Governor {
    /// Updates the queue from the store. After a fault, a write that was reported as failed may be on disk after all.
    ///
    /// Runs in a job of the store, like every change of the queue. So nothing can be decided between the read and the
    /// update.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let (queue, clock) = (Arc::clone(&self.queue), Arc::clone(&self.clock));
        let (tokens, own_uid) = (Arc::clone(&self.tokens), self.settings.own_uid);
        let unrecorded = Arc::clone(&self.unrecorded);
        let (tell, told) = std::sync::mpsc::channel();
        self.store
            .transact(move |tx| {
                tx.after_commit_look(move |reader| {
                    let reconciled = reader.and_then(|reader| {
                        tokens.replace(reader.tokens()?);
                        reconcile(&reader, &queue, clock.as_ref(), own_uid, &unrecorded)
                    });
                    // The caller waits for this.
                    let _ = tell.send(reconciled);
                });
                Ok(())
            })
            .await?;
        told.recv().map_err(|_| StoreError::Closed)?
    }
}

/// Removes questions that ended in the store, and adds the open ones.
fn reconcile(
    reader: &Reader,
    queue: &Queue,
    clock: &dyn Clock,
    own_uid: u32,
    unrecorded: &Unrecorded,
) -> Result<(), StoreError> {
    for pending in queue.page(None, usize::MAX, |_| true) {
        let row = reader.by_approval(pending.approval_id)?;
        if let Some(approval) = row.and_then(|row| row.state.approval).filter(|approval| !approval.state.is_open()) {
            drop(queue.end(approval));
        }
    }
    fill(queue, reader, clock, own_uid, unrecorded)
}

/// Adds the open questions of the store to the queue one by one, because all of them together may not fit in memory.
/// What was denied in memory stays denied.
pub(super) fn fill(
    queue: &Queue,
    reader: &Reader,
    clock: &dyn Clock,
    own_uid: u32,
    unrecorded: &Unrecorded,
) -> Result<(), StoreError> {
    reader.each_pending(|approval_id, row| {
        if queue.get(approval_id).is_none()
            && unrecorded.denial(approval_id).is_none()
            && let Some(pending) = restored(row, clock, own_uid)
        {
            queue.restore(pending);
        }
        Ok(())
    })
}

/// Builds a question for the queue from the store. Its masked values are unknown.
fn restored(row: AuditRow, clock: &dyn Clock, own_uid: u32) -> Option<Pending> {
    let AuditRow { time, record_id, decision, state, .. } = row;
    let approval = state.approval?;
    // Never longer than its first timeout: a wall clock that was set back must not keep a question open.
    let left = approval.expires_at.duration_since(clock.now()).min(approval.expires_at.duration_since(time));
    let left = Duration::try_from(left).unwrap_or_default();
    Some(Pending {
        approval_id: approval.approval_id,
        unmasked: UnmaskedCell::new(if decision.masked.is_empty() { Unmasked::Nothing } else { Unmasked::Unknown }),
        bytes: json_len(&decision).unwrap_or(0),
        decision: Asked::new(Arc::new(decision)),
        record_id,
        connection: None,
        requested_at: time,
        expires_at: approval.expires_at,
        deadline: clock.uptime().saturating_add(left),
        timeout_allows: approval.timeout_allows,
        is_missed: left.is_zero(),
        own_uid,
    })
}
