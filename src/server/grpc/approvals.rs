//! `ApprovalService`, for reviewers. It only converts between protobuf and the domain.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::request::Reader;
use super::streams::{HEARTBEAT, Messages, Over, Sink, Streams, stopping};
use super::{caller, response, standing};
use crate::approvals::{Lagged, Pending, QueueEvent, Vote};
use crate::audit::row::{AuditRow, RowFilter};
use crate::audit::{Order, Query, StoreError};
use crate::domain::{ApprovalId, CallError, Caller, Defence, JsonLimits, QuestionState, RiskLevel};
use crate::governance::{GovernanceError, Governor, Voted};
use crate::proto::v1;
use crate::proto::v1::approval_service_server::ApprovalService;
use crate::proto::v1::stream_approvals_response::Event;

/// The default number of approvals in a page.
const PAGE: usize = 100;
/// The most approvals in a page.
const LONGEST_PAGE: usize = 1000;
/// The most bytes of JSON in a page, below the default limit of clients. The first approval may be larger.
const PAGE_BYTES: usize = 2 << 20;
/// How many earlier actions of the session a reviewer sees.
const HISTORY: usize = 10;

/// The service for reviewers.
pub(crate) struct Approvals {
    /// Decides and records.
    pub(crate) governor: Arc<Governor>,
    /// The open streams.
    pub(crate) streams: Streams,
    /// The size limits of a request.
    pub(crate) limits: JsonLimits,
}

#[tonic::async_trait]
impl ApprovalService for Approvals {
    type StreamApprovalsStream = Messages<v1::StreamApprovalsResponse>;

    async fn stream_approvals(
        &self,
        request: Request<v1::StreamApprovalsRequest>,
    ) -> Result<Response<Self::StreamApprovalsStream>, Status> {
        let standing = standing(&request)?.clone();
        let filter = Filter::read(request.into_inner().filter)?;
        let governor = Arc::clone(&self.governor);
        self.streams.open(standing, |sink| async move { watch(&governor, &filter, &sink).await })
    }

    async fn list_approvals(
        &self,
        request: Request<v1::ListApprovalsRequest>,
    ) -> Result<Response<v1::ListApprovalsResponse>, Status> {
        let v1::ListApprovalsRequest { filter, page_size, page_token } = request.into_inner();
        let filter = Filter::read(filter)?;
        let mut reader = Reader::new(self.limits);
        let after: Option<ApprovalId> =
            if page_token.is_empty() { None } else { reader.parsed("page_token", &page_token) };
        let after = reader.finish(after)?;
        let size = match usize::try_from(page_size) {
            Ok(0) | Err(_) => PAGE,
            Ok(size) => size.min(LONGEST_PAGE),
        };
        // One more than requested, to see whether there is another page.
        let mut page = self.governor.queue().page(after, size + 1, |pending| filter.keeps(pending));
        let mut bytes = 0;
        let mut fits = |pending: &Arc<Pending>| {
            bytes += pending.bytes;
            bytes <= PAGE_BYTES || !Defence::PageBytes.on()
        };
        let fitting = page.iter().take(size).take_while(|pending| fits(pending)).count().max(1);
        let more = page.len() > fitting;
        page.truncate(fitting);
        let next = page.last().filter(|_| more).map(|pending| pending.approval_id.to_string());
        let mut approvals = Vec::with_capacity(page.len());
        for pending in &page {
            approvals.push(show(&self.governor, pending, &QuestionState::Open).await?);
        }
        Ok(Response::new(v1::ListApprovalsResponse { approvals, next_page_token: next.unwrap_or_default() }))
    }

    async fn get_approval(
        &self,
        request: Request<v1::GetApprovalRequest>,
    ) -> Result<Response<v1::GetApprovalResponse>, Status> {
        let mut reader = Reader::new(self.limits);
        let id: Option<ApprovalId> = reader.parsed("approval_id", &request.into_inner().approval_id);
        let Some(id) = reader.finish(id)? else {
            return Err(CallError::invalid_field("approval_id", "must be given").into());
        };
        let approval = self.recorded(id).await.map_err(Status::from)?;
        let approval = approval.ok_or_else(|| Status::from(GovernanceError::NoApproval(id)))?;
        Ok(Response::new(v1::GetApprovalResponse { approval: Some(approval) }))
    }

    async fn approve(&self, request: Request<v1::ApproveRequest>) -> Result<Response<v1::ApproveResponse>, Status> {
        let caller = caller(&request)?;
        let v1::ApproveRequest { approval_id, expected_action_digest, reason } = request.into_inner();
        let approval = self.decide(&caller, &approval_id, &expected_action_digest, reason, Vote::Approve).await?;
        Ok(Response::new(v1::ApproveResponse { approval: Some(approval) }))
    }

    async fn deny(&self, request: Request<v1::DenyRequest>) -> Result<Response<v1::DenyResponse>, Status> {
        let caller = caller(&request)?;
        let v1::DenyRequest { approval_id, expected_action_digest, reason } = request.into_inner();
        let approval = self.decide(&caller, &approval_id, &expected_action_digest, reason, Vote::Deny).await?;
        Ok(Response::new(v1::DenyResponse { approval: Some(approval) }))
    }
}

impl Approvals {
    async fn decide(
        &self,
        caller: &Caller,
        approval_id: &str,
        digest: &str,
        reason: String,
        vote: Vote,
    ) -> Result<v1::Approval, Status> {
        let mut reader = Reader::new(self.limits);
        let id: Option<ApprovalId> = reader.parsed("approval_id", approval_id);
        let digest = reader.digest("expected_action_digest", digest);
        let reason = reader.free_text("reason", reason);
        let (Some(id), Some(digest)) = reader.finish((id, digest))? else {
            return Err(CallError::invalid_field("approval_id", "must be given").into());
        };
        match self.governor.decide(caller, id, digest, vote, reason).await? {
            Voted::Now { pending, state } => Ok(show(&self.governor, &pending, &state).await?),
            Voted::Before(row) => {
                response::recorded_approval(&row).ok_or_else(|| GovernanceError::NoApproval(id).into())
            }
        }
    }

    /// An approval from the record, with the earlier actions of its session.
    async fn recorded(&self, id: ApprovalId) -> Result<Option<v1::Approval>, StoreError> {
        let (now, unreported_after) = (self.governor.now(), self.governor.unreported_after());
        let found = self.governor.store().scan(move |reader| {
            let Some(row) = reader.by_approval(id)? else { return Ok(None) };
            if row.decision.session_id.is_empty() {
                return Ok(Some((row, Vec::new())));
            }
            let filter = RowFilter { session_id: Some(row.decision.session_id.clone()), ..RowFilter::default() };
            // A page is short where actions are large, and an agent must not push others out of sight with those.
            let (mut history, mut after) = (Vec::new(), Some(row.row));
            while history.len() < HISTORY && after.is_some() {
                let (order, limit) = (Order::NewestFirst, HISTORY - history.len());
                let query = Query { filter: &filter, order, after, limit, now, unreported_after };
                let page = reader.rows(&query)?;
                let say =
                    |earlier: &AuditRow| response::session_action(earlier, earlier.state.status(now, unreported_after));
                history.extend(page.rows.iter().map(say));
                after = page.next;
            }
            Ok(Some((row, history)))
        });
        let Some((row, history)) = found.await? else { return Ok(None) };
        let Some(mut approval) = response::recorded_approval(&row) else { return Ok(None) };
        approval.history = history;
        Ok(Some(approval))
    }
}

/// A question as a reviewer sees it. A large one is read from the disk.
async fn show(governor: &Governor, pending: &Pending, state: &QuestionState) -> Result<v1::Approval, StoreError> {
    Ok(response::approval(pending, &*governor.asked(pending).await?, state))
}

/// Streams a snapshot, the marker, then every change. Sends a new snapshot when the client has fallen behind.
async fn watch(governor: &Governor, filter: &Filter, sink: &Sink<v1::StreamApprovalsResponse>) -> Result<(), Over> {
    let say = |event| sink.send(v1::StreamApprovalsResponse { event: Some(event) });
    loop {
        let (snapshot, mut watcher) = governor.queue().watch();
        let mut count = 0;
        for pending in snapshot.iter().filter(|pending| filter.keeps(pending)) {
            say(Event::Pending(show(governor, pending, &QuestionState::Open).await?)).await?;
            count += 1;
        }
        say(Event::SnapshotComplete(v1::SnapshotComplete { count })).await?;
        loop {
            let change = tokio::select! {
                () = sink.closed() => return Err(Over::ClientGone),
                change = tokio::time::timeout(HEARTBEAT, watcher.next()) => change,
            };
            match change {
                Err(_) => {
                    let time = Some(response::timestamp(governor.now()));
                    say(Event::Heartbeat(v1::Heartbeat { time })).await?;
                }
                Ok(Some(Ok(QueueEvent::Added(pending)))) if filter.keeps(&pending) => {
                    say(Event::Pending(show(governor, &pending, &QuestionState::Open).await?)).await?;
                }
                Ok(Some(Ok(QueueEvent::Ended(ended)))) if filter.keeps(&ended.pending) => {
                    let state = QuestionState::Ended(ended.ending.clone());
                    say(Event::Ended(show(governor, &ended.pending, &state).await?)).await?;
                }
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(Lagged(missed)))) => {
                    say(Event::Lagged(v1::Lagged { missed })).await?;
                    break;
                }
                Ok(None) => return Err(stopping()),
            }
        }
    }
}

/// The filter of a reviewer.
struct Filter {
    session_id: String,
    action_type: String,
    actor_id: String,
    min_risk_level: Option<RiskLevel>,
}

impl Filter {
    fn read(filter: Option<v1::ApprovalFilter>) -> Result<Self, Status> {
        let filter = filter.unwrap_or_default();
        let level = v1::RiskLevel::try_from(filter.min_risk_level);
        let level = level.map_err(|_| CallError::invalid_field("filter.min_risk_level", "is not a risk level"))?;
        Ok(Self {
            min_risk_level: super::request::risk_level(level),
            session_id: filter.session_id,
            action_type: filter.action_type,
            actor_id: filter.actor_id,
        })
    }

    fn keeps(&self, pending: &Pending) -> bool {
        let is = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
        is(&self.session_id, pending.decision.session_id())
            && is(&self.action_type, pending.decision.action_type())
            && is(&self.actor_id, pending.decision.actor_id())
            && self.min_risk_level.is_none_or(|level| pending.decision.risk_level() >= level)
    }
}
