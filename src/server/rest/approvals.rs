//! Approvals, for reviewers: what is pending, and the answers.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, Call, json};
use super::filter::filtered;
use super::masks::Mask;
use super::query::{Many, Number};
use super::words::{Actor, ApprovalState, EndingKind, Object, Outcome, ResultStatus, RiskLevel, moment, present};
use super::{fields, pages};
use crate::audit::row::{self, AuditRow};
use crate::audit::{DecisionRecord, IdentityRecord, Order, RowFilter};
use crate::domain::check::TEXT_BYTES;
use crate::domain::page::PageTokens;
use crate::domain::{self, ApprovalId, CallError, Checker, Digest, QuestionStatus, Timestamp, Verdict};
use crate::governance::{AskedOnce, GovernanceError, Governor, Voted};
use crate::server::problem::Problem;

filtered! {
    /// Which approvals, and which page of them.
    ApprovalPage {
        /// The states to return. May be given several times. Default: `pending`.
        #[param(value_type = Option<Vec<ApprovalState>>)]
        state: Many<ApprovalState>,
        /// The most approvals to return: at most 1,000. Default: 100.
        #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
        page_size: Option<Number>,
        /// The `next_page_token` of the page before, with the same filter and states.
        page_token: String,
    }
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
    masked: Vec<Mask>,
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
    state: ApprovalState,
    /// The votes of reviewers, oldest first.
    votes: Vec<Vote>,
    version: u32,
    caller_waiting: Option<bool>,
    /// Whether the record does not have this denial yet. Only in the answer to a denial.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unrecorded: bool,
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

/// A vote of a reviewer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Vote {
    /// The id of the record that has the vote.
    vote_id: String,
    /// `approve` or `deny`.
    verdict: &'static str,
    /// The reviewer.
    by: Identity,
    #[schema(format = DateTime)]
    voted_at: String,
    reason: String,
    action_digest: String,
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
    /// `POLICY_CHANGED`, `LIMIT`, `HALTED` or `TIMEOUT` if the daemon ended the approval.
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
    /// The approvals, oldest first.
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
/// Approvals, oldest first, in pages: the pending ones, or those in the requested states.
#[utoipa::path(
    get, path = "/api/v1/approvals", tag = "approvals", operation_id = "listApprovals", params(ApprovalPage),
    responses(
        (status = 200, description = "A page of approvals", body = Approvals),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(api): State<Api>, call: Call) -> Answer {
    let mut query: ApprovalPage = call.query()?;
    let size = Number::page_size(query.page_size)?;
    let shared = query.filter(api.governor.now(), api.limits)?;
    let filter = RowFilter { states: query.state.words(), ..shared };
    let only_open = filter.states.iter().all(|state| *state == QuestionStatus::Pending);
    // The positions of the two lists differ.
    let name = if only_open { "pending approvals" } else { "approvals" };
    let tokens = PageTokens::new(name, filter.digest().map_err(GovernanceError::from)?);
    let token = present(query.page_token);
    let (approvals, next_page_token) = if only_open {
        let after = token.map(|token| tokens.position(&token)).transpose().map_err(GovernanceError::from)?;
        let open = api.governor.open_approvals(&filter, after.map(ApprovalId::from_bytes), size).await?;
        let shown = open.entries.into_iter().map(|(id, (pending, decision))| {
            let approval = Approval::of(&decision, &pending.open_state(), pending.requested_at);
            (id, approval.with_presence(&api.governor, id))
        });
        let page = pages::fitting(shown, open.next)?;
        (page.entries, page.next.map(|id| tokens.after(*id.as_bytes())))
    } else {
        let after = token.map(|token| tokens.number(&token)).transpose().map_err(GovernanceError::from)?;
        let listed = api.governor.rows(&filter, Order::OldestFirst, after, size).await?;
        let shown: Result<Vec<_>, CallError> =
            listed.entries.iter().map(|(row, entry)| Ok((*row, Approval::recorded(entry)?))).collect();
        let page = pages::fitting(shown?, listed.next)?;
        (page.entries, page.next.map(|row| tokens.after_number(row)))
    };
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
    let id: ApprovalId = call.id("approval_id")?;
    let approval = match api.governor.asked_once(id).await {
        Ok(AskedOnce { row, history }) => {
            let history = history.into_iter().map(|row| SessionAction::of(row, &api.governor)).collect();
            Approval { history, ..Approval::recorded(&row)? }
        }
        Err(error) => Approval::in_memory(&api.governor, id).ok_or(error)?,
    };
    json(StatusCode::OK, &approval.with_presence(&api.governor, id))
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
    vote(&api, &call, Verdict::Approve).await
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
    vote(&api, &call, Verdict::Deny).await
}

async fn vote(api: &Api, call: &Call, verdict: Verdict) -> Answer {
    let (approval_id, request) = fields::both(call.id::<ApprovalId>("approval_id"), call.body::<VoteRequest>())?;
    let mut checker = Checker::new(api.limits);
    checker.text("reason", &request.reason, TEXT_BYTES);
    let digest = Digest::from_hex(&request.expected_action_digest);
    if digest.is_none() {
        let why = "must be the action_digest of the approval that was shown: 64 hex digits";
        checker.wrong("expected_action_digest", why);
    }
    let digest = checker.finish(digest)?.ok_or_else(|| CallError::internal("a digest is missing"))?;
    let caller_waiting = api.governor.queue().caller_waits(approval_id);
    let voted = api.governor.decide(call.caller()?, approval_id, digest, verdict, request.reason).await?;
    let approval = match voted {
        Voted::Now { pending, approval, is_recorded } => {
            // If the store cannot be read, the answer has only the head of a large one.
            let whole = api.governor.asked(&pending).await;
            let decision = whole.as_deref().unwrap_or(pending.decision.head());
            let approval = Approval::of(decision, &approval, pending.requested_at);
            Approval { caller_waiting, unrecorded: !is_recorded, ..approval }
        }
        Voted::Before(row) => Approval::recorded(&row)?,
    };
    json(StatusCode::OK, &approval)
}

impl Approval {
    /// An open question, without the earlier actions of its session, for when the store cannot be read.
    fn in_memory(governor: &Governor, id: ApprovalId) -> Option<Self> {
        let pending = governor.queue().get(id)?;
        Some(Self::of(pending.decision.whole()?, &pending.open_state(), pending.requested_at))
    }

    /// Says whether the caller of a question waits.
    pub(super) fn with_presence(self, governor: &Governor, id: ApprovalId) -> Self {
        Self { caller_waiting: governor.queue().caller_waits(id), ..self }
    }

    /// A question of the record.
    pub(super) fn recorded(row: &AuditRow) -> Result<Self, CallError> {
        let state = row.state.approval.as_ref();
        let state = state.ok_or_else(|| CallError::internal("the decision has no approval"))?;
        let approval = Self::of(&row.decision, state, row.time);
        Ok(Self { identity: approval.identity.filter(|_| row.state.redacted.is_none()), ..approval })
    }

    pub(super) fn of(decision: &DecisionRecord, state: &row::ApprovalState, requested_at: Timestamp) -> Self {
        let domain::Action { r#type, target, params, description } = decision.action.clone();
        let ending = state.ending();
        Self {
            approval_id: state.approval_id.to_string(),
            decision_id: decision.decision_id.to_string(),
            actor: decision.actor.clone().into(),
            identity: Some(Identity::of(&decision.identity)),
            action: Action { r#type, target, params, description },
            masked: Mask::of(decision, false),
            context: Context { session_id: decision.session_id.clone(), metadata: decision.metadata.clone() },
            action_digest: decision.action_digest.to_string(),
            matched_rule: decision.matched_rule.clone(),
            reason: decision.reason.clone(),
            risk_level: decision.risk_level.into(),
            policy_revision: decision.policy_revision.to_string(),
            requested_at: moment(requested_at),
            expires_at: moment(state.expires_at),
            timeout_allows: state.timeout_allows,
            state: state.state.status().into(),
            votes: state.votes.iter().map(Vote::of).collect(),
            version: state.version(),
            caller_waiting: None,
            unrecorded: false,
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

impl Vote {
    fn of(row::Vote { record_id, voted_at, vote }: &row::Vote) -> Self {
        Self {
            vote_id: record_id.to_string(),
            verdict: match vote.verdict {
                Verdict::Approve => "approve",
                Verdict::Deny => "deny",
            },
            by: Identity::of(&vote.by),
            voted_at: moment(*voted_at),
            reason: vote.reason.clone(),
            action_digest: vote.action_digest.to_string(),
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
