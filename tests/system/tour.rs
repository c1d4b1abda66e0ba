//! The tour of README, each command in a process of its own: an agent asks and waits, a person says yes, the record has
//! it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Setup, stderr, stdout};

#[test]
fn from_a_proposal_to_an_approved_and_recorded_action() {
    // `aegis serve`: with the built-in policy.
    let daemon = Setup::new().start();

    // The agent, in a second terminal.
    let mut agent =
        daemon.cli_command(&["propose", "bulk_update", "crm", "--params", r#"{"count":150}"#, "--wait", "60s"]);
    let mut agent = agent.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(agent.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = told.find(|line| line.contains("for a reviewer to answer")).expect("the agent is told to wait");
    let approval_id = line.rsplit(' ').next().unwrap();

    // The reviewer, in a third one.
    let mut review = daemon.cli_command(&["review"]);
    let mut review = review.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(review.stdout.take().unwrap()).lines().map(Result::unwrap);
    shown.find(|line| line == "[1] bulk_update@crm").expect("the question is shown");
    let rest: Vec<_> = shown.by_ref().take_while(|line| !line.trim_start().starts_with("digest")).collect();
    for text in [approval_id, "HIGH", "bulk_high", "not authenticated", "count = 150"] {
        assert!(rest.iter().any(|line| line.contains(text)), "a reviewer is not shown `{text}`: {rest:#?}");
    }
    review.stdin.take().unwrap().write_all(b"a 1 looks fine\n").unwrap();
    let answer = shown.find(|line| line.starts_with("approved ")).expect("the answer is taken");
    assert!(answer.contains(approval_id) && answer.ends_with(": looks fine"), "{answer}");
    assert_eq!(review.wait().unwrap().code(), Some(0));

    // The agent may go on.
    let output = agent.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(said.starts_with("ALLOW dec_") && said.contains("looks fine"), "{said}");

    // What happened?
    let table = stdout(&daemon.cli(&["audit"]));
    let row = table.lines().nth(1).expect("a row");
    let cells: Vec<_> = row.split_whitespace().collect();
    // The number, the date and the time, and then who asked, what, by which rule, and who decided.
    assert_eq!((cells[0], cells.len()), ("1", 12), "{row}");
    assert_eq!(cells[3..10], ["-", "-", "bulk_update", "crm", "HIGH", "bulk_high", "approved"]);
    assert!(cells[10].starts_with("local:") && cells[11] == "-", "{row}");
    let row: Value = serde_json::from_str(&stdout(&daemon.cli(&["audit", "--format", "jsonl"]))).unwrap();
    for (key, value) in [
        ("action_params", json!({"count": 150})),
        ("approval", json!("approve")),
        ("human_decision", json!("approved")),
        ("decision_reason", json!("looks fine")),
        ("matched_rule", json!("bulk_high")),
        ("approval_id", json!(approval_id)),
        ("outcome", json!("ALLOW")),
        ("identity", json!("anonymous")),
    ] {
        assert_eq!(row[key], value, "{key}");
    }
    let by = row["decided_by"].as_str().unwrap();
    assert!(by.starts_with("local:"), "the name comes from the credential: {by}");

    let denied = daemon.cli(&["propose", "delete_contact", "crm"]);
    assert_eq!(denied.status.code(), Some(3));
    assert!(stdout(&denied).starts_with("DENY "));
    let stats = stdout(&daemon.cli(&["stats"]));
    assert!(stats.starts_with("2 decisions, "), "{stats}");
}
