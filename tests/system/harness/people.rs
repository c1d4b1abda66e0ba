//! What agents and reviewers do over and over: ask, look, say yes or no.

use aegis::proto::v1;
use aegis::proto::v1::approval_service_client::ApprovalServiceClient;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use aegis::proto::v1::policy_service_client::PolicyServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::daemon::{Daemon, eventually, unix_by};
use super::wire::seconds;

/// An agent's side.
pub(crate) type Agent = GovernanceServiceClient<Channel>;
/// A reviewer's side.
pub(crate) type Reviewer = ApprovalServiceClient<Channel>;

/// An admin's side.
pub(crate) type Admin = PolicyServiceClient<Channel>;

/// Proposes, and is answered.
pub(crate) async fn ask(agent: &mut Agent, request: v1::ProposeRequest) -> v1::Decision {
    let answer = agent.propose(request).await.expect("the proposal is answered");
    answer.into_inner().decision.expect("an answer has a decision")
}

/// The decision as it stands, after at most so many seconds.
pub(crate) async fn awaited(agent: &mut Agent, decision_id: &str, wait: i64) -> v1::Decision {
    let request = v1::AwaitDecisionRequest { decision_id: decision_id.to_owned(), wait: seconds(wait) };
    let answer = agent.await_decision(request).await.expect("the decision is known");
    answer.into_inner().decision.expect("an answer has a decision")
}

/// Everything that is pending, page by page.
pub(crate) async fn pending(reviewer: &mut Reviewer) -> Vec<v1::Approval> {
    let mut all = Vec::new();
    let mut request = v1::ListApprovalsRequest { page_size: Some(1000), ..v1::ListApprovalsRequest::default() };
    loop {
        let page = reviewer.list_approvals(request.clone()).await.expect("approvals are listed").into_inner();
        all.extend(page.approvals);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

/// The approval that a decision waits for.
pub(crate) async fn approval(reviewer: &mut Reviewer, decision: &v1::Decision) -> v1::Approval {
    let request = v1::GetApprovalRequest { approval_id: decision.approval_id.clone() };
    let answer = reviewer.get_approval(request).await.expect("the approval is known");
    answer.into_inner().approval.expect("an answer has an approval")
}

/// Says yes to exactly what is asked.
pub(crate) fn yes(decision: &v1::Decision, reason: &str) -> v1::ApproveRequest {
    v1::ApproveRequest {
        approval_id: decision.approval_id.clone(),
        expected_action_digest: decision.action_digest.clone(),
        reason: reason.to_owned(),
    }
}

/// Says no to exactly what is asked.
pub(crate) fn no(decision: &v1::Decision, reason: &str) -> v1::DenyRequest {
    let v1::ApproveRequest { approval_id, expected_action_digest, reason } = yes(decision, reason);
    v1::DenyRequest { approval_id, expected_action_digest, reason }
}

/// The report that an action ended so.
pub(crate) fn report(decision_id: &str, status: v1::ResultStatus) -> v1::ReportResultRequest {
    let result = v1::ActionResult { status: status.into(), ..v1::ActionResult::default() };
    v1::ReportResultRequest { decision_id: decision_id.to_owned(), result: Some(result) }
}

/// What became of an action, as its row says. UNSPECIFIED while that is not known.
pub(crate) fn result_of(row: &v1::AuditRow) -> v1::ResultStatus {
    row.result.as_ref().map_or(v1::ResultStatus::Unspecified, v1::ActionResult::status)
}

/// The paths of what is masked.
pub(crate) fn masked(masks: &[v1::Mask]) -> Vec<&str> {
    masks.iter().map(|mask| mask.path.as_str()).collect()
}

/// Who ended an approval: empty if nobody did.
pub(crate) fn ended_by(ending: &v1::Ending) -> &str {
    ending.by.as_ref().map_or("", |by| &by.subject)
}

/// How an approval ended.
pub(crate) fn ending(approval: Option<v1::Approval>) -> v1::Ending {
    approval.and_then(|approval| approval.ending).expect("the approval has ended")
}

/// A connection that holds back little, so that not reading shows soon.
pub(crate) async fn narrow(daemon: &Daemon) -> Channel {
    let settings = Endpoint::from_static("http://localhost");
    let settings = settings.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    unix_by(settings, &daemon.data_dir().join("aegis.sock")).await
}

/// What a probe is told about a service; `None` where it is not known.
pub(crate) async fn health(daemon: &Daemon, service: &str) -> Option<ServingStatus> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(daemon.tcp().await).check(request).await.ok()?;
    Some(answer.into_inner().status())
}

/// Waits until a probe is told this about a service.
pub(crate) async fn healthy(daemon: &Daemon, service: &str, healthy: bool) {
    let wanted = if healthy { ServingStatus::Serving } else { ServingStatus::NotServing };
    eventually(&format!("`{service}` is {wanted:?}"), || async {
        (health(daemon, service).await == Some(wanted)).then_some(())
    })
    .await;
}

/// Whether what takes long is asked for, too.
pub(crate) fn long() -> bool {
    std::env::var_os("AEGIS_TEST_LONG").is_some_and(|value| !value.is_empty())
}

impl Daemon {
    /// Waits until another policy than this one is in force, and says which.
    pub(crate) async fn policy_after(&self, revision: &str) -> String {
        let admin = self.admin().await;
        eventually("another policy is in force", || {
            let mut admin = admin.clone();
            async move {
                let policy = admin.get_policy(v1::GetPolicyRequest::default()).await.ok()?.into_inner().policy?;
                (policy.revision != revision).then_some(policy.revision)
            }
        })
        .await
    }
}
