//! `ApprovalService`, for reviewers. It only converts between protobuf and the domain.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::filters::missing;
use super::request::{self, Reader};
use super::sending::{Unpolled, frame, framed_bytes, sending};
use super::{caller, page, response, standing};
use crate::approvals::{Ended, Lagged, Pending, QueueEvent};
use crate::audit::{ApprovalState, Order, RowFilter, StoreError};
use crate::domain::page::PageTokens;
use crate::domain::{ApprovalId, Caller, JsonLimits, QuestionStatus, Verdict};
use crate::governance::{AskedOnce, GovernanceError, Governor, Listed, Voted};
use crate::proto::v1;
use crate::proto::v1::approval_service_server::ApprovalService;
use crate::proto::v1::stream_approvals_response::Event;
use crate::server::streams::{HEARTBEAT, Over, Sink, Streams, stopping};

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
    type StreamApprovalsStream = Unpolled<v1::StreamApprovalsResponse>;

    async fn stream_approvals(
        &self,
        request: Request<v1::StreamApprovalsRequest>,
    ) -> Result<Response<Self::StreamApprovalsStream>, Status> {
        let standing = standing(&request)?.clone();
        let mut reader = Reader::new(self.limits);
        let filter = reader.approval_filter(request.into_inner().filter);
        if filter.approver.is_some() {
            reader
                .wrong("filter.approver", "nobody has voted on a pending approval: list ended ones with ListApprovals");
        }
        let filter = reader.finish(filter)?;
        let governor = Arc::clone(&self.governor);
        Ok(sending(self.streams.open(standing, |sink| async move { watch(&governor, &filter, &sink).await })?))
    }

    async fn list_approvals(
        &self,
        request: Request<v1::ListApprovalsRequest>,
    ) -> Result<Response<v1::ListApprovalsResponse>, Status> {
        let v1::ListApprovalsRequest { filter, page_size, page_token, states } = request.into_inner();
        let mut reader = Reader::new(self.limits);
        let filter = reader.approval_filter(filter);
        let states = reader.enumerations("states", &states, request::question_status);
        let size = reader.page_size(page_size);
        let filter = reader.finish(RowFilter { states, ..filter })?;
        let only_open = filter.states.iter().all(|state| *state == QuestionStatus::Pending);
        // The positions of the two lists differ.
        let list = if only_open { "pending approvals" } else { "approvals" };
        let tokens = PageTokens::new(list, filter.digest().map_err(GovernanceError::from)?);
        let (approvals, next_page_token) = if only_open {
            self.pending(&filter, &tokens, &page_token, size).await?
        } else {
            self.approvals(&filter, &tokens, &page_token, size).await?
        };
        Ok(Response::new(v1::ListApprovalsResponse { approvals, next_page_token }))
    }

    async fn get_approval(
        &self,
        request: Request<v1::GetApprovalRequest>,
    ) -> Result<Response<v1::GetApprovalResponse>, Status> {
        let mut reader = Reader::new(self.limits);
        let id: Option<ApprovalId> = reader.parsed("approval_id", &request.into_inner().approval_id);
        let Some(id) = reader.finish(id)? else {
            return Err(missing("approval_id").into());
        };
        let approval = match self.recorded(id).await {
            Ok(approval) => approval,
            Err(error) => self.in_memory(id).ok_or(error)?,
        };
        Ok(Response::new(v1::GetApprovalResponse { approval: Some(approval) }))
    }

    async fn approve(&self, request: Request<v1::ApproveRequest>) -> Result<Response<v1::ApproveResponse>, Status> {
        let caller = caller(&request)?;
        let v1::ApproveRequest { approval_id, expected_action_digest, reason } = request.into_inner();
        let vote = self.decide(&caller, &approval_id, &expected_action_digest, reason, Verdict::Approve);
        let (approval, _) = vote.await?;
        Ok(Response::new(v1::ApproveResponse { approval: Some(approval) }))
    }

    async fn deny(&self, request: Request<v1::DenyRequest>) -> Result<Response<v1::DenyResponse>, Status> {
        let caller = caller(&request)?;
        let v1::DenyRequest { approval_id, expected_action_digest, reason } = request.into_inner();
        let vote = self.decide(&caller, &approval_id, &expected_action_digest, reason, Verdict::Deny);
        let (approval, is_recorded) = vote.await?;
        Ok(Response::new(v1::DenyResponse { approval: Some(approval), unrecorded: !is_recorded }))
    }
}

impl Approvals {
    /// A page of open approvals.
    async fn pending(
        &self,
        filter: &RowFilter,
        tokens: &PageTokens,
        token: &str,
        size: usize,
    ) -> Result<(Vec<v1::Approval>, String), GovernanceError> {
        let after = (!token.is_empty()).then(|| tokens.position(token)).transpose()?.map(ApprovalId::from_bytes);
        let Listed { entries, next } = self.governor.open_approvals(filter, after, size).await?;
        let shown = entries.into_iter().map(|(id, (pending, decision))| {
            let approval = response::approval(&pending, &decision, &pending.open_state());
            (id, self.with_presence(approval, id))
        });
        let (approvals, next) = page::fitting(shown, next);
        Ok((approvals, next.map(|id| tokens.after(*id.as_bytes())).unwrap_or_default()))
    }

    /// A page of approvals from the record.
    async fn approvals(
        &self,
        filter: &RowFilter,
        tokens: &PageTokens,
        token: &str,
        size: usize,
    ) -> Result<(Vec<v1::Approval>, String), GovernanceError> {
        let after = (!token.is_empty()).then(|| tokens.number(token)).transpose()?;
        let Listed { entries, next } = self.governor.rows(filter, Order::OldestFirst, after, size).await?;
        let shown = entries.into_iter().filter_map(|(row, entry)| Some((row, response::recorded_approval(&entry)?)));
        let (approvals, next) = page::fitting(shown, next);
        Ok((approvals, next.map(|row| tokens.after_number(row)).unwrap_or_default()))
    }

    /// The approval after a vote, and whether that is on the record.
    async fn decide(
        &self,
        caller: &Caller,
        approval_id: &str,
        digest: &str,
        reason: String,
        verdict: Verdict,
    ) -> Result<(v1::Approval, bool), Status> {
        let mut reader = Reader::new(self.limits);
        let id: Option<ApprovalId> = reader.parsed("approval_id", approval_id);
        let digest = reader.digest("expected_action_digest", digest);
        let reason = reader.free_text("reason", reason);
        let (Some(id), Some(digest)) = reader.finish((id, digest))? else {
            return Err(missing("approval_id").into());
        };
        match self.governor.decide(caller, id, digest, verdict, reason).await? {
            Voted::Now { pending, approval, is_recorded } => {
                // If the store cannot be read, the answer has only the head of a large one.
                let whole = self.governor.asked(&pending).await;
                let decision = whole.as_deref().unwrap_or(pending.decision.head());
                Ok((response::approval(&pending, decision, &approval), is_recorded))
            }
            Voted::Before(row) => {
                let approval = response::recorded_approval(&row);
                Ok((approval.ok_or(GovernanceError::NoApproval(id))?, true))
            }
        }
    }

    /// An open approval, without the earlier actions of its session, for when the store cannot be read: what a reviewer
    /// cannot see, they cannot deny. `None` if the approval is not open, or only the store has all of it.
    fn in_memory(&self, id: ApprovalId) -> Option<v1::Approval> {
        let pending = self.governor.queue().get(id)?;
        let approval = response::approval(&pending, pending.decision.whole()?, &pending.open_state());
        Some(self.with_presence(approval, id))
    }

    /// Says whether the caller of an open approval waits.
    fn with_presence(&self, approval: v1::Approval, id: ApprovalId) -> v1::Approval {
        v1::Approval { caller_waiting: self.governor.queue().caller_waits(id), ..approval }
    }

    /// An approval from the record, with the earlier actions of its session.
    async fn recorded(&self, id: ApprovalId) -> Result<v1::Approval, GovernanceError> {
        let AskedOnce { row, history } = self.governor.asked_once(id).await?;
        let (now, unreported_after) = (self.governor.now(), self.governor.unreported_after());
        let mut approval = response::recorded_approval(&row).ok_or(GovernanceError::NoApproval(id))?;
        let earlier = history.iter();
        approval.history = earlier
            .map(|earlier| response::session_action(earlier, earlier.state.status(now, unreported_after)))
            .collect();
        Ok(self.with_presence(approval, id))
    }
}

/// Streams a snapshot, the marker, then every change. Sends a new snapshot when the client has fallen behind.
async fn watch(governor: &Governor, filter: &RowFilter, sink: &Sink) -> Result<(), Over> {
    let say = |event| sink.send(encoded(event));
    loop {
        let (snapshot, mut watcher) = governor.queue().watch();
        let mut count = 0;
        for pending in snapshot {
            count += u32::from(show(governor, filter, sink, &pending, Told::Pending).await??);
        }
        say(Event::SnapshotComplete(v1::SnapshotComplete { count })).await?;
        loop {
            let change = tokio::select! {
                () = sink.closed() => return Err(Over::ClientGone),
                change = tokio::time::timeout(HEARTBEAT, watcher.next()) => change,
            };
            match change {
                Err(_) => {
                    let sent_at = Some(response::timestamp(governor.now()));
                    say(Event::Heartbeat(v1::Heartbeat { sent_at })).await?;
                }
                Ok(Some(Ok(QueueEvent::Added(pending)))) => {
                    show(governor, filter, sink, &pending, Told::Pending).await??;
                }
                Ok(Some(Ok(QueueEvent::Changed(pending)))) => {
                    // It is shown already. If a large one cannot be read now, only a change of who waits goes unsaid.
                    let _ = show(governor, filter, sink, &pending, Told::Pending).await?;
                }
                Ok(Some(Ok(QueueEvent::Ended(ended)))) => {
                    let Ended { pending, approval } = &*ended;
                    // If the store cannot be read, it has only the head of a large one: a denial that is not on the
                    // record yet is told all the same.
                    if show(governor, filter, sink, pending, Told::Ended(approval)).await?.is_err() {
                        let approval = response::approval(pending, pending.decision.head(), approval);
                        say(Event::Ended(approval)).await?;
                    }
                }
                Ok(Some(Err(Lagged(missed)))) => {
                    say(Event::Lagged(v1::Lagged { missed })).await?;
                    break;
                }
                Ok(None) => return Err(stopping()),
            }
        }
    }
}

/// What is told of a question.
enum Told<'a> {
    Pending,
    Ended(&'a ApprovalState),
}

/// Sends a question as a reviewer sees it, if it matches. A large one is read from the disk, once there is room for it.
/// The inner error is that it cannot be read.
async fn show(
    governor: &Governor,
    filter: &RowFilter,
    sink: &Sink,
    pending: &Pending,
    told: Told<'_>,
) -> Result<Result<bool, StoreError>, Over> {
    if !pending.may_match(filter) {
        return Ok(Ok(false));
    }
    let bytes = framed_bytes(pending.bytes);
    let place = match pending.decision.whole() {
        Some(_) => sink.place(bytes).await?,
        None => sink.place_for_large(bytes).await?,
    };
    let decision = match governor.asked(pending).await {
        Ok(decision) => decision,
        Err(error) => return Ok(Err(error)),
    };
    if !filter.matches_decision(&decision, pending.requested_at) {
        return Ok(Ok(false));
    }
    let shown = |state: &ApprovalState| {
        let caller_waiting = governor.queue().caller_waits(pending.approval_id);
        v1::Approval { caller_waiting, ..response::approval(pending, &decision, state) }
    };
    place.send(encoded(match told {
        Told::Pending => Event::Pending(shown(&pending.open_state())),
        Told::Ended(state) => Event::Ended(shown(state)),
    }))?;
    Ok(Ok(true))
}

fn encoded(event: Event) -> Vec<u8> {
    frame(&v1::StreamApprovalsResponse { event: Some(event) })
}
