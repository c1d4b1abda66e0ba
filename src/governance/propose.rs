//! One proposal: evaluate, record, ask where the policy asks, answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;

use super::masking::{self, Masked, Masking};
use super::{Answer, GovernanceError, Governor, slot_key};
use crate::approvals::{Pending, Queue, QueueFull, Slot};
use crate::audit::record::{DecisionRecord, Event, IdentityRecord};
use crate::audit::row::{ApprovalState, ConfirmationClosed, ConfirmationState, RowState};
use crate::audit::{Draft, Opening, Tx, TxError};
use crate::domain::check::{MAX_WAIT, NAME_BYTES};
use crate::domain::{
    ApprovalId, Caller, Check, Checked, Checker, DecisionId, Digest, How, Outcome, Proposal, Report, ResultStatus,
    Timestamp,
};
use crate::policy::{OnTimeout, Question};

/// How a confirmation token begins.
const TOKEN_PREFIX: &str = "cnf_";

/// What a caller asks of [`Governor::propose`].
#[derive(Clone, Debug, Default)]
pub struct Propose {
    /// What is proposed and by whom.
    pub proposal: Proposal,
    /// Makes a retry safe.
    pub idempotency_key: Option<String>,
    /// Says that the agent's user has confirmed.
    pub confirmation_token: Option<String>,
    /// How long to wait for a reviewer.
    pub wait: Duration,
}

impl Check for Propose {
    fn check(&self, at: &str, checker: &mut Checker) {
        self.proposal.check(at, checker);
        for (field, text) in
            [("idempotency_key", &self.idempotency_key), ("confirmation_token", &self.confirmation_token)]
        {
            checker.text(format_args!("{at}{field}"), text.as_deref().unwrap_or_default(), NAME_BYTES);
        }
        if self.wait > MAX_WAIT {
            checker.wrong(format!("{at}wait"), "at most one hour: wait again with AwaitDecision");
        }
    }
}

impl Governor {
    /// Answers a proposal. The answer is on the record, durably, before it is given.
    pub async fn propose(&self, caller: &Caller, ask: Checked<Propose>) -> Result<Answer, GovernanceError> {
        let ask = ask.into_inner();
        self.pace.admit(self.clock.uptime())?;
        let wait = ask.wait;
        let decided = self.decide_now(caller, ask)?;
        let (queue, held) = (Arc::clone(&self.queue), Arc::clone(&self.held));
        let mut answer = match self.store.transact(move |tx| decided.write(tx, queue, held)).await?? {
            Written::New(answer) => *answer,
            Written::Earlier(decision_id) => self.earlier(decision_id).await?,
        };
        if !wait.is_zero() {
            self.wait_for(&mut answer, wait).await?;
        }
        Ok(answer)
    }

    /// The answer that the same key got before.
    async fn earlier(&self, decision_id: DecisionId) -> Result<Answer, GovernanceError> {
        let row = self.store.look(move |reader| reader.by_decision(decision_id)).await?;
        let mut answer = Answer::from(row.ok_or(GovernanceError::NoDecision(decision_id))?);
        if answer.outcome() == Outcome::RequireConfirmation {
            answer.confirmation_token = Some(self.confirmation_token(decision_id));
        }
        Ok(answer)
    }

    /// Decides, and prepares all that can be prepared before the writer's turn.
    fn decide_now(&self, caller: &Caller, ask: Propose) -> Result<Decided, GovernanceError> {
        let Propose { proposal, idempotency_key, confirmation_token, .. } = ask;
        check_actor(caller, &proposal.actor.id)?;
        let now = self.clock.now();
        let generation = self.generations.current();
        let action_digest = proposal.digest()?;
        let verdict = generation.policy.evaluate(&Question {
            action: &proposal.action,
            declared_actor: &proposal.actor.id,
            authenticated_actor: caller.identity.authenticated_actor(),
            now,
            masked: &[],
        });
        let outcome = verdict.approval.first_outcome();
        let redact: Vec<_> = verdict.redact().cloned().collect();

        let decision_id = DecisionId::new(now, self.random()?);
        let asks = matches!(outcome, Outcome::Escalate | Outcome::RequireConfirmation);
        let expires_at = asks.then(|| now.saturating_add(verdict.timeout()).unwrap_or(Timestamp::MAX));
        let question = match outcome {
            Outcome::Escalate => Some(NewQuestion {
                approval_id: ApprovalId::new(now, self.random()?),
                slot: self.queue.take_slot(&slot_key(caller)),
                timeout_allows: verdict.on_timeout() == OnTimeout::Allow,
                deadline: self.clock.uptime().saturating_add(verdict.timeout()),
                proposal: proposal.clone(),
            }),
            _ => None,
        };
        let masking = Masking { redact: &redact, secrets: generation.policy.secrets() };
        let Masked { proposal: shown, paths: masked, digests, values } = masking.proposal(proposal, &self.store_mac)?;
        let identity = IdentityRecord::of(&caller.identity);
        let idempotency = idempotency_key.map(|key| {
            let hash = idempotency_hash(&identity, &key, confirmation_token.as_deref());
            Idempotency { key, hash }
        });
        let record = DecisionRecord {
            decision_id,
            actor: shown.actor,
            identity,
            session_id: shown.session_id,
            metadata: shown.metadata,
            action: shown.action,
            action_digest,
            redact,
            masked,
            masked_digests: digests,
            outcome,
            reason: verdict.reason(),
            risk_level: verdict.risk_level,
            approval: verdict.approval,
            matched_rule: verdict.matched_rule.to_owned(),
            constraints: verdict.constraints().clone(),
            policy_revision: generation.policy.revision(),
            approval_id: question.as_ref().map(|question| question.approval_id),
            expires_at,
            trace_id: shown.trace_id,
        };
        let idempotency_hash = idempotency.as_ref().map(|idempotency| idempotency.hash);
        let new_token = (outcome == Outcome::RequireConfirmation).then(|| self.confirmation_token(decision_id));
        let opening = Opening {
            idempotency: idempotency_hash,
            approval: question.as_ref().map(|question| ApprovalState {
                approval_id: question.approval_id,
                expires_at: expires_at.unwrap_or(now),
                timeout_allows: question.timeout_allows,
                ending: None,
            }),
            confirmation: new_token.as_ref().map(|token| ConfirmationState {
                token_hash: Digest::of(token.as_bytes()),
                expires_at: expires_at.unwrap_or(now),
                closed: None,
            }),
            allowed_at: (outcome == Outcome::Allow).then_some(now),
            result: (outcome == Outcome::Deny).then(|| settled(ResultStatus::Blocked, &record.reason)),
        };
        let redeems = confirmation_token.filter(|_| outcome == Outcome::RequireConfirmation);
        let draft = Draft::new(now, &record, opening)?;
        Ok(Decided { now, record, draft, idempotency, idempotency_hash, redeems, new_token, question, values })
    }

    /// The token for a decision: an HMAC of its id under the store's own secret, so that a retried proposal gets the same
    /// token although only its hash is stored.
    fn confirmation_token(&self, decision_id: DecisionId) -> String {
        let mut mac = self.store_mac.clone();
        mac.update(b"aegis/confirmation/v1\0");
        mac.update(decision_id.as_bytes());
        format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }
}

/// A decision on its way to the record.
struct Decided {
    now: Timestamp,
    record: DecisionRecord,
    draft: Draft,
    idempotency: Option<Idempotency>,
    idempotency_hash: Option<Digest>,
    /// The token of an earlier decision, where the policy asks for one.
    redeems: Option<String>,
    /// The token that this decision hands out.
    new_token: Option<String>,
    question: Option<NewQuestion>,
    /// What the policy masked: kept in mind until the result is reported, never stored.
    values: masking::Values,
}

struct Idempotency {
    key: String,
    hash: Digest,
}

/// A question on its way to reviewers.
struct NewQuestion {
    approval_id: ApprovalId,
    /// Taken before the writer's turn; a retry of a proposal that is on the record needs none.
    slot: Result<Slot, QueueFull>,
    timeout_allows: bool,
    deadline: Duration,
    proposal: Proposal,
}

/// What the writer made of a decision.
enum Written {
    /// It is on the record.
    New(Box<Answer>),
    /// The same key has a decision already.
    Earlier(DecisionId),
}

impl Decided {
    /// The writer's part. Everything is checked first; from the first write on, nothing refuses.
    fn write(
        mut self,
        tx: &mut Tx<'_>,
        queue: Arc<Queue>,
        held: Arc<Mutex<masking::Held>>,
    ) -> Result<Result<Written, GovernanceError>, TxError> {
        if let Some(Idempotency { key, hash }) = self.idempotency.take()
            && let Some((_, state)) = tx.idempotent(hash, self.now)?
        {
            if state.action_digest == self.record.action_digest {
                return Ok(Ok(Written::Earlier(state.decision_id)));
            }
            return Ok(Err(GovernanceError::IdempotencyKeyReused { key, other: state.action_digest }));
        }
        let confirmed = match self.redeem(tx)? {
            Ok(confirmed) => confirmed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let asked = match self.question.take().map(NewQuestion::into_pending) {
            None => None,
            Some(Ok(asked)) => Some(asked),
            Some(Err(full)) => return Ok(Err(full.into())),
        };

        let inserted = tx.insert_decision(self.draft)?;
        let decision_id = self.record.decision_id;
        if let Some((row, asked)) = confirmed {
            tx.append(self.now, &Event::Confirmed { decision_id: asked.decision_id, confirmed_by: decision_id })?;
            tx.update_row(row, &asked)?;
        }
        if let Some((slot, pending)) = asked {
            let pending = pending(&self.record, self.now);
            tx.after_commit(move || queue.add(pending, slot));
        }
        // Even where none is long enough to be looked for: what is not in mind any more has to be masked whole.
        if !self.values.is_empty() || !self.record.masked.is_empty() {
            tx.after_commit(move || {
                held.lock().unwrap_or_else(PoisonError::into_inner).keep(decision_id, self.values);
            });
        }
        Ok(Ok(Written::New(Box::new(Answer {
            record_id: inserted.appended.record_id,
            time: self.now,
            decision: self.record,
            state: inserted.state,
            confirmation_token: self.new_token,
        }))))
    }

    /// Redeems the token, if there is one: this decision becomes ALLOW, and the row that asked for the confirmation is
    /// returned as it must be written.
    fn redeem(&mut self, tx: &mut Tx<'_>) -> Result<Result<Option<(u64, RowState)>, GovernanceError>, TxError> {
        let Some(token) = self.redeems.take() else { return Ok(Ok(None)) };
        let invalid = |why| Ok(Err(GovernanceError::ConfirmationInvalid(why)));
        let Some((row, mut asked)) = tx.row_by_confirmation(Digest::of(token.as_bytes()))? else {
            return invalid("is not one that was handed out");
        };
        if asked.redacted.is_some() {
            return invalid("belongs to a decision that was redacted");
        }
        if tx.decision_record(&asked)?.identity != self.record.identity {
            return invalid("was handed out to another caller");
        }
        let Some(confirmation) = &mut asked.confirmation else {
            return invalid("is not one that was handed out");
        };
        match confirmation.closed {
            Some(ConfirmationClosed::Redeemed(_)) => return invalid("was used already: each works once"),
            Some(ConfirmationClosed::Cancelled) => return invalid("was withdrawn with its proposal"),
            None if confirmation.expires_at <= self.now => {
                return invalid("has expired: propose again to get a new one");
            }
            None => {}
        }
        if asked.action_digest != self.record.action_digest {
            return invalid(
                "belongs to another action: type, target, params, description, actor and session must be the same",
            );
        }
        confirmation.closed = Some(ConfirmationClosed::Redeemed(self.record.decision_id));

        self.new_token = None;
        self.record.outcome = Outcome::Allow;
        self.record.expires_at = None;
        self.record.reason = format!("the agent's user confirmed {}", asked.decision_id);
        let opening = Opening { idempotency: self.idempotency_hash, allowed_at: Some(self.now), ..Opening::default() };
        self.draft = Draft::new(self.now, &self.record, opening)?;
        Ok(Ok(Some((row, asked))))
    }
}

impl NewQuestion {
    /// The place in the queue, and how to make the question once the decision stands.
    fn into_pending(self) -> Result<(Slot, impl FnOnce(&DecisionRecord, Timestamp) -> Pending), QueueFull> {
        let Self { approval_id, slot, timeout_allows, deadline, proposal } = self;
        let pending = move |record: &DecisionRecord, now: Timestamp| Pending {
            approval_id,
            decision_id: record.decision_id,
            proposal,
            lost: Vec::new(),
            masked_action: (!record.masked.is_empty()).then(|| record.action.clone()),
            metadata: record.metadata.clone(),
            masked: record.masked.clone(),
            subject: record.identity.subject.as_str().into(),
            how: record.identity.how,
            bound_actor: record.identity.actor.as_deref().map(Into::into),
            action_digest: record.action_digest,
            matched_rule: record.matched_rule.clone(),
            reason: record.reason.clone(),
            risk_level: record.risk_level,
            policy_revision: record.policy_revision,
            requested_at: now,
            expires_at: record.expires_at.unwrap_or(now),
            deadline,
            timeout_allows,
        };
        Ok((slot?, pending))
    }
}

/// Refuses who speaks for an actor that its credential is not for.
pub(super) fn check_actor(caller: &Caller, actor: &str) -> Result<(), GovernanceError> {
    match &caller.identity.actor {
        Some(bound) if !caller.identity.may_act_for(actor) => {
            Err(GovernanceError::OtherActor { bound: bound.to_string(), sent: actor.to_owned() })
        }
        _ => Ok(()),
    }
}

/// A result that the daemon itself settles.
pub(super) fn settled(status: ResultStatus, error: &str) -> Report {
    Report { status, data: None, error: error.to_owned(), started_at: None, completed_at: None }
}

/// What an idempotency key is known by: keys are each identity's own, and a proposal that carries a confirmation token is
/// not the proposal that asked for it.
fn idempotency_hash(identity: &IdentityRecord, key: &str, token: Option<&str>) -> Digest {
    let authenticated = if identity.how == How::Anonymous { "anonymous" } else { "subject" };
    // Lengths keep the parts apart.
    let IdentityRecord { subject, .. } = identity;
    let text = format!("{authenticated} {}:{subject} {}:{key} {}", subject.len(), key.len(), token.unwrap_or_default());
    Digest::of(text.as_bytes())
}
