//! The calls that the screen makes beside the keyboard: what is around a question, what has ended, and votes.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tonic::Code;

use super::desk::Background;
use crate::cli::connect::{self, Remote};
use crate::cli::failure::Failure;
use crate::cli::vote::{self, Taken, Vote};
use crate::cli::{safe_json, wire};
use crate::domain::Timestamp;
use crate::proto::v1::{
    Approval, ApprovalFilter, ApprovalState, AuditFilter, AuditRow, GetApprovalRequest, GetPolicyRequest,
    ListApprovalsRequest, ListDecisionsRequest, SessionAction,
};

/// How many earlier actions of an actor are shown: as many as of a session.
const MOST_BEFORE: usize = 10;
/// How far back the history goes when the program begins.
const HISTORY: std::time::Duration = std::time::Duration::from_hours(24);
/// How many of those that ended are kept, the last to be asked.
const MOST_ANSWERED: usize = 1_000;

/// What came back from the daemon.
pub(super) enum Reply {
    Answered(Box<Result<Taken, Failure>>),
    Fetched(String, Result<Background, Failure>),
    FetchedAnswered(Result<Vec<Approval>, Failure>),
}

/// Sends the votes one after the other, each on exactly what was shown.
pub(super) async fn answer(
    remote: Remote,
    vote: Vote,
    questions: Vec<Approval>,
    reason: String,
    replies: mpsc::Sender<Reply>,
) {
    let mut client = remote.approvals();
    for on in questions {
        let digest = on.action_digest.clone();
        let taken = vote::send(&mut client, vote, &on, digest, reason.clone()).await.map_err(Failure::from);
        // Whoever has left needs no reply. The votes were given all the same.
        let _ = replies.send(Reply::Answered(Box::new(taken))).await;
    }
}

/// What is around a question. What the reviewer may not read is left out.
pub(super) async fn background(remote: &Remote, on: &Approval) -> Result<Background, Failure> {
    let request = GetApprovalRequest { approval_id: on.approval_id.clone() };
    let whole = remote.approvals().get_approval(connect::call(request)).await?.into_inner().approval;
    Ok(Background {
        session: whole.unwrap_or_default().history,
        actor: before(remote, on).await?,
        rule: rule(remote, on).await?,
    })
}

/// What the actor of this question did before, newest first.
async fn before(remote: &Remote, on: &Approval) -> Result<Option<Vec<SessionAction>>, Failure> {
    let Some(actor) = on.actor.as_ref().filter(|actor| !actor.id.is_empty()) else { return Ok(None) };
    let request = ListDecisionsRequest {
        filter: Some(AuditFilter { actor_id: actor.id.clone(), ..AuditFilter::default() }),
        page_size: Some(u32::try_from(MOST_BEFORE + 1).unwrap_or(u32::MAX)),
        newest_first: true,
        ..ListDecisionsRequest::default()
    };
    let page = match remote.audit().list_decisions(connect::call(request)).await {
        Ok(page) => page.into_inner(),
        Err(status) if status.code() == Code::PermissionDenied => return Ok(None),
        Err(status) => return Err(status.into()),
    };
    let others = page.rows.into_iter().filter(|row| row.decision_id != on.decision_id);
    Ok(Some(others.take(MOST_BEFORE).map(action).collect()))
}

fn action(row: AuditRow) -> SessionAction {
    let action = row.action.unwrap_or_default();
    SessionAction {
        decided_at: row.timestamp,
        r#type: action.r#type,
        target: action.target,
        outcome: row.outcome,
        result_status: row.result.map_or(0, |result| result.status),
    }
}

/// The rule that asked, as the policy that asked has it.
async fn rule(remote: &Remote, on: &Approval) -> Result<Vec<(String, String)>, Failure> {
    let request = GetPolicyRequest { revision: on.policy_revision.clone() };
    let policy = match remote.policy().get_policy(connect::call(request)).await {
        Ok(policy) => policy.into_inner().policy.unwrap_or_default(),
        Err(status) if matches!(status.code(), Code::PermissionDenied | Code::NotFound) => return Ok(Vec::new()),
        Err(status) => return Err(status.into()),
    };
    Ok(members(&policy.merged_json, &on.matched_rule))
}

/// The members of the rule of this name in a merged policy, but for its name.
fn members(merged: &str, name: &str) -> Vec<(String, String)> {
    let policy: serde_json::Value = serde_json::from_str(merged).unwrap_or_default();
    let rules = policy["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(rule) = rules.iter().find(|rule| rule["name"] == name).and_then(serde_json::Value::as_object) else {
        return Vec::new();
    };
    let others = rule.iter().filter(|(member, _)| *member != "name");
    others.map(|(member, value)| (member.clone(), safe_json::compact(value))).collect()
}

/// What ended within the last day.
pub(super) async fn answered(remote: &Remote) -> Result<Vec<Approval>, Failure> {
    let since = Timestamp::now().checked_sub(HISTORY).ok().map(wire::to_moment);
    let states = [ApprovalState::Approved, ApprovalState::Denied, ApprovalState::Expired, ApprovalState::Cancelled];
    let mut request = ListApprovalsRequest {
        filter: Some(ApprovalFilter { since, ..ApprovalFilter::default() }),
        page_size: Some(1_000),
        states: states.into_iter().map(|state| state as i32).collect(),
        ..ListApprovalsRequest::default()
    };
    let mut ended = VecDeque::new();
    loop {
        let page = remote.approvals().list_approvals(connect::call(request.clone())).await?.into_inner();
        // The oldest come first.
        ended.extend(page.approvals);
        ended.drain(..ended.len().saturating_sub(MOST_ANSWERED));
        if page.next_page_token.is_empty() {
            return Ok(ended.into());
        }
        request.page_token = page.next_page_token;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_found_by_its_name_and_shown_without_it() {
        let merged =
            r#"{"rules":[{"name":"a","approval":"auto"},{"approval":"approve","match":{"type":"x*"},"name":"b"}]}"#;
        assert_eq!(
            members(merged, "b"),
            [("approval".to_owned(), r#""approve""#.to_owned()), ("match".into(), r#"{"type":"x*"}"#.into())]
        );
        for (merged, name) in [(merged, "<default>"), ("", "b"), ("{}", "b"), (r#"{"rules":7}"#, "b")] {
            assert!(members(merged, name).is_empty(), "{merged}");
        }
    }
}
