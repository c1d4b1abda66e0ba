//! Propose: evaluates a proposal, records the decision, asks reviewers if the policy requires it, and answers.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::decision::OnRecord;
use super::error::GovernanceError;
use super::generations::Generation;
use super::governor::Governor;
use super::halts::{Who, why};
use super::job;
use super::masking::{Masked, Masking};
use super::spending::{Proposed, Spending};
use super::write::{Decided, Idempotency, NewQuestion, Written, check_growth};
use crate::approvals::{Asked, Unmasked, heap_bytes, quota_key};
use crate::audit::record::{DecisionRecord, IdentityRecord};
use crate::audit::row::{ApprovalState, ConfirmationState};
use crate::audit::{Draft, Opening, StoreError};
use crate::domain::check::{MAX_WAIT, NAME_BYTES};
use crate::domain::{
    ApprovalId, Caller, Check, Checked, Checker, Decision, DecisionCode, DecisionId, Defence, Digest, Outcome,
    Proposal, QuestionState, Report, ResultStatus, Timestamp, action_digest, json_len,
};
use crate::limits::{QuotaKey, Rate};
use crate::policy::{OnTimeout, Question, Reached, Verdict};

/// The least length of an idempotency key from a caller without a credential. Only a key that is hard to guess keeps
/// other such callers away from the decision.
const ANONYMOUS_KEY_CHARS: usize = 16;

/// How often one proposal is decided at most: each of five answers and of four risks can be reached after another.
const ROUNDS: usize = 9;

/// The input of [`Governor::propose`].
#[derive(Clone, Debug, Default)]
pub struct Propose {
    /// The proposal.
    pub proposal: Proposal,
    /// The idempotency key, for safe retries.
    pub idempotency_key: Option<String>,
    /// The token that proves the confirmation of the agent's user.
    pub confirmation_token: Option<String>,
    /// How long to wait for a reviewer.
    pub wait: Duration,
    /// Gives back, before it waits, what is held for the message.
    pub before_wait: Option<BeforeWait>,
}

/// Runs once the decision is on the record and nothing of the message is needed any more.
#[derive(Clone)]
pub struct BeforeWait(pub Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for BeforeWait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BeforeWait(..)")
    }
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
    /// Decides a proposal. The decision is durable on the record before this returns.
    pub async fn propose(&self, caller: &Caller, ask: Checked<Propose>) -> Result<Decision, GovernanceError> {
        self.take_proposal(caller, ask.into_inner(), false).await
    }

    /// Decides a proposal that was checked. `executes` says whether the daemon runs the action when it is allowed.
    pub(super) async fn take_proposal(
        &self,
        caller: &Caller,
        ask: Propose,
        executes: bool,
    ) -> Result<Decision, GovernanceError> {
        let limit = self.settings.proposals_per_second;
        if Rate::per_second(limit).is_some_and(|rate| !self.pace.try_take(rate, self.clock.uptime())) {
            return Err(GovernanceError::RateLimited(limit));
        }
        let (wait, before_wait) = (ask.wait, ask.before_wait.clone());
        let (mut given, replayed, blocked) = match self.decide_and_write(caller, ask, executes).await? {
            Written::New(given) => {
                let decided = &given.decision;
                self.metrics().decision(decided.outcome.as_str(), decided.risk_level.as_str(), &decided.matched_rule);
                (*given, false, None)
            }
            Written::Earlier(decision_id) => (self.earlier(decision_id).await?, true, None),
            Written::Blocked(decision_id, reason) => (self.earlier(decision_id).await?, true, Some(reason)),
            // The last round leaves nothing that is stricter.
            Written::Reached(_) => return Err(StoreError::Overloaded.into()),
        };
        let _attendance = self.attend(caller, &given);
        if !wait.is_zero() {
            if let Some(BeforeWait(release)) = before_wait {
                release();
            }
            self.wait_for(&mut given, wait).await?;
        }
        let mut decision = self.tell(&given);
        decision.replayed = replayed;
        // Whoever is halted is told that, and not that the policy blocks it.
        if let Some(reason) = blocked.filter(|_| decision.code != DecisionCode::Halted) {
            (decision.outcome, decision.code, decision.reason) = (Outcome::Deny, DecisionCode::PolicyChanged, reason);
        }
        if decision.outcome == Outcome::RequireConfirmation {
            decision.confirmation_token = Some(self.secret.confirmation_token(decision.decision_id));
        }
        Ok(decision)
    }

    /// Decides a proposal, and writes the decision. A limit is compared in the transaction that spends. If it is
    /// reached, the action is decided once more. Each round makes the answer stricter, so there are few.
    async fn decide_and_write(
        &self,
        caller: &Caller,
        mut ask: Propose,
        executes: bool,
    ) -> Result<Written, GovernanceError> {
        let generation = self.generations.current();
        let mut reached = Vec::new();
        for _ in 0..ROUNDS {
            let ask = if generation.policy.has_limits() { ask.clone() } else { std::mem::take(&mut ask) };
            let decided = self.decide_now(caller, ask, executes, &generation, &reached)?;
            let (queue, held) = (Arc::clone(&self.queue), Arc::clone(&self.held));
            match job::run(&self.store, move |tx| decided.write(tx, queue, held)).await? {
                Written::Reached(more) => reached.extend(more),
                written => return Ok(written),
            }
        }
        Ok(Written::Reached(reached))
    }

    /// The earlier decision for the same idempotency key.
    async fn earlier(&self, decision_id: DecisionId) -> Result<OnRecord, GovernanceError> {
        Ok(self.in_force(self.on_record(decision_id).await?.ok_or(GovernanceError::NoDecision(decision_id))?))
    }

    /// Decides, and prepares everything that needs no transaction.
    #[expect(clippy::too_many_lines, reason = "it puts one record together, member by member")]
    fn decide_now(
        &self,
        caller: &Caller,
        ask: Propose,
        executes: bool,
        generation: &Generation,
        reached: &[Reached],
    ) -> Result<Decided, GovernanceError> {
        let Propose { proposal, idempotency_key, confirmation_token, .. } = ask;
        check_actor(caller, &proposal.actor.id)?;
        check_key(caller, idempotency_key.as_deref())?;
        let now = self.clock.now();
        let identity = IdentityRecord::of(caller);
        let sent = proposal.content_len();
        let canonical = proposal.canonical()?;
        let action_key = self.secret.action_key(&canonical);
        let verdict = generation.policy.evaluate(&Question {
            action: &proposal.action,
            declared_actor: &proposal.actor.id,
            authenticated_actor: caller.identity.authenticated_actor(),
            now,
            masked: &[],
        });
        let verdict = reached.iter().cloned().fold(verdict, Verdict::reach);
        let who = Who { identity: &identity, declared: &proposal.actor.id, session_id: &proposal.session_id };
        let halt = self.halts.of(who);
        let verdict = match &halt {
            Some(halt) => verdict.stop(why(&halt.halt)),
            None => verdict,
        };
        // What limits count by is more than what is stored.
        let limited = (!verdict.charges().is_empty()).then(|| proposal.action.clone());
        let outcome = verdict.approval.first_outcome();
        let redact: Vec<_> = verdict.redact().cloned().collect();

        let decision_id = DecisionId::new(now, self.random()?);
        let action_digest = action_digest(&self.secret.action_salt(decision_id), &canonical);
        let asks = matches!(outcome, Outcome::Escalate | Outcome::RequireConfirmation);
        let expires_at = asks.then(|| now.saturating_add(verdict.timeout()).unwrap_or(Timestamp::MAX));
        let masking = Masking { redact: &redact, secrets: generation.policy.secrets() };
        let masked = masking.proposal(proposal, &self.secret)?;
        let Masked { proposal: shown, paths: masked, marks, digests, values, unmasked } = masked;
        let spending = match &limited {
            None => Spending::default(),
            Some(action) => {
                let proposed = Proposed {
                    action,
                    shown: &shown.action,
                    declared: &shown.actor.id,
                    authenticated: caller.identity.authenticated_actor(),
                    identity: &identity,
                    session_id: &shown.session_id,
                };
                self.spender.spending(&verdict, &proposed)?
            }
        };
        let key = quota_key(&identity);
        let approval_id = match outcome {
            Outcome::Escalate => Some(ApprovalId::new(now, self.random()?)),
            _ => None,
        };
        let idempotency = idempotency_key.map(|key| {
            let hash = idempotency_hash(&identity, &key, confirmation_token.as_deref(), executes);
            Idempotency { key, hash }
        });
        let record = Arc::new(DecisionRecord {
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
            marks,
            outcome,
            reason: verdict.reason(),
            risk_level: verdict.risk_level,
            approval: verdict.approval,
            matched_rule: verdict.matched_rule.to_owned(),
            constraints: verdict.constraints().clone(),
            policy_revision: generation.policy.revision(),
            approval_id,
            expires_at,
            trace_id: shown.trace_id,
            executes,
            limits: verdict.reached().iter().map(|reached| reached.limit.name.clone()).collect(),
            halted: halt.is_some(),
        });
        let asked = Asked::new(Arc::clone(&record));
        let question = match approval_id {
            None => None,
            Some(approval_id) => {
                let bytes = json_len(&*record)?;
                let question = NewQuestion {
                    approval_id,
                    asked: asked.clone(),
                    timeout_allows: verdict.on_timeout() == OnTimeout::Allow,
                    deadline: self.clock.uptime().saturating_add(verdict.timeout()),
                    bytes,
                    unmasked: self.keep_unmasked(&key, &record, unmasked),
                    own_uid: self.settings.own_uid,
                };
                Some((self.queue.take_place(&key, bytes), question))
            }
        };
        let token = (outcome == Outcome::RequireConfirmation).then(|| self.secret.confirmation_token(decision_id));
        let opening = Opening {
            action_key: Some(action_key),
            idempotency: idempotency.as_ref().map(|idempotency| idempotency.hash),
            approval: question.as_ref().map(|(_, question)| ApprovalState {
                approval_id: question.approval_id,
                expires_at: expires_at.unwrap_or(now),
                timeout_allows: question.timeout_allows,
                state: QuestionState::Open,
                votes: Vec::new(),
            }),
            confirmation: token.map(|token| ConfirmationState {
                token_hash: Digest::of(token.as_bytes()),
                expires_at: expires_at.unwrap_or(now),
                closed: None,
            }),
            allowed_at: (outcome == Outcome::Allow).then_some(now),
            result: (outcome == Outcome::Deny).then(|| Report::settled(ResultStatus::Blocked, &record.reason)),
            spent: Vec::new(),
        };
        let redeems = confirmation_token.filter(|_| outcome == Outcome::RequireConfirmation);
        let draft = Draft::new(now, &record, opening)?;
        check_growth("action", sent, draft.bytes())?;
        let has_masks = !record.masked.is_empty();
        // What may redeem a confirmation, or says what is left of limits, is written once more, so it is kept whole.
        let (record, kept) = if redeems.is_some() || !spending.is_empty() {
            let kept = heap_bytes(&record.action.params) + heap_bytes(&record.metadata);
            (record, kept)
        } else {
            (Arc::clone(asked.head()), 0)
        };
        let share = self.writes.take(&key, draft.bytes() + kept).map_err(|_| StoreError::Overloaded)?;
        let caller = caller.clone();
        let growth = (Arc::clone(&self.growth), self.clock.uptime());
        Ok(Decided {
            now,
            caller,
            record,
            has_masks,
            action_key,
            draft,
            idempotency,
            redeems,
            question,
            values,
            spending,
            growth,
            _share: share,
        })
    }

    /// The original values of parameters that contain something masked, if there is memory for them.
    fn keep_unmasked(&self, key: &QuotaKey, record: &DecisionRecord, unmasked: Map<String, Value>) -> Unmasked {
        if record.masked.is_empty() {
            return Unmasked::Nothing;
        }
        match self.held.quota().take(key, heap_bytes(&unmasked)) {
            Ok(share) => Unmasked::Known(unmasked, share),
            Err(_) => Unmasked::Unknown,
        }
    }
}

/// Refuses an actor that the credential does not act for.
pub(super) fn check_actor(caller: &Caller, actor: &str) -> Result<(), GovernanceError> {
    match &caller.identity.actor {
        Some(bound) if !caller.identity.may_act_for(actor) => {
            Err(GovernanceError::OtherActor { bound: bound.to_string(), sent: actor.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Refuses an idempotency key that another caller without a credential could guess.
fn check_key(caller: &Caller, key: Option<&str>) -> Result<(), GovernanceError> {
    match key {
        Some(key)
            if Defence::LongKeys.on()
                && !caller.identity.is_authenticated()
                && key.chars().count() < ANONYMOUS_KEY_CHARS =>
        {
            Err(GovernanceError::IdempotencyKeyTooShort(ANONYMOUS_KEY_CHARS))
        }
        _ => Ok(()),
    }
}

/// The scope of an idempotency key. Each caller has its own keys, and a proposal with a confirmation token has another
/// key than the proposal before it. So has an action that the daemon runs: no agent may take its ALLOW for its own.
fn idempotency_hash(identity: &IdentityRecord, key: &str, token: Option<&str>, executes: bool) -> Digest {
    let caller = quota_key(identity);
    let class = match (executes, caller.is_anonymous) {
        (false, true) => "anonymous",
        (false, false) => "subject",
        (true, true) => "execute anonymous",
        (true, false) => "execute subject",
    };
    // Each part has its length in front, so that parts cannot be confused.
    let (name, token) = (caller.name, token.unwrap_or_default());
    Digest::of(format!("{class} {}:{name} {}:{key} {token}", name.len(), key.len()).as_bytes())
}
