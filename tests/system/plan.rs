//! A candidate policy against what is on the record: `aegis policy plan`, from the daemon and from a bundle.

use serde_json::{Value, json};

use crate::harness::{Daemon, Setup, stderr, stdout};

/// One rule of each kind that a policy has.
const POLICY: &str = "
sets: {writes: [write_file, append_file]}
redact: [card]
rules:
  - {name: system, match: {type: {set: writes}, target_path: ['/etc', '/etc/*']}, approval: block}
  - {name: workspace, match: {type: {set: writes}, target_path: '/work/*'}, approval: auto}
  - {name: own, match: {type: update}, conditions: {param_eq: {owner: '${actor.id}'}}, approval: approve}
  - name: mail
    match: {type: ['mail*', 'send*']}
    conditions:
      param_ends: {to: '@example.com'}
      param_len: {body: {max: 20}}
      param_schema: {cc: {type: array, maxItems: 2}}
      param_not_in: {tone: [rude]}
    approval: auto
  - {name: night, match: {type: deploy}, conditions: {time_after: '00:00', time_before: '00:01'}, approval: block}
  - {name: card, match: {type: pay}, conditions: {param_eq: {card: '4111'}}, approval: block}
  - {name: pay, match: {type: pay}, approval: auto}
";

const PROPOSALS: [(&str, &str, &str); 10] = [
    ("write_file", "/work/a", "{}"),
    ("write_file", "/work/../etc/passwd", "{}"),
    ("append_file", "/work/%2e%2e/x", "{}"),
    ("append_file", "../x", "{}"),
    ("update", "crm", r#"{"owner": "agent"}"#),
    ("update", "crm", r#"{"owner": ["agent"]}"#),
    ("mail", "", r#"{"to": "ada@example.com", "body": "hello", "cc": [], "tone": "kind"}"#),
    ("send_mail", "", r#"{"to": ["ada@example.com"], "body": "hello", "cc": "x", "tone": "kind"}"#),
    ("deploy", "shop", "{}"),
    ("pay", "bank", r#"{"card": "4111"}"#),
];

/// A daemon on whose record all of this is.
fn recorded() -> Daemon {
    let daemon = Setup::new().policy(POLICY).start();
    for (kind, target, params) in PROPOSALS {
        let output = daemon.cli(&["propose", kind, target, "--params", params, "--actor", "agent"]);
        let code = output.status.code().expect("it was not killed");
        assert!(matches!(code, 0 | 3 | 4), "{kind}: {}", stderr(&output));
    }
    daemon
}

fn plan(daemon: &Daemon, policy: &str, arguments: &[&str], code: i32) -> Value {
    let file = daemon.home.path().join("candidate.yaml");
    std::fs::write(&file, policy).unwrap();
    let file = file.to_str().unwrap();
    let output = daemon.cli(&[&["policy", "plan", file, "--format", "json"], arguments].concat());
    assert_eq!(output.status.code(), Some(code), "{}{}", stdout(&output), stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn the_policy_in_force_changes_nothing_that_is_known() {
    let daemon = recorded();
    let plan = plan(&daemon, POLICY, &[], 0);
    let expected = json!({
        "decisions": 10, "limited": 0, "newly_blocked": 0, "newly_asked": 0, "newly_allowed": 0, "unchanged": 9, "unknown": 1,
        "redacted": 0, "changes": [],
    });
    assert_eq!(plan, expected);
}

#[test]
fn a_candidate_is_shown_by_what_it_changes_and_a_bundle_says_the_same() {
    let daemon = recorded();
    let candidate = POLICY
        .replace("name: workspace, match", "name: workspace, approval: block, match")
        .replace("'/work/*'}, approval: auto}", "'/work/*'}}")
        .replace("approval: approve}", "approval: auto}");
    let from_daemon = plan(&daemon, &candidate, &[], 3);
    let counts = |plan: &Value| {
        ["newly_blocked", "newly_asked", "newly_allowed", "unknown"].map(|kind| plan[kind].as_u64().unwrap())
    };
    // Where `/work/%2e%2e/x` leads is in doubt, and a block in doubt blocks. A name that is only claimed allows
    // nothing, so the rule that would allow asks by default.
    assert_eq!(counts(&from_daemon), [2, 0, 0, 1], "{from_daemon}");
    let change = &from_daemon["changes"][0];
    assert_eq!((&change["rule"], &change["change"]), (&json!("workspace"), &json!("newly_blocked")));
    assert_eq!(change["examples"][0]["target"], "/work/a");

    let bundle = daemon.home.path().join("audit.tar");
    let bundle = bundle.to_str().unwrap();
    assert!(daemon.cli(&["audit", "export", "-o", bundle]).status.success());
    assert_eq!(plan(&daemon, &candidate, &["--from", bundle], 3), from_daemon);
    assert_eq!(plan(&daemon, &candidate, &["--since", "2100-01-01T00:00:00Z"], 0)["decisions"], 0);

    let mut bytes = std::fs::read(bundle).unwrap();
    let target = b"/work/a";
    let at = bytes.windows(target.len()).position(|window| window == target).unwrap();
    bytes[at] ^= 1;
    std::fs::write(bundle, bytes).unwrap();
    let broken = daemon.cli(&["policy", "plan", daemon.policy_file().to_str().unwrap(), "--from", bundle]);
    assert_eq!(broken.status.code(), Some(1), "a bundle that does not hold shows nothing: {}", stdout(&broken));
}
