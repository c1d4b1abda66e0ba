//! How the record grows: bounded by what is left of the disk, and for one call by what it sent.

use std::collections::BTreeMap;

use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use aegis::proto::v1::{self, Outcome, ResultStatus, Role};
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{
    Daemon, Setup, SmallDisk, ask, eventually, no, params, propose, refusal, whole_log, with_token, yes,
};

const RULES: &str = "
rules:
  - {name: pay, match: {type: pay}, approval: approve}
  - {name: reads, match: {type: read}, risk_level: low, approval: auto}
";

const MIB: u64 = 1 << 20;

fn start(mib: u32) -> (Daemon, SmallDisk) {
    let setup = Setup::new().policy(RULES).args(&["--admin-listen", "127.0.0.1:0"]);
    let disk = SmallDisk::mount(&setup, mib);
    (setup.start(), disk)
}

/// Waits until the daemon knows how much space is left.
async fn measured(daemon: &Daemon, at_most: u64) {
    eventually("the daemon has measured the disk", || async {
        let free: u64 = daemon.metric("aegis_disk_free_bytes").await.parse().ok()?;
        (free <= at_most).then_some(())
    })
    .await;
}

fn with_params(json: serde_json::Value) -> v1::ProposeRequest {
    let mut request = propose("read", "disk");
    request.action.as_mut().expect("an action").params = params(json);
    request
}

fn large() -> v1::ProposeRequest {
    with_params(serde_json::json!({"text": "x".repeat(64 << 10)}))
}

fn assert_low(refused: &Status) {
    assert_eq!(refusal(refused), (Code::ResourceExhausted, "DISK_LOW".to_owned()), "{refused:?}");
    let retry = refused.get_error_details().retry_info().and_then(|info| info.retry_delay);
    assert!(retry.is_some_and(|delay| !delay.is_zero()), "{refused:?}");
}

#[tokio::test]
async fn on_a_disk_that_runs_low_each_caller_has_a_share_and_callers_without_a_credential_one_together() {
    let (daemon, disk) = start(128);
    let (secret, _) = daemon.token("robot", &[Role::Agent]).await;
    let mut robot = GovernanceServiceClient::new(with_token(daemon.tcp().await, &secret));
    let mut agent = daemon.agent().await;
    let open = ask(&mut agent, propose("pay", "bank")).await;
    for _ in 0..20 {
        ask(&mut agent, large()).await;
    }
    disk.fill_up_to(20 * MIB);
    measured(&daemon, 20 * MIB).await;
    let before = disk.free_bytes();
    // However many of them there are and however often they try.
    let mut refused = None;
    for _ in 0..200 {
        if let Err(status) = daemon.agent().await.propose(large()).await {
            refused = Some(status);
        }
    }
    assert_low(&refused.expect("they have one share"));
    let taken = before - disk.free_bytes();
    assert!(taken < 2 * MIB, "{taken} bytes");
    // An honest caller is answered meanwhile, and so is a reviewer.
    for _ in 0..3 {
        let answer = robot.propose(propose("read", "modest")).await.unwrap().into_inner();
        assert_eq!(answer.decision.unwrap().outcome(), Outcome::Allow);
    }
    daemon.reviewer().await.approve(yes(&open, "")).await.unwrap();
    // What writes nothing is answered.
    let action = v1::EvaluateItem { actor: None, action: large().action };
    agent.evaluate(v1::EvaluateRequest { items: vec![action], ..v1::EvaluateRequest::default() }).await.unwrap();
    assert_ne!(daemon.metric("aegis_disk_low_refusals_total").await, "0");
    daemon.logs("the disk of the record runs low").await;

    disk.free();
    eventually("there is space again", || async { agent.clone().propose(large()).await.ok() }).await;
}

#[tokio::test]
async fn the_last_part_of_the_disk_is_kept_for_people_and_callers_with_a_credential() {
    let (daemon, disk) = start(128);
    let (secret, token_id) = daemon.token("robot", &[Role::Agent]).await;
    let mut robot = GovernanceServiceClient::new(with_token(daemon.tcp().await, &secret));
    let mut agent = daemon.agent().await;
    let open = ask(&mut agent, propose("pay", "bank")).await;
    let mut retried = propose("read", "once");
    retried.idempotency_key = "4f0f8f4e-retried-below".to_owned();
    let first = ask(&mut agent, retried.clone()).await;
    disk.fill_up_to(3 * MIB);
    measured(&daemon, 3 * MIB).await;
    assert_low(&agent.propose(propose("read", "tiny")).await.unwrap_err());
    // A retry writes nothing.
    assert_eq!(ask(&mut agent, retried).await.decision_id, first.decision_id);
    robot.propose(propose("read", "tiny")).await.unwrap();
    daemon.reviewer().await.deny(no(&open, "")).await.unwrap();
    let revoked = daemon.administration().await.revoke_token(v1::RevokeTokenRequest { token: token_id }).await.unwrap();
    assert!(!revoked.into_inner().unrecorded, "there was space for it");
}

/// Texts and values that take much more space on the record than in a message.
fn shapes() -> BTreeMap<&'static str, serde_json::Value> {
    let many = |name: &dyn Fn(usize) -> String, value: serde_json::Value, count| {
        serde_json::Value::Object((0..count).map(|n| (name(n), value.clone())).collect())
    };
    BTreeMap::from([
        ("control characters", serde_json::json!({"text": "\u{1}".repeat(150_000)})),
        ("names of control characters", many(&|n| format!("{}{n}", "\u{1}".repeat(100)), 1.into(), 1_000)),
        ("masked parameters", many(&|n| format!("password{n}"), "x".into(), 5_000)),
        (
            "masked parameters with long names",
            many(&|n| format!("{}_password_{n}", "y".repeat(200)), "x".into(), 2_000),
        ),
        ("masked numbers in a list", serde_json::json!({"password": vec![1; 5_000]})),
        ("numbers with many digits", serde_json::json!({"numbers": vec![-1.797_693_134_862_315_7e300_f64; 10_000]})),
        ("empty values", serde_json::json!({"lists": vec![serde_json::json!([]); 50_000]})),
        ("quotes", serde_json::json!({"text": "\"".repeat(300_000)})),
        (
            "a deep path of masks",
            serde_json::json!({"a": {"b": {"c": many(&|n| format!("token{n}"), 1.into(), 3_000)}}}),
        ),
        ("plain text", serde_json::json!({"text": "x".repeat(900_000)})),
    ])
}

#[tokio::test]
async fn one_call_writes_at_most_three_times_what_it_sent() {
    const ALLOWANCE: usize = 20 << 10;
    let daemon = Setup::new().policy(RULES).start();
    let mut agent = daemon.agent().await;
    let mut answered = 0;
    for (name, shape) in shapes() {
        let mut in_metadata = propose("read", "metadata");
        in_metadata.context.get_or_insert_default().metadata = params(shape.clone());
        for request in [with_params(shape.clone()), in_metadata] {
            let (before, sent) = (whole_log(&daemon).await.len(), request.encoded_len());
            let (recorded, status) = match agent.propose(request).await {
                Ok(_) => (recorded_since(&daemon, before).await, "answered"),
                Err(refused) => {
                    assert_eq!(refused.code(), Code::InvalidArgument, "{name}: {refused:?}");
                    (recorded_since(&daemon, before).await, "refused")
                }
            };
            println!("{name}: {status}, {sent} bytes sent, {recorded} recorded");
            assert!(recorded <= 3 * sent + ALLOWANCE, "{name}: {sent} bytes sent, {recorded} recorded");
            answered += usize::from(status == "answered");
        }
    }
    assert!(answered >= 4, "plain shapes are answered: {answered}");

    let data: Vec<f64> = (0..20_000).map(|n| f64::from(n) / 7.0).collect();
    let allowed = ask(&mut agent, propose("read", "reported")).await;
    let report = v1::ReportResultRequest {
        decision_id: allowed.decision_id.clone(),
        result: Some(v1::ActionResult {
            status: ResultStatus::Success.into(),
            data: params(serde_json::json!({"data": data}))
                .map(|data| prost_types::Value { kind: Some(prost_types::value::Kind::StructValue(data)) }),
            ..v1::ActionResult::default()
        }),
    };
    let (before, sent) = (whole_log(&daemon).await.len(), report.encoded_len());
    let size = || std::fs::metadata(daemon.data_dir().join("record.redb")).expect("a file").len();
    let file = size();
    agent.report_result(report.clone()).await.unwrap();
    let recorded = recorded_since(&daemon, before).await;
    assert!(recorded <= 3 * sent, "{sent} bytes sent, {recorded} recorded");
    println!("a report: {sent} bytes sent, {recorded} recorded, the file grew by {}", size() - file);
    // The value is in its record, and a row has it all the same.
    let row = daemon.row(&allowed.decision_id).await;
    assert_eq!(row.result.unwrap().data, report.result.unwrap().data);
}

/// How many bytes the payloads have that were recorded after so many records.
async fn recorded_since(daemon: &Daemon, before: usize) -> usize {
    let log = whole_log(daemon).await;
    log[before..].iter().map(|record| record.json.to_string().len()).sum()
}
