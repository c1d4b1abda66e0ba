//! Takes denials and revocations that the record cannot take, and writes them when it can: see
//! [`unrecorded`](super::unrecorded).

use std::sync::Arc;

use super::decision::OnRecord;
use super::governor::Governor;
use super::token_changes::RevokedToken;
use super::unrecorded::{Denial, Revocation, Unrecorded};
use crate::approvals::is_own;
use crate::audit::StoreError;
use crate::audit::record::Event;
use crate::audit::row::RowState;
use crate::domain::{Caller, DecisionId, Outcome, TokenId};

/// The most denials that one transaction writes.
const AT_ONCE: usize = 64;

impl Governor {
    /// The denials and revocations that are not on the record yet.
    pub fn unrecorded(&self) -> &Arc<Unrecorded> {
        &self.unrecorded
    }

    /// Ends a question in memory, as denied. Returns false if it has ended meanwhile.
    pub(super) fn deny_in_memory(&self, denial: Denial) -> bool {
        let denial = Arc::new(denial);
        let approval_id = denial.pending.approval_id;
        // The denial comes first: whoever reads the question from now on finds it denied.
        if !self.unrecorded.deny(&denial) {
            return false;
        }
        let Some(place) = self.queue.end(denial.approval.clone()) else {
            self.unrecorded.forget_denial(approval_id);
            return false;
        };
        // It was empty.
        let _ = denial.place.set(place);
        self.held.forget(denial.pending.decision.decision_id());
        tracing::warn!(approval = %approval_id, "denied in memory: the record cannot be written");
        true
    }

    /// Revokes a token in memory. `None` if there is no such token.
    pub(super) fn revoke_in_memory(&self, token_id: TokenId, by: String) -> Option<Revocation> {
        let token = self.tokens.revoke(token_id)?;
        let revocation = Revocation { token, by, at: self.clock.now() };
        self.unrecorded.revoke(revocation.clone());
        tracing::warn!(token = %token_id, by = revocation.by, "revoked in memory: the record cannot be written");
        Some(revocation)
    }

    /// Writes to the record what is not on it yet.
    pub async fn record_unrecorded(&self) -> Result<(), StoreError> {
        self.record_halts().await?;
        let (denials, revocations) = self.unrecorded.all();
        for some in denials.chunks(AT_ONCE) {
            let turns: Vec<_> = some.iter().map(|denial| (self.turn(&denial.pending), Arc::clone(denial))).collect();
            let write = self
                .store
                .transact(move |tx| turns.iter().try_for_each(|(turn, denial)| turn.record_denial(tx, denial)));
            write.await?;
            for denial in some {
                self.unrecorded.forget_denial(denial.pending.approval_id);
            }
        }
        for revocation in revocations {
            let token_id = revocation.token.token_id;
            let (now, tokens) = (self.clock.now(), Arc::clone(&self.tokens));
            let write = self.store.transact(move |tx| {
                // Its first job may have been written after all.
                if tx.remove_token(token_id)?.is_some() {
                    let Revocation { token, by, at } = revocation.clone();
                    let subject = token.subject.clone();
                    tx.append(now, &Event::TokenRevoked { token_id, subject, by, at: Some(at) })?;
                    RevokedToken::from(revocation).keep(tx)?;
                }
                let all = tx.tokens()?;
                tx.after_commit(move || tokens.replace_without(token_id, all));
                Ok(())
            });
            write.await?;
            self.unrecorded.forget_revocation(token_id);
        }
        Ok(())
    }

    /// A decision of this caller whose question was denied in memory, for when the store cannot be read.
    pub(super) fn own_denied(&self, caller: &Caller, decision_id: DecisionId) -> Option<OnRecord> {
        let denial = self.unrecorded.of_decision(decision_id)?;
        let Denial { pending, approval, .. } = &*denial;
        if !is_own(pending.decision.identity(), caller) {
            return None;
        }
        let decision = Arc::clone(pending.decision.head());
        let state = RowState {
            sequence: 0,
            decision_id,
            outcome: Outcome::Escalate,
            action_digest: decision.action_digest,
            action_key: None,
            idempotency: None,
            approval: Some(approval.clone()),
            confirmation: None,
            allowed_at: None,
            result: Some(denial.result()),
            reported: None,
            spent: Vec::new(),
            redacted: None,
        };
        Some(OnRecord { record_id: pending.record_id, time: pending.requested_at, decision, state })
    }
}
