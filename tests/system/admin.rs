//! The admin listener: probes and metrics.

use std::io::{BufRead as _, BufReader};

use aegis::proto::v1::governance_service_client::GovernanceServiceClient;

use crate::harness::{Setup, ask, get, no, propose, with_token};

#[tokio::test]
async fn probes_and_metrics_say_how_the_daemon_is() {
    let setup = Setup::new().args(&["--admin-listen", "127.0.0.1:0"]);
    let mut child = setup.command().spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let endpoint = lines.next().unwrap().strip_prefix("listening on ").unwrap().to_owned();
    let metrics = lines.find_map(|line| Some(line.strip_prefix("metrics")?.trim().to_owned())).unwrap();
    let base = metrics.strip_suffix("/metrics").unwrap();

    for path in ["live", "livez", "ready", "readyz"] {
        assert_eq!(get(&format!("{base}/{path}")).0, "HTTP/1.1 200 OK");
    }

    let channel = tonic::transport::Endpoint::from_shared(endpoint).unwrap().connect().await.unwrap();
    let mut agent = GovernanceServiceClient::new(channel);
    for r#type in ["read", "delete", "bulk_update"] {
        agent.propose(propose(r#type, "crm")).await.unwrap();
    }
    let (status, page) = get(&metrics);
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        "aegis_recorded_decisions{outcome=\"ALLOW\"} 1",
        "aegis_recorded_decisions{outcome=\"DENY\"} 1",
        "aegis_recorded_decisions{outcome=\"ESCALATE\"} 1",
        "aegis_approvals_pending 1",
        "aegis_record_writable 1",
        "aegis_policy_rejected 0",
        "aegis_policy_rules 6",
        "aegis_calls_total{code=\"OK\",method=\"aegis.v1.GovernanceService/Propose\",protocol=\"grpc\"} 3",
        "aegis_calls_total{code=\"200\",method=\"POST /api/v1/execute\",protocol=\"http\"} 0",
        "aegis_call_duration_seconds_count{method=\"aegis.v1.GovernanceService/Propose\",protocol=\"grpc\"} 3",
        "aegis_decisions_total{outcome=\"DENY\",risk_level=\"critical\",rule=\"delete_block\"} 1",
        "aegis_errors_total{reason=\"DISK_LOW\"} 0",
        "aegis_reloads_total{result=\"accepted\",what=\"policy\"} 0",
    ] {
        assert!(page.lines().any(|found| found == line), "`{line}` is not in\n{page}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn nothing_that_a_caller_sends_becomes_a_label() {
    let daemon =
        Setup::new().policy("rules: [{name: asks, match: {type: ask}}]").args(&["--admin-listen", "127.0.0.1:0"]);
    let daemon = daemon.start();
    let base = daemon.endpoint.clone();
    for path in ["/api/v1/secret-of-a-caller", "/secret-of-a-caller/1"] {
        get(&format!("{base}{path}"));
    }
    let decision = daemon.agent().await.propose(propose("secret-of-a-caller", "secret-of-a-caller")).await.unwrap();
    let refused = with_token(daemon.tcp().await, "secret-of-a-caller");
    GovernanceServiceClient::new(refused).propose(propose("ask", "x")).await.unwrap_err();
    let asked = ask(&mut daemon.agent().await, propose("ask", "x")).await;
    daemon.reviewer().await.deny(no(&asked, "no")).await.unwrap();
    drop(decision);

    let (_, page) = get(&format!("{}/metrics", daemon.probes().await));
    assert!(!page.contains("secret-of-a-caller"), "{page}");
    for line in [
        "aegis_calls_total{code=\"404\",method=\"other\",protocol=\"http\"} 2",
        "aegis_errors_total{reason=\"UNKNOWN_METHOD\"} 2",
        "aegis_errors_total{reason=\"CREDENTIAL_INVALID\"} 1",
        "aegis_authentication_failures_total{method=\"bearer\"} 1",
        "aegis_approval_duration_seconds_count{ending=\"denied\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "`{line}` is not in\n{page}");
    }
}

#[tokio::test]
async fn the_log_says_what_starts_with_which_record_and_how_the_last_run_ended() {
    let mut daemon = Setup::new().start();
    daemon.logs("started: this record is new").await;
    daemon.logs("\"serving\"").await;
    daemon.agent().await.propose(propose("read", "crm")).await.unwrap();
    daemon.terminate();
    assert!(daemon.ended().await.success());
    daemon.logs("\"stopped\"").await;
    let mut daemon = daemon.restart();
    daemon.logs("started: the last run stopped in good order").await;
    daemon.kill();
    daemon.restart().logs("started: the last run broke off").await;
}
