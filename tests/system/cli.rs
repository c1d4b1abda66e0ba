//! The command line against a daemon, as a user types it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::harness::{AEGIS, Daemon, Setup, Terminal, eventually, read_all, stderr, stdout};

const POLICY: &str = r#"
rules:
  - {name: reads, match: {type: "read*"}, risk_level: low, approval: auto, constraints: {max_rows: 100}}
  - {name: mail, match: {type: "send_*"}, approval: confirm}
  - {name: bulk, match: {type: "bulk_*"}, conditions: {param_gt: {count: 100}}, risk_level: high, approval: approve}
  - {name: small, match: {type: "bulk_*"}, approval: auto}
  - {name: deletes, match: {type: "delete*"}, risk_level: critical, approval: block}
"#;

fn serve() -> Daemon {
    Setup::new().policy(POLICY).start()
}

/// The code, stdout and stderr of a command.
fn run(daemon: &Daemon, arguments: &[&str]) -> (i32, String, String) {
    let output = daemon.cli(arguments);
    (output.status.code().expect("it was not killed"), stdout(&output), stderr(&output))
}

/// The stdout of a command that must work.
fn ok(daemon: &Daemon, arguments: &[&str]) -> String {
    let (code, out, err) = run(daemon, arguments);
    assert_eq!(code, 0, "aegis {arguments:?}: {out}{err}");
    out
}

fn json(daemon: &Daemon, arguments: &[&str]) -> Value {
    serde_json::from_str(&ok(daemon, arguments)).expect("the output is JSON")
}

fn jsonl(daemon: &Daemon, arguments: &[&str]) -> Vec<Value> {
    ok(daemon, arguments).lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// Starts a command with its pipes held.
fn spawn(daemon: &Daemon, arguments: &[&str]) -> Child {
    let mut command = daemon.cli_command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the command starts")
}

/// The first line that says this.
fn line_with(lines: &mut impl Iterator<Item = std::io::Result<String>>, text: &str) -> String {
    let line = lines.map(|line| line.expect("a line of text")).find(|line| line.contains(text));
    line.unwrap_or_else(|| panic!("no line with `{text}`"))
}

/// Asks for something that a reviewer must decide, and says which approval that is.
fn ask(daemon: &Daemon) -> String {
    let (code, out, _) =
        run(daemon, &["propose", "bulk_update", "crm", "--params", r#"{"count":150}"#, "--format", "json"]);
    assert_eq!(code, 4);
    let decision: Value = serde_json::from_str(&out).expect("the decision is JSON");
    decision["approval_id"].as_str().expect("there is an approval").to_owned()
}

#[test]
fn propose_says_the_outcome_first_and_ends_with_its_code() {
    let daemon = serve();
    for (arguments, code, word) in [
        (&["read_rows", "crm"][..], 0, "ALLOW "),
        (&["delete_all", "crm"], 3, "DENY "),
        (&["bulk_update", "crm", "--params", r#"{"count":150}"#], 4, "ESCALATE "),
        (&["bulk_update", "crm", "--params", r#"{"count":150}"#, "--wait", "1ms"], 4, "ESCALATE "),
        (&["bulk_update", "crm", "--params", r#"{"count":15}"#], 0, "ALLOW "),
        (&["send_mail", "bob"], 4, "REQUIRE_CONFIRMATION "),
    ] {
        let (ended, out, err) = run(&daemon, &[&["propose"], arguments].concat());
        assert_eq!(ended, code, "{arguments:?}: {out}{err}");
        assert!(out.starts_with(word) && out.contains(" dec_"), "{arguments:?}: {out}");
        assert_eq!(out.lines().count(), 1, "{out}");
    }
    for (arguments, code, says) in [
        (&["", "crm"][..], 1, "action.type"),
        (&["read", "--params", "[1]"], 2, "expected a JSON object"),
        (&["read", "--params", r#"{"n": 90071992547409930}"#], 2, "params.n"),
        (&["read", "--wait", "soon"], 2, "is not a duration"),
        (&[], 2, "TYPE"),
    ] {
        let (ended, out, err) = run(&daemon, &[&["propose"], arguments].concat());
        assert_eq!((ended, out.as_str()), (code, ""), "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
}

#[test]
fn a_confirmation_is_given_by_proposing_again_with_the_token() {
    let daemon = serve();
    let (code, out, err) = run(&daemon, &["propose", "send_mail", "bob", "--format", "json"]);
    let decision: Value = serde_json::from_str(&out).unwrap();
    let token = decision["confirmation_token"].as_str().unwrap();
    assert_eq!((code, &decision["outcome"]), (4, &json!("REQUIRE_CONFIRMATION")));
    assert!(err.contains(&format!("--confirmation-token {token}")), "{err}");
    assert!(ok(&daemon, &["propose", "send_mail", "bob", "--confirmation-token", token]).starts_with("ALLOW "));
    let (code, _, err) = run(&daemon, &["propose", "send_mail", "bob", "--confirmation-token", token]);
    assert_eq!(code, 1);
    assert!(err.contains("already used") && err.contains("CONFIRMATION_INVALID"), "{err}");
}

#[test]
fn one_process_waits_and_another_approves() {
    let daemon = serve();
    let arguments =
        ["propose", "bulk_update", "crm", "--params", r#"{"count":150}"#, "--wait", "60s", "--actor", "agent-7"];
    for (verb, word, code) in [("approve", "ALLOW", 0), ("deny", "DENY", 3)] {
        let mut waiting = spawn(&daemon, &arguments);
        let mut lines = BufReader::new(waiting.stderr.take().unwrap()).lines();
        let line = line_with(&mut lines, "for a reviewer to answer apr_");
        let id = line.rsplit(' ').next().unwrap();

        let (decided, out, shown) = run(&daemon, &[verb, id, "--reason", "I have looked"]);
        assert_eq!(decided, 0, "{shown}");
        let ending = if verb == "approve" { "approved" } else { "denied" };
        assert!(out.starts_with(&format!("{ending} {id} bulk_update@crm by local:")), "{out}");
        assert!(shown.contains("count = 150") && shown.contains("agent-7"), "what is decided is shown: {shown}");

        let output = waiting.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let said = stdout(&output);
        assert!(said.starts_with(&format!("{word} dec_")) && said.contains("I have looked"), "{said}");

        // Who comes second is told who was first, when, and why.
        for second in ["approve", "deny"] {
            let (code, out, err) = run(&daemon, &[second, id]);
            assert_eq!((code, out.as_str()), (1, ""), "{err}");
            assert!(err.contains(&format!("has ended: {ending} by local:")), "{err}");
            assert!(err.contains(" UTC: I have looked"), "{err}");
        }
    }
}

#[test]
fn approve_is_bound_to_the_digest_and_to_an_id() {
    let daemon = serve();
    let id = ask(&daemon);
    let (code, _, err) = run(&daemon, &["approve", &id, "--digest", &"ab".repeat(32)]);
    assert_eq!(code, 1);
    assert!(err.contains("DIGEST_MISMATCH"), "{err}");
    let digest = json(&daemon, &["pending", "--format", "json"])[0]["action_digest"].as_str().unwrap().to_owned();
    ok(&daemon, &["approve", &id, "--digest", &digest]);

    let (code, _, err) = run(&daemon, &["approve", "apr_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e"]);
    assert_eq!(code, 1);
    assert!(err.contains("not found"), "{err}");
    assert_eq!(run(&daemon, &["approve", "nonsense"]).0, 2);

    // By how it begins, as long as no other pending one begins so.
    let (first, second) = (ask(&daemon), ask(&daemon));
    let common: String = first.chars().zip(second.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    let (code, _, err) = run(&daemon, &["approve", &common]);
    assert_eq!(code, 1);
    assert!(err.contains(&first) && err.contains(&second), "{err}");
    let answer = json(&daemon, &["approve", &first[..=common.len()], "--format", "json"]);
    assert_eq!((&answer["approval_id"], &answer["ending"]["kind"]), (&json!(first), &json!("approved")));
    let answer = json(&daemon, &["deny", &format!("{common}…"), "--format", "json"]);
    assert_eq!((&answer["approval_id"], &answer["ending"]["kind"]), (&json!(second), &json!("denied")));
}

#[test]
fn pending_lists_what_waits() {
    let daemon = serve();
    assert_eq!(ok(&daemon, &["pending"]), "Nothing waits for a reviewer.\n");
    assert_eq!(json(&daemon, &["pending", "--format", "json"]), json!([]));
    let ids = [ask(&daemon), ask(&daemon)];
    let listed = json(&daemon, &["pending", "--format", "json"]);
    let listed: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["approval_id"].as_str().unwrap()).collect();
    assert_eq!(listed, ids);
    assert_eq!(jsonl(&daemon, &["pending", "--format", "jsonl"]).len(), 2);
    let table = ok(&daemon, &["pending"]);
    assert!(ids.iter().all(|id| table.contains(id)) && table.contains("HIGH"), "{table}");
    assert_eq!(json(&daemon, &["pending", "--format", "json", "--min-risk", "critical"]), json!([]));
    assert_eq!(json(&daemon, &["pending", "--format", "json", "--session", "other"]), json!([]));
}

#[test]
fn review_without_a_terminal_takes_its_answers_from_stdin() {
    let daemon = serve();
    let ids = [ask(&daemon), ask(&daemon)];
    let mut review = spawn(&daemon, &["review"]);
    let mut stdin = review.stdin.take().unwrap();
    let mut lines = BufReader::new(review.stdout.take().unwrap()).lines();
    line_with(&mut lines, "[1] bulk_update@crm");
    assert!(line_with(&mut lines, "  approval  ").contains(&ids[0]));
    line_with(&mut lines, "[2] bulk_update@crm");

    // What is asked while it runs comes by the stream.
    let late = ask(&daemon);
    line_with(&mut lines, "[3] bulk_update@crm");
    writeln!(stdin, "a 1 looks fine\nd {} not today", ids[1]).unwrap();
    assert!(line_with(&mut lines, "approved ").contains(&ids[0]));
    assert!(line_with(&mut lines, "denied ").contains("not today"));
    // Somebody else answers.
    ok(&daemon, &["approve", &late]);
    assert!(line_with(&mut lines, "[3] bulk_update@crm approved by").contains("local:"));
    writeln!(stdin, "a 3").unwrap();
    drop(stdin);
    let status = review.wait().unwrap();
    assert_eq!(status.code(), Some(1), "an answer that was refused shows in the exit code");
    assert!(read_all(review.stderr.take().unwrap()).contains("does not wait (any more)"));
    assert_eq!(json(&daemon, &["pending", "--format", "json"]), json!([]));
}

#[test]
fn review_ends_well_when_everything_went_well() {
    let daemon = serve();
    ask(&daemon);
    let mut review = spawn(&daemon, &["review"]);
    review.stdin.take().unwrap().write_all(b"a 1 fine\nq\n").unwrap();
    let output = review.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("approved apr_"), "{}", stdout(&output));
}

/// A daemon whose record holds one row of each kind: allowed, asked, denied by policy, and one of another session.
fn with_history() -> (Daemon, String) {
    let daemon = serve();
    let in_session = |session: &'static str, rest: &[&'static str]| {
        run(&daemon, &[&["propose"], rest, &["--session", session, "--actor", "agent-7"]].concat()).0
    };
    assert_eq!(in_session("session-one", &["read_rows", "crm"]), 0);
    assert_eq!(in_session("session-one", &["bulk_update", "crm", "--params", r#"{"count":150}"#]), 4);
    assert_eq!(in_session("session-one", &["delete_all", "db"]), 3);
    assert_eq!(run(&daemon, &["propose", "read_rows", "crm", "--session", "two", "--actor", "agent-8"]).0, 0);
    let decision = jsonl(&daemon, &["audit", "--format", "jsonl"])[0]["decision_id"].as_str().unwrap().to_owned();
    (daemon, decision)
}

#[test]
fn audit_shows_the_rows_that_are_asked_for() {
    let (daemon, newest) = with_history();
    let ids = |arguments: &[&str]| -> Vec<u64> {
        let rows = jsonl(&daemon, &[&["audit", "--format", "jsonl"], arguments].concat());
        rows.iter().map(|row| row["id"].as_u64().unwrap()).collect()
    };
    for (filter, expected) in [
        (&[][..], &[4, 3, 2, 1][..]),
        (&["--oldest-first"], &[1, 2, 3, 4]),
        (&["--limit", "2"], &[4, 3]),
        (&["--limit", "0"], &[4, 3, 2, 1]),
        (&["--session", "session-one"], &[3, 2, 1]),
        (&["--session", "session"], &[]),
        (&["--action-type", "read_rows"], &[4, 1]),
        (&["--target", "db"], &[3]),
        (&["--risk-level", "high"], &[2]),
        (&["--risk-level", "CRITICAL"], &[3]),
        (&["--approval", "auto"], &[4, 1]),
        (&["--outcome", "escalate"], &[2]),
        (&["--status", "blocked"], &[3]),
        (&["--actor", "agent-8"], &[4]),
        (&["--rule", "bulk"], &[2]),
        (&["--decision", &newest], &[4]),
        (&["--since", "1h"], &[4, 3, 2, 1]),
        (&["--until", "1h"], &[]),
        (&["--since", "2999-01-01"], &[]),
        (&["--session", "session-one", "--action-type", "read_rows", "--actor", "agent-7"], &[1]),
    ] {
        assert_eq!(ids(filter), expected, "{filter:?}");
    }
    for (wrong, code) in [(["--risk-level", "extreme"], 2), (["--since", "yesterday"], 2), (["--decision", "x"], 2)] {
        assert_eq!(run(&daemon, &["audit", wrong[0], wrong[1]]).0, code, "{wrong:?}");
    }
}

#[test]
fn audit_writes_tables_json_jsonl_and_csv_to_stdout_or_a_file() {
    let (daemon, _) = with_history();
    let table = ok(&daemon, &["audit"]);
    let mut lines = table.lines();
    assert_eq!(
        lines.next().unwrap().split_whitespace().collect::<Vec<_>>(),
        ["ID", "Time", "(UTC)", "Session", "Actor", "Action", "Target", "Risk", "Rule", "Decision", "By", "Result"]
    );
    let row: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let at = jsonl(&daemon, &["audit", "--format", "jsonl", "--limit", "1"])[0]["timestamp"].clone();
    assert_eq!(format!("{}T{}", row[1], row[2]), at.as_str().unwrap()[..19]);
    assert_eq!((row[0], &row[3..8]), ("4", &["two", "agent-8", "read_rows", "crm", "LOW"][..]));
    assert_eq!(row[9..], ["auto", "-", "-"]);
    assert!(table.contains("blocked"), "{table}");

    let rows = json(&daemon, &["audit", "--format", "json"]);
    let lines = jsonl(&daemon, &["audit", "--format", "jsonl"]);
    assert_eq!(rows.as_array().unwrap(), &lines);
    let blocked = &rows[1];
    for (key, value) in [
        ("action_type", json!("delete_all")),
        ("matched_rule", json!("deletes")),
        ("approval", json!("block")),
        ("result_status", json!("blocked")),
        ("risk_level", json!("CRITICAL")),
        ("human_decision", Value::Null),
        ("identity", json!("anonymous")),
        ("session_id", json!("session-one")),
    ] {
        assert_eq!(blocked[key], value, "{key}");
    }

    let csv = ok(&daemon, &["audit", "--format", "csv"]);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(&reader.headers().unwrap()[0], "id");
    assert_eq!(reader.records().count(), 4);

    let file = daemon.home.path().join("export.jsonl");
    let output = ok(&daemon, &["audit", "--format", "jsonl", "-o", file.to_str().unwrap()]);
    assert_eq!(output, "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), ok(&daemon, &["audit", "--format", "jsonl"]));
    assert_eq!(ok(&daemon, &["audit", "--session", "none"]), "No audit entries found.\n");
    let records = jsonl(&daemon, &["audit", "--records", "--format", "jsonl"]);
    assert!(records.len() > 4, "the start of the daemon is on the record, too");
}

#[tokio::test]
async fn a_terminal_shows_times_in_its_zone_and_as_many_columns_as_it_has_room_for() {
    let (daemon, newest) = with_history();
    let at = jsonl(&daemon, &["audit", "--format", "jsonl", "--limit", "1"])[0]["timestamp"].clone();
    let at: jiff::Timestamp = at.as_str().unwrap().parse().unwrap();
    let in_zone = |name: &str| at.in_tz(name).unwrap().strftime("%Y-%m-%d %H:%M:%S").to_string();
    let (local, utc) = (in_zone("Asia/Tokyo"), in_zone("UTC"));
    let tokyo = [("TZ", "Asia/Tokyo")];
    let mut wide = Terminal::start_with(&daemon, &["audit"], (160, 24), &tokyo);
    wide.shows(&local).await;
    assert_eq!(wide.ended().await, 0);
    assert!(wide.screen().contains("Session") && !wide.screen().contains("UTC"), "{}", wide.screen());
    let in_utc = Terminal::start_with(&daemon, &["audit", "--utc"], (160, 24), &tokyo);
    in_utc.until("UTC", |screen| screen.contains("Time (UTC)") && screen.contains(&utc)).await;
    let narrow = Terminal::start_with(&daemon, &["audit"], (60, 24), &tokyo);
    narrow.until("few columns", |screen| screen.contains("Decision") && screen.contains("blocked")).await;
    assert!(!narrow.screen().contains("Session"), "{}", narrow.screen());
    // What is shown can be typed.
    let since = Terminal::start_with(&daemon, &["audit", "--since", &local], (160, 24), &tokyo);
    since.shows(&local).await;
    let until = Terminal::start_with(&daemon, &["audit", "--until", &utc], (160, 24), &tokyo);
    until.until("all rows, nine hours before", |screen| screen.contains("No audit entries found.")).await;
    let show = Terminal::start_with(&daemon, &["audit", "show", &newest], (160, 60), &tokyo);
    show.shows(&format!("{local} JST")).await;
}

#[test]
fn a_time_is_taken_as_utc_and_never_cut() {
    let (daemon, _) = with_history();
    let ids = |arguments: &[&str]| jsonl(&daemon, &[&["audit", "--format", "jsonl"], arguments].concat()).len();
    let newest = jsonl(&daemon, &["audit", "--format", "jsonl", "--limit", "1"])[0]["timestamp"].clone();
    let newest = newest.as_str().unwrap().trim_end_matches('Z').to_owned();
    assert_eq!(ids(&["--until", &newest]), 4, "without a zone it is UTC, to the last digit");
    assert_eq!(ids(&["--since", &newest.replace('T', " ")]), 1);
    for wrong in ["2026-11-28T13:57:45[Europe/Berlin]", "28.11.2026", "99999d"] {
        assert_eq!(run(&daemon, &["audit", "--until", wrong]).0, 2, "{wrong}");
    }
}

#[test]
fn audit_tail_shows_a_row_as_it_happens() {
    let (daemon, _) = with_history();
    for format in ["table", "jsonl", "csv"] {
        let mut tail = spawn(&daemon, &["audit", "--tail", "--limit", "1", "--format", format]);
        let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
        line_with(&mut lines, "read_rows");
        let target = format!("new-in-{format}");
        ok(&daemon, &["propose", "read_rows", &target]);
        line_with(&mut lines, &target);
        tail.kill().unwrap();
        tail.wait().unwrap();
    }
    let (code, _, err) = run(&daemon, &["audit", "--tail", "--format", "json"]);
    assert_eq!(code, 2);
    assert!(err.contains("jsonl"), "{err}");
}

#[test]
fn audit_tail_outlives_a_restart_of_the_daemon() {
    let daemon = serve();
    let mut tail = spawn(&daemon, &["audit", "--tail", "--format", "jsonl"]);
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    ok(&daemon, &["propose", "read_rows", "before"]);
    line_with(&mut lines, "before");
    let daemon = daemon.restart();
    ok(&daemon, &["propose", "read_rows", "after"]);
    let line = line_with(&mut lines, "read_rows");
    assert!(line.contains(r#""after""#), "nothing comes twice and nothing is left out: {line}");
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn stats_count_the_record() {
    let (daemon, _) = with_history();
    let stats = json(&daemon, &["stats", "--format", "json"]);
    assert_eq!((&stats["decisions"], &stats["pending_approvals"]), (&json!(4), &json!(1)));
    assert_eq!(stats["by_risk_level"], json!({"LOW": 2, "HIGH": 1, "CRITICAL": 1}));
    assert_eq!(stats["top_action_types"][0], json!({"name": "read_rows", "count": 2}));
    let text = ok(&daemon, &["stats"]);
    assert!(text.starts_with("4 decisions, ") && text.contains("read_rows"), "{text}");
}

#[test]
fn the_policy_is_shown_and_changed() {
    let daemon = serve();
    assert_eq!(ok(&daemon, &["policy", "show"]), POLICY, "what is shown is the file");
    let shown = json(&daemon, &["policy", "show", "--format", "json"]);
    let revision = shown["revision"].as_str().unwrap();
    assert_eq!(shown["rule_count"], 5);

    let new = daemon.home.path().join("new.yaml");
    let text = "rules: [{name: nothing, match: {type: '*'}, approval: block}]\n";
    std::fs::write(&new, text).unwrap();
    let update =
        |expected: &str| run(&daemon, &["policy", "update", new.to_str().unwrap(), "--expected-revision", expected]);
    let (code, _, err) = update(&"ab".repeat(32));
    assert_eq!(code, 1);
    assert!(err.contains("REVISION_MISMATCH"), "{err}");
    let (code, out, err) = update(revision);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("Policy updated: revision "), "{out}");
    assert_eq!(std::fs::read_to_string(daemon.policy_file()).unwrap(), text);
    assert_eq!(run(&daemon, &["propose", "read_rows", "crm"]).0, 3, "it is in force");
    // The earlier revision is kept.
    assert_eq!(ok(&daemon, &["policy", "show", "--revision", revision]), POLICY);

    std::fs::write(&new, "rules:\n  - aproval: block\n").unwrap();
    let (code, _, err) = update("");
    assert_eq!(code, 1);
    assert!(err.contains("line 2, column 5") && err.contains("approval"), "{err}");
    assert_eq!(std::fs::read_to_string(daemon.policy_file()).unwrap(), text);
}

#[test]
fn evaluate_leaves_no_trace_and_explains_to_those_who_may() {
    let daemon = serve();
    let out = ok(&daemon, &["evaluate", "bulk_update", "crm", "--params", r#"{"count":150}"#]);
    assert!(out.starts_with("ESCALATE") && out.contains("rule=bulk"), "{out}");
    assert_eq!(run(&daemon, &["evaluate", "delete_all", "--fail-on", "block"]).0, 3);
    let (code, _, err) = run(&daemon, &["evaluate", "delete_all", "--explain"]);
    assert_eq!(code, 1);
    let socket = format!("--endpoint unix:{}", daemon.data_dir().join("aegis.sock").display());
    assert!(err.contains("ROLE_REQUIRED") && err.contains(&socket), "the hint says what helps: {err}");
    let endpoint = socket.strip_prefix("--endpoint ").unwrap();
    let explained = ok(
        &daemon,
        &["evaluate", "bulk_update", "crm", "--params", r#"{"count":5}"#, "--explain", "--endpoint", endpoint],
    );
    assert!(
        explained.contains("bulk: a condition does not hold") && explained.contains("small: it matches"),
        "{explained}"
    );
    assert_eq!(json(&daemon, &["audit", "--format", "json"]), json!([]));
}

#[test]
fn a_command_runs_only_where_it_is_allowed_and_is_reported() {
    let daemon = serve();
    let touch = daemon.home.path().join("ran");
    let script = format!("echo out; touch {}; test \"$AEGIS_CONSTRAINTS\" = '{{\"max_rows\":100}}'", touch.display());

    let (code, out, err) = run(&daemon, &["propose", "delete_all", "--", "sh", "-c", &script]);
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    assert!(err.contains("DENY") && err.contains("the command was not run"), "{err}");
    let (code, _, _) = run(&daemon, &["propose", "bulk_x", "--params", r#"{"count":150}"#, "--", "sh", "-c", &script]);
    assert_eq!(code, 4);
    assert!(!touch.exists());

    let (code, out, err) = run(&daemon, &["propose", "read_rows", "--", "sh", "-c", &script]);
    assert_eq!((code, out.as_str()), (0, "out\n"), "stdout is the command's: {err}");
    assert!(err.contains("ALLOW dec_"), "{err}");
    assert!(touch.exists());
    assert_eq!(run(&daemon, &["propose", "read_rows", "--", "sh", "-c", "exit 7"]).0, 7);
    assert_eq!(run(&daemon, &["propose", "read_rows", "--", "/nowhere/at/all"]).0, 127);

    let rows = jsonl(&daemon, &["audit", "--format", "jsonl", "--action-type", "read_rows", "--oldest-first"]);
    let results: Vec<_> =
        rows.iter().map(|row| (&row["result_status"], &row["result_data"], &row["result_error"])).collect();
    assert_eq!(results[0], (&json!("success"), &json!({"exit_code": 0}), &Value::Null));
    assert_eq!(results[1], (&json!("failed"), &json!({"exit_code": 7}), &json!("exit code 7")));
    assert_eq!(results[2].0, &json!("failed"));
    assert!(results[2].2.as_str().unwrap().contains("/nowhere/at/all"));
}

#[test]
fn a_command_is_passed_every_signal_and_its_end_is_recorded() {
    let daemon = serve();
    for (signal, number) in [("HUP", 1), ("INT", 2), ("QUIT", 3), ("USR1", 10), ("USR2", 12), ("TERM", 15)] {
        let pid_file = daemon.home.path().join(signal);
        let script = format!("echo $$ > {0}.new && mv {0}.new {0}; exec sleep 600", pid_file.display());
        let propose = spawn(&daemon, &["propose", "read_rows", signal, "--", "sh", "-c", &script]);
        let asked = std::time::Instant::now();
        while !pid_file.exists() {
            assert!(asked.elapsed() < crate::harness::DEADLINE, "the command never ran");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let kill = Command::new("kill").args([&format!("-{signal}"), &propose.id().to_string()]).status();
        assert!(kill.unwrap().success());
        let output = propose.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(128 + number), "{signal}: {}", stderr(&output));
        let pid = std::fs::read_to_string(&pid_file).unwrap();
        let alive = Command::new("kill").args(["-0", pid.trim()]).stderr(Stdio::null()).status().unwrap().success();
        assert!(!alive, "{signal}: nothing is left behind");
        let row = &jsonl(&daemon, &["audit", "--format", "jsonl", "--limit", "1"])[0];
        assert_eq!(row["result_error"], json!(format!("ended by signal {number}")), "{signal}");
    }
}

#[test]
fn who_stops_waiting_withdraws_the_question() {
    let daemon = serve();
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let mut waiting = spawn(&daemon, &["propose", "bulk_x", "--params", r#"{"count":150}"#, "--wait", "60s"]);
        let pid = waiting.id().to_string();
        let mut lines = BufReader::new(waiting.stderr.take().unwrap()).lines();
        line_with(&mut lines, "for a reviewer to answer apr_");
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        line_with(&mut lines, "the proposal is withdrawn");
        assert_eq!(waiting.wait().unwrap().code(), Some(code));
        assert_eq!(json(&daemon, &["pending", "--format", "json"]), json!([]));
    }
}

#[tokio::test]
async fn healthcheck_needs_no_credential_and_says_when_nothing_serves() {
    let setup = Setup::new();
    let agents = setup.home().join("agent.sock");
    let mut daemon = setup.args(&["--no-anonymous", "--uds", agents.to_str().unwrap()]).start();
    let private = format!("unix:{}", daemon.data_dir().join("aegis.sock").display());
    let endpoints = [daemon.endpoint.clone(), format!("unix:{}", agents.display()), private];
    // Nobody in particular: no data directory, no token, not even a home.
    let check = |arguments: &[&str]| -> Output {
        let mut command = Command::new(AEGIS);
        command.arg("healthcheck").args(arguments).env_clear().output().expect("the command runs")
    };
    for endpoint in &endpoints {
        let output = check(&["--endpoint", endpoint]);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "SERVING\n"), "{}", stderr(&output));
        let output = check(&["--endpoint", endpoint, "--service", "aegis.policy"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    assert_eq!(check(&["--endpoint", &endpoints[0], "--service", "aegis.dev"]).status.code(), Some(1));
    // Found by its data directory.
    assert_eq!(run(&daemon, &["healthcheck"]).0, 0);

    daemon.kill();
    for endpoint in &endpoints {
        let output = check(&["--endpoint", endpoint]);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""), "{endpoint}");
        assert!(stderr(&output).contains("cannot reach the daemon at"), "{}", stderr(&output));
    }
}

#[test]
fn a_daemon_that_is_not_there_is_named_with_what_would_help() {
    let setup = Setup::new();
    let nowhere = setup.home().join("data");
    // A port that nobody who runs tests listens on.
    let endpoint = "http://127.0.0.1:1".to_owned();
    for arguments in [&["propose", "read"][..], &["pending"], &["audit"], &["policy", "show"], &["review"]] {
        let output = Command::new(AEGIS).args(arguments).args(["--endpoint", &endpoint]).env_clear().output().unwrap();
        let said = stderr(&output);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""), "{arguments:?}: {said}");
        assert!(said.contains(&endpoint) && said.contains("Connection refused"), "{said}");
        assert!(said.contains("aegis serve") && !said.contains("os error"), "{said}");
    }
    let output = Command::new(AEGIS).args(["pending", "--data-dir"]).arg(&nowhere).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains(nowhere.join("aegis.sock").to_str().unwrap()) && said.contains("aegis serve"), "{said}");
    // What cannot be read must not empty the export of yesterday.
    let export = setup.home().join("export");
    std::fs::write(&export, "yesterday").unwrap();
    let mut command = Command::new(AEGIS);
    command.args(["audit", "--endpoint", &endpoint, "-o"]).arg(&export).env_clear();
    assert_eq!(command.output().unwrap().status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&export).unwrap(), "yesterday");
}

#[test]
fn endpoints_and_tokens_come_from_flags_and_variables() {
    let setup = Setup::new();
    let agents = setup.home().join("agent.sock");
    let daemon = setup.policy(POLICY).args(&["--uds", agents.to_str().unwrap()]).start();
    let token = std::fs::read_to_string(daemon.data_dir().join("credential")).unwrap();
    let uds = format!("unix:{}", agents.display());
    let slashes = format!("unix://{}", agents.display());
    let run = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = Command::new(AEGIS);
        let output = command.args(arguments).env_clear().envs(environment.iter().copied()).output().unwrap();
        (output.status.code().unwrap(), stdout(&output), stderr(&output))
    };
    for endpoint in [&uds, &slashes, &daemon.endpoint] {
        assert_eq!(run(&["propose", "read", "--endpoint", endpoint], &[]).0, 0);
        assert_eq!(run(&["propose", "read"], &[("AEGIS_ENDPOINT", endpoint)]).0, 0);
        let (code, _, err) = run(&["pending", "--endpoint", endpoint], &[]);
        assert_eq!(code, 1);
        assert!(err.contains("CREDENTIAL_REQUIRED") && err.contains("AEGIS_TOKEN"), "{err}");
        assert_eq!(run(&["pending", "--endpoint", endpoint], &[("AEGIS_TOKEN", token.trim())]).0, 0);
        // With the line break that `$(cat credential)` would have cut.
        assert_eq!(run(&["pending", "--endpoint", endpoint], &[("AEGIS_TOKEN", &token)]).0, 0);
        let (code, _, err) = run(&["pending", "--endpoint", endpoint], &[("AEGIS_TOKEN", "wrong")]);
        assert_eq!(code, 1);
        assert!(err.contains("CREDENTIAL_INVALID") && !err.contains("wrong"), "{err}");
    }
    // A flag wins over a variable, --data-dir over AEGIS_ENDPOINT as well.
    let elsewhere = [("AEGIS_ENDPOINT", "http://127.0.0.1:1")];
    assert_eq!(run(&["propose", "read", "--data-dir", daemon.data_dir().to_str().unwrap()], &elsewhere).0, 0);
    assert_eq!(run(&["pending", "--data-dir", daemon.data_dir().to_str().unwrap()], &elsewhere).0, 0);
    let (code, _, err) = run(&["propose", "read", "--data-dir", "/nowhere"], &[("AEGIS_ENDPOINT", &daemon.endpoint)]);
    assert_eq!(code, 1);
    assert!(err.contains("/nowhere: there is no such directory"), "{err}");
    // Over plaintext a token goes to this machine alone.
    let (code, _, err) = run(&["pending", "--endpoint", "http://192.0.2.1:50051"], &[("AEGIS_TOKEN", token.trim())]);
    assert_eq!(code, 2);
    assert!(err.contains("is not sent to http://192.0.2.1:50051") && !err.contains(token.trim()), "{err}");
    // The credential is no agent's, and a credential that merely lies about is sent nowhere.
    let (code, _, err) = run(&["propose", "read", "--endpoint", &uds], &[("AEGIS_TOKEN", token.trim())]);
    assert_eq!(code, 1);
    assert!(err.contains("ROLE_REQUIRED"), "{err}");
    let data = daemon.data_dir();
    let found = [("AEGIS_DATA_DIR", data.to_str().unwrap())];
    assert_eq!(run(&["pending"], &found).0, 0);
    let (code, _, err) = run(&["pending", "--endpoint", &daemon.endpoint], &found);
    assert_eq!(code, 1);
    assert!(err.contains("CREDENTIAL_REQUIRED"), "{err}");

    for wrong in ["localhost:50051", "ftp://x", "unix:"] {
        let (code, _, err) = run(&["propose", "read", "--endpoint", wrong], &[]);
        assert_eq!(code, 2, "{wrong}: {err}");
        assert!(err.contains(wrong), "{err}");
    }
}

#[tokio::test]
async fn what_answers_and_is_no_daemon_is_told_from_one() {
    let daemon = Setup::new().args(&["--admin-listen", "127.0.0.1:0"]).start();
    let metrics = daemon.probes().await;
    for arguments in [&["propose", "read"][..], &["pending"], &["healthcheck"]] {
        let (code, _, err) = run(&daemon, &[arguments, &["--endpoint", &metrics]].concat());
        assert_eq!(code, 1);
        assert!(err.contains("not a daemon's gRPC listener") && err.contains("listening on URL"), "{err}");
    }
    let https = daemon.endpoint.replace("http://", "https://");
    let (code, _, err) = run(&daemon, &["propose", "read", "--endpoint", &https]);
    assert_eq!(code, 1);
    assert!(err.contains("does not use TLS"), "without --tls-ca the system's authorities are asked: {err}");
}

#[test]
fn audit_verify_checks_the_local_daemon_and_says_what_is_no_evidence() {
    let daemon = serve();
    ok(&daemon, &["propose", "read_rows", "crm"]);
    assert!(ok(&daemon, &["audit", "verify"]).starts_with("It holds: "));
    let key = std::fs::read_to_string(daemon.data_dir().join("log-key.pub")).unwrap();
    ok(&daemon, &["audit", "verify", "--key", key.trim()]);
    let (code, _, err) = run(&daemon, &["audit", "verify", daemon.policy_file().to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(err.contains("policy.yaml is neither a bundle nor a receipt"), "{err}");
}

#[test]
fn there_is_colour_where_it_is_asked_for_and_never_beside_no_color() {
    let daemon = serve();
    let coloured = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = daemon.cli_command(&[arguments, &["propose", "read"]].concat());
        command.env_remove("NO_COLOR").envs(variables.iter().copied());
        stdout(&command.output().unwrap()).contains('\u{1b}')
    };
    assert!(!coloured(&[], &[]), "a pipe is no terminal");
    assert!(coloured(&[("CLICOLOR_FORCE", "1")], &[]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], &[]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1")], &["--no-color"]));
}

#[test]
fn text_of_an_agent_cannot_move_the_reviewers_cursor() {
    let daemon = serve();
    // What hides or reorders text is refused in a name. What file names have, and what parameters hold, is shown.
    let (code, _, errors) = run(&daemon, &["propose", "bulk_\u{1b}[2J\u{202e}evil"]);
    assert!(code != 0 && errors.contains("U+001B"), "{code}: {errors}");
    let evil = "bulk_\u{ad}evil";
    let (code, out, _) = run(&daemon, &["propose", evil, "--params", r#"{"count":150,"x":"\u001b[31m"}"#]);
    assert_eq!(code, 4, "{out}");
    for arguments in [
        &["pending"][..],
        &["audit"],
        &["stats"],
        &["pending", "--format", "json"],
        &["audit", "--records", "--format", "json"],
    ] {
        let out = ok(&daemon, arguments);
        assert!(out.contains("evil"), "{arguments:?}: {out}");
        assert!(!out.contains(['\u{1b}', '\u{ad}']), "{arguments:?}: {out:?}");
    }
}

#[tokio::test]
async fn a_proposal_outlives_a_restart_while_it_waits() {
    let setup = Setup::new();
    let agents = setup.home().join("agent.sock");
    let endpoint = format!("unix:{}", agents.display());
    let daemon = setup.policy(POLICY).args(&["--uds", agents.to_str().unwrap()]).start();
    let params = r#"{"count":150}"#;
    let arguments = ["propose", "bulk_x", "--params", params, "--wait", "60s", "--endpoint", &endpoint];
    let waiting = spawn(&daemon, &arguments);
    let id = eventually("the question is put", || {
        let listed = json(&daemon, &["pending", "--format", "json"]);
        std::future::ready(listed[0]["approval_id"].as_str().map(str::to_owned))
    })
    .await;
    let daemon = daemon.restart();
    ok(&daemon, &["approve", &id]);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("ALLOW "), "{}", stdout(&output));
}
