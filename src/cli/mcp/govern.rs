//! Asks the daemon about a call, and holds the call while a person is asked.
//!
//! A call is held for a bounded time, because every client gives up at some point. Then the call is answered, and the
//! question stays open. A call whose client is gone ends at once, and its question stays open too.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::link::Link;
use super::message::Outcome as Answer;
use super::progress::Progress;
use super::questions::{Question, Questions};
use super::tell::Refusal;
use crate::cli::connect::{self, Remote};
use crate::cli::failure::Failure;
use crate::cli::proposing::{PATIENCE, answered, is, repeated, wait_through};
use crate::cli::status::{is_connection_lost, is_worth_resuming};
use crate::cli::{say, wire};
use crate::domain::visible;
use crate::proto::v1::{self, Decision, DecisionCode, Outcome};

/// How long a proposal is tried again while the daemon is away.
const AWAY: Duration = Duration::from_secs(10);
/// How often an answer is lost to an equal call before this one gives up.
const ROUNDS: usize = 100;

/// What is asked.
pub(super) struct Subject {
    pub(super) kind: String,
    pub(super) params: Map<String, Value>,
    pub(super) description: String,
    /// What the proxy knows of it, for the record.
    pub(super) labels: Map<String, Value>,
    /// For the model: "the tool `x` of the server `y`".
    pub(super) what: String,
}

/// The call that waits for the answer.
pub(super) struct Call {
    pub(super) is_gone: CancellationToken,
    pub(super) progress: Progress,
    pub(super) deadline: Instant,
    /// The id of the request that was sent on, if it was.
    pub(super) sent: Cell<Option<u64>>,
}

/// The answer.
pub(super) enum Verdict {
    Run(Box<Decision>),
    Refused(Refusal),
    /// Nobody waits for it any more.
    Gone,
}

/// Who asks, and how long a call is held.
pub(super) struct Governor {
    pub(super) remote: Remote,
    /// The target of every action.
    pub(super) server: String,
    pub(super) actor: RefCell<String>,
    pub(super) questions: Questions,
    pub(super) client: Rc<Link>,
    /// Whether the client can ask its user.
    pub(super) can_confirm: Cell<bool>,
    pub(super) progress_every: Duration,
}

impl Governor {
    /// Asks, and waits for a person if one is asked. The answer to run counts once.
    pub(super) async fn ask(&self, subject: &Subject, call: &Call) -> Verdict {
        let unavailable = |failure: &Failure| Refusal::unavailable(&subject.what, &failure.to_string());
        for _ in 0..ROUNDS {
            let question = match self.questions.join(self.identity(subject), &subject.description) {
                Ok(question) => question,
                Err(failure) => return Verdict::Refused(unavailable(&failure)),
            };
            let decision = tokio::select! {
                biased;
                () = call.is_gone.cancelled() => return Verdict::Gone,
                decision = self.decide(subject, &question, call) => decision,
            };
            let decision = match decision {
                Ok(decision) => decision,
                Err(failure) => return Verdict::Refused(unavailable(&failure)),
            };
            // The answer has been used before, by a proxy that ended just then.
            if decision.code == DecisionCode::AlreadyReported as i32 && question.is_known {
                question.claim();
                continue;
            }
            match Outcome::try_from(decision.outcome) {
                Ok(Outcome::Allow) if question.claim() => return Verdict::Run(Box::new(decision)),
                Ok(Outcome::Allow) => {}
                Ok(Outcome::Deny) => {
                    question.claim();
                    return Verdict::Refused(Refusal::denied(&subject.what, decision));
                }
                Ok(Outcome::Escalate) => return Verdict::Refused(Refusal::pending(&subject.what, decision)),
                Ok(Outcome::RequireConfirmation) => return self.confirmed(subject, &question, decision, call).await,
                Ok(Outcome::Unspecified) | Err(_) => {
                    let why = "the daemon's answer is not known to this version of aegis";
                    return Verdict::Refused(Refusal::unavailable(&subject.what, why));
                }
            }
        }
        Verdict::Refused(Refusal::unavailable(&subject.what, "too many equal calls are made at the same time"))
    }

    /// Whether a rule of the policy is about it, and not only the defaults.
    pub(super) async fn is_ruled(&self, subject: &Subject) -> Result<bool, Failure> {
        let item = v1::EvaluateItem { actor: Some(self.actor()), action: Some(self.action(subject)?) };
        let request = v1::EvaluateRequest { items: vec![item], at: None, explain: false };
        let deadline = Instant::now() + AWAY;
        let answer = repeated(deadline, is_away, async || {
            self.remote.governance().evaluate(connect::call(request.clone())).await
        });
        match answer.await?.evaluations.as_slice() {
            [evaluation] => Ok(evaluation.matched_rule != crate::policy::DEFAULT_RULE),
            _ => Err(Failure::new("the daemon answered another number of questions than it was asked")),
        }
    }

    /// The decision, with the wait for a person.
    async fn decide(&self, subject: &Subject, question: &Question<'_>, call: &Call) -> Result<Decision, Failure> {
        let decision = self.propose(subject, question, "").await?;
        if !is(&decision, Outcome::Escalate) {
            return Ok(decision);
        }
        question.keep();
        let end = wire::time(decision.expires_at.as_ref()).unwrap_or_else(|| "an unknown time".to_owned());
        let message = format!("Waiting for a person to decide: approval {}, open until {end}", decision.approval_id);
        let passes = |status: &Status| is_connection_lost(status) || is_worth_resuming(status);
        let waiting = wait_through(&self.remote, decision.clone(), call.deadline, passes);
        tokio::pin!(waiting);
        let mut ticks = tokio::time::interval(self.progress_every);
        loop {
            tokio::select! {
                waited = &mut waiting => return match waited {
                    // The daemon did not come back in time. The question is as it was.
                    Err(_) if Instant::now() + PATIENCE >= call.deadline => Ok(decision),
                    waited => waited,
                },
                _ = ticks.tick() => call.progress.tell(&self.client, &message),
            }
        }
    }

    async fn propose(&self, subject: &Subject, question: &Question<'_>, token: &str) -> Result<Decision, Failure> {
        let key = question.key();
        let request = v1::ProposeRequest {
            actor: Some(self.actor()),
            action: Some(v1::Action { description: key.description.clone(), ..self.action(subject)? }),
            context: Some(v1::ProposalContext {
                session_id: key.session.clone(),
                metadata: Some(wire::to_struct(subject.labels.clone(), "metadata").map_err(Failure::new)?),
            }),
            idempotency_key: key.idempotency.clone(),
            wait: None,
            confirmation_token: token.to_owned(),
        };
        let deadline = Instant::now() + AWAY;
        let answer = repeated(deadline, is_away, async || {
            self.remote.governance().propose(connect::call(request.clone())).await
        });
        answered(answer.await?.decision)
    }

    /// Asks the user of the agent. That is no answer of a reviewer, and is never used as one.
    async fn confirmed(&self, subject: &Subject, question: &Question<'_>, decision: Decision, call: &Call) -> Verdict {
        let refused = |why: &str, decision| Verdict::Refused(Refusal::unconfirmed(&subject.what, why, decision));
        if !question.claim() {
            return refused("An equal call asks the user just now.", decision);
        }
        let asked = async {
            if !self.can_confirm.get() {
                return Err("The client cannot ask its user.");
            }
            let message = format!("Aegis asks you to confirm {}: {}", subject.what, visible(&decision.reason));
            let form = json!({"message": message, "requestedSchema": {"type": "object", "properties": {}}});
            let Value::Object(form) = form else { return Err("The client cannot be asked.") };
            let mut asked = self.client.request("elicitation/create", form).await.map_err(|_| "The client is gone.")?;
            let left = call.deadline.saturating_duration_since(Instant::now());
            let answer = tokio::time::timeout(left, asked.answer()).await;
            let Ok(Some(Answer::Result(answer))) = answer else { return Err("The user did not answer.") };
            let answer: Value = serde_json::from_str(answer.get()).unwrap_or_default();
            if answer["action"] == "accept" { Ok(()) } else { Err("The user did not agree.") }
        };
        let asked = tokio::select! {
            biased;
            () = call.is_gone.cancelled() => Err("The call was cancelled."),
            asked = asked => asked,
        };
        if let Err(why) = asked {
            self.withdraw(&decision, "the user of the agent did not confirm").await;
            return if call.is_gone.is_cancelled() { Verdict::Gone } else { refused(why, decision) };
        }
        let fresh = match self.questions.join(self.identity(subject), &question.key().description) {
            Ok(fresh) => fresh,
            Err(failure) => return Verdict::Refused(Refusal::unavailable(&subject.what, &failure.to_string())),
        };
        match self.propose(subject, &fresh, &decision.confirmation_token).await {
            Ok(confirmed) if is(&confirmed, Outcome::Allow) && fresh.claim() => Verdict::Run(Box::new(confirmed)),
            Ok(confirmed) => Verdict::Refused(Refusal::denied(&subject.what, confirmed)),
            Err(failure) => Verdict::Refused(Refusal::unavailable(&subject.what, &failure.to_string())),
        }
    }

    async fn withdraw(&self, decision: &Decision, reason: &str) {
        let request =
            v1::CancelProposalRequest { decision_id: decision.decision_id.clone(), reason: reason.to_owned() };
        let mut governance = self.remote.governance();
        let cancelled = tokio::time::timeout(PATIENCE, governance.cancel_proposal(connect::call(request))).await;
        if !matches!(cancelled, Ok(Ok(_))) {
            say::warning("a proposal could not be withdrawn");
        }
    }

    /// Puts the result of a call on the record.
    pub(super) async fn report(&self, decision: &Decision, result: v1::ActionResult) {
        let request = v1::ReportResultRequest { decision_id: decision.decision_id.clone(), result: Some(result) };
        let deadline = Instant::now() + AWAY;
        let answer = repeated(deadline, is_away, async || {
            self.remote.governance().report_result(connect::call(request.clone())).await
        });
        if let Err(status) = answer.await {
            say::warning(format_args!("a result is not reported: {}", Failure::from(status)));
        }
    }

    fn actor(&self) -> v1::Actor {
        v1::Actor { id: self.actor.borrow().clone(), r#type: "ai-agent".to_owned() }
    }

    fn action(&self, subject: &Subject) -> Result<v1::Action, Failure> {
        Ok(v1::Action {
            r#type: subject.kind.clone(),
            target: self.server.clone(),
            params: Some(wire::to_struct(subject.params.clone(), "arguments").map_err(Failure::new)?),
            description: String::new(),
        })
    }

    /// The same action has the same text.
    fn identity(&self, subject: &Subject) -> String {
        json!([self.server, *self.actor.borrow(), subject.kind, subject.params]).to_string()
    }
}

/// Whether the daemon may answer in a moment: it starts again, or its disk does not answer.
fn is_away(status: &Status) -> bool {
    is_connection_lost(status) || status.code() == Code::Unavailable
}
