//! One proposal: evaluate, record, ask where the policy asks, answer.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;

use super::job;
use super::masking::{Masked, Masking};
use super::write::{Decided, Idempotency, NewQuestion, Written, settled};
use super::{GovernanceError, Governor, slot_key};
use crate::audit::record::{DecisionRecord, IdentityRecord};
use crate::audit::row::{ApprovalState, ConfirmationState};
use crate::audit::{Draft, Opening};
use crate::domain::check::{MAX_WAIT, NAME_BYTES};
use crate::domain::{
    ApprovalId, Caller, Check, Checked, Checker, Decision, DecisionId, Digest, How, Outcome, Proposal, QuestionState,
    ResultStatus, Timestamp,
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
    pub async fn propose(&self, caller: &Caller, ask: Checked<Propose>) -> Result<Decision, GovernanceError> {
        let ask = ask.into_inner();
        self.pace.admit(self.clock.uptime())?;
        let wait = ask.wait;
        let decided = self.decide_now(caller, ask)?;
        let (queue, held) = (Arc::clone(&self.queue), Arc::clone(&self.held));
        let mut given = match job::run(&self.store, move |tx| decided.write(tx, queue, held)).await? {
            Written::New(given) => *given,
            Written::Earlier(decision_id) => {
                let row = self.store.look(move |reader| reader.by_decision(decision_id)).await?;
                row.ok_or(GovernanceError::NoDecision(decision_id))?.into()
            }
        };
        if !wait.is_zero() {
            self.wait_for(&mut given, wait).await?;
        }
        let mut decision = given.told();
        if decision.outcome == Outcome::RequireConfirmation {
            decision.confirmation_token = Some(self.confirmation_token(decision.decision_id));
        }
        Ok(decision)
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
        let masking = Masking { redact: &redact, secrets: generation.policy.secrets() };
        let masked = masking.proposal(proposal, &self.store_mac)?;
        let Masked { proposal: shown, paths: masked, digests, values, unmasked } = masked;
        let question = match outcome {
            Outcome::Escalate => Some(NewQuestion {
                approval_id: ApprovalId::new(now, self.random()?),
                slot: self.queue.take_slot(&slot_key(caller)),
                timeout_allows: verdict.on_timeout() == OnTimeout::Allow,
                deadline: self.clock.uptime().saturating_add(verdict.timeout()),
                unmasked,
            }),
            _ => None,
        };
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
        let token = (outcome == Outcome::RequireConfirmation).then(|| self.confirmation_token(decision_id));
        let opening = Opening {
            idempotency: idempotency.as_ref().map(|idempotency| idempotency.hash),
            approval: question.as_ref().map(|question| ApprovalState {
                approval_id: question.approval_id,
                expires_at: expires_at.unwrap_or(now),
                timeout_allows: question.timeout_allows,
                state: QuestionState::Open,
            }),
            confirmation: token.map(|token| ConfirmationState {
                token_hash: Digest::of(token.as_bytes()),
                expires_at: expires_at.unwrap_or(now),
                closed: None,
            }),
            allowed_at: (outcome == Outcome::Allow).then_some(now),
            result: (outcome == Outcome::Deny).then(|| settled(ResultStatus::Blocked, &record.reason)),
        };
        let redeems = confirmation_token.filter(|_| outcome == Outcome::RequireConfirmation);
        let draft = Draft::new(now, &record, opening)?;
        Ok(Decided { now, record, draft, idempotency, redeems, question, values })
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

/// Refuses who speaks for an actor that its credential is not for.
pub(super) fn check_actor(caller: &Caller, actor: &str) -> Result<(), GovernanceError> {
    match &caller.identity.actor {
        Some(bound) if !caller.identity.may_act_for(actor) => {
            Err(GovernanceError::OtherActor { bound: bound.to_string(), sent: actor.to_owned() })
        }
        _ => Ok(()),
    }
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
