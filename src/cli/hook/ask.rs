//! Asks the daemon about every action of a call. The strictest answer counts.
//!
//! 1. A dry run of all actions. If the policy blocks one, only that one is proposed, so that the record has it.
//! 2. Else each is proposed, and the hook waits for reviewers until its deadline.
//! 3. If one is denied, the others are withdrawn or reported as skipped: none of them runs.
//!
//! At the deadline the questions stay open. Their idempotency keys are kept, so that the same call, made again, gets
//! the answer instead of a new question.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::{Map, Value, json};

use super::action::Action;
use super::call::{Answer, Call, Moment};
use super::hosts::Host;
use super::kept::{Allowed, Confirmation, Open};
use crate::cli::connect::{self, Remote};
use crate::cli::failure::Failure;
use crate::cli::memory::Memory;
use crate::cli::proposing::{PATIENCE, answered, is, patiently, random_key, wait};
use crate::cli::signals::Signals;
use crate::cli::{say, wire};
use crate::domain::visible;
use crate::proto::v1::{self, Decision, DecisionCode, Outcome, ResultStatus};

/// How often the hook looks whether its host still lives.
const LOOK: Duration = Duration::from_secs(1);

/// One question to the daemon about a call.
pub(super) struct Asked<'a> {
    pub(super) remote: Remote,
    pub(super) host: &'a Host,
    pub(super) call: &'a Call,
    pub(super) memory: Option<&'a Memory>,
    pub(super) deadline: Instant,
}

/// An action that was proposed.
struct Proposal {
    action: Action,
    open: Open,
    decision: Decision,
}

impl Asked<'_> {
    /// The answer to a call before it runs.
    pub(super) async fn decide(&self, actions: Vec<Action>) -> Result<Answer, Failure> {
        let actions = self.blocked_first(actions).await?;
        let mut signals = Signals::catch().map_err(|error| Failure::new(format!("cannot catch signals: {error}")))?;
        let mut proposals = Vec::new();
        for action in actions {
            match self.propose(action).await {
                Ok(proposal) => proposals.push(proposal),
                Err(failure) => {
                    self.give_back(&proposals, "another action of the call could not be proposed").await;
                    return Err(failure);
                }
            }
            if proposals.last().is_some_and(|proposal| is(&proposal.decision, Outcome::Deny)) {
                break;
            }
        }
        let given_up = tokio::select! {
            waited = self.wait(&mut proposals) => {
                if let Err(failure) = waited {
                    self.keep_questions(&proposals);
                    return Err(failure);
                }
                false
            }
            _ = signals.next() => true,
            () = host_is_gone() => true,
        };
        if given_up {
            self.give_back(&proposals, "the host stopped waiting").await;
            return Ok(Answer::Deny("Aegis: the call was interrupted, so it must not run.".to_owned()));
        }
        Ok(self.conclude(proposals).await)
    }

    /// Only what the policy blocks, if it blocks anything.
    async fn blocked_first(&self, actions: Vec<Action>) -> Result<Vec<Action>, Failure> {
        if actions.len() < 2 {
            return Ok(actions);
        }
        let item = |action: &Action| {
            let action = action.message(&self.call.description).map_err(Failure::new)?;
            Ok(v1::EvaluateItem { actor: Some(self.actor()), action: Some(action) })
        };
        let items = actions.iter().map(item).collect::<Result<Vec<_>, Failure>>()?;
        let request = v1::EvaluateRequest { items, at: None, explain: false };
        let response = self.remote.governance().evaluate(connect::call(request)).await?.into_inner();
        let is_blocked = |i: usize| response.evaluations.get(i).is_some_and(|it| it.outcome == Outcome::Deny as i32);
        match (0..actions.len()).find(|i| is_blocked(*i)) {
            Some(i) => Ok(actions.into_iter().skip(i).take(1).collect()),
            None => Ok(actions),
        }
    }

    fn actor(&self) -> v1::Actor {
        v1::Actor { id: self.host.name.to_owned(), r#type: "ai-agent".to_owned() }
    }

    async fn propose(&self, action: Action) -> Result<Proposal, Failure> {
        let kept = self.memory.and_then(|memory| memory.take::<Open>("open", &self.open_name(&action)));
        if let Some(open) = kept {
            let decision = self.propose_with(&action, &open, "").await?;
            if decision.code != DecisionCode::AlreadyReported as i32 {
                return Ok(Proposal { action, open, decision });
            }
        }
        let open = Open { key: random_key()?, description: self.call.description.clone() };
        let decision = self.propose_with(&action, &open, "").await?;
        Ok(Proposal { action, open, decision })
    }

    async fn propose_with(&self, action: &Action, open: &Open, token: &str) -> Result<Decision, Failure> {
        let mut labels = self.call.labels.clone();
        labels.insert("host".to_owned(), self.host.name.into());
        labels.insert("tool".to_owned(), self.call.tool.as_str().into());
        let request = v1::ProposeRequest {
            actor: Some(self.actor()),
            action: Some(action.message(&open.description).map_err(Failure::new)?),
            context: Some(v1::ProposalContext {
                session_id: self.call.session.clone(),
                metadata: Some(wire::to_struct(labels, "metadata").map_err(Failure::new)?),
            }),
            idempotency_key: open.key.clone(),
            wait: None,
            confirmation_token: token.to_owned(),
        };
        let deadline = self.deadline.min(Instant::now() + PATIENCE);
        let answer =
            patiently(deadline, async || self.remote.governance().propose(connect::call(request.clone())).await);
        answered(answer.await?.decision)
    }

    /// The same action of the same session has the same name.
    fn open_name(&self, action: &Action) -> String {
        json!([self.host.name, self.call.session, action.identity()]).to_string()
    }

    /// Waits until every question is answered, one is denied, or the deadline has come.
    async fn wait(&self, proposals: &mut [Proposal]) -> Result<(), Failure> {
        let open = proposals.iter_mut().filter(|proposal| is(&proposal.decision, Outcome::Escalate));
        let mut waits: FuturesUnordered<_> = open
            .map(|proposal| async move {
                let decision = wait(&self.remote, proposal.decision.clone(), self.deadline).await;
                (proposal, decision)
            })
            .collect();
        while let Some((proposal, decision)) = waits.next().await {
            proposal.decision = decision?;
            if is(&proposal.decision, Outcome::Deny) {
                break;
            }
        }
        Ok(())
    }

    async fn conclude(&self, proposals: Vec<Proposal>) -> Answer {
        let first = |outcome| proposals.iter().find(|proposal| is(&proposal.decision, outcome));
        let is_known = |proposal: &Proposal| {
            [Outcome::Allow, Outcome::Deny, Outcome::Escalate, Outcome::RequireConfirmation]
                .into_iter()
                .any(|outcome| is(&proposal.decision, outcome))
        };
        if let Some(denied) = first(Outcome::Deny) {
            let answer = Answer::Deny(denial(denied));
            self.give_back(&proposals, "another action of the call was denied").await;
            return answer;
        }
        if proposals.is_empty() || !proposals.iter().all(is_known) {
            self.give_back(&proposals, "the daemon's answer is not known").await;
            return Answer::Deny("Aegis answered with an outcome that this version does not know.".to_owned());
        }
        if let Some(open) = first(Outcome::Escalate) {
            let answer = Answer::Deny(Self::pending(open));
            self.keep_open(&proposals).await;
            return answer;
        }
        let answer = match first(Outcome::RequireConfirmation) {
            Some(asked) if self.host.can_confirm && self.call.event != "PermissionRequest" => Answer::Confirm(format!(
                "Aegis asks you to confirm: {}. {}",
                visible(&asked.action.name()),
                visible(&asked.decision.reason)
            )),
            Some(asked) => {
                let answer = format!(
                    "Aegis: {} needs the confirmation of the user, and {} cannot ask for it. Ask the user to run it.",
                    asked.action.name(),
                    self.host.name
                );
                self.give_back(&proposals, "the host cannot ask its user").await;
                return Answer::Deny(answer);
            }
            None => Answer::Allow,
        };
        self.remember(proposals);
        answer
    }

    fn pending(open: &Proposal) -> String {
        format!(
            "Aegis asked a person about {} and has no answer yet: approval {}. It must not run now. The question stays \
             open. Tell the user, and make exactly the same call again later: it gets the answer. Do not look for \
             another way.",
            open.action.name(),
            open.decision.approval_id
        )
    }

    /// Keeps what a person was asked. What the policy allowed by itself is not going to run now.
    async fn keep_open(&self, proposals: &[Proposal]) {
        self.keep_questions(proposals);
        for proposal in proposals.iter().filter(|proposal| proposal.decision.approval_id.is_empty()) {
            self.skip(proposal, "another action of the call waits for a person").await;
        }
    }

    fn keep_questions(&self, proposals: &[Proposal]) {
        for proposal in proposals.iter().filter(|proposal| !proposal.decision.approval_id.is_empty()) {
            let kept = self.memory.map(|memory| memory.keep("open", &self.open_name(&proposal.action), &proposal.open));
            if let Some(Err(error)) = kept {
                say::warning(format_args!("the question cannot be found again: {error}"));
            }
        }
    }

    /// Remembers what to report after the call.
    fn remember(&self, proposals: Vec<Proposal>) {
        let allowed: Vec<_> = proposals
            .into_iter()
            .map(|Proposal { action, open, decision }| Allowed {
                confirmation: (!decision.confirmation_token.is_empty()).then_some(Confirmation {
                    token: decision.confirmation_token,
                    kind: action.kind,
                    target: action.target,
                    params: action.params,
                    description: open.description,
                }),
                decision_id: decision.decision_id,
            })
            .collect();
        let kept = self.memory.map(|memory| memory.keep("call", &self.call.key(), &allowed));
        if let Some(Err(error)) = kept {
            say::warning(format_args!("the result of the call cannot be reported later: {error}"));
        }
    }

    /// Nothing of the call runs: withdraws what is open, and reports what was allowed as skipped.
    async fn give_back(&self, proposals: &[Proposal], why: &str) {
        for proposal in proposals {
            if is(&proposal.decision, Outcome::Allow) {
                self.skip(proposal, why).await;
            } else if !is(&proposal.decision, Outcome::Deny) {
                let request = v1::CancelProposalRequest {
                    decision_id: proposal.decision.decision_id.clone(),
                    reason: why.to_owned(),
                };
                let mut governance = self.remote.governance();
                let cancelled =
                    tokio::time::timeout(PATIENCE, governance.cancel_proposal(connect::call(request))).await;
                if !matches!(cancelled, Ok(Ok(_))) {
                    say::warning(format_args!("{} could not be withdrawn", proposal.action.name()));
                }
            }
        }
    }

    async fn skip(&self, proposal: &Proposal, why: &str) {
        if is(&proposal.decision, Outcome::Allow) {
            let result =
                v1::ActionResult { status: ResultStatus::Skipped as i32, error: why.to_owned(), ..Default::default() };
            self.report_one(&proposal.decision.decision_id, result).await;
        }
    }

    /// Reports the result of a call that ran.
    pub(super) async fn report(&self) -> Result<(), Failure> {
        let Moment::After(error) = &self.call.moment else { return Ok(()) };
        let kept = self.memory.and_then(|memory| memory.take::<Vec<Allowed>>("call", &self.call.key()));
        for Allowed { decision_id, confirmation } in kept.into_iter().flatten() {
            let decision_id = match confirmation {
                None => decision_id,
                // It ran, so the user has confirmed it.
                Some(Confirmation { token, kind, target, params, description }) => {
                    let action = Action { kind, target, params };
                    let open = Open { key: random_key()?, description };
                    self.propose_with(&action, &open, &token).await?.decision_id
                }
            };
            let result = match error {
                None => v1::ActionResult { status: ResultStatus::Success as i32, ..Default::default() },
                Some(error) => v1::ActionResult {
                    status: ResultStatus::Failed as i32,
                    error: error.chars().take(2_000).collect(),
                    ..Default::default()
                },
            };
            self.report_one(&decision_id, result).await;
        }
        Ok(())
    }

    async fn report_one(&self, decision_id: &str, result: v1::ActionResult) {
        let request = v1::ReportResultRequest { decision_id: decision_id.to_owned(), result: Some(result) };
        let mut governance = self.remote.governance();
        match tokio::time::timeout(PATIENCE, governance.report_result(connect::call(request))).await {
            Ok(Ok(_)) => {}
            Ok(Err(status)) => say::warning(format_args!("the result is not reported: {}", Failure::from(status))),
            Err(_) => say::warning("the result is not reported: the daemon does not answer"),
        }
    }
}

/// Why not, for the model.
fn denial(denied: &Proposal) -> String {
    let Proposal { action, decision, .. } = denied;
    let reason = match visible(&decision.reason) {
        reason if reason.is_empty() => "no reason is given".to_owned(),
        reason => reason.into_owned(),
    };
    format!(
        "Aegis denied {}: {reason} (rule {}, {}). Do not look for another way to do it; tell the user.",
        visible(&action.name()),
        visible(&decision.matched_rule),
        decision.decision_id
    )
}

/// Ends when the process that started this one has ended.
async fn host_is_gone() {
    let host = rustix::process::getppid();
    while rustix::process::getppid() == host {
        tokio::time::sleep(LOOK).await;
    }
}

/// What a dry run of these actions says, in order.
pub(in crate::cli) async fn evaluate(
    remote: &Remote,
    actor: &str,
    actions: &[Action],
) -> Result<Vec<v1::Evaluation>, Failure> {
    let item = |action: &Action| {
        let actor = v1::Actor { id: actor.to_owned(), r#type: "ai-agent".to_owned() };
        Ok(v1::EvaluateItem { actor: Some(actor), action: Some(action.message("").map_err(Failure::new)?) })
    };
    let items = actions.iter().map(item).collect::<Result<Vec<_>, Failure>>()?;
    let request = v1::EvaluateRequest { items, at: None, explain: false };
    let response = remote.governance().evaluate(connect::call(request)).await?.into_inner();
    if response.evaluations.len() != actions.len() {
        return Err(Failure::new("the daemon answered another number of questions than it was asked"));
    }
    Ok(response.evaluations)
}

/// What stands beside the call, as an object.
pub(super) fn parse(input: &str) -> Result<Map<String, Value>, String> {
    match crate::domain::json::parse_strict(input) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("the input is no JSON object".to_owned()),
        Err(error) => Err(format!("the input is no JSON: {error}")),
    }
}
