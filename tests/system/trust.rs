//! The command line where it touches trust: what is said when somebody was first, when the policy moved on, and which
//! credential goes where.

use crate::harness::{Daemon, Setup, stderr, stdout};

const POLICY: &str = "
rules:
  - {name: bulk, match: {type: 'bulk_*'}, risk_level: high, approval: approve, redact: [token]}
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
        Self { code, stdout: stdout(output), stderr: stderr(output) }
    }

    fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

fn start() -> Daemon {
    Setup::new().policy(POLICY).start()
}

fn run(daemon: &Daemon, args: &[&str]) -> Run {
    Run::of(&daemon.cli(args))
}

/// Proposes something that has to be approved; gives the approval's id.
fn ask(daemon: &Daemon, action: &str) -> String {
    let asked = run(daemon, &["propose", action, "crm", "--format", "json"]).ends_with(4);
    let decision: serde_json::Value = serde_json::from_str(&asked.stdout).expect("it is JSON");
    decision["approval_id"].as_str().expect("it waits for an approval").to_owned()
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
