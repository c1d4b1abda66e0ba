//! Converts the domain to protobuf responses.

use prost_types::value::Kind;
use serde_json::{Map, Value};

use crate::approvals::Pending;
use crate::audit::row::{ApprovalState, AuditRow, Vote};
use crate::audit::{Content, DecisionRecord, IdentityRecord, StoredRecord};
use crate::domain::{
    Action, ActionResult, Actor, Approval, Decision, DecisionCode, EndingKind, Mark, Outcome, ParamPath,
    QuestionStatus, ResultStatus, RiskLevel, Timestamp, Verdict as Voted,
};
use crate::governance::{DecisionLife, FoundPolicy, Generation, PolicyState, RecordReference, Rejection};
use crate::policy::{ConditionTrace, Diagnostic, Explanation, Outcome as Told, Policy, Severity, Verdict};
use crate::proto::v1;

/// A JSON value in protobuf.
pub(crate) fn value(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(bool) => Kind::BoolValue(*bool),
        // Requests with integers beyond 2^53 are refused.
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => {
            Kind::ListValue(prost_types::ListValue { values: items.iter().map(self::value).collect() })
        }
        Value::Object(map) => Kind::StructValue(object(map)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// A JSON object in protobuf.
pub(crate) fn object(map: &Map<String, Value>) -> prost_types::Struct {
    prost_types::Struct { fields: map.iter().map(|(key, item)| (key.clone(), value(item))).collect() }
}

fn optional_object(map: &Map<String, Value>) -> Option<prost_types::Struct> {
    (!map.is_empty()).then(|| object(map))
}

/// A point in time in protobuf.
pub(crate) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

pub(crate) fn outcome(outcome: Outcome) -> v1::Outcome {
    match outcome {
        Outcome::Allow => v1::Outcome::Allow,
        Outcome::Deny => v1::Outcome::Deny,
        Outcome::Escalate => v1::Outcome::Escalate,
        Outcome::RequireConfirmation => v1::Outcome::RequireConfirmation,
    }
}

pub(crate) fn risk_level(level: RiskLevel) -> v1::RiskLevel {
    match level {
        RiskLevel::Low => v1::RiskLevel::Low,
        RiskLevel::Medium => v1::RiskLevel::Medium,
        RiskLevel::High => v1::RiskLevel::High,
        RiskLevel::Critical => v1::RiskLevel::Critical,
    }
}

pub(crate) fn approval_mode(approval: Approval) -> v1::ApprovalMode {
    match approval {
        Approval::Auto => v1::ApprovalMode::Auto,
        Approval::Confirm => v1::ApprovalMode::Confirm,
        Approval::Approve => v1::ApprovalMode::Approve,
        Approval::Block => v1::ApprovalMode::Block,
    }
}

fn result_status(status: Option<ResultStatus>) -> v1::ResultStatus {
    match status {
        None => v1::ResultStatus::Unspecified,
        Some(ResultStatus::Success) => v1::ResultStatus::Success,
        Some(ResultStatus::Failed) => v1::ResultStatus::Failed,
        Some(ResultStatus::Blocked) => v1::ResultStatus::Blocked,
        Some(ResultStatus::Denied) => v1::ResultStatus::Denied,
        Some(ResultStatus::Skipped) => v1::ResultStatus::Skipped,
        Some(ResultStatus::RolledBack) => v1::ResultStatus::RolledBack,
        Some(ResultStatus::Unknown) => v1::ResultStatus::Unknown,
    }
}

fn identity(recorded: &IdentityRecord) -> v1::Identity {
    v1::Identity {
        subject: recorded.subject.clone(),
        how: recorded.how.as_str().to_owned(),
        actor_id: recorded.actor.clone().unwrap_or_default(),
        groups: recorded.groups.clone(),
    }
}

fn actor(actor: &Actor) -> v1::Actor {
    v1::Actor { id: actor.id.clone(), r#type: actor.r#type.clone() }
}

fn action(action: &Action) -> v1::Action {
    v1::Action {
        r#type: action.r#type.clone(),
        target: action.target.clone(),
        params: optional_object(&action.params),
        description: action.description.clone(),
    }
}

/// What is masked in the action of a decision, and where.
fn masks(decision: &DecisionRecord, with_digests: bool) -> Vec<v1::Mask> {
    let digest = |path: &ParamPath| {
        decision.masked_digests.get(path).filter(|_| with_digests).map(ToString::to_string).unwrap_or_default()
    };
    let mut masks: Vec<_> = decision.marks.iter().map(|mark| mask(mark, decision, &digest)).collect();
    // Records without marks have the names of masked parameters only.
    let unmarked = decision.masked.iter().filter(|path| !masks.iter().any(|mask| mask.path == path.as_str()));
    let named: Vec<_> =
        unmarked.map(|path| v1::Mask { path: path.to_string(), digest: digest(path), ..v1::Mask::default() }).collect();
    masks.extend(named);
    // Parameters come first: a reviewer decides on them.
    masks.sort_by_key(|mask| mask.path.is_empty());
    masks
}

fn mask(mark: &Mark, decision: &DecisionRecord, digest: &impl Fn(&ParamPath) -> String) -> v1::Mask {
    let named = decision.masked.iter().find(|path| mark.is_at(path));
    v1::Mask {
        path: named.map(ToString::to_string).unwrap_or_default(),
        digest: named.map(digest).unwrap_or_default(),
        ..placed(mark)
    }
}

/// A mask without the name of a parameter.
fn placed(mark: &Mark) -> v1::Mask {
    let Mark { pointer, start, end, length } = mark.clone();
    v1::Mask { start, end, length, pointer, ..v1::Mask::default() }
}

/// The ending of an approval. A redacted decision has no proposer any more.
fn ending(approval: &ApprovalState, proposer: Option<&IdentityRecord>) -> Option<v1::Ending> {
    let ending = approval.ending()?;
    let known = proposer.and_then(|proposer| approval.ended_by(proposer));
    // An older row has only the name.
    let named = || v1::Identity { subject: ending.by.clone(), ..v1::Identity::default() };
    let kind = match ending.kind {
        EndingKind::Approved => v1::EndingKind::Approved,
        EndingKind::Denied => v1::EndingKind::Denied,
        EndingKind::Expired => v1::EndingKind::Expired,
        EndingKind::Cancelled => v1::EndingKind::Cancelled,
    };
    Some(v1::Ending {
        kind: kind.into(),
        allows: ending.allows,
        by: (!ending.by.is_empty()).then(|| known.map_or_else(named, identity)),
        ended_at: Some(timestamp(ending.at)),
        reason: ending.reason.clone(),
        code: ending.code.clone(),
    })
}

fn vote(vote: &Vote) -> v1::Vote {
    let verdict = match vote.vote.verdict {
        Voted::Approve => v1::Verdict::Approve,
        Voted::Deny => v1::Verdict::Deny,
    };
    v1::Vote {
        vote_id: vote.record_id.to_string(),
        verdict: verdict.into(),
        by: Some(identity(&vote.vote.by)),
        voted_at: Some(timestamp(vote.voted_at)),
        reason: vote.vote.reason.clone(),
        action_digest: vote.vote.action_digest.to_string(),
    }
}

fn question_status(status: QuestionStatus) -> v1::ApprovalState {
    match status {
        QuestionStatus::Pending => v1::ApprovalState::Pending,
        QuestionStatus::Approved => v1::ApprovalState::Approved,
        QuestionStatus::Denied => v1::ApprovalState::Denied,
        QuestionStatus::Expired => v1::ApprovalState::Expired,
        QuestionStatus::Cancelled => v1::ApprovalState::Cancelled,
    }
}

/// A decision.
pub(crate) fn decision(decision: Decision) -> v1::Decision {
    v1::Decision {
        decision_id: decision.decision_id.to_string(),
        outcome: outcome(decision.outcome).into(),
        reason: decision.reason,
        risk_level: risk_level(decision.risk_level).into(),
        risk_score: decision.risk_level.score(),
        matched_rule: decision.matched_rule,
        constraints: optional_object(&decision.constraints),
        policy_revision: decision.policy_revision.to_string(),
        timestamp: Some(timestamp(decision.timestamp)),
        audit_ref: decision.audit_ref.to_string(),
        approval_id: decision.approval_id.map(|id| id.to_string()).unwrap_or_default(),
        expires_at: decision.expires_at.map(timestamp),
        confirmation_token: decision.confirmation_token.unwrap_or_default(),
        action_digest: decision.action_digest.to_string(),
        approval_mode: approval_mode(decision.approval).into(),
        code: decision_code(decision.code).into(),
        replayed: decision.replayed,
        result: decision.result.map(action_result),
        action_digest_salt: hex::encode(decision.action_digest_salt.0),
    }
}

fn decision_code(code: DecisionCode) -> v1::DecisionCode {
    match code {
        DecisionCode::Policy => v1::DecisionCode::Policy,
        DecisionCode::Reviewer => v1::DecisionCode::Reviewer,
        DecisionCode::Timeout => v1::DecisionCode::Timeout,
        DecisionCode::PolicyChanged => v1::DecisionCode::PolicyChanged,
        DecisionCode::Cancelled => v1::DecisionCode::Cancelled,
        DecisionCode::Halted => v1::DecisionCode::Halted,
        DecisionCode::Limit => v1::DecisionCode::Limit,
        DecisionCode::AlreadyReported => v1::DecisionCode::AlreadyReported,
    }
}

fn action_result(result: ActionResult) -> v1::ActionResult {
    let ActionResult { report, reported_at, audit_ref, marks } = result;
    v1::ActionResult {
        status: result_status(Some(report.status)).into(),
        data: report.data.as_ref().map(value),
        error: report.error,
        started_at: report.started_at.map(timestamp),
        completed_at: report.completed_at.map(timestamp),
        reported_at: reported_at.map(timestamp),
        audit_ref: audit_ref.map(|id| id.to_string()).unwrap_or_default(),
        masked: marks.iter().map(placed).collect(),
    }
}

/// An evaluation.
pub(crate) fn evaluation(verdict: &Verdict<'_>) -> v1::Evaluation {
    v1::Evaluation {
        outcome: outcome(verdict.approval.first_outcome()).into(),
        reason: verdict.reason(),
        risk_level: risk_level(verdict.risk_level).into(),
        risk_score: verdict.risk_level.score(),
        approval_mode: approval_mode(verdict.approval).into(),
        matched_rule: verdict.matched_rule.to_owned(),
        constraints: optional_object(verdict.constraints()),
        trace: Vec::new(),
        rules_left_out: 0,
    }
}

/// Adds the explanation to an evaluation.
pub(crate) fn explain(evaluation: &mut v1::Evaluation, explanation: Explanation) {
    let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    evaluation.rules_left_out = clamp(explanation.left_out);
    let rules = explanation.rules.into_iter().map(|rule| v1::RuleTrace {
        rule: rule.name,
        matched: rule.decides,
        reason: rule.because,
        file: rule.file,
        line: clamp(rule.line),
        conditions: rule.conditions.into_iter().map(condition_trace).collect(),
    });
    evaluation.trace = rules.collect();
}

fn condition_trace(condition: ConditionTrace) -> v1::ConditionTrace {
    let result = match condition.outcome {
        Told::Holds => v1::ConditionResult::Holds,
        Told::Fails => v1::ConditionResult::Fails,
        Told::Indeterminate => v1::ConditionResult::Doubt,
    };
    v1::ConditionTrace {
        condition: format!("{}: {}", condition.path, condition.wanted),
        result: result.into(),
        seen: condition.seen,
        reason: condition.because,
    }
}

/// A question from the queue, with its decision and its state.
pub(crate) fn approval(pending: &Pending, decision: &DecisionRecord, state: &ApprovalState) -> v1::Approval {
    question(decision, state, pending.requested_at, true)
}

/// A question from the record, open or ended. `None` if the row has no question.
pub(crate) fn recorded_approval(row: &AuditRow) -> Option<v1::Approval> {
    let known = row.state.redacted.is_none();
    Some(question(&row.decision, row.state.approval.as_ref()?, row.time, known))
}

/// `known` is false if the decision is redacted.
fn question(decision: &DecisionRecord, state: &ApprovalState, requested_at: Timestamp, known: bool) -> v1::Approval {
    let proposer = known.then_some(&decision.identity);
    v1::Approval {
        approval_id: state.approval_id.to_string(),
        decision_id: decision.decision_id.to_string(),
        actor: Some(actor(&decision.actor)),
        identity: proposer.map(identity),
        action: Some(action(&decision.action)),
        masked: masks(decision, false),
        context: Some(v1::ProposalContext {
            session_id: decision.session_id.clone(),
            metadata: optional_object(&decision.metadata),
        }),
        action_digest: decision.action_digest.to_string(),
        matched_rule: decision.matched_rule.clone(),
        reason: decision.reason.clone(),
        risk_level: risk_level(decision.risk_level).into(),
        policy_revision: decision.policy_revision.to_string(),
        requested_at: Some(timestamp(requested_at)),
        expires_at: Some(timestamp(state.expires_at)),
        timeout_allows: state.timeout_allows,
        ending: ending(state, proposer),
        history: Vec::new(),
        state: question_status(state.state.status()).into(),
        votes: state.votes.iter().map(vote).collect(),
        version: state.version(),
        caller_waiting: None,
    }
}

/// An earlier action of a session.
pub(crate) fn session_action(row: &AuditRow, status: Option<ResultStatus>) -> v1::SessionAction {
    v1::SessionAction {
        decided_at: Some(timestamp(row.time)),
        r#type: row.decision.action.r#type.clone(),
        target: row.decision.action.target.clone(),
        outcome: outcome(row.state.outcome_now()).into(),
        result_status: result_status(status).into(),
    }
}

/// A line of the audit log.
pub(crate) fn audit_row(row: AuditRow, result: Option<ActionResult>) -> v1::AuditRow {
    let AuditRow { row: number, record_id, time, decision, state } = row;
    let known = state.redacted.is_none();
    let proposer = known.then_some(&decision.identity);
    v1::AuditRow {
        number,
        ending: state.approval.as_ref().and_then(|approval| ending(approval, proposer)),
        identity: proposer.map(identity),
        masked: masks(&decision, true),
        session_id: decision.session_id,
        timestamp: Some(timestamp(time)),
        action: Some(action(&decision.action)),
        risk_level: risk_level(decision.risk_level).into(),
        approval_mode: approval_mode(decision.approval).into(),
        matched_rule: decision.matched_rule,
        outcome: outcome(state.outcome_now()).into(),
        reason: decision.reason,
        result: result.map(action_result),
        decision_id: decision.decision_id.to_string(),
        approval_id: decision.approval_id.map(|id| id.to_string()).unwrap_or_default(),
        actor: Some(actor(&decision.actor)),
        policy_revision: if known { decision.policy_revision.to_string() } else { String::new() },
        action_digest: if known { decision.action_digest.to_string() } else { String::new() },
        audit_ref: record_id.to_string(),
        metadata: optional_object(&decision.metadata),
        trace_id: decision.trace_id,
        redacted: !known,
    }
}

/// The whole life of one decision.
pub(crate) fn decision_life(life: DecisionLife, result: Option<ActionResult>) -> v1::GetDecisionResponse {
    let DecisionLife { row, records } = life;
    v1::GetDecisionResponse {
        approval: recorded_approval(&row),
        row: Some(audit_row(row, result)),
        records: records.into_iter().map(record_reference).collect(),
    }
}

fn record_reference(record: RecordReference) -> v1::RecordReference {
    let RecordReference { sequence, heading } = record;
    let reference = v1::RecordReference { sequence, ..v1::RecordReference::default() };
    match heading {
        Some(heading) => v1::RecordReference {
            audit_ref: heading.record_id.to_string(),
            kind: heading.kind,
            recorded_at: Some(timestamp(heading.recorded_at)),
            ..reference
        },
        None => reference,
    }
}

/// A record of the log.
pub(crate) fn audit_record(stored: StoredRecord) -> v1::AuditRecord {
    let StoredRecord { sequence, leaf_hash, content } = stored;
    let record = v1::AuditRecord { sequence, leaf_hash: leaf_hash.0.to_vec(), ..v1::AuditRecord::default() };
    match content {
        Content::Whole { salt, payload, .. } => {
            // Canonical JSON is UTF-8. The hash would reveal anything else.
            let payload = String::from_utf8(payload).unwrap_or_default();
            v1::AuditRecord { payload, salt: salt.to_vec(), ..record }
        }
        Content::Redacted { leaf_data } => v1::AuditRecord { leaf_data: leaf_data.0.to_vec(), ..record },
    }
}

/// A finding in a policy.
pub(crate) fn findings(findings: &[Diagnostic]) -> Vec<v1::PolicyFinding> {
    let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    findings
        .iter()
        .map(|finding| v1::PolicyFinding {
            file: finding.file.clone(),
            line: clamp(finding.line),
            column: clamp(finding.column),
            path: finding.path.clone(),
            message: finding.message.clone(),
            code: finding.code.to_string(),
            severity: severity(finding.code.severity()).into(),
        })
        .collect()
}

fn severity(severity: Severity) -> v1::Severity {
    match severity {
        Severity::Error => v1::Severity::Error,
        Severity::Warning => v1::Severity::Warning,
    }
}

/// A policy in force.
pub(crate) fn policy(generation: &Generation) -> v1::Policy {
    let loaded_at = Some(timestamp(generation.loaded_at));
    v1::Policy { loaded_at, ..valid_policy(&generation.policy, generation.comment.clone()) }
}

/// A policy that is valid, and not in force.
pub(crate) fn valid_policy(policy: &Policy, comment: String) -> v1::Policy {
    let layer = |layer: &crate::policy::Source| v1::PolicyLayer { name: layer.name.clone(), yaml: layer.text.clone() };
    v1::Policy {
        revision: policy.revision().to_string(),
        layers: policy.layers().iter().map(layer).collect(),
        merged_json: policy.merged().to_string(),
        rule_count: u32::try_from(policy.rules().len()).unwrap_or(u32::MAX),
        loaded_at: None,
        warnings: findings(policy.warnings()),
        comment,
    }
}

/// The first message to a watcher of the policy, and the message after each change.
pub(crate) fn policy_events(state: &PolicyState, loaded: bool) -> Vec<v1::WatchPolicyResponse> {
    use v1::watch_policy_response::Event;
    let rejected = state.rejected.as_ref().map(|Rejection { at, kept, findings: found }| {
        Event::Rejected(v1::PolicyRejected {
            rejected_at: Some(timestamp(*at)),
            kept_revision: kept.to_string(),
            errors: findings(found),
        })
    });
    let loaded = loaded.then(|| Event::Loaded(policy(&state.current)));
    loaded.into_iter().chain(rejected).map(|event| v1::WatchPolicyResponse { event: Some(event) }).collect()
}

/// A policy of the record, in force now or earlier.
pub(crate) fn found_policy(found: FoundPolicy) -> v1::Policy {
    let FoundPolicy { revision, stored, comment } = found;
    let rules = stored.merged.get("rules").and_then(Value::as_array).map_or(0, Vec::len);
    let layer = |layer: crate::audit::StoredLayer| v1::PolicyLayer { name: layer.name, yaml: layer.source };
    v1::Policy {
        revision: revision.to_string(),
        merged_json: stored.merged.to_string(),
        layers: stored.layers.into_iter().map(layer).collect(),
        rule_count: u32::try_from(rules).unwrap_or(u32::MAX),
        loaded_at: None,
        warnings: Vec::new(),
        comment,
    }
}

/// The heartbeat of a watcher of the policy.
pub(crate) fn policy_heartbeat(now: Timestamp) -> v1::WatchPolicyResponse {
    let heartbeat = v1::Heartbeat { sent_at: Some(timestamp(now)) };
    v1::WatchPolicyResponse { event: Some(v1::watch_policy_response::Event::Heartbeat(heartbeat)) }
}
