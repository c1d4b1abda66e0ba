//! The command line against a daemon, as two people and an agent would use it.

#[path = "system/daemon.rs"]
#[expect(dead_code, clippy::panic, reason = "shared with the whole-system tests, which use all of it")]
mod daemon;

use std::io::{BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use daemon::{Daemon, Setup};
use serde_json::{Value, json};

const POLICY: &str = "
rules:
  - {name: reads, match: {type: 'read*'}, risk_level: low, approval: auto, constraints: {max_rows: 100}}
  - {name: mail, match: {type: 'send_*'}, approval: confirm}
  - {name: bulk, match: {type: 'bulk_*'}, risk_level: high, approval: approve, redact: [token]}
  - {name: deletes, match: {type: 'delete*'}, risk_level: critical, approval: block}
";

/// How a command ended and what it said.
#[derive(Debug)]
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn of(output: &std::process::Output) -> Self {
        let code = output.status.code().expect("it was not killed");
        Self { code, stdout: daemon::stdout(output), stderr: daemon::stderr(output) }
    }

    fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_default()
    }

    fn lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect()
    }
}

fn start() -> Daemon {
    Setup::new().policy(POLICY).start()
}

fn run(daemon: &Daemon, args: &[&str]) -> Run {
    Run::of(&daemon.cli(args))
}

/// Starts a command whose stdout is read line by line.
fn spawn(mut command: Command) -> (Child, BufReader<ChildStdout>) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    (child, stdout)
}

fn next_line(reader: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).expect("there is a line");
    line
}

fn finish(child: Child) -> Run {
    Run::of(&child.wait_with_output().expect("it ends"))
}

/// Proposes something that has to be approved; gives the approval's id.
fn ask(daemon: &Daemon, action: &str) -> String {
    let args = ["propose", action, "crm", "--session", "s1", "--actor", "agent-7", "--format", "json"];
    let decision = run(daemon, &args).ends_with(4).json();
    decision["approval_id"].as_str().expect("it waits for an approval").to_owned()
}

fn review(daemon: &Daemon, commands: &str) -> Run {
    let mut command = daemon.cli_command(&["review"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("it is piped").write_all(commands.as_bytes()).expect("it is read");
    finish(child)
}

#[test]
fn the_outcome_comes_first_and_the_exit_code_says_it_too() {
    let daemon = start();
    for (action, outcome, code) in [
        ("read", "ALLOW", 0),
        ("delete", "DENY", 3),
        ("bulk_update", "ESCALATE", 4),
        ("send_mail", "REQUIRE_CONFIRMATION", 4),
    ] {
        let run = run(&daemon, &["propose", action, "crm"]).ends_with(code);
        assert!(run.stdout.starts_with(&format!("{outcome} dec_")), "{run:#?}");
    }
    let decision = run(&daemon, &["propose", "read", "crm", "--format", "json"]).ends_with(0).json();
    assert_eq!((&decision["outcome"], &decision["constraints"]), (&json!("ALLOW"), &json!({"max_rows": 100})));
    let run = run(&daemon, &["propose", ""]).ends_with(1);
    assert!(run.stdout.is_empty() && run.stderr.contains("action.type"), "{run:#?}");
}

#[test]
fn who_waits_is_told_what_for_and_hears_the_answer() {
    let daemon = start();
    let args = ["propose", "bulk_update", "crm", "--params", r#"{"count":150}"#, "--wait", "60s"];
    let mut waiting = daemon.cli_command(&args);
    let mut waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let said = next_line(&mut BufReader::new(waiting.stderr.as_mut().expect("it is piped")));
    let id = said.split_whitespace().last().expect("it names the approval").to_owned();
    assert!(said.starts_with("waiting up to 60s") && id.starts_with("apr_"), "{said}");

    let pending = run(&daemon, &["pending", "--format", "json"]).ends_with(0).json();
    assert_eq!((&pending[0]["approval_id"], &pending[0]["action_params"]["count"]), (&json!(id), &json!(150)));
    let approved = run(&daemon, &["approve", &id, "--reason", "checked with sales"]).ends_with(0);
    assert!(approved.stdout.starts_with(&format!("approved {id} bulk_update@crm by ")), "{approved:#?}");
    assert!(approved.stderr.contains("count = 150"), "what is decided on is shown: {approved:#?}");

    let answer = finish(waiting).ends_with(0);
    assert!(answer.stdout.starts_with("ALLOW dec_") && answer.stdout.contains("checked with sales"), "{answer:#?}");
}

#[test]
fn a_wait_that_is_over_leaves_a_way_back() {
    let daemon = start();
    let asked = run(&daemon, &["propose", "bulk_update", "crm", "--wait", "300ms"]).ends_with(4);
    let words: Vec<&str> = asked.stderr.split_whitespace().collect();
    let key = words[words.iter().position(|word| *word == "--idempotency-key").expect("the key is named") + 1];
    let id = words.iter().find(|word| word.starts_with("apr_")).expect("the approval is named");
    run(&daemon, &["approve", id]).ends_with(0);
    let answer = run(&daemon, &["propose", "bulk_update", "crm", "--idempotency-key", key]).ends_with(0);
    assert_eq!(answer.stdout.split_whitespace().nth(1), asked.stdout.split_whitespace().nth(1), "the same decision");
}

#[test]
fn who_stops_waiting_withdraws() {
    let daemon = start();
    let mut waiting = daemon.cli_command(&["propose", "bulk_update", "crm", "--wait", "60s"]);
    let mut waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    next_line(&mut BufReader::new(waiting.stderr.as_mut().expect("it is piped")));
    let interrupted = Command::new("kill").args(["-INT", &waiting.id().to_string()]).status();
    assert!(interrupted.expect("kill runs").success());
    finish(waiting).ends_with(130);
    let rows = run(&daemon, &["audit", "--format", "json"]).ends_with(0).json();
    assert_eq!((&rows[0]["human_decision"], &rows[0]["outcome"]), (&json!("cancelled"), &json!("DENY")));
}

#[test]
fn a_confirmation_token_is_handed_back() {
    let daemon = start();
    let asked = run(&daemon, &["propose", "send_mail", "bob", "--format", "json"]).ends_with(4).json();
    let token = asked["confirmation_token"].as_str().expect("there is a token");
    let with_token = ["propose", "send_mail", "bob", "--confirmation-token", token];
    run(&daemon, &with_token).ends_with(0);
    let again = run(&daemon, &with_token).ends_with(1);
    assert!(again.stderr.contains("CONFIRMATION_INVALID"), "{again:#?}");
}

#[test]
fn a_command_runs_only_on_allow_and_its_end_is_on_the_record() {
    let daemon = start();
    let script = r#"echo "$AEGIS_CONSTRAINTS"; echo "$AEGIS_DECISION_ID" >&2; exit 7"#;
    let ran = run(&daemon, &["propose", "read", "crm", "--", "/bin/sh", "-c", script]).ends_with(7);
    assert_eq!(ran.stdout, "{\"max_rows\":100}\n", "stdout is the command's");
    assert!(ran.stderr.starts_with("ALLOW dec_"), "{ran:#?}");
    run(&daemon, &["propose", "read", "crm", "--", "/bin/true"]).ends_with(0);
    run(&daemon, &["propose", "read", "crm", "--", "/nowhere/at/all"]).ends_with(127);

    let denied = run(&daemon, &["propose", "delete", "crm", "--", "/bin/echo", "never"]).ends_with(3);
    assert!(denied.stdout.is_empty() && denied.stderr.contains("the command was not run"), "{denied:#?}");
    let waits = run(&daemon, &["propose", "bulk_x", "crm", "--", "/bin/echo", "never"]).ends_with(4);
    assert_eq!(waits.stdout, "");

    let rows = run(&daemon, &["audit", "--format", "jsonl", "--oldest-first"]).ends_with(0).lines();
    let results: Vec<_> = rows.iter().map(|row| (&row["result_status"], &row["result_error"])).collect();
    assert_eq!(results[0], (&json!("failed"), &json!("exit code 7")));
    assert_eq!(rows[0]["result_data"], json!({"exit_code": 7}));
    assert_eq!(results[1], (&json!("success"), &Value::Null));
    assert_eq!(results[2].0, &json!("failed"));
    assert_eq!(results[3].0, &json!("blocked"));
    assert_eq!(results[4].0, &Value::Null);
}

#[test]
fn who_comes_second_is_told_who_was_first() {
    let daemon = start();
    let id = ask(&daemon, "bulk_update");
    run(&daemon, &["deny", &id, "--reason", "not on a Friday"]).ends_with(0);
    for verdict in ["approve", "deny"] {
        let second = run(&daemon, &[verdict, &id]).ends_with(1);
        assert!(second.stderr.contains("has ended: denied by local:"), "{second:#?}");
        assert!(second.stderr.contains("not on a Friday") && second.stdout.is_empty(), "{second:#?}");
    }
    let nobody = "apr_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e";
    assert!(run(&daemon, &["approve", nobody]).ends_with(1).stderr.contains("not found"));
}

#[test]
fn an_answer_can_insist_on_what_was_seen() {
    let daemon = start();
    let id = ask(&daemon, "bulk_update");
    let refused = run(&daemon, &["approve", &id, "--digest", &"ab".repeat(32)]).ends_with(1);
    assert!(refused.stderr.contains("DIGEST_MISMATCH"), "{refused:#?}");
    let pending = run(&daemon, &["pending", "--format", "jsonl"]).ends_with(0).lines();
    let digest = pending[0]["action_digest"].as_str().expect("there is a digest");
    run(&daemon, &["approve", &id, "--digest", digest]).ends_with(0);
}

#[test]
fn an_approval_that_the_policy_blocks_by_now_is_a_denial() {
    let daemon = start();
    let id = ask(&daemon, "bulk_update");
    let file = daemon.home.path().join("new.yaml");
    std::fs::write(&file, "rules: [{name: never, match: {type: 'bulk_*'}, approval: block}]\n").expect("it is written");
    let updated = run(&daemon, &["policy", "update", &file.display().to_string()]).ends_with(0);
    assert!(updated.stdout.starts_with("Policy updated: revision "), "{updated:#?}");
    let denied = run(&daemon, &["approve", &id]).ends_with(3);
    assert!(denied.stdout.starts_with("denied ") && denied.stdout.contains("POLICY_CHANGED"), "{denied:#?}");
}

#[test]
fn review_answers_what_stdin_says() {
    let daemon = start();
    let first = ask(&daemon, "bulk_a");
    let second = ask(&daemon, "bulk_b");
    let reviewed = review(&daemon, &format!("a 1 looks fine\nd {second}\n")).ends_with(0);
    assert!(reviewed.stdout.contains(&format!("approved {first} bulk_a@crm")), "{reviewed:#?}");
    assert!(reviewed.stdout.contains(": looks fine\n"), "{reviewed:#?}");
    assert!(reviewed.stdout.contains(&format!("denied {second} bulk_b@crm")), "{reviewed:#?}");

    let reviewed = review(&daemon, "a 1\n").ends_with(1);
    assert!(reviewed.stdout.contains("Nothing waits") && reviewed.stderr.contains("does not wait"), "{reviewed:#?}");
    review(&daemon, "").ends_with(0);
}

#[test]
fn review_shows_nothing_that_an_agent_hid() {
    let daemon = start();
    let params = r#"{"note":"\u001b[2J\u202e","token":"secret"}"#;
    let args = ["propose", "bulk_x\u{1b}[2J", "crm\u{202e}", "--params", params, "--description", "a\nb\u{9b}"];
    run(&daemon, &args).ends_with(4);
    for shown in [review(&daemon, "").stdout, run(&daemon, &["pending"]).stdout, run(&daemon, &["audit"]).stdout] {
        assert!(shown.contains("bulk_x\\u{1b}[2J"), "{shown}");
        assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{9b}']) && !shown.contains("secret"), "{shown}");
    }
}

#[test]
fn the_record_is_filtered_limited_and_written_in_four_ways() {
    let daemon = start();
    for i in 0..60 {
        run(&daemon, &["propose", "read", "crm", "--session", &format!("session-{}", i % 2), "--actor", "agent-7"]);
    }
    ask(&daemon, "bulk_update");
    let rows = |args: &[&str]| run(&daemon, &[&["audit", "--format", "jsonl"], args].concat()).ends_with(0).lines();

    let table = run(&daemon, &["audit"]).ends_with(0);
    assert_eq!(table.stdout.lines().count(), 51);
    assert!(table.stdout.lines().next().is_some_and(|line| line.starts_with("ID  Session")), "{table:#?}");
    assert!(table.stderr.contains("there is more"), "{table:#?}");
    assert!(run(&daemon, &["audit", "--limit", "0"]).ends_with(0).stderr.is_empty());

    let all = rows(&[]);
    assert_eq!((all.len(), &all[0]["id"], &all[60]["id"]), (61, &json!(61), &json!(1)), "newest first, all of them");
    let newest: Vec<_> = rows(&["--limit", "2"]).iter().map(|row| row["id"].clone()).collect();
    assert_eq!(newest, [61, 60]);
    assert_eq!(rows(&["--session", "session-1"]).len(), 30);
    assert_eq!(rows(&["--risk-level", "HIGH"]).len(), 1);
    assert_eq!(rows(&["--risk-level", "high", "--status", "success"]).len(), 0);
    assert_eq!(rows(&["--actor", "agent-7", "--outcome", "escalate"]).len(), 1);
    assert_eq!(rows(&["--since", "1h"]).len(), 61);
    assert_eq!(rows(&["--until", "1h"]).len(), 0);
    let decision = all[5]["decision_id"].as_str().expect("a row names its decision");
    assert_eq!(rows(&["--decision", decision])[0]["id"], all[5]["id"]);

    let json = run(&daemon, &["audit", "--format", "json", "--limit", "3"]).ends_with(0).json();
    assert_eq!(json.as_array().map(Vec::len), Some(3));
    let file = daemon.home.path().join("audit.csv");
    let written = run(&daemon, &["audit", "--format", "csv", "-o", &file.display().to_string()]).ends_with(0);
    assert_eq!(written.stdout, "");
    let csv = std::fs::read_to_string(file).expect("the file is written");
    assert!(csv.starts_with("id,session_id,timestamp,action_type,") && csv.lines().count() == 62, "{csv}");

    let records = run(&daemon, &["audit", "--records", "--format", "jsonl"]).ends_with(0).lines();
    assert_eq!(records[0]["sequence"], 1);
    let payload = records[0]["payload"].as_str().expect("the payload is text");
    assert!(serde_json::from_str::<Value>(payload).expect("it is JSON")["kind"].is_string(), "{payload}");
}

#[test]
fn the_tail_goes_on_after_the_daemon_was_away() {
    let daemon = start();
    run(&daemon, &["propose", "read", "before"]).ends_with(0);
    let (mut tail, mut lines) = spawn(daemon.cli_command(&["audit", "--tail", "--format", "jsonl"]));
    let mut next = || serde_json::from_str::<Value>(&next_line(&mut lines)).expect("a line is JSON");
    assert_eq!(next()["action_target"], "before");
    run(&daemon, &["propose", "read", "live"]).ends_with(0);
    assert_eq!(next()["action_target"], "live");

    daemon.terminate();
    let daemon = daemon.restart();
    run(&daemon, &["propose", "read", "after"]).ends_with(0);
    assert_eq!(next()["action_target"], "after", "neither lost nor repeated");
    tail.kill().expect("it is still there");
    tail.wait().expect("it ends");
}

#[test]
fn stats_policy_and_health_are_told() {
    let daemon = start();
    run(&daemon, &["propose", "read", "crm"]).ends_with(0);
    let stats = run(&daemon, &["stats", "--format", "json"]).ends_with(0).json();
    assert_eq!((&stats["decisions"], &stats["by_risk_level"]["LOW"]), (&json!(1), &json!(1)));
    assert!(run(&daemon, &["stats"]).ends_with(0).stdout.starts_with("1 decisions, "));

    let shown = run(&daemon, &["policy", "show"]).ends_with(0);
    assert_eq!(shown.stdout, POLICY);
    let policy = run(&daemon, &["policy", "show", "--format", "json"]).ends_with(0).json();
    assert_eq!(policy["merged"]["rules"].as_array().map(Vec::len), Some(4));
    let mismatch =
        ["policy", "update", &daemon.policy_file().display().to_string(), "--expected-revision", &"0".repeat(64)];
    let refused = run(&daemon, &mismatch).ends_with(1);
    assert!(refused.stderr.contains("REVISION_MISMATCH"), "{refused:#?}");

    assert_eq!(run(&daemon, &["healthcheck"]).ends_with(0).stdout, "SERVING\n");
    let socket = format!("unix:{}", daemon.data_dir().join("aegis.sock").display());
    let service = ["healthcheck", "--endpoint", &socket, "--service", "aegis.v1.GovernanceService"];
    assert_eq!(run(&daemon, &service).ends_with(0).stdout, "SERVING\n");
    let unknown = run(&daemon, &["healthcheck", "--service", "nosuch"]).ends_with(1);
    assert!(unknown.stderr.contains("no service `nosuch`"), "{unknown:#?}");
}

#[test]
fn evaluate_asks_nobody_and_explains_to_auditors_only() {
    let daemon = start();
    let answer = run(&daemon, &["evaluate", "bulk_update", "crm"]).ends_with(0);
    assert!(answer.stdout.starts_with("ESCALATE  risk=HIGH  approval=approve  rule=bulk"), "{answer:#?}");
    run(&daemon, &["evaluate", "bulk_update", "--fail-on", "approve"]).ends_with(3);
    assert!(run(&daemon, &["pending"]).ends_with(0).stdout.starts_with("Nothing waits"));

    let refused = run(&daemon, &["evaluate", "read", "crm", "--explain"]).ends_with(1);
    let socket = format!("unix:{}", daemon.data_dir().join("aegis.sock").display());
    assert!(refused.stderr.contains(&format!("--endpoint {socket}")), "{refused:#?}");
    let explained = ["evaluate", "delete", "crm", "--explain", "--endpoint", &socket, "--format", "json"];
    let explained = run(&daemon, &explained).ends_with(0).json();
    assert_eq!(explained["trace"][3]["rule"], "deletes");
}

#[test]
fn credentials_go_where_they_belong() {
    let daemon = start();
    let elsewhere = |token: Option<&str>| {
        let mut command = daemon.cli_command(&["pending", "--endpoint", &daemon.endpoint]);
        Run::of(&command.envs(token.map(|token| ("AEGIS_TOKEN", token))).output().expect("it runs"))
    };
    let anonymous = elsewhere(None).ends_with(1);
    assert!(anonymous.stderr.contains("AEGIS_TOKEN"), "what was found is not sent over TCP: {anonymous:#?}");
    let credential = std::fs::read_to_string(daemon.data_dir().join("credential")).expect("there is a credential");
    elsewhere(Some(&credential)).ends_with(0);
    let wrong = elsewhere(Some("wrong")).ends_with(1);
    assert!(
        wrong.stderr.contains("does not know who is asking") && !wrong.stderr.contains(credential.trim()),
        "{wrong:#?}"
    );

    // A token that is wrong is never taken for none.
    let mut propose = daemon.cli_command(&["propose", "read"]);
    Run::of(&propose.env("AEGIS_TOKEN", "wrong").output().expect("it runs")).ends_with(1);
    let mut health = daemon.cli_command(&["healthcheck"]);
    Run::of(&health.env("AEGIS_TOKEN", "wrong").output().expect("it runs")).ends_with(0);
}
