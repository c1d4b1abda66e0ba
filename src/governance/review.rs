//! The end of a question: by a reviewer, by time, by its proposer, or by a policy that has changed under it.

use std::sync::Arc;

use super::propose::settled;
use super::{GovernanceError, Governor};
use crate::approvals::{Ended, Pending, Queue};
use crate::audit::record::Event;
use crate::audit::row::{ConfirmationClosed, RowState};
use crate::audit::{StoreError, Tx, TxError};
use crate::domain::{
    ApprovalId, Caller, DecisionId, Digest, Ending, EndingKind, How, Outcome, ResultStatus, Timestamp,
};
use crate::policy::{Policy, Question};

/// The code of an approval that a changed policy ended.
const POLICY_CHANGED: &str = "POLICY_CHANGED";
/// The code of an approval that time ended.
const TIMEOUT: &str = "TIMEOUT";

/// How many questions one transaction ends when their time is over.
const EXPIRED_AT_ONCE: usize = 256;

/// What a reviewer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

impl Governor {
    /// Takes a reviewer's answer. The first one counts; everybody else is told who was first.
    pub async fn decide(
        &self,
        caller: &Caller,
        approval_id: ApprovalId,
        expected: Digest,
        verdict: Verdict,
        reason: String,
    ) -> Result<Ended, GovernanceError> {
        let Some(pending) = self.queue.get(approval_id) else {
            return Err(self.why_not_open(approval_id).await?);
        };
        let identity = caller.identity.clone();
        let reason = self.without_secrets(&reason);
        let turn = self.turn(&pending);
        let ending = self
            .store
            .transact(move |tx| {
                let (row, state) = match turn.open(tx)? {
                    Ok(open) => open,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                let pending = &turn.pending;
                if pending.action_digest != expected {
                    return Ok(Err(GovernanceError::DigestMismatch { approval_id, actual: pending.action_digest }));
                }
                if identity.is_same_subject(&pending.subject, pending.how) {
                    return Ok(Err(GovernanceError::OwnProposal(identity.subject.to_string())));
                }
                let now = turn.clock.now();
                if turn.is_late() {
                    let ending = turn.expiry(now);
                    turn.close(tx, row, state, ending.clone(), None)?;
                    return Ok(Err(GovernanceError::Expired { approval_id, ending }));
                }
                let by = identity.subject.to_string();
                let ending = match verdict {
                    Verdict::Deny => {
                        Ending { kind: EndingKind::Denied, allows: false, by, at: now, reason, code: String::new() }
                    }
                    Verdict::Approve => turn.forbidden_now(now).unwrap_or(Ending {
                        kind: EndingKind::Approved,
                        allows: true,
                        by,
                        at: now,
                        reason,
                        code: String::new(),
                    }),
                };
                turn.close(tx, row, state, ending.clone(), Some(identity.how))?;
                Ok(Ok(ending))
            })
            .await??;
        Ok(Ended { pending, ending })
    }

    /// Ends every question whose time is over, and says how long until the next one is.
    pub async fn expire_due(&self) -> Result<Option<std::time::Duration>, StoreError> {
        let (due, next) = self.queue.due(self.clock.uptime());
        // Many at a time: each transaction is synced, and those who wait for the last one wait for all before it.
        for some in due.chunks(EXPIRED_AT_ONCE) {
            let pending = some.iter().filter_map(|approval_id| self.queue.get(*approval_id));
            let turns: Vec<Turn> = pending.map(|pending| self.turn(&pending)).collect();
            self.store
                .transact(move |tx| {
                    for turn in turns {
                        if let Ok((row, state)) = turn.open(tx)? {
                            let ending = turn.expiry(turn.clock.now());
                            turn.close(tx, row, state, ending, None)?;
                        }
                    }
                    Ok(())
                })
                .await?;
        }
        Ok(next)
    }

    /// Withdraws a proposal that still waits for a reviewer or for a confirmation.
    pub async fn cancel(
        &self,
        caller: &Caller,
        decision_id: DecisionId,
        reason: String,
    ) -> Result<super::Answer, GovernanceError> {
        let reason = self.without_secrets(&reason);
        let answer = self.own_decision(caller, decision_id).await?;
        let now = self.clock.now();
        match (answer.outcome(), answer.decision.approval_id.and_then(|id| self.queue.get(id))) {
            (Outcome::Escalate, Some(pending)) => {
                let turn = self.turn(&pending);
                let (by, how) = (caller.identity.subject.to_string(), caller.identity.how);
                self.store
                    .transact(move |tx| {
                        let (row, state) = match turn.open(tx)? {
                            Ok(open) => open,
                            Err(refusal) => return Ok(Err(refusal)),
                        };
                        let kind = EndingKind::Cancelled;
                        let ending = Ending { kind, allows: false, by, at: now, reason, code: String::new() };
                        turn.close(tx, row, state, ending, Some(how))?;
                        Ok(Ok(()))
                    })
                    .await??;
            }
            (Outcome::RequireConfirmation, _) => {
                self.store
                    .transact(move |tx| {
                        let Some((row, mut state)) = tx.row_by_decision(decision_id)? else {
                            return Ok(Err(GovernanceError::NoDecision(decision_id)));
                        };
                        if let Some(confirmation) = &mut state.confirmation {
                            if let Some(ConfirmationClosed::Redeemed(by)) = confirmation.closed {
                                let state = format!("confirmed already, by {by}");
                                return Ok(Err(GovernanceError::NotPending { decision_id, state }));
                            }
                            confirmation.closed = Some(ConfirmationClosed::Cancelled);
                        }
                        state.result = Some(settled(ResultStatus::Skipped, "cancelled by its proposer"));
                        tx.append(now, &Event::ConfirmationCancelled { decision_id })?;
                        tx.update_row(row, &state)?;
                        Ok(Ok(()))
                    })
                    .await??;
            }
            (outcome, _) => {
                let state = format!("{} already", outcome.as_str());
                return Err(GovernanceError::NotPending { decision_id, state });
            }
        }
        self.own_decision(caller, decision_id).await
    }

    /// Why a question is not open: it has ended, or there never was one.
    async fn why_not_open(&self, approval_id: ApprovalId) -> Result<GovernanceError, StoreError> {
        let row = self.store.look(move |reader| reader.by_approval(approval_id)).await?;
        let ending = row.and_then(|row| row.state.approval?.ending);
        Ok(match ending {
            Some(ending) => already(approval_id, ending),
            None => GovernanceError::NoApproval(approval_id),
        })
    }

    fn turn(&self, pending: &Arc<Pending>) -> Turn {
        Turn {
            pending: Arc::clone(pending),
            queue: Arc::clone(&self.queue),
            generations: Arc::clone(&self.generations),
            clock: Arc::clone(&self.clock),
        }
    }
}

fn already(approval_id: ApprovalId, ending: Ending) -> GovernanceError {
    match ending.kind {
        EndingKind::Expired => GovernanceError::Expired { approval_id, ending },
        _ => GovernanceError::AlreadyDecided { approval_id, ending },
    }
}

/// What the writer needs to end one question in its turn: all of it is looked at then, not before.
struct Turn {
    pending: Arc<Pending>,
    queue: Arc<Queue>,
    generations: Arc<super::Generations>,
    clock: Arc<dyn crate::domain::Clock>,
}

impl Turn {
    /// The question as the store has it, if it is still open.
    fn open(&self, tx: &mut Tx<'_>) -> Result<Result<(u64, RowState), GovernanceError>, TxError> {
        let approval_id = self.pending.approval_id;
        let Some((row, state)) = tx.row_by_approval(approval_id)? else {
            return Ok(Err(GovernanceError::NoApproval(approval_id)));
        };
        match state.approval.as_ref().and_then(|approval| approval.ending.clone()) {
            Some(ending) => {
                // The queue may not know, where it was read from the store while this question ended.
                let (queue, end) = (Arc::clone(&self.queue), ending.clone());
                tx.after_commit(move || queue.end(approval_id, end));
                Ok(Err(already(approval_id, ending)))
            }
            None => Ok(Ok((row, state))),
        }
    }

    fn is_late(&self) -> bool {
        self.pending.deadline <= self.clock.uptime()
    }

    /// The end that time brings: what the rule says, unless the policy now in force blocks the action.
    fn expiry(&self, now: Timestamp) -> Ending {
        let expired = |allows| Ending {
            kind: EndingKind::Expired,
            allows,
            by: String::new(),
            at: now,
            reason: "nobody answered in time".to_owned(),
            code: TIMEOUT.to_owned(),
        };
        if self.pending.timeout_allows {
            self.forbidden_now(now).unwrap_or_else(|| expired(true))
        } else {
            expired(false)
        }
    }

    /// The end that the policy now in force brings, if it blocks the action.
    fn forbidden_now(&self, now: Timestamp) -> Option<Ending> {
        let generation = self.generations.current();
        let verdict = evaluate_again(&generation.policy, &self.pending, now);
        if verdict.is_allowed() {
            return None;
        }
        Some(Ending {
            kind: EndingKind::Denied,
            allows: false,
            by: String::new(),
            at: now,
            reason: format!("the policy now in force does not allow it: {}", verdict.reason()),
            code: POLICY_CHANGED.to_owned(),
        })
    }

    /// Writes the end, and tells everybody once it is durable.
    fn close(
        &self,
        tx: &mut Tx<'_>,
        row: u64,
        mut state: RowState,
        ending: Ending,
        how: Option<How>,
    ) -> Result<(), TxError> {
        let approval_id = self.pending.approval_id;
        if let Some(approval) = &mut state.approval {
            approval.ending = Some(ending.clone());
        }
        if ending.allows {
            state.allowed_at = Some(ending.at);
        } else {
            let status = match ending.kind {
                EndingKind::Cancelled => ResultStatus::Skipped,
                _ => ResultStatus::Denied,
            };
            state.result = Some(settled(status, &ending.reason));
        }
        let event = Event::ApprovalEnded {
            approval_id,
            decision_id: self.pending.decision_id,
            ending: ending.clone(),
            how,
            policy_revision: self.generations.current().policy.revision(),
        };
        tx.append(ending.at, &event)?;
        tx.update_row(row, &state)?;
        let queue = Arc::clone(&self.queue);
        tx.after_commit(move || queue.end(approval_id, ending));
        Ok(())
    }
}

fn evaluate_again<'p>(policy: &'p Policy, pending: &Pending, now: Timestamp) -> crate::policy::Verdict<'p> {
    let authenticated = pending.how != How::Anonymous;
    policy.evaluate(&Question {
        action: &pending.proposal.action,
        declared_actor: &pending.proposal.actor.id,
        authenticated_actor: authenticated.then(|| pending.bound_actor.as_deref().unwrap_or(&pending.subject)),
        now,
        masked: &pending.lost,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Options, Store};
    use crate::domain::{
        Action, Checked, Clock as _, ConnectionId, Identity, JsonLimits, Proposal, Role, Roles, SystemClock,
    };
    use crate::governance::{Generation, Generations, PolicySource, Propose, Settings};

    fn caller(subject: &str, how: How) -> Caller {
        let identity = Identity::new(subject, Roles::of(&Role::ALL), how);
        Caller { identity, connection: ConnectionId(1) }
    }

    async fn governor(dir: &tempfile::TempDir) -> Governor {
        let clock = Arc::new(SystemClock::start());
        let store = Store::open(&dir.path().join("record.redb"), Options::default()).unwrap();
        let policy = PolicySource::Starter.load().unwrap();
        let generations = Generations::new(PolicySource::Starter, Generation { policy, loaded_at: clock.now() });
        let settings = Settings::default();
        Governor::start(store, generations, clock, getrandom::fill, [7; 32], settings, Vec::new()).await.unwrap()
    }

    #[tokio::test]
    async fn a_proposer_cannot_review_itself_by_any_credential() {
        let dir = tempfile::tempdir().unwrap();
        let governor = governor(&dir).await;
        let ada = caller("local:ada", How::UnixPeer);
        let action = Action { r#type: "bulk_update".into(), ..Action::default() };
        let ask = Propose { proposal: Proposal { action, ..Proposal::default() }, ..Propose::default() };
        let ask = Checked::new(ask, JsonLimits::default(), Vec::new()).unwrap();
        let asked = governor.propose(&ada, ask).await.unwrap().decision;
        let approval_id = asked.approval_id.unwrap();
        let decide = async |by: &Caller, verdict| {
            governor.decide(by, approval_id, asked.action_digest, verdict, String::new()).await
        };

        for how in [How::UnixPeer, How::BootstrapCredential] {
            for verdict in [Verdict::Approve, Verdict::Deny] {
                let refused = decide(&caller("local:ada", how), verdict).await.unwrap_err();
                assert!(matches!(refused, GovernanceError::OwnProposal(_)), "{how:?}, {verdict:?}: {refused}");
            }
        }
        // Nothing was decided by that: somebody else still can.
        let ended = decide(&caller("local:bob", How::UnixPeer), Verdict::Approve).await.unwrap();
        assert_eq!((ended.ending.allows, ended.ending.by.as_str()), (true, "local:bob"));
    }
}
