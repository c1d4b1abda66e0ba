//! Ends questions: by a reviewer, by time, by the proposer, or by a changed policy.
//!
//! [`Pending::next`] decides the state after an act. This module finds the question, evaluates the policy and writes
//! the new state, all in one job of the store.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::error::GovernanceError;
use super::generations::Generations;
use super::governor::Governor;
use super::halts::{Halts, Who, why};
use super::held::Held;
use super::job::{self, Refused};
use super::spending::{self, Proposed, Spender, Spending};
use super::unrecorded::{Denial, Unrecorded, overrule, recorded};
use crate::approvals::{Act, Moment, Pending, PolicyNow, Queue, Refusal};
use crate::audit::record::{DecisionRecord, Event, VoteRecord};
use crate::audit::row::{ApprovalState, AuditRow, RowState, Vote};
use crate::audit::{StoreError, Tx, TxError};
use crate::domain::{
    ApprovalId, Caller, Clock, Defence, Digest, Ending, EndingKind, How, QuestionState, Report, ResultStatus,
    Timestamp, Verdict,
};
use crate::policy::{self, Question};

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
        approval: ApprovalState,
        /// Whether that is on the record. Otherwise it is in force, and is recorded when the record can be written.
        is_recorded: bool,
    },
    /// The same reviewer had ended the question with the same vote: it stays as it was.
    Before(Box<AuditRow>),
}

impl Governor {
    /// Takes a reviewer's vote. The first one ends the question. The same vote of the same reviewer again is answered
    /// as it was the first time; everybody else is told who was first.
    ///
    /// A denial takes effect even if the record cannot be written. An approval does not.
    pub async fn decide(
        &self,
        caller: &Caller,
        approval_id: ApprovalId,
        shown: Digest,
        verdict: Verdict,
        reason: String,
    ) -> Result<Voted, GovernanceError> {
        if let Some(denial) = self.unrecorded.denial(approval_id) {
            return again_in_memory(&denial, caller, shown, verdict);
        }
        let Some(pending) = self.queue.get(approval_id) else {
            return self.vote_again(caller, approval_id, shown, verdict).await;
        };
        let reason = self.without_secrets(&reason);
        let (by, said) = (caller.clone(), reason.clone());
        let turn = self.turn(&pending);
        let voted = job::run(&self.store, move |tx| {
            let (by, reason) = (&by, said);
            let act = |tx: &mut Tx<'_>, state: &RowState| {
                Ok(match verdict {
                    Verdict::Approve => {
                        Act::Approve { by, shown, reason, policy: turn.policy_now(tx, state, By::Reviewer)? }
                    }
                    Verdict::Deny => Act::Deny { by, shown, reason },
                })
            };
            turn.act(tx, act, Some(by.identity.how))
        });
        let voted = match verdict {
            Verdict::Approve => voted.await,
            Verdict::Deny if !Defence::DenyInMemory.on() => voted.await,
            Verdict::Deny => match recorded(voted).await {
                Some(voted) => voted,
                None => return self.deny_unrecorded(caller, pending, shown, reason).await,
            },
        };
        // Somebody may have denied it in memory while the approval was on its way to the disk.
        if let Some(denial) = self.unrecorded.denial(approval_id) {
            return again_in_memory(&denial, caller, shown, verdict);
        }
        match voted {
            Ok(approval) => Ok(Voted::Now { pending, approval, is_recorded: true }),
            // It ended while this vote was on its way.
            Err(GovernanceError::AlreadyDecided { .. }) => self.vote_again(caller, approval_id, shown, verdict).await,
            Err(error) => Err(error),
        }
    }

    /// Denies in memory what the record cannot take now.
    async fn deny_unrecorded(
        &self,
        by: &Caller,
        pending: Arc<Pending>,
        shown: Digest,
        reason: String,
    ) -> Result<Voted, GovernanceError> {
        let approval_id = pending.approval_id;
        let now = Moment { time: self.clock.now(), uptime: self.clock.uptime() };
        let act = Act::Deny { by, shown, reason };
        let vote = act.vote();
        let approval = match pending.next(&QuestionState::Open, act, now) {
            Ok(state) => ApprovalState { state, ..pending.open_state() },
            Err(refusal) => return Err(self.turn(&pending).refusal(refusal)),
        };
        let (how, place) = (by.identity.how, OnceLock::new());
        let denial = Denial { pending: Arc::clone(&pending), approval: approval.clone(), shown, how, vote, place };
        if !self.deny_in_memory(denial) {
            if let Some(denial) = self.unrecorded.denial(approval_id) {
                return again_in_memory(&denial, by, shown, Verdict::Deny);
            }
            return self.vote_again(by, approval_id, shown, Verdict::Deny).await;
        }
        Ok(Voted::Now { pending, approval, is_recorded: false })
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
        verdict: Verdict,
    ) -> Result<Voted, GovernanceError> {
        let row = self.store.look(move |reader| reader.by_approval(approval_id)).await?;
        let Some((row, ending)) = row.and_then(|row| {
            let ending = row.state.approval.as_ref()?.ending()?.clone();
            Some((row, ending))
        }) else {
            return Err(GovernanceError::NoApproval(approval_id));
        };
        // What the daemon itself ended names nobody, so nobody's vote is the one that ended it.
        let is_same = verdict.ending() == ending.kind
            && *ending.by == *caller.identity.subject
            && row.state.action_digest == shown;
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
            unrecorded: Arc::clone(&self.unrecorded),
            spender: self.spender.clone(),
            halts: Arc::clone(&self.halts),
            due: RefCell::default(),
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

/// Answers a vote on a question that was denied in memory.
fn again_in_memory(
    denial: &Denial,
    caller: &Caller,
    shown: Digest,
    verdict: Verdict,
) -> Result<Voted, GovernanceError> {
    let Denial { pending, approval, .. } = denial;
    let is_same = verdict == Verdict::Deny
        && denial.shown == shown
        && approval.ending().is_some_and(|ending| *ending.by == *caller.identity.subject);
    if is_same {
        return Ok(Voted::Now { pending: Arc::clone(pending), approval: approval.clone(), is_recorded: false });
    }
    Err(denial.already())
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
    unrecorded: Arc<Unrecorded>,
    spender: Spender,
    halts: Arc<Halts>,
    /// What the action spends if this act allows it.
    due: RefCell<Spending>,
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
    ) -> Result<ApprovalState, Refused<GovernanceError>> {
        let approval_id = self.pending.approval_id;
        let found = tx.row_by_approval(approval_id)?;
        let Some((row, state, before)) = found.and_then(|(row, state)| {
            let before = state.approval.clone()?;
            Some((row, state, before))
        }) else {
            return Err(Refused::By(GovernanceError::NoApproval(approval_id)));
        };
        if let Some(ending) = before.ending().cloned() {
            // The queue may still have the question, if it was loaded from the store while the question ended.
            let queue = Arc::clone(&self.queue);
            tx.after_commit(move || drop(queue.end(before)));
            return Err(Refused::By(already(approval_id, ending)));
        }
        if let Some(denial) = self.unrecorded.denial(approval_id) {
            return Err(Refused::By(denial.already()));
        }
        let now = Moment { time: self.clock.now(), uptime: self.clock.uptime() };
        let act = act(tx, &state)?;
        let vote = act.vote();
        let refusal = match self.pending.next(&before.state, act, now) {
            Ok(after) => {
                let by = how.map(|how| Person { how, vote });
                return Ok(self.write(tx, now.time, row, state, after, by)?);
            }
            Err(refusal) => refusal,
        };
        Err(match refusal {
            Refusal::Late => {
                let act = self.time_out(tx, &state)?;
                let Ok(QuestionState::Ended(ending)) = self.pending.next(&before.state, act, now) else {
                    return Err(TxError::Misuse("a question outlives its time").into());
                };
                self.write(tx, now.time, row, state, QuestionState::Ended(ending.clone()), None)?;
                Refused::By(GovernanceError::Expired { approval_id, ending })
            }
            Refusal::Early => TxError::Misuse("a question ends before its time").into(),
            refusal => Refused::By(self.refusal(refusal)),
        })
    }

    /// Why an act is refused, for the caller.
    fn refusal(&self, refusal: Refusal) -> GovernanceError {
        let approval_id = self.pending.approval_id;
        match refusal {
            Refusal::Ended(ending) => already(approval_id, ending),
            Refusal::NotShown => {
                GovernanceError::DigestMismatch { approval_id, actual: self.pending.decision.action_digest() }
            }
            Refusal::OwnProposal => GovernanceError::OwnProposal,
            // Its time is over, and the record cannot be written: nobody knows yet how it ends.
            Refusal::Late | Refusal::Early => {
                let why = format!("{approval_id} is past its deadline, and its end cannot be recorded yet");
                StoreError::Unavailable { why: why.into(), disk_full: false }.into()
            }
        }
    }

    /// Writes a denial that took effect before the record could be written.
    pub(super) fn record_denial(&self, tx: &mut Tx<'_>, denial: &Denial) -> Result<(), TxError> {
        let found = tx.row_by_approval(self.pending.approval_id)?;
        let Some((row, state)) = found else { return Ok(()) };
        let before = state.approval.as_ref().map(|approval| approval.state.clone()).unwrap_or_default();
        match before {
            QuestionState::Open => {
                let by = Person { how: denial.how, vote: denial.vote.clone() };
                self.write(tx, self.clock.now(), row, state, denial.approval.state.clone(), Some(by)).map(drop)
            }
            QuestionState::Ended(ending) if ending.allows && state.result.is_none() => match denial.approval.ending() {
                Some(denied) => overrule(tx, self.clock.now(), row, state, denied),
                None => Ok(()),
            },
            // Its own first job was written after all, or another one that denied it.
            QuestionState::Ended(_) => Ok(()),
        }
    }

    /// The expiry of a question. Evaluates the policy only if the action may run without an answer.
    fn time_out(&self, tx: &mut Tx<'_>, state: &RowState) -> Result<Act<'static>, TxError> {
        let policy =
            if self.pending.silence_allows() { self.policy_now(tx, state, By::Silence)? } else { PolicyNow::Allows };
        Ok(Act::TimeOut { policy })
    }

    /// What the policy in force says about the action, and whether a limit or a halt stops it.
    fn policy_now(&self, tx: &mut Tx<'_>, state: &RowState, by: By) -> Result<PolicyNow, TxError> {
        let generation = self.generations.current();
        let Pending { decision, unmasked, .. } = &*self.pending;
        let decision = match decision.whole() {
            Some(whole) => Arc::clone(whole),
            None => Arc::new(tx.decision_record(state)?),
        };
        let proposer = &decision.identity;
        let (action, masked) = unmasked.restore(decision.action.clone(), &decision.masked);
        let authenticated =
            (proposer.how != How::Anonymous).then(|| proposer.actor.as_deref().unwrap_or(&proposer.subject));
        let now = self.clock.now();
        let verdict = generation.policy.evaluate(&Question {
            action: &action,
            declared_actor: &decision.actor.id,
            authenticated_actor: authenticated,
            now,
            masked,
        });
        if let Some(halt) = self.halts.of(Who::of(&decision)) {
            return Ok(PolicyNow::Stops { code: Ending::HALTED, why: why(&halt.halt) });
        }
        let asked = Proposed {
            action: &action,
            shown: &decision.action,
            declared: &decision.actor.id,
            authenticated,
            identity: proposer,
            session_id: &decision.session_id,
        };
        let spending = self.spender.spending(&verdict, &asked)?;
        let standings = spending.standings(tx, now)?;
        let verdict =
            standings.into_iter().filter_map(|standing| standing.reached).fold(verdict, policy::Verdict::reach);
        // A reviewer may allow what a limit asks about. Silence may not.
        let is_stopped = verdict.reached().iter().any(|reached| by == By::Silence || spending::blocks(reached));
        if is_stopped {
            return Ok(PolicyNow::Stops { code: Ending::LIMIT, why: verdict.reason() });
        }
        self.due.replace(spending);
        Ok(if verdict.is_allowed() { PolicyNow::Allows } else { PolicyNow::Blocks(verdict.reason()) })
    }

    /// Writes the state, and notifies watchers after it is durable. `at` is the time of the record, which may be later
    /// than the ending.
    fn write(
        &self,
        tx: &mut Tx<'_>,
        at: Timestamp,
        row: u64,
        mut state: RowState,
        after: QuestionState,
        by: Option<Person>,
    ) -> Result<ApprovalState, TxError> {
        let Some(mut approval) = state.approval.take() else {
            return Err(TxError::Misuse("a question is not in its row"));
        };
        approval.state = after;
        let approval_id = self.pending.approval_id;
        if let Some(ending) = approval.ending().cloned() {
            if ending.allows {
                let due = self.due.take();
                due.spend(tx, ending.at)?;
                state.spent = due.spent(ending.at);
                state.allowed_at = Some(ending.at);
            } else {
                let status = match ending.kind {
                    EndingKind::Cancelled => ResultStatus::Skipped,
                    _ => ResultStatus::Denied,
                };
                state.result = Some(Report::settled(status, &ending.reason));
            }
            let decision_id = self.pending.decision.decision_id();
            let (how, vote) = by.map_or((None, None), |by| (Some(by.how), by.vote));
            let event = Event::ApprovalEnded {
                approval_id,
                decision_id,
                ending: ending.clone(),
                how,
                policy_revision: self.generations.current().policy.revision(),
                vote: vote.clone(),
            };
            let record_id = tx.append(at, &event)?.record_id;
            approval.votes.extend(vote.map(|vote| Vote { record_id, voted_at: ending.at, vote }));
            let (queue, held, ended) = (Arc::clone(&self.queue), Arc::clone(&self.held), approval.clone());
            tx.after_commit(move || {
                if !ending.allows {
                    held.forget(decision_id);
                }
                drop(queue.end(ended));
            });
        }
        state.approval = Some(approval.clone());
        tx.update_row(row, &state)?;
        Ok(approval)
    }
}

/// What allows the action.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// A reviewer says so.
    Reviewer,
    /// Nobody says anything, and the rule allows the action then.
    Silence,
}

/// The person who acts.
struct Person {
    how: How,
    vote: Option<VoteRecord>,
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
        let generations = Generations::new(PolicySource::Starter, Generation::new(policy, clock.now()));
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
            for vote in [Verdict::Approve, Verdict::Deny] {
                let refused = decide(&caller("local:ada", how, 2), vote).await.unwrap_err();
                assert!(matches!(refused, GovernanceError::OwnProposal), "{how:?}, {vote:?}: {refused}");
            }
        }
        // A refused act changes nothing: another reviewer can still decide.
        let voted = decide(&caller("local:bob", How::UnixPeer, 3), Verdict::Approve).await.unwrap();
        let Voted::Now { approval, .. } = voted else { panic!("{voted:?}") };
        let ending = approval.ending().unwrap();
        assert_eq!((ending.allows, ending.by.as_str()), (true, "local:bob"));
        let [vote] = &approval.votes[..] else { panic!("{:?}", approval.votes) };
        assert_eq!((vote.vote.verdict, &vote.vote.by.subject), (Verdict::Approve, &ending.by));
        assert_eq!((vote.vote.action_digest, vote.voted_at), (asked.action_digest, ending.at));

        // The same vote again changes nothing; another credential of the same subject is the same reviewer.
        for how in [How::UnixPeer, How::BootstrapCredential] {
            let again = decide(&caller("local:bob", how, 4), Verdict::Approve).await.unwrap();
            let Voted::Before(row) = again else { panic!("{again:?}") };
            assert_eq!(row.state.approval.unwrap(), approval);
        }
        for (by, vote) in [("local:bob", Verdict::Deny), ("local:eve", Verdict::Approve), ("", Verdict::Approve)] {
            let refused = decide(&caller(by, How::UnixPeer, 5), vote).await.unwrap_err();
            assert!(matches!(refused, GovernanceError::AlreadyDecided { .. }), "{by}, {vote:?}: {refused}");
        }
    }
}
