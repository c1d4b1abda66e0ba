//! `AuditService`, for auditors. It only converts between protobuf and the domain.

use std::collections::BTreeMap;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::audit_stream::Feed;
use super::filters::missing;
use super::request::Reader;
use super::sending::{Unpolled, sending};
use super::{page, response};
use crate::audit;
use crate::audit::{Order, Stats, StoreError};
use crate::domain::page::PageTokens;
use crate::domain::{CallError, Digest, JsonLimits};
use crate::governance::{GovernanceError, Governor, Listed, Notary};
use crate::outbound::witnesses::{WitnessState, Witnesses};
use crate::proto::v1;
use crate::proto::v1::audit_service_server::AuditService;
use crate::proto::v1::get_inclusion_proof_request::Record as ProvedRecord;
use crate::server::streams::Streams;

/// The message for a request that chooses no record to prove.
const NO_RECORD: &str = "choose the record: leaf_index, sequence or audit_ref";
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
    type StreamAuditStream = Unpolled<v1::StreamAuditResponse>;

    async fn stream_audit(
        &self,
        request: Request<v1::StreamAuditRequest>,
    ) -> Result<Response<Self::StreamAuditStream>, Status> {
        let standing = super::standing(&request)?.clone();
        let feed = Feed::open(&self.governor, self.limits, request.into_inner()).await?;
        Ok(sending(self.streams.open(standing, |sink| async move { feed.run(&sink).await })?))
    }

    async fn get_decision(
        &self,
        request: Request<v1::GetDecisionRequest>,
    ) -> Result<Response<v1::GetDecisionResponse>, Status> {
        let v1::GetDecisionRequest { id } = request.into_inner();
        let mut reader = Reader::new(self.limits);
        let sought = reader.parsed("id", &id);
        let Some(sought) = reader.finish(sought)? else { return Err(missing("id").into()) };
        let life = self.governor.decision_life(sought, &id).await?;
        let result = life.row.state.action_result(self.governor.now(), self.governor.unreported_after());
        Ok(Response::new(response::decision_life(life, result)))
    }

    async fn list_decisions(
        &self,
        request: Request<v1::ListDecisionsRequest>,
    ) -> Result<Response<v1::ListDecisionsResponse>, Status> {
        let v1::ListDecisionsRequest { filter, page_size, page_token, newest_first } = request.into_inner();
        let mut reader = Reader::new(self.limits);
        let filter = reader.audit_filter(filter);
        let size = reader.page_size(page_size);
        let filter = reader.finish(filter)?.settled(&self.governor).await?;
        let (list, order) = if newest_first {
            ("decisions newest first", Order::NewestFirst)
        } else {
            ("decisions", Order::OldestFirst)
        };
        let tokens = PageTokens::new(list, filter.digest().map_err(GovernanceError::from)?);
        let after = (!page_token.is_empty()).then(|| tokens.number(&page_token));
        let after = after.transpose().map_err(GovernanceError::from)?;
        let Listed { entries, next } = self.governor.rows(&filter, order, after, size).await?;
        let (now, unreported_after) = (self.governor.now(), self.governor.unreported_after());
        let rows = entries.into_iter().map(|(number, row)| {
            let result = row.state.action_result(now, unreported_after);
            (number, response::audit_row(row, result))
        });
        let (rows, next) = page::fitting(rows, next);
        let next_page_token = next.map(|number| tokens.after_number(number)).unwrap_or_default();
        Ok(Response::new(v1::ListDecisionsResponse { rows, next_page_token }))
    }

    async fn get_stats(&self, request: Request<v1::GetStatsRequest>) -> Result<Response<v1::GetStatsResponse>, Status> {
        let top = request.into_inner().top.map_or(TOP, |top| usize::try_from(top).unwrap_or(LONGEST_TOP));
        let top = top.min(LONGEST_TOP);
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
        let v1::GetInclusionProofRequest { record, tree_size } = request.into_inner();
        let tree_size = self.tree_size("tree_size", tree_size)?;
        let (field, leaf_index) = self.leaf_index(record).await?;
        let Some(leaf_index) = leaf_index.filter(|index| *index < tree_size) else {
            return Err(
                CallError::invalid_field(field, format!("a tree of {tree_size} leaves has no such leaf")).into()
            );
        };
        let proved = self.governor.store().scan(move |reader| {
            let record = reader.records(leaf_index, 1)?.pop();
            let record = record.ok_or_else(|| StoreError::Corrupt { what: "a proved record is missing".into() })?;
            Ok((record, reader.inclusion_proof(leaf_index, tree_size)?))
        });
        let (record, hashes) = proved.await?;
        Ok(Response::new(v1::GetInclusionProofResponse {
            leaf_index,
            tree_size,
            leaf_hash: record.leaf_hash.0.to_vec(),
            hashes: bytes(hashes),
            record: Some(response::audit_record(record)),
        }))
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
    /// The leaf of the record that a request chooses, and the field that chooses it.
    async fn leaf_index(&self, record: Option<ProvedRecord>) -> Result<(&'static str, Option<u64>), Status> {
        Ok(match record {
            None => return Err(CallError::invalid_field("record", NO_RECORD).into()),
            Some(ProvedRecord::LeafIndex(index)) => ("leaf_index", Some(index)),
            Some(ProvedRecord::Sequence(sequence)) => ("sequence", sequence.checked_sub(1)),
            Some(ProvedRecord::AuditRef(id)) => {
                let mut reader = Reader::new(self.limits);
                let id = reader.parsed("audit_ref", &id);
                let Some(id) = reader.finish(id)? else { return Err(missing("audit_ref").into()) };
                let sequence = self.governor.sequence_of_record(id).await?;
                ("audit_ref", sequence.and_then(|sequence| sequence.checked_sub(1)))
            }
        })
    }

    /// The size of the requested tree, which must be on disk.
    fn tree_size(&self, field: &str, asked: Option<u64>) -> Result<u64, Status> {
        let durable = *self.governor.store().durable().borrow();
        match asked {
            None => Ok(durable),
            Some(asked) if asked <= durable => Ok(asked),
            Some(_) => {
                Err(CallError::invalid_field(field, format!("the log has only {durable} leaves on disk")).into())
            }
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
