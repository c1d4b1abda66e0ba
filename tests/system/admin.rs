//! The admin listener: probes and metrics.

use std::io::{BufRead as _, BufReader};

use crate::harness::{Setup, get, propose};

#[tokio::test]
async fn probes_and_metrics_say_how_the_daemon_is() {
    let setup = Setup::new().args(&["--admin-listen", "127.0.0.1:0"]);
    let mut child = setup.command().spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let endpoint = lines.next().unwrap().strip_prefix("listening on ").unwrap().to_owned();
    let metrics = lines.find_map(|line| Some(line.strip_prefix("metrics")?.trim().to_owned())).unwrap();
    let base = metrics.strip_suffix("/metrics").unwrap();

    assert_eq!(get(&format!("{base}/live")).0, "HTTP/1.1 200 OK");
    assert_eq!(get(&format!("{base}/ready")).0, "HTTP/1.1 200 OK");

    let channel = tonic::transport::Endpoint::from_shared(endpoint).unwrap().connect().await.unwrap();
    let mut agent = aegis::proto::v1::governance_service_client::GovernanceServiceClient::new(channel);
    for r#type in ["read", "delete", "bulk_update"] {
        agent.propose(propose(r#type, "crm")).await.unwrap();
    }
    let (status, page) = get(&metrics);
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        "aegis_decisions{outcome=\"ALLOW\"} 1",
        "aegis_decisions{outcome=\"DENY\"} 1",
        "aegis_decisions{outcome=\"ESCALATE\"} 1",
        "aegis_approvals_pending 1",
        "aegis_record_writable 1",
        "aegis_policy_rejected 0",
        "aegis_policy_rules 6",
    ] {
        assert!(page.lines().any(|found| found == line), "`{line}` is not in\n{page}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
