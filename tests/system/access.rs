//! Who may call what: every method by every way of calling, and what keeps the ways apart.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use aegis::domain::Role;
use aegis::proto::v1;
use aegis::proto::v1::approval_service_client::ApprovalServiceClient;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use aegis::server::access;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{
    AEGIS, Authority, Daemon, ISSUER, Setup, Signer, Verdict, as_nobody, connect, ended_by, knock, knock_rest, me,
    propose, reason, sha256, stderr, text, unix, with_token,
};

/// The methods of the API, by what this test knows about each service: independent of the table that it tests.
fn api() -> Vec<(String, &'static str)> {
    let role = |path: &str| match path.split(['/', '.']).nth(3).expect("a service") {
        "GovernanceService" if path.ends_with("/Evaluate") => "agent auditor admin",
        "GovernanceService" => "agent",
        "ApprovalService" => "reviewer",
        "AuditService" => "auditor",
        "PolicyService" if !path.ends_with("/UpdatePolicy") => "auditor admin",
        "AdminService" if ["/ListTokens", "/ListHalts", "/ListCounts"].iter().any(|name| path.ends_with(name)) => {
            "auditor admin"
        }
        "PolicyService" | "AdminService" => "admin",
        other => panic!("{other} is new: who may call it?"),
    };
    let methods: Vec<_> = access::methods().into_iter().map(|path| (path.clone(), role(&path))).collect();
    assert!(methods.len() >= 16, "{methods:?}");
    methods
}

/// The operations of REST, by what this test knows about each: independent of the table that it tests.
fn rest() -> Vec<(&'static str, String, &'static str)> {
    let role = |method: &str, path: &str| match (method, path) {
        ("GET", "/health" | "/openapi.json" | "/docs") => "",
        ("POST", "/api/v1/evaluate") => "agent auditor admin",
        ("POST", "/api/v1/execute") => "agent",
        (_, path) if path.starts_with("/api/v1/governance/") => "agent",
        (_, path) if path.starts_with("/api/v1/approvals") => "reviewer",
        ("GET", "/api/v1/audit" | "/api/v1/stats") => "auditor",
        ("GET", path) if path.starts_with("/api/v1/audit/") || path.starts_with("/api/v1/log/") => "auditor",
        ("GET", "/api/v1/policy" | "/api/v1/tokens" | "/api/v1/halts" | "/api/v1/limits")
        | ("POST", "/api/v1/policy/validate") => "auditor admin",
        ("PUT", "/api/v1/policy")
        | (
            "POST",
            "/api/v1/audit/decisions/{id}/redact"
            | "/api/v1/log/rotate-key"
            | "/api/v1/halts"
            | "/api/v1/halts/resume"
            | "/api/v1/limits/reset",
        ) => "admin",
        (_, path) if path.starts_with("/api/v1/tokens") => "admin",
        ("GET", "/api/v1/identity") => EVERYBODY,
        ("POST", "/api/v1/sign-in-codes") => OPERATOR,
        ("POST", "/api/v1/sign-in-codes/exchange") | ("GET", "/" | "/console") => "",
        ("GET", path) if path.starts_with("/console/") => "",
        other => panic!("{other:?} is new: who may call it?"),
    };
    let operations: Vec<_> = access::OPERATIONS
        .iter()
        .map(|operation| {
            let path = operation.path.split('/').map(|step| if step.starts_with('{') { "x" } else { step });
            (operation.method, path.collect::<Vec<_>>().join("/"), role(operation.method, operation.path))
        })
        .collect();
    assert!(operations.len() >= 10, "{operations:?}");
    operations
}

/// What a caller is answered at an operation of REST.
fn expected_rest(roles: &str, allowed: &str, otherwise: Verdict) -> Verdict {
    if allowed.is_empty() { Ok(()) } else { expected(roles, allowed, otherwise) }
}

fn needs_credential() -> Verdict {
    Err((Code::Unauthenticated, "CREDENTIAL_REQUIRED".into()))
}

fn bad_credential() -> Verdict {
    Err((Code::Unauthenticated, "CREDENTIAL_INVALID".into()))
}

fn needs_role() -> Verdict {
    Err((Code::PermissionDenied, "ROLE_REQUIRED".into()))
}

/// What a caller with these roles is answered, if a caller without them is answered `otherwise`.
fn expected(roles: &str, allowed: &str, otherwise: Verdict) -> Verdict {
    if roles.split(' ').any(|role| allowed.split(' ').any(|allowed| allowed == role)) { Ok(()) } else { otherwise }
}

const OPERATOR: &str = "reviewer auditor admin";
const EVERYBODY: &str = "agent reviewer auditor admin";

fn credential(daemon: &Daemon) -> String {
    std::fs::read_to_string(daemon.data_dir().join("credential")).expect("the credential is there").trim().to_owned()
}

/// A daemon with a unix socket as a second main listener, and the path of that.
fn with_socket(arguments: &[&str]) -> (Daemon, std::path::PathBuf) {
    let setup = Setup::new();
    let path = setup.home().join("agent.sock");
    let daemon = setup.args(arguments).args(&["--uds", path.to_str().expect("a path of text")]).start();
    (daemon, path)
}

#[tokio::test]
async fn every_method_by_every_way_of_calling() {
    for arguments in [&[][..], &["--no-anonymous"], &["--dev"]] {
        let (daemon, path) = with_socket(arguments);
        let (tcp, uds, private) = (daemon.tcp().await, unix(&path).await, daemon.socket().await);
        let bearer = format!("Bearer {}", credential(&daemon)).into_bytes();
        let lower = format!("bearer {}", credential(&daemon)).into_bytes();
        let anonymous = match arguments {
            [] => "agent",
            ["--dev"] => EVERYBODY,
            _ => "",
        };
        for (method, allowed) in api() {
            let what = format!("{method} with {arguments:?}");
            for channel in [&tcp, &uds] {
                let answer = knock(channel, &method, &[]).await;
                assert_eq!(answer, expected(anonymous, allowed, needs_credential()), "anonymous, {what}");
                for header in [&bearer, &lower] {
                    let answer = knock(channel, &method, &[header]).await;
                    assert_eq!(answer, expected(OPERATOR, allowed, needs_role()), "by credential, {what}");
                }
            }
            let answer = knock(&private, &method, &[]).await;
            assert_eq!(answer, expected(OPERATOR, allowed, needs_role()), "peer, {what}");
        }
        for (method, path, allowed) in rest() {
            let what = format!("{method} {path} with {arguments:?}");
            for channel in [&tcp, &uds] {
                let answer = knock_rest(channel, method, &path, &[]).await;
                assert_eq!(answer, expected_rest(anonymous, allowed, needs_credential()), "anonymous, {what}");
                let answer = knock_rest(channel, method, &path, &[&bearer]).await;
                assert_eq!(answer, expected_rest(OPERATOR, allowed, needs_role()), "by credential, {what}");
            }
            let answer = knock_rest(&private, method, &path, &[]).await;
            assert_eq!(answer, expected_rest(OPERATOR, allowed, needs_role()), "peer, {what}");
        }
    }
}

fn wire_role(role: Role) -> v1::Role {
    match role {
        Role::Agent => v1::Role::Agent,
        Role::Reviewer => v1::Role::Reviewer,
        Role::Auditor => v1::Role::Auditor,
        Role::Admin => v1::Role::Admin,
    }
}

/// Every method, by every role, in every way of being known: in or out exactly as it should be.
#[tokio::test]
async fn every_method_by_every_role_in_every_way_of_being_known() {
    let mut checked = 0;
    for role in Role::ALL {
        let name = role.as_str();
        let setup = Setup::new();
        let (authority, signer) = (Authority::new(setup.home()), Signer::new("one"));
        authority.write("server", &authority.server());
        authority.write_ca("ca.crt");
        signer.publish(&setup.home().join("jwks.json"));
        let (file, socket) = (setup.home().join("auth.yaml"), setup.home().join("agent.sock"));
        let yaml = format!(
            "tls: {{certificate: server.crt, key: server.key, client_ca: ca.crt, clients: optional}}
unix: [{{uid: {uid}, roles: [{name}]}}]
tokens: [{{name: file, sha256: {hash}, roles: [{name}]}}]
certificates: [{{common_name: somebody, roles: [{name}]}}]
jwt:
  - {{name: idp, issuer: '{ISSUER}', audience: aegis, jwks: jwks.json,
     grants: [{{subject: somebody, roles: [{name}]}}]}}
",
            uid = me(),
            hash = sha256("aegis_file"),
        );
        std::fs::write(&file, yaml).unwrap();
        let daemon = setup.args(&["--auth", text(&file), "--uds", text(&socket)]).start();

        let nobody = connect(&daemon, &authority.pem(), None).await.unwrap();
        let client = authority.client("somebody", None);
        let certificate = connect(&daemon, &authority.pem(), Some(&client)).await.unwrap();
        let (minted, _) = daemon.token("somebody", &[wire_role(role)]).await;
        let bearer = |token: &str| Some(format!("Bearer {token}"));
        let ways = [
            ("anonymous", &nobody, None, "agent"),
            ("bootstrap credential", &nobody, bearer(&credential(&daemon)), OPERATOR),
            ("private socket", &daemon.socket().await, None, OPERATOR),
            ("unix peer", &unix(&socket).await, None, name),
            ("minted token", &nobody, bearer(&minted), name),
            ("file token", &nobody, bearer("aegis_file"), name),
            ("client certificate", &certificate, None, name),
            ("JWT", &nobody, bearer(&signer.good("somebody", 600)), name),
        ];
        for (way, channel, header, roles) in &ways {
            let header: Vec<&[u8]> = header.iter().map(String::as_bytes).collect();
            for (method, allowed) in api() {
                let otherwise = if *way == "anonymous" { needs_credential() } else { needs_role() };
                let answer = knock(channel, &method, &header).await;
                assert_eq!(answer, expected(roles, allowed, otherwise), "{method} as {roles} by {way}");
                checked += 1;
            }
            for (method, path, allowed) in rest() {
                let otherwise = if *way == "anonymous" { needs_credential() } else { needs_role() };
                let answer = knock_rest(channel, method, &path, &header).await;
                assert_eq!(answer, expected_rest(roles, allowed, otherwise), "{method} {path} as {roles} by {way}");
                checked += 1;
            }
        }
    }
    assert_eq!(checked, (api().len() + rest().len()) * 8 * Role::ALL.len());
}

#[tokio::test]
async fn a_bad_token_is_refused_everywhere_and_never_anonymous() {
    for arguments in [&[][..], &["--dev"]] {
        // As many wrong ones as this needs; that there is a bound is another test's.
        let (daemon, path) = with_socket(&[arguments, &["--max-wrong-credentials", "0"]].concat());
        let token = credential(&daemon);
        let bearer = format!("Bearer {token}");
        let (cut, long, twice) =
            (&bearer[..bearer.len() - 1], format!("{bearer}x"), [bearer.as_bytes(), bearer.as_bytes()]);
        let bad: [&[&[u8]]; 9] = [
            &[b"Bearer wrong"],
            &[cut.as_bytes()],
            &[long.as_bytes()],
            &[b"Bearer "],
            &[b""],
            &[b"Basic YWRtaW46YWRtaW4="],
            &[token.as_bytes()],
            &[b"Bearer \xff\xfe"],
            &twice,
        ];
        for channel in [daemon.tcp().await, unix(&path).await, daemon.socket().await] {
            for (method, _) in api() {
                for headers in bad {
                    let answer = knock(&channel, &method, headers).await;
                    assert_eq!(answer, bad_credential(), "{method} with {headers:?}");
                }
            }
            for (method, path, allowed) in rest() {
                for headers in bad {
                    let answer = knock_rest(&channel, method, &path, headers).await;
                    let expected = if allowed.is_empty() { Ok(()) } else { bad_credential() };
                    assert_eq!(answer, expected, "{method} {path} with {headers:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn health_and_reflection_need_nothing_whatever_is_sent() {
    let (daemon, path) = with_socket(&["--no-anonymous"]);
    for channel in [daemon.tcp().await, unix(&path).await, daemon.socket().await] {
        for headers in [&[][..], &[b"Bearer wrong".as_slice()]] {
            let health = "/grpc.health.v1.Health/Check";
            assert_eq!(knock(&channel, health, headers).await, Ok(()));
        }
        for service in ["", "aegis.v1.GovernanceService", "aegis.v1.ApprovalService", "aegis.v1.AuditService"] {
            let request = HealthCheckRequest { service: service.into() };
            let answer = HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner();
            assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
        }
        let listed = list_services_v1(channel.clone()).await;
        for service in ["GovernanceService", "ApprovalService", "AuditService", "PolicyService"] {
            assert!(listed.contains(&format!("aegis.v1.{service}")), "{listed:?}");
        }
        let alpha = list_services_v1alpha(channel).await;
        let ours =
            |listed: Vec<String>| listed.into_iter().filter(|name| !name.contains("reflection")).collect::<Vec<_>>();
        assert_eq!(ours(listed), ours(alpha));
    }
}

async fn list_services_v1(channel: Channel) -> Vec<String> {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ListServiceResponse, ServerReflectionRequest};
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = ServerReflectionClient::new(channel).server_reflection_info(tokio_stream::once(request)).await;
    let answer = answers.expect("reflection answers").into_inner().message().await.expect("it does").expect("one");
    let Some(MessageResponse::ListServicesResponse(ListServiceResponse { service })) = answer.message_response else {
        panic!("{answer:?}")
    };
    service.into_iter().map(|service| service.name).collect()
}

async fn list_services_v1alpha(channel: Channel) -> Vec<String> {
    use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1alpha::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1alpha::{ListServiceResponse, ServerReflectionRequest};
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = ServerReflectionClient::new(channel).server_reflection_info(tokio_stream::once(request)).await;
    let answer = answers.expect("reflection answers").into_inner().message().await.expect("it does").expect("one");
    let Some(MessageResponse::ListServicesResponse(ListServiceResponse { service })) = answer.message_response else {
        panic!("{answer:?}")
    };
    service.into_iter().map(|service| service.name).collect()
}

#[tokio::test]
async fn a_method_that_is_not_there_tells_nothing() {
    let daemon = Setup::new().start();
    for method in ["/aegis.v1.NewService/New", "/aegis.v1.PolicyService/Nothing", "/other.Service/Method"] {
        let mut client = tonic::client::Grpc::new(daemon.tcp().await);
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let refused = client.unary(tonic::Request::new(()), method.parse().unwrap(), codec).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{method}");
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

#[tokio::test]
async fn what_the_daemon_keeps_is_its_owners_alone() {
    let (daemon, agents) = with_socket(&[]);
    let data = daemon.data_dir();
    assert_eq!(mode(&data), 0o700);
    for file in ["aegis.sock", "agent.sock", "credential", "token-key", "record.redb"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    assert_eq!(mode(&agents), 0o666, "agents run as other users");

    let text = std::fs::read_to_string(data.join("credential")).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.starts_with("aegis_") && text.ends_with('\n'), "{text}");
    assert_eq!(std::fs::read_to_string(data.join("endpoint")).unwrap().trim(), daemon.endpoint);
    assert!(!daemon.log().contains(text.trim()), "the credential is in the log");
}

#[tokio::test]
async fn the_agents_socket_in_the_data_directory_makes_agents_and_nothing_else() {
    let daemon = Setup::new().start();
    let socket = unix(&daemon.data_dir().join("agent.sock")).await;
    let decision = GovernanceServiceClient::new(socket.clone()).propose(propose("read_rows", "crm")).await.unwrap();
    let row = daemon.row(&decision.into_inner().decision.unwrap().decision_id).await;
    assert_eq!(row.identity.unwrap().subject, "anonymous");
    let list = v1::ListApprovalsRequest::default();
    let refused = ApprovalServiceClient::new(socket).list_approvals(list).await.unwrap_err();
    assert_eq!(reason(&refused), "CREDENTIAL_REQUIRED");

    // The command line goes there by itself: the record says so, as the kernel names the user of a socket.
    let output = daemon.cli(&["propose", "read_rows", "crm"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let decisions = daemon.events("decision");
    let peer = &decisions.last().unwrap()["identity"]["peer"];
    assert_eq!(peer["uid"], rustix::process::geteuid().as_raw(), "{decisions:?}");
}

#[tokio::test]
async fn without_anonymous_callers_the_agents_socket_grants_nothing() {
    let daemon = Setup::new().args(&["--no-anonymous"]).start();
    let (token, _) = daemon.token("bot", &[v1::Role::Agent]).await;
    let socket = unix(&daemon.data_dir().join("agent.sock")).await;
    let refused = GovernanceServiceClient::new(socket.clone()).propose(propose("read_rows", "crm")).await.unwrap_err();
    assert_eq!(reason(&refused), "CREDENTIAL_REQUIRED");
    let mut bot = GovernanceServiceClient::new(with_token(socket, &token));
    assert_eq!(
        bot.propose(propose("read_rows", "crm")).await.unwrap().into_inner().decision.unwrap().outcome(),
        v1::Outcome::Allow
    );
}

#[tokio::test]
async fn the_credential_is_kept_and_one_that_others_can_read_is_refused() {
    let mut daemon = Setup::new().start();
    let before = credential(&daemon);
    daemon.terminate();
    daemon.ended().await;
    let mut daemon = daemon.restart();
    assert_eq!(credential(&daemon), before);
    daemon.kill();

    let data = daemon.data_dir();
    for (path, is, wanted) in [(data.join("credential"), 0o640, "chmod 600"), (data.clone(), 0o755, "chmod 700")] {
        let was = mode(&path);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(is)).unwrap();
        let output = Command::new(AEGIS).args(["serve", "--port", "0", "--data-dir"]).arg(&data).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains(wanted) && said.contains(path.to_str().unwrap()), "{said}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(was)).unwrap();
    }
}

#[tokio::test]
async fn another_user_on_the_private_socket_is_refused_by_the_kernels_word() {
    let daemon = Setup::new().start();
    let open = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let binary = daemon.home.path().join("aegis");
    std::fs::copy(AEGIS, &binary).unwrap();
    open(daemon.home.path(), 0o755);
    let socket = daemon.data_dir().join("aegis.sock");
    let endpoint = format!("unix:{}", socket.display());
    let ask = |arguments: &[&str]| as_nobody(&binary, &[arguments, &["--endpoint", &endpoint]].concat(), &[]);

    // The file system keeps others out first.
    let Some(output) = ask(&["pending"]) else { return };
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("Permission denied"), "{}", stderr(&output));

    // With that gone, the peer check does.
    open(&daemon.data_dir(), 0o755);
    open(&socket, 0o666);
    for command in [&["pending"][..], &["audit"], &["policy", "show"], &["evaluate", "read"], &["propose", "read"]] {
        let output = ask(command).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("only the user that runs the daemon") && said.contains("CREDENTIAL_INVALID"), "{said}");
    }
    // Health needs nothing, and the same user as an agent is an agent.
    assert!(ask(&["healthcheck"]).unwrap().status.success());
    let output = as_nobody(&binary, &["propose", "read", "--endpoint", &daemon.endpoint], &[]).unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_listener_that_others_can_reach_must_be_asked_for() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let (status, said) = Setup::new().args(&["--listen", address]).refuse();
        assert_eq!(status.code(), Some(1));
        assert!(said.contains("--allow-plaintext") && said.contains(address), "{said}");
        for arguments in [&["--dev"][..], &["--dev", "--allow-plaintext"]] {
            let (status, said) = Setup::new().args(&["--listen", address]).args(arguments).refuse();
            assert_eq!(status.code(), Some(1));
            assert!(said.contains("--dev gives every caller every role"), "{said}");
        }
    }
}

#[tokio::test]
async fn a_listener_that_was_asked_for_serves_agents_and_nobody_else() {
    let daemon = Setup::new().args(&["--listen", "0.0.0.0:0", "--allow-plaintext"]).start();
    let port = daemon.endpoint.rsplit(':').next().unwrap();
    let endpoint = format!("http://127.0.0.1:{port}");
    let channel = tonic::transport::Endpoint::from_shared(endpoint).unwrap().connect().await.unwrap();
    for (method, allowed) in api() {
        let answer = knock(&channel, &method, &[]).await;
        assert_eq!(answer, expected("agent", allowed, needs_credential()), "{method}");
    }
}

#[tokio::test]
async fn dev_is_shouted_in_the_log_and_in_health() {
    let status = async |daemon: &Daemon| {
        let request = HealthCheckRequest { service: "aegis.dev".into() };
        HealthClient::new(daemon.tcp().await).check(request).await.map(|answer| answer.into_inner().status())
    };
    let daemon = Setup::new().args(&["--dev"]).start();
    daemon.logs("EVERY CALLER HAS EVERY ROLE").await;
    assert_eq!(status(&daemon).await.unwrap(), ServingStatus::Serving);
    assert!(records(&daemon).await.iter().any(|record| record.contains(r#""flags":["dev"]"#)));

    let daemon = Setup::new().start();
    assert_eq!(status(&daemon).await.unwrap_err().code(), Code::NotFound);
    assert!(!daemon.log().contains("EVERY CALLER"));
}

async fn records(daemon: &Daemon) -> Vec<String> {
    let request = v1::StreamAuditRequest { view: v1::AuditView::Records.into(), ..v1::StreamAuditRequest::default() };
    let mut stream = daemon.auditor().await.stream_audit(request).await.unwrap().into_inner();
    let mut payloads = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        if let Some(v1::stream_audit_response::Event::Record(record)) = message.event {
            payloads.push(record.payload);
        }
    }
    payloads
}

#[tokio::test]
async fn refused_calls_are_on_the_record_in_aggregate() {
    let mut daemon = Setup::new().args(&["--max-wrong-credentials", "0"]).start();
    let (tcp, private) = (daemon.tcp().await, daemon.socket().await);
    for _ in 0..40 {
        assert_eq!(knock(&tcp, "/aegis.v1.ApprovalService/ListApprovals", &[]).await, needs_credential());
        assert_eq!(knock(&tcp, "/aegis.v1.GovernanceService/Propose", &[b"Bearer no"]).await, bad_credential());
        assert_eq!(knock(&private, "/aegis.v1.GovernanceService/Propose", &[]).await, needs_role());
    }
    // What a service refuses counts like what the gate does.
    let explain = v1::EvaluateRequest {
        items: vec![v1::EvaluateItem { action: propose("read", "crm").action, actor: None }],
        explain: true,
        at: None,
    };
    let refused = daemon.agent().await.evaluate(explain).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "ROLE_REQUIRED"));
    daemon.terminate();
    assert!(daemon.ended().await.success());

    let daemon = daemon.restart();
    let refused: Vec<_> = records(&daemon).await.into_iter().filter(|record| record.contains("refused")).collect();
    let [record] = refused.as_slice() else { panic!("one record for all of them: {refused:?}") };
    let record: serde_json::Value = serde_json::from_str(record).unwrap();
    let text = record.to_string();
    assert!(text.contains(r#""unauthenticated":80"#) && text.contains(r#""permission_denied":41"#), "{text}");
}

#[tokio::test]
async fn under_dev_an_agent_can_approve_itself_and_the_record_says_that_nobody_is_known() {
    let daemon = Setup::new().args(&["--dev"]).start();
    let asked =
        daemon.agent().await.propose(propose("bulk_update", "crm")).await.unwrap().into_inner().decision.unwrap();
    let approve = v1::ApproveRequest {
        approval_id: asked.approval_id,
        expected_action_digest: asked.action_digest,
        reason: String::new(),
    };
    let mut anonymous = ApprovalServiceClient::new(daemon.tcp().await);
    let ending = anonymous.approve(approve).await.unwrap().into_inner().approval.unwrap().ending.unwrap();
    assert_eq!((ending.allows, ended_by(&ending)), (true, "anonymous"));
}
