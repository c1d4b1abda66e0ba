//! [`Executions`]: the daemon runs actions itself, for callers that leave that to it.
//!
//! Such a proposal goes the usual way: decide, record, ask. When it is allowed, an [`Executor`] runs the action, and
//! the daemon records the result. All of it goes on without the caller, who may hang up and ask again later.
//!
//! An action runs at most once. Only the process that recorded the ALLOW runs it, right after the ALLOW is durable. If
//! the daemon ends in between, nobody runs the action again, and its result is `unknown`. A question that is still open
//! is taken up again after a restart.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio_util::task::TaskTracker;

use super::error::GovernanceError;
use super::governor::Governor;
use super::propose::Propose;
use crate::approvals::{QueueFull, heap_bytes, quota_key};
use crate::audit::record::IdentityRecord;
use crate::audit::row::AuditRow;
use crate::domain::check::TEXT_BYTES;
use crate::domain::{
    Action, Actor, ApprovalId, CallError, Caller, Checked, Checker, Decision, DecisionCode, DecisionId, JsonLimits,
    Outcome, Report, ResultStatus,
};
use crate::limits::{Quota, QuotaLimits, Share};

/// An allowed action, as it was proposed: nothing of it is masked.
#[derive(Clone, Debug)]
pub struct Order {
    /// The decision that allows the action.
    pub decision: Decision,
    /// The action.
    pub action: Action,
    /// The proposer, as declared.
    pub actor: Actor,
    /// The agent's session, or empty.
    pub session_id: String,
}

/// An action that runs. It resolves to what became of it.
pub type Running = Pin<Box<dyn Future<Output = Report> + Send>>;

/// Runs allowed actions.
pub trait Executor: Send + Sync + 'static {
    /// Runs an action once. It has a time limit of its own.
    fn run(&self, order: Order) -> Running;
}

/// The executor that does nothing and succeeds: the caller only wants the decision and the record.
#[derive(Clone, Copy, Debug)]
pub struct Noop;

impl Executor for Noop {
    fn run(&self, _order: Order) -> Running {
        let report = Report { data: Some(json!({"executed": true})), ..Report::settled(ResultStatus::Success, "") };
        Box::pin(std::future::ready(report))
    }
}

/// Where an execution stands.
#[derive(Clone, Debug)]
pub struct Executed {
    /// The decision.
    pub decision: Decision,
    /// What became of the action; `None` while it waits for a person or runs.
    pub result: Option<Report>,
}

impl Executed {
    /// What is known of a decision that this process does not run (any more).
    fn of(decision: Decision) -> Self {
        let status = match decision.code {
            _ if decision.result.is_some() => {
                let result = decision.result.as_ref().map(|result| result.report.clone());
                return Self { decision, result };
            }
            _ if decision.outcome == Outcome::Allow => {
                let why =
                    "the daemon ended before it could record the result: the action may have run, and is not run again";
                return Self { decision, result: Some(Report::settled(ResultStatus::Unknown, why)) };
            }
            _ if decision.outcome != Outcome::Deny => return Self { decision, result: None },
            // A policy that changed after the question was asked ends the question as denied.
            // So does a limit.
            DecisionCode::PolicyChanged | DecisionCode::Limit if decision.approval_id.is_some() => ResultStatus::Denied,
            // Nobody has denied the question that may still be open.
            DecisionCode::Halted if decision.approval_id.is_some() => return Self { decision, result: None },
            DecisionCode::Policy
            | DecisionCode::PolicyChanged
            | DecisionCode::AlreadyReported
            | DecisionCode::Halted
            | DecisionCode::Limit => ResultStatus::Blocked,
            DecisionCode::Reviewer | DecisionCode::Timeout => ResultStatus::Denied,
            DecisionCode::Cancelled => ResultStatus::Skipped,
        };
        let result = Some(Report::settled(status, &decision.reason));
        Self { decision, result }
    }
}

type Progress = watch::Receiver<Option<Executed>>;

/// The actions that the daemon runs.
pub struct Executions {
    governor: Arc<Governor>,
    executor: Arc<dyn Executor>,
    /// The limits of the data that an executor returns.
    limits: JsonLimits,
    /// An action is kept in memory until it has run, so its caller has a share of this.
    quota: Quota,
    running: Mutex<HashMap<DecisionId, Progress>>,
    tasks: TaskTracker,
}

impl Executions {
    /// Takes up what waits for a reviewer since an earlier run of the daemon.
    pub fn start(governor: Arc<Governor>, executor: Arc<dyn Executor>, limits: JsonLimits) -> Arc<Self> {
        let settings = &governor.settings;
        let quota = Quota::new(QuotaLimits {
            total: settings.pending,
            anonymous: settings.pending.percent(settings.anonymous_share),
            per_caller: settings.pending_per_caller,
        });
        let waiting = governor.queue.page(None, usize::MAX, |pending| pending.decision.executes());
        let executions =
            Arc::new(Self { governor, executor, limits, quota, running: Mutex::default(), tasks: TaskTracker::new() });
        for pending in waiting {
            let (decision_id, approval_id) = (pending.decision.decision_id(), pending.approval_id);
            let (done, progress) = watch::channel(None);
            executions.running().insert(decision_id, progress);
            let resumed = Arc::clone(&executions);
            executions.tasks.spawn(async move {
                let ended = resumed.resume(decision_id, approval_id).await;
                resumed.end(decision_id, ended, &done);
            });
        }
        executions
    }

    /// Proposes an action and runs it when it is allowed. Answers when its result is on the record, or after `wait`.
    pub async fn execute(
        self: &Arc<Self>,
        caller: &Caller,
        ask: Checked<Propose>,
        wait: Duration,
    ) -> Result<Executed, GovernanceError> {
        let until = tokio::time::Instant::now() + wait;
        let ask = Propose { wait: Duration::ZERO, ..ask.into_inner() };
        let (action, key) = (&ask.proposal.action, quota_key(&IdentityRecord::of(caller)));
        let bytes = heap_bytes(&action.params) + action.target.len() + action.description.len();
        let share = self.quota.take(&key, bytes).map_err(QueueFull)?;
        let (decided, decision) = oneshot::channel();
        let (executions, caller) = (Arc::clone(self), caller.clone());
        // A task of its own: the action is run although its caller hangs up.
        self.tasks.spawn(async move { executions.carry_out(caller, ask, share, decided).await });
        let decision = decision.await.map_err(|_| crate::audit::StoreError::Closed)??;
        self.wait_until(decision, until).await
    }

    /// Whether this process runs the action of this decision, or waits for its reviewer.
    pub fn has(&self, decision_id: DecisionId) -> bool {
        self.running().contains_key(&decision_id)
    }

    /// Where the execution of this decision stands, after at most this wait. The decision is one that the caller owns.
    pub async fn progress(&self, decision: Decision, wait: Duration) -> Result<Executed, GovernanceError> {
        self.wait_until(decision, tokio::time::Instant::now() + wait).await
    }

    /// Waits until every action that runs has ended, at most for this long.
    pub async fn finish(&self, grace: Duration) {
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                actions = self.tasks.len(),
                "actions still ran at the end of the grace period: their results are unknown"
            );
        }
    }

    async fn wait_until(&self, decision: Decision, until: tokio::time::Instant) -> Result<Executed, GovernanceError> {
        let decision_id = decision.decision_id;
        let Some(mut progress) = self.running().get(&decision_id).cloned() else {
            // It may have ended after this decision was read. A confirmation token is in no record, and never changes.
            let may_have = may_run(decision.outcome);
            return Ok(Executed::of(if may_have { self.governor.told(decision_id).await? } else { decision }));
        };
        let ended = async { progress.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone()) };
        match tokio::time::timeout_at(until, ended).await {
            Ok(Some(ended)) => Ok(ended),
            // It ended without a result that could be recorded, or the daemon stops.
            Ok(None) => Ok(Executed::of(self.governor.told(decision_id).await?)),
            Err(_) => Ok(Executed { decision: self.governor.told(decision_id).await?, result: None }),
        }
    }

    /// Everything from the proposal to the recorded result.
    async fn carry_out(
        &self,
        caller: Caller,
        ask: Propose,
        _share: Share,
        decided: oneshot::Sender<Result<Decision, GovernanceError>>,
    ) {
        let (action, actor) = (ask.proposal.action.clone(), ask.proposal.actor.clone());
        let session_id = ask.proposal.session_id.clone();
        let decision = match self.governor.take_proposal(&caller, ask, true).await {
            // An earlier call with the same idempotency key runs it.
            Ok(decision) if decision.replayed || !may_run(decision.outcome) => return drop(decided.send(Ok(decision))),
            Ok(decision) => decision,
            Err(error) => return drop(decided.send(Err(error))),
        };
        let decision_id = decision.decision_id;
        let (done, progress) = watch::channel(None);
        self.running().insert(decision_id, progress);
        // The caller may be gone.
        let _ = decided.send(Ok(decision.clone()));
        let ended = async {
            let decision = match decision.approval_id {
                Some(approval_id) => self.answered(decision_id, approval_id).await?,
                None => decision,
            };
            match decision.outcome {
                Outcome::Allow => {
                    self.run(Order { decision: decision.clone(), action, actor, session_id }).await.map(Some)
                }
                Outcome::Deny => self.denied(decision).await.map(Some),
                _ => Ok(None),
            }
        };
        self.end(decision_id, ended.await, &done);
    }

    /// Goes on with a question that an earlier run of the daemon asked. It knows no masked value.
    async fn resume(
        &self,
        decision_id: DecisionId,
        approval_id: ApprovalId,
    ) -> Result<Option<Executed>, GovernanceError> {
        let decision = self.answered(decision_id, approval_id).await?;
        let record = match decision.outcome {
            Outcome::Allow => self.governor.recorded(decision_id).await?.decision,
            Outcome::Deny => return self.denied(decision).await.map(Some),
            _ => return Ok(None),
        };
        if record.masked.is_empty() {
            let (action, actor, session_id) = (record.action.clone(), record.actor.clone(), record.session_id.clone());
            return self.run(Order { decision, action, actor, session_id }).await.map(Some);
        }
        let why = "it did not run: the daemon was started again meanwhile, and it does not keep masked values";
        self.report(decision, Report::settled(ResultStatus::Skipped, why)).await.map(Some)
    }

    /// What becomes of an action that is not allowed. One that was allowed, and whose proposer was halted before it
    /// ran, does not run any more.
    async fn denied(&self, decision: Decision) -> Result<Executed, GovernanceError> {
        if decision.code != DecisionCode::Halted {
            return Ok(Executed::of(decision));
        }
        if self.governor.recorded(decision.decision_id).await?.state.outcome_now() == Outcome::Allow {
            let report = Report::settled(ResultStatus::Skipped, &format!("it did not run: {}", decision.reason));
            return self.report(decision, report).await;
        }
        let result = Some(Report::settled(ResultStatus::Denied, &decision.reason));
        Ok(Executed { decision, result })
    }

    /// The decision after its question was answered; still ESCALATE if the daemon stops before.
    async fn answered(&self, decision_id: DecisionId, approval_id: ApprovalId) -> Result<Decision, GovernanceError> {
        self.governor.queue.ended(approval_id).await;
        self.governor.told(decision_id).await
    }

    async fn run(&self, order: Order) -> Result<Executed, GovernanceError> {
        let decision = order.decision.clone();
        let report = self.executor.run(order).await;
        let report = match self.check(&report) {
            Ok(()) => report,
            Err(error) => {
                let why = format!("{}: the executor's answer cannot be recorded: {error}", report.status.as_str());
                Report { data: None, error: why.chars().take(TEXT_BYTES / 4).collect(), ..report }
            }
        };
        self.report(decision, report).await
    }

    /// Checks what an executor answered, as the report of an agent is checked.
    fn check(&self, report: &Report) -> Result<(), CallError> {
        let mut checker = Checker::new(self.limits);
        if let Some(data) = &report.data {
            checker.value("data", data);
        }
        checker.text("error", &report.error, TEXT_BYTES);
        checker.finish(())
    }

    /// Records the result. The record has it masked; the caller gets it as it is.
    async fn report(&self, decision: Decision, report: Report) -> Result<Executed, GovernanceError> {
        let recorded = self.governor.recorded(decision.decision_id).await?;
        self.governor.record_report(&recorded.decision, report.clone()).await?;
        Ok(Executed { decision, result: Some(report) })
    }

    /// Tells whoever waits.
    fn end(
        &self,
        decision_id: DecisionId,
        ended: Result<Option<Executed>, GovernanceError>,
        done: &watch::Sender<Option<Executed>>,
    ) {
        match ended {
            Ok(Some(executed)) => drop(done.send_replace(Some(executed))),
            Ok(None) => {}
            Err(error) => tracing::error!(%decision_id, %error, "the result of an action cannot be recorded"),
        }
        self.running().remove(&decision_id);
    }

    fn running(&self) -> MutexGuard<'_, HashMap<DecisionId, Progress>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the action runs now, or may run once a reviewer has answered.
fn may_run(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Allow | Outcome::Escalate)
}

impl Governor {
    /// A decision as it is now, whoever proposed it.
    async fn told(&self, decision_id: DecisionId) -> Result<Decision, GovernanceError> {
        Ok(self.tell(&self.in_force(self.recorded(decision_id).await?)))
    }

    async fn recorded(&self, decision_id: DecisionId) -> Result<AuditRow, GovernanceError> {
        let row = self.store.look(move |reader| reader.by_decision(decision_id)).await?;
        row.ok_or(GovernanceError::NoDecision(decision_id))
    }
}
