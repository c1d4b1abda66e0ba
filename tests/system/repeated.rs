//! An admin's calls that are sent again: with a request id each is answered as it was the first time, and nothing is
//! done twice.

use std::collections::BTreeSet;

use aegis::proto::v1;
use aegis::proto::v1::admin_service_client::AdminServiceClient;
use aegis::proto::v1::policy_service_client::PolicyServiceClient;
use tonic::Code;

use crate::harness::{Setup, fields, propose, refusal, seconds, update, with_token};

const ONE: &str = "rules: [{name: one, match: {type: read}, risk_level: low, approval: auto}]";
const TWO: &str = "rules: [{name: two, match: {type: read}, risk_level: low, approval: auto}]";
const REUSED: (Code, &str) = (Code::InvalidArgument, "REQUEST_ID_REUSED");

fn is_reused(status: &tonic::Status) {
    let (code, reason) = refusal(status);
    assert_eq!((code, reason.as_str()), REUSED);
    assert_eq!(fields(status), ["request_id"]);
}

#[tokio::test]
async fn a_token_is_made_once_and_shown_again_to_who_repeats_the_request() {
    let daemon = Setup::new().start();
    let request = |name: &str, request_id: &str| v1::CreateTokenRequest {
        name: name.into(),
        roles: vec![v1::Role::Admin.into()],
        lifetime: seconds(3600),
        request_id: request_id.into(),
        ..Default::default()
    };
    let mut admin = daemon.administration().await;
    let first = admin.create_token(request("ada", "r-1")).await.unwrap().into_inner();
    let again = admin.create_token(request("ada", "r-1")).await.unwrap().into_inner();
    assert_eq!(again, first);
    is_reused(&admin.create_token(request("bob", "r-1")).await.unwrap_err());
    let rotate = v1::RotateLogKeyRequest { request_id: "r-1".into() };
    is_reused(&admin.rotate_log_key(rotate).await.unwrap_err());
    let other = admin.create_token(request("ada", "r-2")).await.unwrap().into_inner();
    assert_ne!(other.secret, first.secret);

    let daemon = daemon.restart();
    let again = daemon.administration().await.create_token(request("ada", "r-1")).await.unwrap().into_inner();
    assert_eq!(again, first, "after a restart, too");
    assert_eq!(daemon.events("token_created").len(), 2);
    // Ids of another caller are other ids.
    let mut ada = AdminServiceClient::new(with_token(daemon.tcp().await, &first.secret));
    let hers = ada.create_token(request("ada", "r-1")).await.unwrap().into_inner();
    assert_ne!(hers.token.unwrap().token_id, first.token.unwrap().token_id);
}

#[tokio::test]
async fn a_key_is_replaced_once_and_a_decision_redacted_once() {
    let daemon = Setup::new().start();
    let mut admin = daemon.administration().await;
    let rotate = v1::RotateLogKeyRequest { request_id: "key".into() };
    let first = admin.rotate_log_key(rotate.clone()).await.unwrap().into_inner();
    assert_eq!(admin.rotate_log_key(rotate).await.unwrap().into_inner(), first);
    assert_eq!(daemon.events("log_key_rotated").len(), 1);

    let denied = daemon.agent().await.propose(propose("delete", "crm")).await.unwrap().into_inner().decision.unwrap();
    let redact = |reason: &str, request_id: &str| v1::RedactDecisionRequest {
        decision_id: denied.decision_id.clone(),
        reason: reason.into(),
        request_id: request_id.into(),
    };
    let first = admin.redact_decision(redact("a name", "redact")).await.unwrap().into_inner();
    assert_eq!(admin.redact_decision(redact("a name", "redact")).await.unwrap().into_inner(), first);
    is_reused(&admin.redact_decision(redact("another reason", "redact")).await.unwrap_err());
    let refused = admin.redact_decision(redact("a name", "")).await.unwrap_err();
    assert_eq!(refusal(&refused).1, "NOT_REDACTABLE");
    assert_eq!(daemon.events("decision_redacted").len(), 1);
}

#[tokio::test]
async fn a_policy_is_updated_once_rolled_back_and_says_why() {
    let daemon = Setup::new().policy(ONE).start();
    let mut admin = daemon.admin().await;
    let now = async || {
        let policy = daemon.admin().await.get_policy(v1::GetPolicyRequest::default()).await;
        policy.unwrap().into_inner().policy.unwrap()
    };
    let one = now().await;
    let dry = v1::UpdatePolicyRequest { validate_only: true, request_id: "id".into(), ..update(TWO, &one.revision) };
    let would = admin.update_policy(dry).await.unwrap().into_inner().policy.unwrap();
    assert_eq!((would.loaded_at, would.rule_count), (None, 1));
    assert_eq!(now().await.revision, one.revision, "nothing is changed");

    let request =
        v1::UpdatePolicyRequest { comment: "more reads".into(), request_id: "id".into(), ..update(TWO, &one.revision) };
    let two = admin.update_policy(request.clone()).await.unwrap().into_inner().policy.unwrap();
    assert_eq!((&two.revision, two.comment.as_str()), (&would.revision, "more reads"));
    assert_eq!(now().await, two);

    let back = v1::UpdatePolicyRequest {
        source: Some(v1::update_policy_request::Source::Revision(one.revision[..8].into())),
        expected_revision: two.revision.clone(),
        ..Default::default()
    };
    let rolled_back = admin.update_policy(back).await.unwrap().into_inner().policy.unwrap();
    assert_eq!(rolled_back.revision, one.revision);
    assert_eq!(std::fs::read_to_string(daemon.policy_file()).unwrap(), ONE);
    // A retry that arrives now is answered, and changes nothing.
    let late = admin.update_policy(request.clone()).await.unwrap().into_inner().policy.unwrap();
    assert_eq!((&late.revision, late.loaded_at, late.comment.as_str()), (&two.revision, two.loaded_at, "more reads"));
    assert_eq!(now().await.revision, one.revision);
    is_reused(&admin.update_policy(v1::UpdatePolicyRequest { comment: "else".into(), ..request }).await.unwrap_err());

    let loaded = daemon.events("policy_loaded");
    let comments: Vec<_> = loaded.iter().map(|event| event["comment"].as_str().unwrap_or_default()).collect();
    assert_eq!(comments, ["", "more reads", ""]);
    let daemon = daemon.restart();
    let of_two = v1::GetPolicyRequest { revision: two.revision.clone() };
    let kept = daemon.admin().await.get_policy(of_two).await.unwrap().into_inner().policy.unwrap();
    assert_eq!(kept.comment, "more reads");
}

#[tokio::test]
async fn an_update_says_what_it_cannot_do() {
    let daemon = Setup::new().policy(ONE).start();
    let mut admin = daemon.admin().await;
    let refused = admin.update_policy(v1::UpdatePolicyRequest::default()).await.unwrap_err();
    assert_eq!((refusal(&refused).1.as_str(), fields(&refused)), ("INVALID_REQUEST", vec!["source".to_owned()]));
    let layer = v1::PolicyLayer { name: "a.yaml".into(), yaml: ONE.into() };
    let several = v1::PolicyLayers { layers: vec![layer; 2] };
    let several = v1::UpdatePolicyRequest {
        source: Some(v1::update_policy_request::Source::Layers(several)),
        ..Default::default()
    };
    let refused = admin.update_policy(several).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::FailedPrecondition, "POLICY_NOT_WRITABLE".to_owned()));
    assert!(refused.message().contains("2 layers"), "{}", refused.message());
    let unknown = v1::UpdatePolicyRequest {
        source: Some(v1::update_policy_request::Source::Revision("0000".into())),
        ..Default::default()
    };
    assert_eq!(refusal(&admin.update_policy(unknown).await.unwrap_err()).1, "NO_SUCH_REVISION");
}

#[tokio::test]
async fn tokens_are_listed_in_pages_to_auditors_too() {
    let daemon = Setup::new().start();
    let (auditor, _) = daemon.token("audit", &[v1::Role::Auditor]).await;
    for _ in 0..6 {
        daemon.token("ada", &[v1::Role::Agent]).await;
    }
    let mut auditor = AdminServiceClient::new(with_token(daemon.tcp().await, &auditor));
    let mut request = v1::ListTokensRequest { page_size: Some(3), ..Default::default() };
    let (mut pages, mut seen) = (Vec::new(), Vec::new());
    loop {
        let page = auditor.list_tokens(request.clone()).await.unwrap().into_inner();
        pages.push(page.tokens.len());
        seen.extend(page.tokens.into_iter().map(|token| token.token_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(pages, [3, 3, 1]);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 7);
    assert!(seen.is_sorted(), "oldest first");
    for (page_size, page_token, field) in [
        (Some(0), "", "page_size"),
        (Some(1001), "", "page_size"),
        (None, "nonsense", "page_token"),
        (None, seen[0].as_str(), "page_token"),
    ] {
        let wrong = v1::ListTokensRequest { page_size, page_token: page_token.into() };
        assert_eq!(fields(&auditor.list_tokens(wrong).await.unwrap_err()), [field]);
    }
}

#[tokio::test]
async fn a_token_is_revoked_by_its_name_or_the_beginning_of_its_id_and_once() {
    let daemon = Setup::new().start();
    let mut admin = daemon.administration().await;
    let (_, ada) = daemon.token("ada", &[v1::Role::Agent]).await;
    let (_, bob) = daemon.token("bob", &[v1::Role::Agent]).await;
    let revoke = |token: &str| v1::RevokeTokenRequest { token: token.into() };
    let first = admin.revoke_token(revoke("ada")).await.unwrap().into_inner().token.unwrap();
    assert!(first.token_id == ada && first.revoked_at.is_some(), "{first:?}");
    for again in ["ada", "token:ada", ada.as_str(), &ada[..ada.len() - 3]] {
        let token = admin.revoke_token(revoke(again)).await.unwrap().into_inner().token.unwrap();
        assert_eq!(token, first, "{again}");
    }
    let shared = bob.char_indices().zip(ada.chars()).find(|((_, a), b)| a != b).map_or(0, |((at, _), _)| at);
    let by_beginning = admin.revoke_token(revoke(&bob[..=shared])).await.unwrap().into_inner().token.unwrap();
    assert_eq!(by_beginning.token_id, bob);
    let (_, other) = daemon.token("eve", &[v1::Role::Agent]).await;
    let (_, same) = daemon.token("eve", &[v1::Role::Agent]).await;
    let refused = admin.revoke_token(revoke("eve")).await.unwrap_err();
    assert_eq!((refusal(&refused).1.as_str(), fields(&refused)), ("INVALID_REQUEST", vec!["token".to_owned()]));
    assert!(refused.message().contains(&other) && refused.message().contains(&same), "{}", refused.message());
    for unknown in ["nobody", "tok_f", "tok_"] {
        assert_eq!(refusal(&admin.revoke_token(revoke(unknown)).await.unwrap_err()).1, "NO_SUCH_TOKEN", "{unknown}");
    }
    assert_eq!(daemon.events("token_revoked").len(), 2);
}

#[tokio::test]
async fn an_auditor_reads_policies_and_tokens_and_changes_nothing() {
    let daemon = Setup::new().policy(ONE).start();
    let (secret, _) = daemon.token("audit", &[v1::Role::Auditor]).await;
    let channel = with_token(daemon.tcp().await, &secret);
    let mut policies = PolicyServiceClient::new(channel);
    policies.get_policy(v1::GetPolicyRequest::default()).await.unwrap();
    let mut watching = policies.watch_policy(v1::WatchPolicyRequest {}).await.unwrap().into_inner();
    assert!(watching.message().await.unwrap().is_some());
    assert_eq!(refusal(&policies.update_policy(update(TWO, "")).await.unwrap_err()).1, "ROLE_REQUIRED");
    assert_eq!(std::fs::read_to_string(daemon.policy_file()).unwrap(), ONE);
}
