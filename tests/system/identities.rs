//! Who is asking: tokens, users of the machine, what each may do, and how that changes while the daemon runs.

use std::os::unix::fs::PermissionsExt as _;

use aegis::proto::v1::audit_service_client::AuditServiceClient;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use aegis::proto::v1::policy_service_client::PolicyServiceClient;
use aegis::proto::v1::{self, Outcome};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::harness::{
    Setup, bare, call, eventually, fields, grpcurl, me, propose, reason, sha256, stderr, stdout, unix, with_token,
};

const BY_ACTOR: &str =
    "rules: [{name: trusted, match: {type: deploy, actor: agent-7}, risk_level: low, approval: auto}]";

/// Whether the gate let a call in.
fn admitted(called: &Result<(), Status>) -> bool {
    let refusals = ["ROLE_REQUIRED", "CREDENTIAL_REQUIRED", "CREDENTIAL_INVALID"];
    !matches!(called, Err(status) if refusals.contains(&&*reason(status)))
}

#[tokio::test]
async fn a_token_is_made_shown_once_listed_and_revoked() {
    let daemon = Setup::new().start();
    let made = daemon.cli(&["token", "create", "--role", "auditor", "--name", "ada", "--expires", "30d"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let secret = stdout(&made).trim().to_owned();
    assert!(secret.starts_with("aegis_") && secret.len() == 49, "{secret}");

    let mut auditor = AuditServiceClient::new(with_token(daemon.tcp().await, &secret));
    auditor.get_stats(v1::GetStatsRequest::default()).await.unwrap();

    let listed = stdout(&daemon.cli(&["token", "list", "--format", "json"]));
    assert!(!listed.contains(&secret) && listed.contains("token:ada") && listed.contains("auditor"), "{listed}");
    let tokens: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let id = tokens[0]["token_id"].as_str().unwrap();

    let revoked = daemon.cli(&["token", "revoke", id]);
    assert!(revoked.status.success(), "{}", stderr(&revoked));
    let refused = auditor.get_stats(v1::GetStatsRequest::default()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "CREDENTIAL_INVALID"));
    let again = daemon.cli(&["token", "revoke", id]);
    assert!(again.status.success() && stdout(&again).contains(id), "the first answer again: {}", stderr(&again));
    let none = daemon.cli(&["token", "revoke", "tok_f"]);
    assert!(!none.status.success() && stderr(&none).contains("NO_SUCH_TOKEN"), "{}", stderr(&none));

    assert_eq!(daemon.events("token_created").len(), 1);
    assert_eq!(daemon.events("token_revoked").len(), 1);

    // By the holder's name, as long as that is one token.
    for _ in 0..2 {
        assert!(daemon.cli(&["token", "create", "--role", "auditor", "--name", "bob"]).status.success());
    }
    let several = stderr(&daemon.cli(&["token", "revoke", "bob"]));
    let id = several.split_whitespace().find(|word| word.starts_with("tok_")).unwrap().to_owned();
    assert!(several.contains("names several tokens"), "{several}");
    assert!(daemon.cli(&["token", "revoke", &id]).status.success());
    let revoked = daemon.cli(&["token", "revoke", "bob"]);
    assert!(revoked.status.success() && stdout(&revoked).contains("of token:bob is revoked"), "{}", stderr(&revoked));
    assert_eq!(daemon.events("token_revoked").len(), 3);
    let file = daemon.stored();
    assert!(!file.windows(secret.len()).any(|window| window == secret.as_bytes()), "the store holds the token");
}

#[tokio::test]
async fn tokens_survive_a_restart_and_end_by_themselves() {
    let daemon = Setup::new().start();
    let (lasting, _) = daemon.token("ada", &[v1::Role::Admin]).await;
    let lifetime = crate::harness::seconds(2);
    let roles = vec![v1::Role::Admin.into()];
    let ending = v1::CreateTokenRequest { name: "bob".into(), roles, lifetime, ..Default::default() };
    let (ending, _) = daemon.make_token(ending).await;

    let mut watching = PolicyServiceClient::new(with_token(daemon.tcp().await, &ending));
    let mut stream = watching.watch_policy(v1::WatchPolicyRequest {}).await.unwrap().into_inner();
    let over = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a stream whose credential is over ended as if all were well"),
            Err(status) => break status,
        }
    };
    assert_eq!((over.code(), reason(&over).as_str()), (Code::Unauthenticated, "CREDENTIAL_EXPIRED"));
    let refused = watching.get_policy(v1::GetPolicyRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);

    let daemon = daemon.restart();
    let mut admin = PolicyServiceClient::new(with_token(daemon.tcp().await, &lasting));
    admin.get_policy(v1::GetPolicyRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked() {
    let daemon = Setup::new().start();
    let (secret, token_id) = daemon.token("ada", &[v1::Role::Admin]).await;
    let mut admin = PolicyServiceClient::new(with_token(daemon.tcp().await, &secret));
    let mut stream = admin.watch_policy(v1::WatchPolicyRequest {}).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    daemon.administration().await.revoke_token(v1::RevokeTokenRequest { token: token_id }).await.unwrap();
    let over = stream.message().await.unwrap_err();
    assert_eq!(over.code(), Code::Unauthenticated);
    assert!(over.message().contains("revoked"), "{}", over.message());
}

/// A daemon with this identities file, which can be replaced.
fn with_file(policy: &str, yaml: &str) -> (crate::harness::Daemon, impl Fn(&str) + use<>) {
    let setup = Setup::new().policy(policy);
    let file = setup.home().join("auth.yaml");
    let swap = {
        let file = file.clone();
        move |yaml: &str| {
            let beside = file.with_extension("new");
            std::fs::write(&beside, yaml).unwrap();
            std::fs::rename(&beside, &file).unwrap();
        }
    };
    swap(yaml);
    (setup.args(&["--auth", file.to_str().unwrap()]).start(), swap)
}

fn file_token(secret: &str, roles: &str) -> String {
    format!("tokens: [{{name: ci, sha256: {}, roles: [{roles}]}}]", sha256(secret))
}

const ASKS: &str = "rules: [{name: ask, match: {type: deploy}, approval: approve}]";

/// How a stream ends that must end.
async fn end_of<T: std::fmt::Debug>(mut stream: tonic::Streaming<T>) -> Status {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a stream whose credential is over ended as if all were well"),
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn streams_end_when_the_file_takes_away_what_opened_them_and_go_on_when_it_does_not() {
    let (daemon, swap) = with_file(ASKS, &file_token("aegis_one", "admin, auditor"));
    for (next, says) in [
        ("tokens: []".to_owned(), "was revoked"),
        (file_token("aegis_two", "admin, auditor"), "was revoked"),
        (file_token("aegis_one", "reviewer"), "lost the role"),
        (file_token("aegis_one", "admin").replace("name: ci", "name: cd"), "another subject"),
    ] {
        let before = daemon.events("identities_loaded").len();
        swap(&file_token("aegis_one", "admin, auditor"));
        eventually("the token opens", || async {
            let (watch, stats) = ("/aegis.v1.PolicyService/GetPolicy", "/aegis.v1.AuditService/GetStats");
            call(with_token(daemon.tcp().await, "aegis_one"), watch).await.ok()?;
            call(with_token(daemon.tcp().await, "aegis_one"), stats).await.ok()
        })
        .await;
        let mut admin = PolicyServiceClient::new(with_token(daemon.tcp().await, "aegis_one"));
        let mut stream = admin.watch_policy(v1::WatchPolicyRequest {}).await.unwrap().into_inner();
        stream.message().await.unwrap().unwrap();
        // What changes nothing about it leaves it alone.
        swap(&format!("{}\nversion: 1", file_token("aegis_one", "admin, auditor")));
        eventually("that is in force", || async { (daemon.events("identities_loaded").len() > before).then_some(()) })
            .await;
        swap(&next);
        let over = end_of(stream).await;
        assert_eq!((over.code(), reason(&over).as_str()), (Code::Unauthenticated, "CREDENTIAL_EXPIRED"), "{next}");
        assert!(over.message().contains(says), "{}", over.message());
    }
}

#[tokio::test]
async fn who_waits_for_a_decision_waits_no_longer_than_the_credential_is_good() {
    let (daemon, swap) = with_file(ASKS, &file_token("aegis_one", "agent"));
    let patient = || v1::ProposeRequest { wait: crate::harness::seconds(600), ..propose("deploy", "x") };
    let waiting = |channel: Channel, secret: Option<String>| {
        let agent = move || {
            let channel = channel.clone();
            GovernanceServiceClient::new(match &secret {
                Some(secret) => with_token(channel, secret),
                None => bare(channel),
            })
        };
        tokio::spawn(async move {
            let asked = agent().propose(propose("deploy", "x")).await.unwrap().into_inner().decision.unwrap();
            let wait = crate::harness::seconds(600);
            let ask = v1::AwaitDecisionRequest { decision_id: asked.decision_id, wait };
            let (mut one, mut two) = (agent(), agent());
            let (awaited, proposed) = tokio::join!(one.await_decision(ask), two.propose(patient()));
            [awaited.map(|answer| answer.into_inner().decision), proposed.map(|answer| answer.into_inner().decision)]
        })
    };
    let roles = vec![v1::Role::Agent.into()];
    let made = v1::CreateTokenRequest { name: "ada".into(), roles: roles.clone(), ..Default::default() };
    let (revoked, token_id) = daemon.make_token(made).await;
    let lifetime = crate::harness::seconds(4);
    let made = v1::CreateTokenRequest { name: "bob".into(), roles, lifetime, ..Default::default() };
    let (expiring, _) = daemon.make_token(made).await;
    let expiring = waiting(daemon.tcp().await, Some(expiring));
    let in_file = waiting(daemon.tcp().await, Some("aegis_one".to_owned()));
    let revoked = waiting(daemon.tcp().await, Some(revoked));
    let nobody = waiting(daemon.tcp().await, None);
    let open = async || {
        let all = v1::ListApprovalsRequest::default();
        daemon.reviewer().await.list_approvals(all).await.unwrap().into_inner().approvals
    };
    eventually("all of them are open", || async { (open().await.len() == 8).then_some(()) }).await;
    swap("tokens: []");
    daemon.administration().await.revoke_token(v1::RevokeTokenRequest { token: token_id }).await.unwrap();
    for (caller, says) in [(in_file, "was revoked"), (revoked, "was revoked"), (expiring, "has expired")] {
        for over in caller.await.unwrap() {
            let over = over.unwrap_err();
            assert_eq!((over.code(), reason(&over).as_str()), (Code::Unauthenticated, "CREDENTIAL_EXPIRED"));
            assert!(over.message().contains(says), "{}", over.message());
        }
    }
    // What was asked is still open, and whoever needs no credential is still waiting.
    let open = open().await;
    assert_eq!(open.len(), 8);
    for asked in open {
        let approve = v1::ApproveRequest {
            approval_id: asked.approval_id,
            expected_action_digest: asked.action_digest,
            ..Default::default()
        };
        daemon.reviewer().await.approve(approve).await.unwrap();
    }
    for answer in nobody.await.unwrap() {
        assert_eq!(answer.unwrap().unwrap().outcome(), Outcome::Allow);
    }
}

#[tokio::test]
async fn a_token_for_one_actor_proposes_as_no_other_and_a_rule_can_rely_on_it() {
    let daemon = Setup::new().policy(BY_ACTOR).start();
    let roles = vec![v1::Role::Agent.into()];
    let bound = v1::CreateTokenRequest { name: "ci".into(), roles, actor_id: "agent-7".into(), ..Default::default() };
    let (secret, _) = daemon.make_token(bound).await;
    let mut agent = GovernanceServiceClient::new(with_token(daemon.tcp().await, &secret));

    let allowed = agent.propose(propose("deploy", "x")).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((allowed.outcome(), allowed.matched_rule.as_str()), (Outcome::Allow, "trusted"));
    let identity = daemon.row(&allowed.decision_id).await.identity.unwrap();
    assert_eq!(
        (identity.subject.as_str(), identity.how.as_str(), identity.actor_id.as_str()),
        ("token:ci", "token", "agent-7")
    );
    for other in ["agent-8", "", "agent-70"] {
        let ask = v1::ProposeRequest {
            actor: Some(v1::Actor { id: other.into(), ..Default::default() }),
            ..propose("deploy", "x")
        };
        let refused = agent.propose(ask.clone()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "ACTOR_NOT_ALLOWED"));
        assert_eq!(fields(&refused), ["actor.id"]);
        let item = v1::EvaluateItem { actor: ask.actor, action: ask.action };
        let dry = v1::EvaluateRequest { items: vec![item], ..Default::default() };
        assert_eq!(agent.evaluate(dry).await.unwrap_err().code(), Code::PermissionDenied);
    }
    // Whoever only says so is not believed.
    let declared = daemon.agent().await.propose(propose("deploy", "x")).await.unwrap().into_inner().decision.unwrap();
    assert_ne!(declared.outcome(), Outcome::Allow);
}

#[tokio::test]
async fn users_of_the_machine_are_known_by_the_kernels_word() {
    let setup = Setup::new().policy(BY_ACTOR);
    let (socket, file) = (setup.home().join("agent.sock"), setup.home().join("auth.yaml"));
    let entry = format!("unix: [{{uid: {}, roles: [agent, auditor], actor: agent-7}}]", me());
    std::fs::write(&file, entry).unwrap();
    let daemon =
        setup.args(&["--uds", socket.to_str().unwrap(), "--auth", file.to_str().unwrap(), "--no-anonymous"]).start();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);

    let mut agent = GovernanceServiceClient::new(unix(&socket).await);
    let allowed = agent.propose(propose("deploy", "x")).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(allowed.outcome(), Outcome::Allow);
    let identity = daemon.row(&allowed.decision_id).await.identity.unwrap();
    assert_eq!((identity.subject, identity.how.as_str()), (format!("unix:{}", me()), "unix_peer"));
    call(bare(unix(&socket).await), "/aegis.v1.AuditService/GetStats").await.unwrap();
    let refused = call(bare(unix(&socket).await), "/aegis.v1.PolicyService/UpdatePolicy").await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    // The same user over TCP shows nothing.
    let refused = daemon.agent().await.propose(propose("deploy", "x")).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "CREDENTIAL_REQUIRED"));
}

#[tokio::test]
async fn a_user_must_fit_the_whole_of_an_entry() {
    let gid = rustix::process::getegid().as_raw();
    for (entry, fits) in [
        (format!("{{gid: {gid}, roles: [auditor]}}"), true),
        (format!("{{uid: {}, gid: {gid}, roles: [auditor]}}", me()), true),
        (format!("{{uid: {}, gid: {}, roles: [auditor]}}", me(), gid + 1), false),
        (format!("{{uid: {}, gid: {gid}, roles: [auditor]}}", me() + 1), false),
    ] {
        let setup = Setup::new();
        let (socket, file) = (setup.home().join("agent.sock"), setup.home().join("auth.yaml"));
        std::fs::write(&file, format!("unix: [{entry}]")).unwrap();
        let daemon = setup.args(&["--uds", socket.to_str().unwrap(), "--auth", file.to_str().unwrap()]).start();
        let called = call(bare(unix(&socket).await), "/aegis.v1.AuditService/GetStats").await;
        assert_eq!(called.is_ok(), fits, "{entry}: {called:?}");
        // Whom nothing names is whoever the listener takes for anonymous: an agent.
        let agent = call(bare(unix(&socket).await), "/aegis.v1.GovernanceService/Propose").await;
        assert_eq!(admitted(&agent), !fits, "{entry}: {agent:?}");
        drop(daemon);
    }
}

#[tokio::test]
async fn what_was_refused_is_on_the_record_in_one_line() {
    let mut daemon = Setup::new().args(&["--max-wrong-credentials", "0"]).start();
    let stats = "/aegis.v1.AuditService/GetStats";
    let (agent, _) = daemon.token("ci", &[v1::Role::Agent]).await;
    let channel = daemon.tcp().await;
    for _ in 0..30 {
        call(with_token(channel.clone(), "aegis_wrong"), stats).await.unwrap_err();
        call(bare(channel.clone()), stats).await.unwrap_err();
        call(with_token(channel.clone(), &agent), stats).await.unwrap_err();
    }
    drop(channel);
    daemon.terminate();
    assert!(daemon.ended().await.success());
    let daemon = daemon.restart();
    let refused = daemon.events("calls_refused");
    assert!((1..=2).contains(&refused.len()), "in aggregate: {refused:?}");
    let sum = |key: &str| refused.iter().map(|event| event[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("unauthenticated"), sum("permission_denied")), (60, 30));
}

#[tokio::test]
async fn one_connection_has_so_many_calls_under_way_and_others_are_served() {
    let reads = "{name: reads, match: {type: read}, risk_level: low, approval: auto}";
    let policy = ASKS.replace(']', &format!(", {reads}]"));
    let daemon = Setup::new().policy(&policy).args(&["--max-calls-per-connection", "4"]).start();
    let channel = daemon.tcp().await;
    // From here on the client knows the limit; before, the daemon would refuse what is beyond it.
    GovernanceServiceClient::new(channel.clone()).propose(propose("read", "x")).await.unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for i in 0..8 {
        let mut agent = GovernanceServiceClient::new(channel.clone());
        let wait = crate::harness::seconds(600);
        let ask = v1::ProposeRequest { wait, ..propose("deploy", &i.to_string()) };
        waiting.spawn(async move { agent.propose(ask).await.unwrap() });
    }
    let pending = async || {
        let all = v1::ListApprovalsRequest::default();
        daemon.reviewer().await.list_approvals(all).await.unwrap().into_inner().approvals
    };
    // Every time that four wait they are answered, and never more than four.
    for _ in 0..2 {
        let open = eventually("four calls are under way", || async {
            let open = pending().await;
            assert!(open.len() <= 4, "{}", open.len());
            (open.len() == 4).then_some(open)
        })
        .await;
        daemon.agent().await.propose(propose("read", "x")).await.unwrap();
        for asked in open {
            let approve = v1::ApproveRequest {
                approval_id: asked.approval_id,
                expected_action_digest: asked.action_digest,
                ..Default::default()
            };
            daemon.reviewer().await.approve(approve).await.unwrap();
        }
    }
    assert_eq!(waiting.join_all().await.len(), 8);
}

#[tokio::test]
async fn the_identities_file_is_followed_and_a_bad_one_changes_nothing() {
    let setup = Setup::new();
    let file = setup.home().join("auth.yaml");
    let token =
        |secret: &str, role: &str| format!("tokens: [{{name: ci, sha256: {}, roles: [{role}]}}]", sha256(secret));
    let swap = |text: &str| {
        let beside = file.with_extension("new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, &file).unwrap();
    };
    swap(&token("aegis_one", "auditor"));
    let daemon = setup.args(&["--auth", file.to_str().unwrap()]).start();
    let stats = "/aegis.v1.AuditService/GetStats";
    call(with_token(daemon.tcp().await, "aegis_one"), stats).await.unwrap();
    assert_eq!(daemon.health("aegis.auth").await, Some(tonic_health::ServingStatus::Serving));

    swap("tokens: [{name: ci, sha256: nonsense, roles: [auditor]}]");
    daemon.logs("auth.yaml:1:21: tokens[0].sha256: must be the SHA-256").await;
    daemon.logs("the last good ones stay in force").await;
    eventually("health says so", || async {
        (daemon.health("aegis.auth").await? == tonic_health::ServingStatus::NotServing).then_some(())
    })
    .await;
    call(with_token(daemon.tcp().await, "aegis_one"), stats).await.unwrap();

    swap(&token("aegis_two", "auditor"));
    eventually("the new token opens", || async { call(with_token(daemon.tcp().await, "aegis_two"), stats).await.ok() })
        .await;
    let refused = call(with_token(daemon.tcp().await, "aegis_one"), stats).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(daemon.health("aegis.auth").await, Some(tonic_health::ServingStatus::Serving));
    assert_eq!(daemon.events("identities_loaded").len(), 2);
    assert_eq!(daemon.events("identities_rejected").len(), 1);
}

#[test]
fn a_bad_identities_file_does_not_start() {
    let setup = Setup::new();
    let file = setup.home().join("auth.yaml");
    std::fs::write(&file, "unix: [{uid: 7, roles: [reviewr]}]").unwrap();
    let (status, said) = setup.args(&["--auth", file.to_str().unwrap()]).refuse();
    assert!(!status.success());
    assert!(said.contains("auth.yaml:1:25: unix[0].roles[0]: unknown variant `reviewr`"), "{said}");
}

#[tokio::test]
async fn who_is_wrong_too_often_is_not_listened_to() {
    let daemon = Setup::new().start();
    let (secret, _) = daemon.token("ada", &[v1::Role::Auditor]).await;
    let (guessing, channel) = (daemon.tcp().await, daemon.tcp().await);
    let stats = "/aegis.v1.AuditService/GetStats";
    call(with_token(channel.clone(), &secret), stats).await.unwrap();
    let mut codes = Vec::new();
    for i in 0..20 {
        let refused = call(with_token(guessing.clone(), &format!("aegis_guess{i}")), stats).await.unwrap_err();
        codes.push(refused.code());
    }
    assert_eq!((codes[0], codes[19]), (Code::Unauthenticated, Code::ResourceExhausted));
    // Who is in already is not locked out by a neighbour, and neither is an agent that shows nothing.
    call(with_token(channel, &secret), stats).await.unwrap();
    let anonymous = call(bare(guessing), "/aegis.v1.GovernanceService/Propose").await;
    assert!(admitted(&anonymous), "{anonymous:?}");
    assert!(!daemon.log().contains("aegis_guess"), "the log holds what was sent");
}

#[tokio::test]
async fn grpcurl_gets_in_with_a_token_and_over_the_unix_socket() {
    let setup = Setup::new();
    let (socket, file) = (setup.home().join("agent.sock"), setup.home().join("auth.yaml"));
    std::fs::write(&file, format!("unix: [{{uid: {}, roles: [auditor]}}]", me())).unwrap();
    let daemon = setup.args(&["--uds", socket.to_str().unwrap(), "--auth", file.to_str().unwrap()]).start();
    let (secret, _) = daemon.token("ada", &[v1::Role::Auditor]).await;
    let tcp = daemon.endpoint.trim_start_matches("http://").to_owned();
    let header = format!("authorization: Bearer {secret}");
    let method = "aegis.v1.AuditService/GetStats";

    let said = grpcurl().args(["-plaintext", "-H", &header, &tcp, method]).output().unwrap();
    assert!(said.status.success(), "{}", stderr(&said));
    let said = grpcurl().args(["-plaintext", "-H", "authorization: Bearer aegis_x", &tcp, method]).output().unwrap();
    assert!(stderr(&said).contains("Unauthenticated") && !said.status.success(), "{}", stderr(&said));
    let said = grpcurl().args(["-plaintext", "-unix", socket.to_str().unwrap(), method]).output().unwrap();
    assert!(said.status.success(), "{}", stderr(&said));
}
