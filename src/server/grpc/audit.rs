//! `AuditService`, for auditors. It only converts between protobuf and the domain.
//!
//! Each stream reads the record from its own position, at the pace of its client. It has no buffer that can overflow,
//! so a slow client loses nothing and delays nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::request::{self, Reader};
use super::{Messages, response, sending};
use crate::audit;
use crate::audit::follow::{Batch, Followed, Follower, History, Selection, StatusTime, Until, View};
use crate::audit::row::RowFilter;
use crate::audit::{Order, Stats};
use crate::domain::{CallError, Digest, JsonLimits};
use crate::governance::{Governor, Notary};
use crate::outbound::witnesses::{WitnessState, Witnesses};
use crate::proto::v1;
use crate::proto::v1::audit_service_server::AuditService;
use crate::proto::v1::stream_audit_response::Event;
use crate::server::streams::{HEARTBEAT, Over, Sink, Streams};

/// The default number of action types and rules in `GetStats`.
const TOP: usize = 5;
/// The most action types and rules in `GetStats`.
const LONGEST_TOP: usize = 100;

/// The service for auditors.
pub(crate) struct Audit {
    /// Decides and records.
    pub(crate) governor: Arc<Governor>,
    /// Signs checkpoints.
    pub(crate) notary: Arc<Notary>,
    /// The witnesses of checkpoints.
    pub(crate) witnesses: Arc<Witnesses>,
    /// The open streams.
    pub(crate) streams: Streams,
    /// The size limits of a request.
    pub(crate) limits: JsonLimits,
}

#[tonic::async_trait]
impl AuditService for Audit {
    type StreamAuditStream = Messages<v1::StreamAuditResponse>;

    async fn stream_audit(
        &self,
        request: Request<v1::StreamAuditRequest>,
    ) -> Result<Response<Self::StreamAuditStream>, Status> {
        let standing = super::standing(&request)?.clone();
        let request = request.into_inner();
        let mut reader = Reader::new(self.limits);
        let filter = reader.row_filter(request.filter.clone().unwrap_or_default());
        let records = match v1::AuditView::try_from(request.view) {
            Ok(v1::AuditView::Unspecified | v1::AuditView::Rows) => false,
            Ok(v1::AuditView::Records) => true,
            Err(_) => {
                reader.wrong("view", "is not a view");
                false
            }
        };
        let of_one = RowFilter { decision_id: filter.decision_id, ..RowFilter::default() };
        if records && filter != of_one {
            reader.wrong("filter", "must be empty with AUDIT_VIEW_RECORDS, except for decision_id");
        }
        if records && filter.decision_id.is_some() && (request.follow || request.resume_after.is_some()) {
            reader.wrong("filter.decision_id", "cannot be combined with follow or resume_after in AUDIT_VIEW_RECORDS");
        }
        if request.newest_first && request.resume_after.is_some() {
            reader.wrong("newest_first", "cannot be combined with resume_after");
        }
        let filter = reader.finish(filter)?;
        let feed = Feed { governor: Arc::clone(&self.governor), request, filter, records };
        Ok(sending(self.streams.open(standing, |sink| async move { feed.run(&sink).await })?))
    }

    async fn get_stats(&self, request: Request<v1::GetStatsRequest>) -> Result<Response<v1::GetStatsResponse>, Status> {
        let top = match usize::try_from(request.into_inner().top) {
            Ok(0) | Err(_) => TOP,
            Ok(top) => top.min(LONGEST_TOP),
        };
        let (now, unreported_after) = (self.governor.now(), self.governor.unreported_after());
        let stats = self.governor.store().scan(move |reader| reader.stats(now, unreported_after)).await?;
        Ok(Response::new(stats_response(stats, top)))
    }

    async fn get_checkpoint(
        &self,
        _request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        let issued = self.notary.checkpoint().await?;
        let log = self.governor.store().look(audit::Reader::log).await?;
        let keys = log.into_iter().flat_map(|log| log.keys);
        let checkpoint = &issued.checkpoint.checkpoint;
        Ok(Response::new(v1::GetCheckpointResponse {
            checkpoint: issued.checkpoint.to_string(),
            origin: checkpoint.origin.clone(),
            tree_size: checkpoint.size,
            root_hash: checkpoint.root.0.to_vec(),
            // A rotation since then is in the next checkpoint.
            keys: keys
                .filter(|key| key.sequence <= checkpoint.size)
                .map(|key| v1::LogKey { verifier_key: key.key.to_string(), sequence: key.sequence })
                .collect(),
            cosigned_checkpoint: self.witnesses.cosigned().map(|cosigned| cosigned.to_string()).unwrap_or_default(),
            witnesses: self.witnesses.states().iter().map(witness).collect(),
        }))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<v1::GetInclusionProofRequest>,
    ) -> Result<Response<v1::GetInclusionProofResponse>, Status> {
        let v1::GetInclusionProofRequest { leaf_index, tree_size } = request.into_inner();
        let tree_size = self.tree_size("tree_size", tree_size)?;
        if leaf_index >= tree_size {
            return Err(CallError::invalid_field(
                "leaf_index",
                format!("a tree of {tree_size} leaves has no leaf with this index"),
            )
            .into());
        }
        let proved = self.governor.store().scan(move |reader| {
            let leaf = reader.leaf_hash(leaf_index)?;
            Ok((leaf, reader.inclusion_proof(leaf_index, tree_size)?))
        });
        let (leaf_hash, hashes) = proved.await?;
        let (leaf_hash, hashes) = (leaf_hash.0.to_vec(), bytes(hashes));
        Ok(Response::new(v1::GetInclusionProofResponse { leaf_index, tree_size, leaf_hash, hashes }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<v1::GetConsistencyProofRequest>,
    ) -> Result<Response<v1::GetConsistencyProofResponse>, Status> {
        let v1::GetConsistencyProofRequest { first_tree_size, second_tree_size } = request.into_inner();
        let second_tree_size = self.tree_size("second_tree_size", second_tree_size)?;
        if first_tree_size > second_tree_size {
            let message = format!("is larger than second_tree_size, {second_tree_size}");
            return Err(CallError::invalid_field("first_tree_size", message).into());
        }
        let store = self.governor.store();
        let hashes = store.scan(move |reader| reader.consistency_proof(first_tree_size, second_tree_size));
        let hashes = bytes(hashes.await?);
        Ok(Response::new(v1::GetConsistencyProofResponse { first_tree_size, second_tree_size, hashes }))
    }
}

impl Audit {
    /// The size of the requested tree, which must be on disk.
    fn tree_size(&self, field: &str, asked: u64) -> Result<u64, Status> {
        let durable = *self.governor.store().durable().borrow();
        match asked {
            0 => Ok(durable),
            asked if asked <= durable => Ok(asked),
            _ => Err(CallError::invalid_field(field, format!("the log has only {durable} leaves on disk")).into()),
        }
    }
}

fn witness(state: &WitnessState) -> v1::Witness {
    v1::Witness {
        name: state.name.clone(),
        tree_size: state.size,
        updated_at: state.at.map(response::timestamp),
        error: state.error.clone().unwrap_or_default(),
    }
}

fn bytes(hashes: Vec<Digest>) -> Vec<Vec<u8>> {
    hashes.into_iter().map(|hash| hash.0.to_vec()).collect()
}

fn stats_response(stats: Stats, top: usize) -> v1::GetStatsResponse {
    let count = |name: String, count: u64| v1::Count { name, count };
    let commonest = |counts: BTreeMap<String, u64>| {
        let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
        // A stable sort keeps equal counts in the order of their names.
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts.into_iter().take(top).map(|(name, n)| count(name, n)).collect()
    };
    let named =
        |counts: BTreeMap<&'static str, u64>| counts.into_iter().map(|(name, n)| count(name.to_owned(), n)).collect();
    v1::GetStatsResponse {
        decisions: stats.decisions,
        records: stats.records,
        pending_approvals: stats.open_approvals,
        by_risk_level: stats.by_risk.into_iter().map(|(level, n)| count(level.as_upper().to_owned(), n)).collect(),
        by_outcome: named(stats.by_outcome),
        by_result_status: named(stats.by_status),
        top_action_types: commonest(stats.by_action_type),
        top_rules: commonest(stats.by_rule),
    }
}

/// The state of one client's stream.
struct Feed {
    governor: Arc<Governor>,
    request: v1::StreamAuditRequest,
    filter: RowFilter,
    records: bool,
}

impl Feed {
    async fn run(self, sink: &Sink<v1::StreamAuditResponse>) -> Result<(), Over> {
        let resumes = self.request.resume_after.is_some();
        let position = match self.request.resume_after {
            Some(after) => after,
            None => self.history(sink).await?,
        };
        if !resumes && !self.request.follow {
            return Ok(());
        }
        let (store, view) = (self.governor.store(), self.view());
        let mut follower = Follower::after(store, Until::Committed, position, view, self.time());
        if resumes {
            let until = follower.end();
            while follower.position() < until
                && let Some(batch) = follower.ready().await?
            {
                self.send(sink, batch).await?;
            }
            if !self.request.follow {
                return Ok(());
            }
            say(sink, follower.position(), Event::CaughtUp(v1::CaughtUp { count: 0 })).await?;
        }
        loop {
            let next = tokio::select! {
                () = sink.closed() => return Err(Over::ClientGone),
                next = tokio::time::timeout(HEARTBEAT, follower.next()) => next,
            };
            if let Ok(batch) = next {
                self.send(sink, batch?).await?;
            } else {
                let time = Some(response::timestamp(self.governor.now()));
                say(sink, follower.position(), Event::Heartbeat(v1::Heartbeat { time })).await?;
            }
        }
    }

    /// Sends the existing records, and returns where they end.
    async fn history(&self, sink: &Sink<v1::StreamAuditResponse>) -> Result<u64, Over> {
        let selection = match self.filter.decision_id {
            Some(decision_id) if self.records => Selection::RecordsOf(decision_id),
            _ => Selection::Newest(self.view(), Some(self.request.limit).filter(|limit| *limit > 0)),
        };
        let order = if self.request.newest_first { Order::NewestFirst } else { Order::OldestFirst };
        let mut history = History::begin(self.governor.store(), selection, order, self.time()).await?;
        let mut count = 0;
        while let Some(batch) = history.next().await? {
            count += batch.items.len() as u64;
            self.send(sink, batch).await?;
        }
        if self.request.follow {
            say(sink, history.end(), Event::CaughtUp(v1::CaughtUp { count })).await?;
        }
        Ok(history.end())
    }

    async fn send(&self, sink: &Sink<v1::StreamAuditResponse>, batch: Batch) -> Result<(), Over> {
        for (sequence, item) in batch.items {
            let event = match item {
                Followed::Record(record) => Event::Record(response::audit_record(record)),
                Followed::Row(row) => {
                    let status = row.state.status(self.governor.now(), self.governor.unreported_after());
                    Event::Row(Box::new(response::audit_row(*row, status)))
                }
                // A view of records shows retirements. A view of rows has no message for them.
                Followed::Gap { .. } => continue,
            };
            say(sink, sequence, event).await?;
        }
        Ok(())
    }

    fn view(&self) -> View {
        if self.records { View::Records } else { View::Rows(self.filter.clone()) }
    }

    fn time(&self) -> StatusTime {
        let (clock, unreported_after) = (Arc::clone(self.governor.clock()), self.governor.unreported_after());
        StatusTime { clock, unreported_after }
    }
}

async fn say(sink: &Sink<v1::StreamAuditResponse>, sequence: u64, event: Event) -> Result<(), Over> {
    sink.send(v1::StreamAuditResponse { sequence, event: Some(event) }).await
}

impl Reader {
    fn row_filter(&mut self, filter: v1::AuditFilter) -> RowFilter {
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        let decision_id =
            if filter.decision_id.is_empty() { None } else { self.parsed("filter.decision_id", &filter.decision_id) };
        RowFilter {
            risk_level: self.enumeration("filter.risk_level", filter.risk_level).and_then(request::risk_level),
            approval: self.enumeration("filter.approval", filter.approval).and_then(request::approval_mode),
            outcome: self.enumeration("filter.outcome", filter.outcome).and_then(request::outcome),
            status: self.enumeration("filter.result_status", filter.result_status).and_then(request::result_status),
            since: filter.since.and_then(|at| self.timestamp("filter.since", at)),
            until: filter.until.and_then(|at| self.timestamp("filter.until", at)),
            session_id: text(filter.session_id),
            action_type: text(filter.action_type),
            action_target: text(filter.action_target),
            actor_id: text(filter.actor_id),
            matched_rule: text(filter.matched_rule),
            decision_id,
        }
    }
}
