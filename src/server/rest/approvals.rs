//! Approvals, for reviewers: what is pending, and the answers.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse as _;
use axum::response::sse::{Event, Sse};
use futures_util::StreamExt as _;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, Call, json};
use super::fields;
use super::query::{Number, Parsed};
use super::words::{Actor, EndingKind, Object, Outcome, ResultStatus, RiskLevel, moment, present};
use crate::approvals::{Lagged, Pending, QueueEvent, Vote};
use crate::audit::follow::{Followed, Follower, Until, View};
use crate::audit::row::{ApprovalState, AuditRow, RowFilter};
use crate::audit::{DecisionRecord, IdentityRecord};
use crate::domain::check::TEXT_BYTES;
use crate::domain::{self, ApprovalId, CallError, Checker, Digest, QuestionState, Timestamp};
use crate::governance::{Governor, Voted};
use crate::server::problem::{self, Problem};
use crate::server::streams::{HEARTBEAT, Over, Sink, stopping};

/// The most records that a stream reads to say what ended while its client was away.
const MISSED: u64 = 10_000;

/// Which approvals. Every filter that is given must match.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ApprovalQuery {
    /// The agent's session.
    session_id: String,
    /// The type of the action.
    action_type: String,
    /// The declared id of the actor.
    actor_id: String,
    /// This risk level or a higher one.
    min_risk_level: Option<RiskLevel>,
}

/// Which page.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ApprovalPage {
    /// The agent's session.
    session_id: String,
    /// The type of the action.
    action_type: String,
    /// The declared id of the actor.
    actor_id: String,
    /// This risk level or a higher one.
    min_risk_level: Option<RiskLevel>,
    /// The most approvals to return: at most 1,000. Default: 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    page_size: Option<Number>,
    /// The `next_page_token` of the page before.
    #[param(value_type = Option<String>)]
    page_token: Option<Parsed<ApprovalId>>,
}

/// A question for a reviewer: whether an action may run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Approval {
    approval_id: String,
    decision_id: String,
    actor: Actor,
    /// Who proposed, as the daemon authenticated them. Null in a redacted approval.
    identity: Option<Identity>,
    action: Action,
    masked: Vec<String>,
    context: Context,
    action_digest: String,
    matched_rule: String,
    reason: String,
    risk_level: RiskLevel,
    policy_revision: String,
    #[schema(format = DateTime)]
    requested_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    timeout_allows: bool,
    /// Where the approval stands.
    state: ApprovalStatus,
    /// How the approval ended. Null while it is pending.
    ending: Option<Ending>,
    /// Earlier actions of the same session, newest first. Only where one approval is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    history: Vec<SessionAction>,
}

/// A caller, as the daemon authenticated it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Identity {
    subject: String,
    how: &'static str,
    /// The only actor id that the caller may declare. Null: any.
    actor_id: Option<String>,
    groups: Vec<String>,
}

/// What an agent wants to do, masked as the policy says.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Action {
    r#type: String,
    target: String,
    params: Object,
    description: String,
}

/// The session and the labels of a proposal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Context {
    session_id: String,
    metadata: Object,
}

/// The state of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ApprovalStatus {
    /// Reviewers may answer.
    Pending,
    /// A reviewer approved.
    Approved,
    /// A reviewer denied, or the policy in force now blocks the action.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// The proposer withdrew.
    Cancelled,
}

/// How an approval ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ending {
    kind: EndingKind,
    allows: bool,
    /// Who ended the approval. Null if time or the policy did.
    by: Option<String>,
    /// When the approval ended.
    #[schema(format = DateTime)]
    ended_at: String,
    reason: String,
    /// `POLICY_CHANGED` or `TIMEOUT` if the daemon ended the approval.
    code: Option<String>,
}

/// An earlier action of a session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionAction {
    /// When the daemon decided.
    #[schema(format = DateTime)]
    decided_at: String,
    r#type: String,
    target: String,
    outcome: Outcome,
    /// The result of the action. Null while it is not known.
    result_status: Option<ResultStatus>,
}

/// A page of approvals.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Approvals {
    /// The pending approvals, oldest first.
    approvals: Vec<Approval>,
    /// The `page_token` of the next page. Null on the last page.
    next_page_token: Option<String>,
}

/// A reviewer's answer.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct VoteRequest {
    #[schema(required, min_length = 64, max_length = 64)]
    expected_action_digest: String,
    reason: String,
}

/// List approvals
///
/// The pending approvals, oldest first, in pages.
#[utoipa::path(
    get, path = "/api/v1/approvals", tag = "approvals", operation_id = "listApprovals", params(ApprovalPage),
    responses(
        (status = 200, description = "A page of approvals", body = Approvals),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(api): State<Api>, call: Call) -> Answer {
    let ApprovalPage { session_id, action_type, actor_id, min_risk_level, page_size, page_token } = call.query()?;
    let filter = ApprovalQuery { session_id, action_type, actor_id, min_risk_level };
    let size = Number::page_size(page_size)?;
    let after = page_token.map(|Parsed(after)| after);
    // One more than requested, to see whether there is another page.
    let mut page = api.governor.queue().page(after, size + 1, |pending| filter.keeps(pending));
    let more = page.len() > size;
    page.truncate(size);
    let next_page_token = page.last().filter(|_| more).map(|pending| pending.approval_id.to_string());
    let mut approvals = Vec::with_capacity(page.len());
    for pending in &page {
        approvals.push(Approval::open(&api.governor, pending, &QuestionState::Open).await?);
    }
    json(StatusCode::OK, &Approvals { approvals, next_page_token })
}

/// Get an approval
///
/// One approval, pending or ended, with the earlier actions of its session.
#[utoipa::path(
    get, path = "/api/v1/approvals/{approval_id}", tag = "approvals", operation_id = "getApproval",
    params(("approval_id" = String, Path, description = "The id of the approval: `apr_` and a UUID")),
    responses(
        (status = 200, description = "The approval", body = Approval),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get(State(api): State<Api>, call: Call) -> Answer {
    let asked = api.governor.asked_once(call.id("approval_id")?).await?;
    let history = asked.history.into_iter().map(|row| SessionAction::of(row, &api.governor)).collect();
    let approval = Approval::recorded(asked.row)?;
    json(StatusCode::OK, &Approval { history, ..approval })
}

/// Approve
///
/// Approves exactly the action that was shown. If the policy in force now blocks it, the approval ends denied. Safe to
/// repeat.
#[utoipa::path(
    post, path = "/api/v1/approvals/{approval_id}/approve", tag = "approvals", operation_id = "approve",
    params(("approval_id" = String, Path, description = "The id of the approval: `apr_` and a UUID")),
    request_body = VoteRequest,
    responses(
        (status = 200, description = "The approval, as it is now", body = Approval),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn approve(State(api): State<Api>, call: Call) -> Answer {
    vote(&api, &call, Vote::Approve).await
}

/// Deny
///
/// Denies exactly the action that was shown. Safe to repeat.
#[utoipa::path(
    post, path = "/api/v1/approvals/{approval_id}/deny", tag = "approvals", operation_id = "deny",
    params(("approval_id" = String, Path, description = "The id of the approval: `apr_` and a UUID")),
    request_body = VoteRequest,
    responses(
        (status = 200, description = "The approval, as it is now", body = Approval),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn deny(State(api): State<Api>, call: Call) -> Answer {
    vote(&api, &call, Vote::Deny).await
}

async fn vote(api: &Api, call: &Call, vote: Vote) -> Answer {
    let (approval_id, request) = fields::both(call.id::<ApprovalId>("approval_id"), call.body::<VoteRequest>())?;
    let mut checker = Checker::new(api.limits);
    checker.text("reason", &request.reason, TEXT_BYTES);
    let digest = Digest::from_hex(&request.expected_action_digest);
    if digest.is_none() {
        let why = "must be the action_digest of the approval that was shown: 64 hex digits";
        checker.wrong("expected_action_digest", why);
    }
    let digest = checker.finish(digest)?.ok_or_else(|| CallError::internal("a digest is missing"))?;
    let voted = api.governor.decide(call.caller()?, approval_id, digest, vote, request.reason).await?;
    let approval = match voted {
        Voted::Now { pending, state } => Approval::open(&api.governor, &pending, &state).await?,
        Voted::Before(row) => Approval::recorded(*row)?,
    };
    json(StatusCode::OK, &approval)
}

/// Stream approvals
///
/// Server-sent events: a `pending` for each pending approval, then `snapshot_complete`, then every change: `pending` for
/// a new approval, `ended` for one that ended. After `lagged` a new snapshot follows. With `Last-Event-ID` the stream
/// first says what ended meanwhile. A stream that breaks off ends with `problem`.
#[utoipa::path(
    get, path = "/api/v1/approvals/stream", tag = "approvals", operation_id = "streamApprovals", params(ApprovalQuery),
    responses(
        (status = 200, description = "The events", body = String, content_type = "text/event-stream"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn stream(State(api): State<Api>, call: Call) -> Answer {
    let filter: ApprovalQuery = call.query()?;
    let last = call.header("last-event-id").map(str::parse::<u64>).transpose();
    let last =
        last.map_err(|_| CallError::invalid_field("Last-Event-ID", "must be the id of an event of this stream"))?;
    let governor = Arc::clone(&api.governor);
    let standing = call.standing()?.clone();
    let events = api.streams.open(standing, |sink| async move {
        let watcher = Watch { governor: &governor, filter: &filter, sink: &sink };
        if let Some(last) = last {
            watcher.missed(last).await?;
        }
        watcher.run().await
    })?;
    // A stream has begun, so its status is sent already: an event says why it ends.
    let events = events.map(|event| Ok::<_, std::convert::Infallible>(event.unwrap_or_else(|error| ended(error))));
    Ok(Sse::new(events).into_response())
}

fn ended(error: CallError) -> Event {
    let problem = serde_json::to_string(&problem::document(error)).unwrap_or_default();
    Event::default().event("problem").data(problem)
}

/// One client's stream.
struct Watch<'a> {
    governor: &'a Governor,
    filter: &'a ApprovalQuery,
    sink: &'a Sink<Event>,
}

impl Watch<'_> {
    /// Says which approvals ended after this record.
    async fn missed(&self, last: u64) -> Result<(), Over> {
        let time = super::audit::status_time(self.governor);
        let store = self.governor.store();
        let mut follower = Follower::after(store, Until::Committed, last, View::Rows(RowFilter::default()), time);
        if last > follower.end() || follower.end() - last > MISSED {
            return self.lagged(None).await;
        }
        while let Some(batch) = follower.ready().await? {
            for (_, item) in batch.items {
                let Followed::Row(row) = item else { continue };
                if row.ending_kind().is_some() && self.filter.keeps_row(&row) {
                    self.say("ended", &Approval::recorded(*row)?).await?;
                }
            }
        }
        Ok(())
    }

    async fn run(&self) -> Result<(), Over> {
        loop {
            let (snapshot, mut watcher) = self.governor.queue().watch();
            let mut count = 0;
            for pending in snapshot.iter().filter(|pending| self.filter.keeps(pending)) {
                self.pending(pending).await?;
                count += 1;
            }
            self.say("snapshot_complete", &serde_json::json!({"count": count})).await?;
            loop {
                let change = tokio::select! {
                    () = self.sink.closed() => return Err(Over::ClientGone),
                    change = tokio::time::timeout(HEARTBEAT, watcher.next()) => change,
                };
                match change {
                    Err(_) => self.sink.send(Event::default().comment("")).await?,
                    Ok(Some(Ok(QueueEvent::Added(pending)))) if self.filter.keeps(&pending) => {
                        self.pending(&pending).await?;
                    }
                    Ok(Some(Ok(QueueEvent::Ended(ended)))) if self.filter.keeps(&ended.pending) => {
                        let state = QuestionState::Ended(ended.ending.clone());
                        self.say("ended", &Approval::open(self.governor, &ended.pending, &state).await?).await?;
                    }
                    Ok(Some(Ok(_))) => {}
                    Ok(Some(Err(Lagged(missed)))) => {
                        self.lagged(Some(missed)).await?;
                        break;
                    }
                    Ok(None) => return Err(stopping()),
                }
            }
        }
    }

    async fn pending(&self, pending: &Pending) -> Result<(), Over> {
        self.say("pending", &Approval::open(self.governor, pending, &QuestionState::Open).await?).await
    }

    /// Says that changes were lost, and how many if that is known.
    async fn lagged(&self, missed: Option<u64>) -> Result<(), Over> {
        self.say("lagged", &serde_json::json!({"missed": missed})).await
    }

    async fn say(&self, name: &str, document: &impl Serialize) -> Result<(), Over> {
        let text = serde_json::to_string(document).map_err(|error| CallError::internal(error.to_string()))?;
        // What is on the record up to here is told, or is in the snapshot that a new stream begins with.
        let place = *self.governor.store().committed().borrow();
        self.sink.send(Event::default().event(name).id(place.to_string()).data(text)).await
    }
}

impl ApprovalQuery {
    fn keeps(&self, pending: &Pending) -> bool {
        let decision = &pending.decision;
        let (session, kind, actor) = (decision.session_id(), decision.action_type(), decision.actor_id());
        self.matches(session, kind, actor, decision.risk_level())
    }

    fn keeps_row(&self, row: &AuditRow) -> bool {
        let decision = &row.decision;
        self.matches(&decision.session_id, &decision.action.r#type, &decision.actor.id, decision.risk_level)
    }

    fn matches(&self, session: &str, action_type: &str, actor: &str, risk: domain::RiskLevel) -> bool {
        let is = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
        is(&self.session_id, session)
            && is(&self.action_type, action_type)
            && is(&self.actor_id, actor)
            && self.min_risk_level.is_none_or(|level| risk >= level.into())
    }
}

impl Approval {
    /// A question of the queue, in this state. A large one is read from the disk.
    async fn open(governor: &Governor, pending: &Pending, state: &QuestionState) -> Result<Self, CallError> {
        let decision = governor.asked(pending).await?;
        let Pending { approval_id, requested_at, expires_at, timeout_allows, .. } = pending;
        let (approval_id, expires_at, timeout_allows) = (*approval_id, *expires_at, *timeout_allows);
        let state = ApprovalState { approval_id, expires_at, timeout_allows, state: state.clone() };
        Ok(Self::of(&decision, &state, *requested_at))
    }

    /// A question of the record.
    pub(super) fn recorded(row: AuditRow) -> Result<Self, CallError> {
        let state = row.state.approval.as_ref();
        let state = state.ok_or_else(|| CallError::internal("the decision has no approval"))?;
        let approval = Self::of(&row.decision, state, row.time);
        Ok(Self { identity: approval.identity.filter(|_| row.state.redacted.is_none()), ..approval })
    }

    fn of(decision: &DecisionRecord, state: &ApprovalState, requested_at: Timestamp) -> Self {
        let domain::Action { r#type, target, params, description } = decision.action.clone();
        let ending = state.ending();
        Self {
            approval_id: state.approval_id.to_string(),
            decision_id: decision.decision_id.to_string(),
            actor: decision.actor.clone().into(),
            identity: Some(Identity::of(&decision.identity)),
            action: Action { r#type, target, params, description },
            masked: decision.masked.iter().map(ToString::to_string).collect(),
            context: Context { session_id: decision.session_id.clone(), metadata: decision.metadata.clone() },
            action_digest: decision.action_digest.to_string(),
            matched_rule: decision.matched_rule.clone(),
            reason: decision.reason.clone(),
            risk_level: decision.risk_level.into(),
            policy_revision: decision.policy_revision.to_string(),
            requested_at: moment(requested_at),
            expires_at: moment(state.expires_at),
            timeout_allows: state.timeout_allows,
            state: match ending.map(|ending| ending.kind) {
                None => ApprovalStatus::Pending,
                Some(domain::EndingKind::Approved) => ApprovalStatus::Approved,
                Some(domain::EndingKind::Denied) => ApprovalStatus::Denied,
                Some(domain::EndingKind::Expired) => ApprovalStatus::Expired,
                Some(domain::EndingKind::Cancelled) => ApprovalStatus::Cancelled,
            },
            ending: ending.map(|ending| Ending {
                kind: ending.kind.into(),
                allows: ending.allows,
                by: present(ending.by.clone()),
                ended_at: moment(ending.at),
                reason: ending.reason.clone(),
                code: present(ending.code.clone()),
            }),
            history: Vec::new(),
        }
    }
}

impl Identity {
    fn of(identity: &IdentityRecord) -> Self {
        let IdentityRecord { subject, how, groups, actor, .. } = identity.clone();
        Self { subject, how: how.as_str(), actor_id: actor, groups }
    }
}

impl SessionAction {
    fn of(row: AuditRow, governor: &Governor) -> Self {
        let status = row.state.status(governor.now(), governor.unreported_after());
        Self {
            decided_at: moment(row.time),
            r#type: row.decision.action.r#type,
            target: row.decision.action.target,
            outcome: row.state.outcome_now().into(),
            result_status: status.map(Into::into),
        }
    }
}
