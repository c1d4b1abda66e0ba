//! Ends questions: by a reviewer, by time, by the proposer, or by a changed policy.
//!
//! [`Pending::next`] decides the state after an act. This module finds the question, evaluates the policy and writes
//! the new state, all in one job of the store.

use std::sync::Arc;
use std::time::Duration;

use super::error::GovernanceError;
use super::generations::Generations;
use super::governor::Governor;
use super::held::Held;
use super::job::{self, Refused};
use super::write::settled;
use crate::approvals::{Act, Moment, Pending, PolicyNow, Queue, Refusal, Vote};
use crate::audit::record::{DecisionRecord, Event};
use crate::audit::row::{AuditRow, RowState};
use crate::audit::{StoreError, Tx, TxError};
use crate::domain::{ApprovalId, Caller, Clock, Digest, Ending, EndingKind, How, QuestionState, ResultStatus};
use crate::policy::Question;

/// The most expired questions that one transaction ends.
const EXPIRED_AT_ONCE: usize = 256;

/// The result of a vote.
#[derive(Debug)]
pub enum Voted {
    /// It was taken.
    Now {
        /// The question.
        pending: Arc<Pending>,
        /// Where it stands now.
        state: QuestionState,
    },
    /// The same reviewer had ended the question with the same vote: it stays as it was.
    Before(Box<AuditRow>),
}

impl Governor {
    /// Takes a reviewer's vote. The first one ends the question. The same vote of the same reviewer again is answered
    /// as it was the first time; everybody else is told who was first.
    pub async fn decide(
        &self,
        caller: &Caller,
        approval_id: ApprovalId,
        shown: Digest,
        vote: Vote,
        reason: String,
    ) -> Result<Voted, GovernanceError> {
        let Some(pending) = self.queue.get(approval_id) else {
            return self.vote_again(caller, approval_id, shown, vote).await;
        };
        let (by, reason) = (caller.clone(), self.without_secrets(&reason));
        let turn = self.turn(&pending);
        let voted = job::run(&self.store, move |tx| {
            let by = &by;
            let act = |tx: &mut Tx<'_>, state: &RowState| {
                Ok(match vote {
                    Vote::Approve => Act::Approve { by, shown, reason, policy: turn.policy_now(tx, state)? },
                    Vote::Deny => Act::Deny { by, shown, reason },
                })
            };
            turn.act(tx, act, Some(by.identity.how))
        })
        .await;
        match voted {
            Ok(state) => Ok(Voted::Now { pending, state }),
            // It ended while this vote was on its way.
            Err(GovernanceError::AlreadyDecided { .. }) => self.vote_again(caller, approval_id, shown, vote).await,
            Err(error) => Err(error),
        }
    }

    /// Ends every expired question, and returns the time until the next deadline.
    pub async fn expire_due(&self) -> Result<Option<Duration>, StoreError> {
        let (due, next) = self.queue.due(self.clock.uptime());
        // Several questions in one transaction, because each transaction costs a sync.
        for some in due.chunks(EXPIRED_AT_ONCE) {
            let pending = some.iter().filter_map(|approval_id| self.queue.get(*approval_id));
            let turns: Vec<Turn> = pending.map(|pending| self.turn(&pending)).collect();
            self.store
                .transact(move |tx| {
                    for turn in turns {
                        match turn.act(tx, |tx, state| turn.time_out(tx, state), None) {
                            // A question that ended meanwhile keeps its ending.
                            Ok(_) | Err(Refused::By(_)) => {}
                            Err(Refused::Failed(error)) => return Err(error),
                        }
                    }
                    Ok(())
                })
                .await?;
        }
        Ok(next)
    }

    /// Answers a vote on a question that is not open: it has ended, or there never was one.
    async fn vote_again(
        &self,
        caller: &Caller,
        approval_id: ApprovalId,
        shown: Digest,
        vote: Vote,
    ) -> Result<Voted, GovernanceError> {
        let row = self.store.look(move |reader| reader.by_approval(approval_id)).await?;
        let Some((row, ending)) = row.and_then(|row| {
            let ending = row.state.approval.as_ref()?.ending()?.clone();
            Some((row, ending))
        }) else {
            return Err(GovernanceError::NoApproval(approval_id));
        };
        // What the daemon itself ended names nobody, so nobody's vote is the one that ended it.
        let is_same =
            vote.ending() == ending.kind && *ending.by == *caller.identity.subject && row.state.action_digest == shown;
        if is_same { Ok(Voted::Before(Box::new(row))) } else { Err(already(approval_id, ending)) }
    }

    /// The data that a job needs to act on a question.
    pub(super) fn turn(&self, pending: &Arc<Pending>) -> Turn {
        Turn {
            pending: Arc::clone(pending),
            queue: Arc::clone(&self.queue),
            generations: Arc::clone(&self.generations),
            clock: Arc::clone(&self.clock),
            held: Arc::clone(&self.held),
        }
    }

    /// The whole decision of a question. A large decision is read from the store.
    pub async fn asked(&self, pending: &Pending) -> Result<Arc<DecisionRecord>, StoreError> {
        if let Some(whole) = pending.decision.whole() {
            return Ok(Arc::clone(whole));
        }
        let decision_id = pending.decision.decision_id();
        // Not among the looks of agents, who could have so many that a reviewer waits.
        let row = self.store.scan(move |reader| reader.by_decision(decision_id)).await?;
        let missing =
            || StoreError::Corrupt { what: format!("{decision_id} has an open question, and is missing").into() };
        Ok(Arc::new(row.ok_or_else(missing)?.decision))
    }
}

fn already(approval_id: ApprovalId, ending: Ending) -> GovernanceError {
    match ending.kind {
        EndingKind::Expired => GovernanceError::Expired { approval_id, ending },
        _ => GovernanceError::AlreadyDecided { approval_id, ending },
    }
}

/// The data that a job needs to act on one question. The job reads the current state itself.
pub(super) struct Turn {
    pending: Arc<Pending>,
    queue: Arc<Queue>,
    generations: Arc<Generations>,
    clock: Arc<dyn Clock>,
    held: Arc<Held>,
}

impl Turn {
    /// Applies an act to the question and writes the new state. `how` is how the person was authenticated.
    ///
    /// Refuses an act that is too late, and writes the expiry instead.
    pub(super) fn act<'a>(
        &self,
        tx: &mut Tx<'_>,
        act: impl FnOnce(&mut Tx<'_>, &RowState) -> Result<Act<'a>, TxError>,
        how: Option<How>,
    ) -> Result<QuestionState, Refused<GovernanceError>> {
        let approval_id = self.pending.approval_id;
        let found = tx.row_by_approval(approval_id)?;
        let Some((row, state, before)) = found.and_then(|(row, state)| {
            let before = state.approval.as_ref()?.state.clone();
            Some((row, state, before))
        }) else {
            return Err(Refused::By(GovernanceError::NoApproval(approval_id)));
        };
        if let QuestionState::Ended(ending) = before {
            // The queue may still have the question, if it was loaded from the store while the question ended.
            let (queue, end) = (Arc::clone(&self.queue), ending.clone());
            tx.after_commit(move || queue.end(approval_id, end));
            return Err(Refused::By(already(approval_id, ending)));
        }
        let now = Moment { time: self.clock.now(), uptime: self.clock.uptime() };
        let act = act(tx, &state)?;
        let refusal = match self.pending.next(&before, act, now) {
            Ok(after) => {
                self.write(tx, row, state, &after, how)?;
                return Ok(after);
            }
            Err(refusal) => refusal,
        };
        Err(Refused::By(match refusal {
            Refusal::Ended(ending) => already(approval_id, ending),
            Refusal::Late => {
                let act = self.time_out(tx, &state)?;
                let Ok(QuestionState::Ended(ending)) = self.pending.next(&before, act, now) else {
                    return Err(TxError::Misuse("a question outlives its time").into());
                };
                self.write(tx, row, state, &QuestionState::Ended(ending.clone()), None)?;
                GovernanceError::Expired { approval_id, ending }
            }
            Refusal::Early => return Err(TxError::Misuse("a question ends before its time").into()),
            Refusal::NotShown => {
                GovernanceError::DigestMismatch { approval_id, actual: self.pending.decision.action_digest() }
            }
            Refusal::OwnProposal => GovernanceError::OwnProposal,
        }))
    }

    /// The expiry of a question. Evaluates the policy only if the action may run without an answer.
    fn time_out(&self, tx: &mut Tx<'_>, state: &RowState) -> Result<Act<'static>, TxError> {
        let policy = if self.pending.silence_allows() { self.policy_now(tx, state)? } else { PolicyNow::Allows };
        Ok(Act::TimeOut { policy })
    }

    /// What the policy in force says about the action.
    fn policy_now(&self, tx: &mut Tx<'_>, state: &RowState) -> Result<PolicyNow, TxError> {
        let generation = self.generations.current();
        let Pending { decision, unmasked, .. } = &*self.pending;
        let decision = match decision.whole() {
            Some(whole) => Arc::clone(whole),
            None => Arc::new(tx.decision_record(state)?),
        };
        let proposer = &decision.identity;
        let (action, masked) = unmasked.restore(decision.action.clone(), &decision.masked);
        let authenticated = proposer.how != How::Anonymous;
        let verdict = generation.policy.evaluate(&Question {
            action: &action,
            declared_actor: &decision.actor.id,
            authenticated_actor: authenticated.then(|| proposer.actor.as_deref().unwrap_or(&proposer.subject)),
            now: self.clock.now(),
            masked,
        });
        Ok(if verdict.is_allowed() { PolicyNow::Allows } else { PolicyNow::Blocks(verdict.reason()) })
    }

    /// Writes the state, and notifies watchers after it is durable.
    fn write(
        &self,
        tx: &mut Tx<'_>,
        row: u64,
        mut state: RowState,
        after: &QuestionState,
        how: Option<How>,
    ) -> Result<(), TxError> {
        let approval_id = self.pending.approval_id;
        if let Some(approval) = &mut state.approval {
            approval.state = after.clone();
        }
        let Some(ending) = after.ending().cloned() else { return tx.update_row(row, &state) };
        if ending.allows {
            state.allowed_at = Some(ending.at);
        } else {
            let status = match ending.kind {
                EndingKind::Cancelled => ResultStatus::Skipped,
                _ => ResultStatus::Denied,
            };
            state.result = Some(settled(status, &ending.reason));
        }
        let decision_id = self.pending.decision.decision_id();
        let event = Event::ApprovalEnded {
            approval_id,
            decision_id,
            ending: ending.clone(),
            how,
            policy_revision: self.generations.current().policy.revision(),
        };
        tx.append(ending.at, &event)?;
        tx.update_row(row, &state)?;
        let (queue, held) = (Arc::clone(&self.queue), Arc::clone(&self.held));
        tx.after_commit(move || {
            if !ending.allows {
                held.forget(decision_id);
            }
            queue.end(approval_id, ending);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Options, Store};
    use crate::domain::{
        Action, Checked, ConnectionId, Identity, JsonLimits, Peer, Proposal, Role, Roles, SystemClock,
    };
    use crate::governance::{Generation, Generations, PolicySource, Propose, Settings};

    fn caller(subject: &str, how: How, connection: u64) -> Caller {
        let identity = Identity::new(subject, Roles::of(&Role::ALL), how);
        Caller { identity, connection: ConnectionId(connection), peer: Peer::Loopback }
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
        let ada = caller("local:ada", How::UnixPeer, 1);
        let action = Action { r#type: "bulk_update".into(), ..Action::default() };
        let ask = Propose { proposal: Proposal { action, ..Proposal::default() }, ..Propose::default() };
        let ask = Checked::new(ask, JsonLimits::default(), Vec::new()).unwrap();
        let asked = governor.propose(&ada, ask).await.unwrap();
        let approval_id = asked.approval_id.unwrap();
        let decide =
            async |by: &Caller, vote| governor.decide(by, approval_id, asked.action_digest, vote, String::new()).await;

        for how in [How::UnixPeer, How::BootstrapCredential] {
            for vote in [Vote::Approve, Vote::Deny] {
                let refused = decide(&caller("local:ada", how, 2), vote).await.unwrap_err();
                assert!(matches!(refused, GovernanceError::OwnProposal), "{how:?}, {vote:?}: {refused}");
            }
        }
        // A refused act changes nothing: another reviewer can still decide.
        let voted = decide(&caller("local:bob", How::UnixPeer, 3), Vote::Approve).await.unwrap();
        let Voted::Now { state, .. } = voted else { panic!("{voted:?}") };
        let ending = state.ending().unwrap();
        assert_eq!((ending.allows, ending.by.as_str()), (true, "local:bob"));

        // The same vote again changes nothing; another credential of the same subject is the same reviewer.
        for how in [How::UnixPeer, How::BootstrapCredential] {
            let again = decide(&caller("local:bob", how, 4), Vote::Approve).await.unwrap();
            let Voted::Before(row) = again else { panic!("{again:?}") };
            assert_eq!(row.state.approval.unwrap().state, state);
        }
        for (by, vote) in [("local:bob", Vote::Deny), ("local:eve", Vote::Approve), ("", Vote::Approve)] {
            let refused = decide(&caller(by, How::UnixPeer, 5), vote).await.unwrap_err();
            assert!(matches!(refused, GovernanceError::AlreadyDecided { .. }), "{by}, {vote:?}: {refused}");
        }
    }
}
