//! The log behind the record: its raw records, its proofs, and the totals.

use std::collections::BTreeMap;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, Call, json, streamed, with_type};
use super::query::{Number, Parsed};
use super::words::moment;
use crate::audit::follow::{Followed, History, Selection, View};
use crate::audit::{self, Content, Order, StoredRecord};
use crate::domain::{CallError, DecisionId, Digest, RecordId};
use crate::server::problem::Problem;
use crate::server::streams::{Over, Sink};

/// How many action types and rules the totals name, and the most.
const TOP: usize = 5;
const LONGEST_TOP: usize = 100;

/// How many names.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsQuery {
    /// How many action types and how many rules to name: at most 100. Default: 5.
    #[param(value_type = Option<u32>, maximum = 100)]
    top: Option<Number>,
}

/// Totals of the whole record.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stats {
    decisions: u64,
    records: u64,
    pending_approvals: u64,
    by_risk_level: BTreeMap<&'static str, u64>,
    by_outcome: BTreeMap<&'static str, u64>,
    by_result_status: BTreeMap<&'static str, u64>,
    top_action_types: Vec<Count>,
    top_rules: Vec<Count>,
}

/// A name and how often it occurs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Count {
    name: String,
    count: u64,
}

/// Get totals
#[utoipa::path(
    get, path = "/api/v1/stats", tag = "audit", operation_id = "getStats", params(StatsQuery),
    responses(
        (status = 200, description = "The totals", body = Stats),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn stats(State(api): State<Api>, call: Call) -> Answer {
    let query: StatsQuery = call.query()?;
    let top = query.top.map_or(TOP, |Number(top)| usize::try_from(top).unwrap_or(usize::MAX));
    if top > LONGEST_TOP {
        return Err(CallError::invalid_field("top", format!("must be at most {LONGEST_TOP}")).into());
    }
    let (now, unreported_after) = (api.governor.now(), api.governor.unreported_after());
    let stats = api.governor.store().scan(move |reader| reader.stats(now, unreported_after)).await?;
    let commonest = |counts: BTreeMap<String, u64>| {
        let mut counts: Vec<_> = counts.into_iter().map(|(name, count)| Count { name, count }).collect();
        // A stable sort keeps equal counts in the order of their names.
        counts.sort_by_key(|counted| std::cmp::Reverse(counted.count));
        counts.truncate(top);
        counts
    };
    let totals = Stats {
        decisions: stats.decisions,
        records: stats.records,
        pending_approvals: stats.open_approvals,
        by_risk_level: stats.by_risk.into_iter().map(|(level, count)| (level.as_upper(), count)).collect(),
        by_outcome: stats.by_outcome,
        by_result_status: stats.by_status,
        top_action_types: commonest(stats.by_action_type),
        top_rules: commonest(stats.by_rule),
    };
    json(StatusCode::OK, &totals)
}

/// Which records.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RecordQuery {
    /// The records about this decision alone.
    #[param(value_type = Option<String>)]
    decision_id: Option<Parsed<DecisionId>>,
    /// The newest so many records. Default: all.
    #[param(value_type = Option<u64>, maximum = 9_007_199_254_740_991_usize)]
    limit: Option<Number>,
}

/// A record of the log, unchanged: a line of JSON.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditRecord {
    sequence: u64,
    /// The record as canonical JSON: the bytes that are hashed. Null if the record is redacted.
    payload: Option<String>,
    /// The salt of the hash, in hex. Null if the record is redacted.
    salt: Option<String>,
    /// What is hashed in place of the payload, in hex, if the record is redacted.
    leaf_data: Option<String>,
    /// The hash of the leaf, in hex.
    leaf_hash: String,
}

/// Export records
///
/// The raw records, oldest first, a line of JSON each: every byte that the hashes of the log cover. Sent while it is
/// read. An answer that was cut off ends before `records` of a checkpoint that was asked for first.
#[utoipa::path(
    get, path = "/api/v1/audit/records", tag = "audit", operation_id = "exportRecords", params(RecordQuery),
    responses(
        (status = 200, description = "A line each", body = AuditRecord, content_type = "application/jsonl"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn records(State(api): State<Api>, call: Call) -> Answer {
    let query: RecordQuery = call.query()?;
    let limit = query.limit.map(|Number(limit)| limit);
    let selection = match query.decision_id {
        Some(_) if limit.is_some() => {
            return Err(CallError::invalid_field("limit", "cannot be combined with decision_id").into());
        }
        Some(Parsed(decision_id)) => Selection::RecordsOf(decision_id),
        None => Selection::Newest(View::Records, limit),
    };
    let standing = call.standing()?.clone();
    let governor = &api.governor;
    let history = History::begin(governor.store(), selection, Order::OldestFirst, governor.status_time()).await?;
    let lines = api.streams.open(standing, |sink| async move { send(history, &sink).await })?;
    Ok(with_type(StatusCode::OK, "application/jsonl", streamed(lines)))
}

async fn send(mut history: History, sink: &Sink) -> Result<(), Over> {
    loop {
        let (place, mut lines) = (sink.batch().await?, Vec::new());
        let Some(batch) = history.next().await? else { return Ok(()) };
        for (_, item) in batch.items {
            let Followed::Record(record) = item else { continue };
            let line = AuditRecord::of(record);
            serde_json::to_writer(&mut lines, &line).map_err(|error| CallError::internal(error.to_string()))?;
            lines.push(b'\n');
        }
        place.send(lines)?;
    }
}

impl AuditRecord {
    fn of(StoredRecord { sequence, leaf_hash, content }: StoredRecord) -> Self {
        let leaf_hash = leaf_hash.to_string();
        match content {
            Content::Whole { salt, payload, .. } => {
                // Canonical JSON is UTF-8. The hash would reveal anything else.
                let payload = Some(String::from_utf8(payload).unwrap_or_default());
                Self { sequence, payload, salt: Some(hex::encode(salt)), leaf_data: None, leaf_hash }
            }
            Content::Redacted { leaf_data } => {
                Self { sequence, payload: None, salt: None, leaf_data: Some(leaf_data.to_string()), leaf_hash }
            }
        }
    }
}

/// The signed size and root of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Checkpoint {
    checkpoint: String,
    origin: String,
    tree_size: u64,
    /// The root hash of the tree, in hex.
    root_hash: String,
    keys: Vec<LogKey>,
    /// The last checkpoint that a witness cosigned, with its signatures. Null if there is none.
    cosigned_checkpoint: Option<String>,
    witnesses: Vec<Witness>,
}

/// A key of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LogKey {
    verifier_key: String,
    sequence: u64,
}

/// A witness of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Witness {
    name: String,
    tree_size: u64,
    #[schema(format = DateTime)]
    updated_at: Option<String>,
    error: Option<String>,
}

/// Get a checkpoint
///
/// The signed size and root hash of the log, as they are on disk now.
#[utoipa::path(
    get, path = "/api/v1/log/checkpoint", tag = "audit", operation_id = "getCheckpoint",
    responses(
        (status = 200, description = "The checkpoint", body = Checkpoint),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn checkpoint(State(api): State<Api>) -> Answer {
    let issued = api.notary.checkpoint().await?;
    let log = api.governor.store().look(audit::Reader::log).await?;
    let keys = log.into_iter().flat_map(|log| log.keys);
    let checkpoint = &issued.checkpoint.checkpoint;
    // A rotation since then is in the next checkpoint.
    let keys = keys.filter(|key| key.sequence <= checkpoint.size);
    let witnesses = api.witnesses.states().clone();
    let document = Checkpoint {
        checkpoint: issued.checkpoint.to_string(),
        origin: checkpoint.origin.clone(),
        tree_size: checkpoint.size,
        root_hash: checkpoint.root.to_string(),
        keys: keys.map(|key| LogKey { verifier_key: key.key.to_string(), sequence: key.sequence }).collect(),
        cosigned_checkpoint: api.witnesses.cosigned().map(|cosigned| cosigned.to_string()),
        witnesses: witnesses
            .into_iter()
            .map(|state| Witness {
                name: state.name,
                tree_size: state.size,
                updated_at: state.at.map(moment),
                error: state.error,
            })
            .collect(),
    };
    json(StatusCode::OK, &document)
}

/// Which leaf, in which tree.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct InclusionQuery {
    /// The sequence number of the record, from 1.
    #[param(value_type = Option<u64>, maximum = 9_007_199_254_740_991_usize)]
    sequence: Option<Number>,
    /// The id of the record: `aud_` and a UUID.
    #[param(value_type = Option<String>)]
    audit_ref: Option<Parsed<RecordId>>,
    /// The index of the leaf, from 0: the sequence number minus 1. One of the three is required.
    #[param(value_type = Option<u64>, maximum = 9_007_199_254_740_991_usize)]
    leaf_index: Option<Number>,
    /// The size of the tree. Default: the tree that is on disk now.
    #[param(value_type = Option<u64>, maximum = 9_007_199_254_740_991_usize)]
    tree_size: Option<Number>,
}

/// The proof that a record is in the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InclusionProof {
    leaf_index: u64,
    tree_size: u64,
    /// The hash of the leaf, in hex.
    leaf_hash: String,
    /// The sibling hashes on the path from the leaf to the root, in hex, the leaf's sibling first.
    hashes: Vec<String>,
}

/// Prove that a record is in the log
#[utoipa::path(
    get, path = "/api/v1/log/inclusion-proof", tag = "audit", operation_id = "getInclusionProof",
    params(InclusionQuery),
    responses(
        (status = 200, description = "The proof (RFC 6962, section 2.1.1)", body = InclusionProof),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn inclusion_proof(State(api): State<Api>, call: Call) -> Answer {
    let query: InclusionQuery = call.query()?;
    let tree_size = tree_size(&api, "tree_size", query.tree_size)?;
    let (field, leaf_index) = match (query.sequence, query.audit_ref, query.leaf_index) {
        (Some(Number(sequence)), None, None) => ("sequence", sequence.checked_sub(1)),
        (None, Some(Parsed(id)), None) => {
            ("audit_ref", api.governor.sequence_of_record(id).await?.and_then(|sequence| sequence.checked_sub(1)))
        }
        (None, None, Some(Number(leaf_index))) => ("leaf_index", Some(leaf_index)),
        _ => {
            let why = "choose the record: sequence, audit_ref or leaf_index";
            return Err(CallError::invalid_field("sequence", why).into());
        }
    };
    let Some(leaf_index) = leaf_index.filter(|index| *index < tree_size) else {
        return Err(CallError::invalid_field(field, format!("a tree of {tree_size} leaves has no such leaf")).into());
    };
    let proved = api.governor.store().scan(move |reader| {
        let leaf = reader.leaf_hash(leaf_index)?;
        Ok((leaf, reader.inclusion_proof(leaf_index, tree_size)?))
    });
    let (leaf_hash, hashes) = proved.await?;
    let (leaf_hash, hashes) = (leaf_hash.to_string(), texts(&hashes));
    json(StatusCode::OK, &InclusionProof { leaf_index, tree_size, leaf_hash, hashes })
}

/// Which trees.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ConsistencyQuery {
    /// The size of the earlier tree. Default: 0.
    #[param(value_type = Option<u64>, maximum = 9_007_199_254_740_991_usize)]
    first_tree_size: Option<Number>,
    /// The size of the later tree. Default: the tree that is on disk now.
    #[param(value_type = Option<u64>, maximum = 9_007_199_254_740_991_usize)]
    second_tree_size: Option<Number>,
}

/// The proof that one tree is a prefix of another.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConsistencyProof {
    first_tree_size: u64,
    second_tree_size: u64,
    /// The hashes of the proof, in hex.
    hashes: Vec<String>,
}

/// Prove that the log was only appended to
#[utoipa::path(
    get, path = "/api/v1/log/consistency-proof", tag = "audit", operation_id = "getConsistencyProof",
    params(ConsistencyQuery),
    responses(
        (status = 200, description = "The proof (RFC 6962, section 2.1.2)", body = ConsistencyProof),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn consistency_proof(State(api): State<Api>, call: Call) -> Answer {
    let query: ConsistencyQuery = call.query()?;
    let first_tree_size = query.first_tree_size.map_or(0, |Number(size)| size);
    let second_tree_size = tree_size(&api, "second_tree_size", query.second_tree_size)?;
    if first_tree_size > second_tree_size {
        let why = format!("is larger than second_tree_size, {second_tree_size}");
        return Err(CallError::invalid_field("first_tree_size", why).into());
    }
    let store = api.governor.store();
    let hashes = store.scan(move |reader| reader.consistency_proof(first_tree_size, second_tree_size)).await?;
    json(StatusCode::OK, &ConsistencyProof { first_tree_size, second_tree_size, hashes: texts(&hashes) })
}

/// The size of the requested tree, which must be on disk.
fn tree_size(api: &Api, field: &str, asked: Option<Number>) -> Result<u64, CallError> {
    let durable = *api.governor.store().durable().borrow();
    match asked {
        None => Ok(durable),
        Some(Number(asked)) if asked <= durable => Ok(asked),
        Some(_) => Err(CallError::invalid_field(field, format!("the log has only {durable} leaves on disk"))),
    }
}

fn texts(hashes: &[Digest]) -> Vec<String> {
    hashes.iter().map(ToString::to_string).collect()
}
