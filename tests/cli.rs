//! The command line as a shell sees it: the real binary, for commands that need no daemon.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const POLICY: &str = r#"version: "1"
rules:
  - name: read_safe
    match: { type: "read*" }
    risk_level: low
    approval: auto
  - name: bulk
    match: { type: "bulk_*" }
    conditions:
      param_gt: { count: 100 }
    risk_level: high
    approval: approve
  - name: publish
    match: { type: "publish" }
    approval: confirm
  - name: no_deletes
    match: { type: "delete*" }
    risk_level: critical
    approval: block
"#;

/// A separate directory for the binary, without the environment of the test process.
struct Shell {
    dir: tempfile::TempDir,
}

impl Shell {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    /// Creates the directory with the example policy in `policy.yaml`.
    fn with_policy() -> Self {
        let shell = Self::new();
        shell.write("policy.yaml", POLICY);
        shell
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file is written");
    }

    /// The layers of a policy, lowest first.
    fn write_layers(&self, policies: &Value) -> Layers {
        let texts = policies.as_array().expect("a case has policies").iter().enumerate();
        let name = |(i, text): (usize, &Value)| {
            let name = format!("layer{i}.yaml");
            self.write(&name, text.as_str().expect("a policy is text"));
            name
        };
        Layers(texts.map(name).collect())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aegis"));
        command.args(args).current_dir(self.dir.path()).env_clear().env("HOME", self.dir.path());
        command
    }

    fn aegis(&self, args: &[&str]) -> Run {
        Run::of(&self.command(args).output().expect("the binary runs"))
    }

    fn aegis_with_stdin(&self, args: &[&str], stdin: &str) -> Run {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        child.stdin.take().expect("it is piped").write_all(stdin.as_bytes()).expect("it is read");
        Run::of(&child.wait_with_output().expect("it ends"))
    }
}

/// Names of policy files.
struct Layers(Vec<String>);

impl Layers {
    /// The first file, and the others as layers on top of it.
    fn as_args(&self) -> Vec<&str> {
        let (first, others) = self.0.split_first().expect("a policy has a file");
        let others = others.iter().flat_map(|name| ["--layer", name]);
        std::iter::once(first.as_str()).chain(others).collect()
    }
}

/// How a command ended, and what it printed.
#[derive(Debug)]
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the output is text");
        Self {
            code: output.status.code().expect("it was not killed"),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    fn json(&self) -> Value {
        let value: Option<Value> = serde_json::from_str(&self.stdout).ok();
        assert!(value.is_some(), "no JSON: {self:#?}");
        value.unwrap_or_default()
    }
}

#[test]
fn init_writes_a_policy_that_is_valid_and_never_overwrites() {
    let shell = Shell::new();
    let run = shell.aegis(&["init"]).ends_with(0);
    assert_eq!(run.stdout, "Created policy.yaml\n");
    let written = fs::read_to_string(shell.path("policy.yaml")).expect("it is there");

    let run = shell.aegis(&["validate", "policy.yaml"]).ends_with(0);
    assert_eq!(
        run.stdout,
        "Policy valid: 6 rule(s) loaded.
  - read_auto: read*@* -> LOW/auto
  - get_auto: get*@* -> LOW/auto
  - write_approve: write*@* -> MEDIUM/approve
  - update_approve: update*@* -> MEDIUM/approve
  - bulk_high: bulk_*@* -> HIGH/approve
  - delete_block: delete*@* -> CRITICAL/block
"
    );

    let run = shell.aegis(&["init"]).ends_with(1);
    assert!(run.stderr.contains("File already exists: policy.yaml"), "{run:#?}");
    assert_eq!(fs::read_to_string(shell.path("policy.yaml")).expect("it is there"), written);

    shell.aegis(&["init", "-o", "other.yaml"]).ends_with(0);
    // Missing directories are created. A directory as the output gets a `policy.yaml`.
    shell.aegis(&["init", "-o", "policies/deep/crm.yaml"]).ends_with(0);
    assert_eq!(shell.aegis(&["init", "-o", "policies"]).ends_with(0).stdout, "Created policies/policy.yaml\n");
    for name in ["policies/deep/crm.yaml", "policies/policy.yaml"] {
        assert_eq!(fs::read_to_string(shell.path(name)).expect("it is there"), written);
    }
    let run = shell.aegis(&["init", "-o", "policy.yaml/x"]).ends_with(1);
    assert!(run.stderr.contains("cannot write policy.yaml/x"), "{run:#?}");
}

#[test]
fn validate_prints_every_error_with_its_place() {
    let shell = Shell::new();
    shell.write(
        "bad.yaml",
        "version: \"1\"\nrules:\n  - name: a\n    aproval: block\n  - name: b\n    risk_level: severe\n",
    );
    let run = shell.aegis(&["validate", "bad.yaml"]).ends_with(1);
    assert_eq!(run.stdout, "");
    assert!(run.stderr.contains("bad.yaml:4:5: ") && run.stderr.contains("did you mean `approval`"), "{run:#?}");
    assert!(run.stderr.contains("bad.yaml:6:17: "), "{run:#?}");
    assert!(run.stderr.ends_with("Policy validation failed: 2 errors\n"), "{run:#?}");

    let json = shell.aegis(&["validate", "bad.yaml", "--format", "json"]).ends_with(1).json();
    assert_eq!((&json["valid"], json["errors"].as_array().map(Vec::len)), (&json!(false), Some(2)));
    assert_eq!(json["errors"][0]["line"], 4);

    let run = shell.aegis(&["validate", "missing.yaml"]).ends_with(1);
    assert!(run.stderr.contains("cannot read missing.yaml: No such file"), "{run:#?}");
}

#[test]
fn a_policy_that_is_not_utf8_is_refused_with_its_place() {
    let shell = Shell::new();
    fs::write(shell.path("policy.yaml"), b"rules: []\n# \xc3\xa9 \xff\n").expect("a file is written");
    let run = shell.aegis(&["validate", "policy.yaml"]).ends_with(1);
    assert!(run.stderr.contains("policy.yaml:2:5: not UTF-8"), "{run:#?}");
}

#[test]
fn validate_takes_layers_and_prints_warnings_to_stderr() {
    let shell = Shell::with_policy();
    shell.write("top.yaml", "rules:\n  - { name: all, approval: auto }\n");
    let run = shell.aegis(&["validate", "policy.yaml", "--layer", "top.yaml"]).ends_with(0);
    assert!(run.stdout.starts_with("Policy valid: 5 rule(s) loaded.\n  - all: *@* -> MEDIUM/auto\n"), "{run:#?}");
    assert!(run.stderr.contains("warning: ") && run.stderr.contains("never tried"), "{run:#?}");
    let as_serve_takes_them = shell.aegis(&["validate", "policy.yaml", "top.yaml"]).ends_with(0);
    assert_eq!(as_serve_takes_them.stdout, run.stdout);
    let from_stdin = shell.aegis_with_stdin(&["validate", "-"], POLICY).ends_with(0);
    assert!(from_stdin.stdout.starts_with("Policy valid: 4 rule(s) loaded."), "{from_stdin:#?}");
    let run = shell.aegis_with_stdin(&["validate", "-"], "rules: 5\n").ends_with(1);
    assert!(run.stderr.contains("<stdin>:1:8"), "{run:#?}");
    let json = shell.aegis(&["validate", "policy.yaml", "--format", "json"]).ends_with(0).json();
    assert_eq!((&json["valid"], &json["rules"][3]["approval"]), (&json!(true), &json!("block")));
}

#[test]
fn invalid_policies_are_refused_with_their_place() {
    let shell = Shell::new();
    let text = fs::read_to_string("tests/conformance/policies-to-refuse.jsonl").expect("the cases are there");
    // The tests of the policy try every kind of mistake. Here only the exit code and the place count.
    for line in text.lines().step_by(5) {
        let case: Value = serde_json::from_str(line).expect("a case is JSON");
        let layers = shell.write_layers(&case["policies"]);
        let run = shell.aegis(&[&["validate"], &*layers.as_args()].concat()).ends_with(1);
        assert!(layers.0.iter().any(|name| run.stderr.contains(&format!("{name}:"))), "{}: {run:#?}", case["id"]);
    }
}

#[test]
fn schema_is_a_json_schema() {
    let schema = Shell::new().aegis(&["schema"]).ends_with(0).json();
    assert!(schema["$schema"].as_str().is_some_and(|uri| uri.contains("json-schema.org")), "{schema}");
}

#[test]
fn simulate_shows_a_table() {
    let shell = Shell::with_policy();
    let run =
        shell.aegis(&["simulate", "policy.yaml", "read:crm", "delete:db:main", "publish", "bulk_x:crm"]).ends_with(0);
    assert_eq!(
        run.stdout,
        "  1. read:crm  [AUTO]  risk=LOW  rule=read_safe  -> ALLOWED
  2. delete:db:main  [BLOCK]  risk=CRITICAL  rule=no_deletes  -> BLOCKED
  3. publish:*  [CONFIRM]  risk=MEDIUM  rule=publish  -> NEEDS CONFIRMATION
  4. bulk_x:crm  [APPROVE]  risk=MEDIUM  rule=<default>  -> NEEDS APPROVAL

Summary: 4 actions
  1 auto-execute, 1 need approval, 1 need confirmation, 1 blocked
"
    );
}

#[test]
fn simulate_takes_params_and_explains() {
    let shell = Shell::with_policy();
    let args = ["simulate", "policy.yaml", "bulk_update:crm", "--params", r#"{"count":150}"#, "--format"];
    let json = shell.aegis(&[&args[..], &["json"]].concat()).ends_with(0).json();
    let reason = json[0]["reason"].clone();
    assert_eq!(
        json,
        json!([{"id": "bulk_update:crm", "risk_level": "HIGH", "approval": "approve", "matched_rule": "bulk",
            "is_allowed": true, "reason": reason}])
    );

    shell.write("params.json", r#"{"count":"150"}"#);
    let args = ["simulate", "policy.yaml", "bulk_update:crm", "--params", "@params.json", "--explain"];
    let run = shell.aegis(&args).ends_with(0);
    assert!(run.stdout.contains("rule=bulk") && run.stdout.contains("indeterminate, saw \"150\""), "{run:#?}");
    assert!(run.stdout.contains("read_safe: type `read*` does not match"), "{run:#?}");
}

#[test]
fn simulate_takes_a_moment_and_an_actor() {
    let shell = Shell::new();
    let policy = "rules:
  - { name: office, match: { type: deploy, actor: ann }, conditions: { time_before: '18:00' }, approval: auto }\n";
    shell.write("policy.yaml", policy);
    let rule = |extra: &[&str]| {
        let args = [&["simulate", "policy.yaml", "deploy:prod", "--format", "jsonl"], extra].concat();
        shell.aegis(&args).ends_with(0).json()["matched_rule"].as_str().map(str::to_owned)
    };
    let (noon, night) = (["--at", "2026-11-20T12:00:00Z"], ["--at", "2026-11-20T23:00:00Z"]);
    let ann = ["--actor", "ann", "--authenticated"];
    assert_eq!(rule(&[noon, ann[..2].try_into().expect("two")].concat()).as_deref(), Some("<default>"));
    assert_eq!(rule(&[&noon[..], &ann].concat()).as_deref(), Some("office"));
    assert_eq!(rule(&[&night[..], &ann].concat()).as_deref(), Some("<default>"));
}

#[test]
fn simulate_has_exit_code_3_for_the_answers_that_fail_on_names() {
    let shell = Shell::with_policy();
    for (action, block, approve) in [("read:x", 0, 0), ("publish:x", 0, 3), ("other:x", 0, 3), ("delete:x", 3, 3)] {
        shell.aegis(&["simulate", "policy.yaml", action]).ends_with(0);
        shell.aegis(&["simulate", "policy.yaml", "read:y", action, "--fail-on", "block"]).ends_with(block);
        shell.aegis(&["simulate", "policy.yaml", action, "read:y", "--fail-on", "approve"]).ends_with(approve);
    }
}

#[test]
fn simulate_answers_cases_from_a_file_or_stdin() {
    let shell = Shell::with_policy();
    let cases = r#"{"id":"a","now":"2026-03-18T12:00:00Z","action":{"type":"read","target":"crm","params":{}}}

{"id":7,"actor":{"id":"agent-7","type":"ai-agent"},"action":{"type":"","target":"\u001b[2J"}}
"#;
    shell.write("cases.jsonl", cases);
    let run = shell.aegis(&["simulate", "policy.yaml", "--cases", "cases.jsonl"]).ends_with(0);
    let lines: Vec<Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert_eq!((&lines[0]["id"], &lines[0]["matched_rule"]), (&json!("a"), &json!("read_safe")));
    assert_eq!((&lines[1]["id"], &lines[1]["matched_rule"]), (&json!(7), &json!("<default>")));
    assert_eq!(lines[0].as_object().map(serde_json::Map::len), Some(6));

    let from_stdin = shell.aegis_with_stdin(&["simulate", "policy.yaml", "--cases", "-"], cases).ends_with(0);
    assert_eq!(from_stdin.stdout, run.stdout);
    shell.aegis_with_stdin(&["simulate", "policy.yaml", "--cases", "-", "--fail-on", "approve"], cases).ends_with(3);

    let run =
        shell.aegis_with_stdin(&["simulate", "policy.yaml", "--cases", "-"], &format!("{cases}{{}}\n")).ends_with(1);
    assert!(run.stderr.contains("-:4:2: missing field `action`"), "{run:#?}");
    assert_eq!(run.stdout.lines().count(), 2, "the earlier answer is there: {run:#?}");
}

#[test]
fn simulate_decides_as_the_original_does() {
    let shell = Shell::new();
    let text = fs::read_to_string("tests/conformance/policy-decisions.jsonl").expect("the cases are there");
    let mut checked = 0;
    for line in text.lines() {
        let set: Value = serde_json::from_str(line).expect("a set is JSON");
        let layers = shell.write_layers(&set["policies"]);
        let cases = set["cases"].as_array().expect("a set has cases");
        shell.write("cases.jsonl", &cases.iter().fold(String::new(), |lines, case| lines + &case.to_string() + "\n"));
        let run = shell.aegis(&[&["simulate", "--cases", "cases.jsonl"], &*layers.as_args()].concat()).ends_with(0);
        let answers: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(answers.len(), cases.len(), "{}", set["id"]);
        for (case, answer) in cases.iter().zip(&answers) {
            assert_eq!(answer["id"], case["id"]);
            for (name, expected) in case["expect"].as_object().expect("a case has expectations") {
                assert_eq!(&answer[name], expected, "{name} of {}", case["id"]);
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 1_179);
}

#[test]
fn a_policy_that_is_not_valid_is_not_simulated() {
    let shell = Shell::new();
    shell.write("bad.yaml", "rules: 5\n");
    let run = shell.aegis(&["simulate", "bad.yaml", "read:crm"]).ends_with(1);
    assert!(run.stdout.is_empty() && run.stderr.contains("bad.yaml:1:8"), "{run:#?}");
}

#[test]
fn bad_usage_has_exit_code_2_and_says_what_would_be_right() {
    let shell = Shell::with_policy();
    for (args, says) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&["simulate", "policy.yaml"], "<TYPE:TARGET>"),
        (&["simulate", "policy.yaml", "read:x", "--cases", "c"], "cannot be used with"),
        (&["simulate", "policy.yaml", "read:x", "--params", "[1]"], "expected a JSON object, got a list"),
        (&["simulate", "policy.yaml", "read:x", "--at", "noon"], "RFC 3339"),
        (&["propose"], "<TYPE>"),
        (&["propose", "read", "--wait", "60"], "90s"),
        (&["propose", "read", "--params", r#"{"id": 9007199254740993}"#], "params.id: 9007199254740993"),
        (&["propose", "read", "--endpoint", "localhost:50051"], "http://HOST:PORT"),
        (
            &["propose", "read", "--params", r#"{"n": 1, "n": 150}"#],
            "--params: not valid JSON: the key \"n\" is given twice",
        ),
        (&["propose", "read", "--wait", "99999d"], "the longest duration is 36500d"),
        (&["audit", "--until", "2026-11-28T13:57:45[Europe/Berlin]"], "is not a moment"),
        (&["approve", "dec_1"], "apr_"),
        (&["approve", "apr_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e", "--digest", "ab"], "64 hex digits"),
        (&["audit", "--risk-level", "severe"], "possible values: low, medium, high, critical"),
        (&["audit", "--tail", "--format", "json"], "jsonl"),
        (&["completions", "tcsh"], "possible values"),
    ] {
        let run = shell.aegis(args).ends_with(2);
        assert!(run.stdout.is_empty() && run.stderr.contains(says), "{args:?}: {run:#?}");
    }
}

#[test]
fn a_command_without_a_daemon_says_where_it_looked() {
    let shell = Shell::new();
    let socket = format!("unix:{}/.local/state/aegis/aegis.sock", shell.dir.path().display());
    for args in [&["pending"][..], &["audit"], &["stats"], &["policy", "show"], &["review"]] {
        let run = shell.aegis(args).ends_with(1);
        assert!(run.stderr.contains(&socket) && run.stderr.contains("aegis serve"), "{args:?}: {run:#?}");
    }
    let nobody = "http://127.0.0.1:9";
    for args in [&["propose", "read"][..], &["evaluate", "read"], &["healthcheck"]] {
        let run =
            Run::of(&shell.command(args).env("AEGIS_ENDPOINT", nobody).output().expect("the binary runs")).ends_with(1);
        assert!(run.stderr.contains(nobody) && run.stderr.contains("AEGIS_ENDPOINT"), "{args:?}: {run:#?}");
    }
}

#[test]
fn help_and_version_go_to_stdout_with_exit_code_0() {
    let shell = Shell::new();
    let version = concat!("aegis ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(shell.aegis(&["version"]).ends_with(0).stdout, version);
    assert_eq!(shell.aegis(&["--version"]).ends_with(0).stdout, version);
    assert_eq!(shell.aegis(&["version", "--format", "json"]).ends_with(0).json()["version"], env!("CARGO_PKG_VERSION"));
    for args in [&[][..], &["--help"], &["help"]] {
        let run = shell.aegis(args).ends_with(0);
        assert!(run.stdout.contains("Exit codes:") && run.stdout.contains("AEGIS_TOKEN"), "{args:?}: {run:#?}");
        assert!(run.stdout.contains("aegis serve"), "{args:?}: {run:#?}");
        assert!(!run.stdout.contains('\u{1b}'), "no colours without a terminal: {run:#?}");
    }
}

#[test]
fn the_help_of_every_command_has_examples() {
    let shell = Shell::new();
    let commands = "serve propose evaluate pending approve deny review audit stats policy healthcheck completions init \
                    validate schema simulate test lint hook doctor";
    for command in commands.split_whitespace() {
        let run = shell.aegis(&[command, "--help"]).ends_with(0);
        assert!(run.stdout.contains("Examples:") && run.stdout.contains(&format!("aegis {command}")), "{run:#?}");
    }
}

#[test]
fn validate_lists_every_glob_of_a_rule() {
    let shell = Shell::new();
    let rule = "{name: r, match: {type: ['read*', 'list*'], target_path: '/data/*', actor: ada}, approval: auto}";
    shell.write("policy.yaml", &format!("rules: [{rule}]"));
    let run = shell.aegis(&["validate", "policy.yaml"]).ends_with(0);
    assert!(run.stdout.ends_with("  - r: list*, read*@* (path /data/*) -> MEDIUM/auto\n"), "{run:#?}");
    let json = shell.aegis(&["validate", "policy.yaml", "--format", "json"]).ends_with(0).json();
    let rule = &json["rules"][0];
    assert_eq!((&rule["type"], &rule["target"]), (&json!(["list*", "read*"]), &json!("*")));
    assert_eq!((&rule["target_path"], &rule["name"]), (&json!("/data/*"), &json!("r")));
}

#[test]
fn lint_names_the_place_the_reason_and_a_fix() {
    let shell = Shell::new();
    shell.write("policy.yaml", "rules:\n  - {name: all, approval: auto}\n  - {name: late, match: {type: x}}\n");
    let run = shell.aegis(&["lint", "policy.yaml"]).ends_with(3);
    let expected = "policy.yaml:2:5: rule `all` is auto on `*`: every action that no rule before it names runs at once \
                    [ALLOWS_EVERYTHING]\n  fix: name the types that may run alone, and let the default ask\n";
    assert!(run.stdout.starts_with(expected) && run.stdout.ends_with("2 findings\n"), "{run:#?}");
    let json = shell.aegis(&["lint", "policy.yaml", "--allow", "ALLOWS_EVERYTHING", "--format", "json"]).ends_with(3);
    let findings = &json.json()["findings"];
    assert_eq!((&findings[0]["code"], &findings[1]), (&json!("HIDDEN_RULE"), &Value::Null));
    assert!(findings[0]["fix"].as_str().is_some_and(|fix| fix.starts_with("move the rule")), "{findings}");
    shell.write("policy.yaml", POLICY);
    assert_eq!(shell.aegis(&["lint", "policy.yaml"]).ends_with(0).stdout, "0 findings\n");
    shell.write("policy.yaml", "rules: 5");
    shell.aegis(&["lint", "policy.yaml"]).ends_with(1);
}

const SUITE: &str = "\
policy: policy.yaml
actors:
  ci: { id: ci, authenticated: true }
actions:
  read: { type: read_contact, target: crm }
  wipe: { type: delete_all }
  small: { type: bulk_update, params: { count: 5 } }
tests:
  - { name: reads run, action: read, expect: { outcome: ALLOW, rule: read_safe, risk_level: low } }
  - name: what ci may do
    actors: [ci]
    actions: [read, wipe, small]
    expect: { ci: { read: ALLOW, small: ESCALATE } }
";

#[test]
fn a_suite_that_passes_ends_with_0_and_one_that_fails_says_why() {
    let shell = Shell::with_policy();
    shell.write("policy_test.yaml", SUITE);
    let run = shell.aegis(&["test"]).ends_with(0);
    assert!(run.stdout.starts_with("policy_test.yaml (policy.yaml)\n  ok   reads run: read\n"), "{run:#?}");
    assert!(run.stdout.ends_with("4 tests, 4 passed, 0 failed\n"), "{run:#?}");

    shell.write("policy_test.yaml", &SUITE.replace("small: ESCALATE", "wipe: ALLOW"));
    let run = shell.aegis(&["test", "policy_test.yaml"]).ends_with(3);
    assert!(
        run.stdout.contains("FAIL what ci may do: ci, wipe\n       expected ALLOW, got DENY by `no_deletes`"),
        "{run:#?}"
    );
    assert!(run.stdout.contains("FAIL what ci may do: ci, small\n       expected DENY, got ESCALATE"), "{run:#?}");
    assert!(run.stdout.ends_with("4 tests, 2 passed, 2 failed\n"), "{run:#?}");
}

#[test]
fn the_results_of_tests_are_json_and_junit_too_and_coverage_names_what_is_untried() {
    let shell = Shell::with_policy();
    fs::create_dir(shell.path("policies")).expect("a directory");
    shell.write("policies/a_test.yaml", &SUITE.replace("policy: policy.yaml", "policy: [../policy.yaml]"));
    let json = shell.aegis(&["test", "--format", "json", "--coverage"]).ends_with(0).json();
    assert_eq!((&json["passed"], &json["suites"][0]["tests"][3]["matched_rule"]), (&json!(4), &json!("<default>")));
    let coverage = &json["suites"][0]["coverage"];
    let untried: Vec<String> = coverage["untried"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| format!("{} {} {}", one["rule"], one["condition"], one["what"]).replace('"', ""))
        .collect();
    assert_eq!(
        untried,
        ["bulk  never decides", "bulk conditions.param_gt.count never holds", "publish  never decides"]
    );
    let xml = shell.aegis(&["test", "policies", "--format", "junit"]).ends_with(0).stdout;
    assert!(xml.starts_with("<?xml") && xml.contains("<testcase name=\"reads run: read\""), "{xml}");
    assert!(xml.contains("tests=\"4\"") && xml.contains("failures=\"0\""), "{xml}");
}

#[test]
fn a_suite_that_cannot_be_read_or_has_no_clock_ends_with_1() {
    let shell = Shell::with_policy();
    assert!(shell.aegis(&["test"]).ends_with(1).stderr.contains("there is no suite"));
    shell.write("policy_test.yaml", &SUITE.replace("name: reads run, ", "nam: reads run, "));
    let run = shell.aegis(&["test"]).ends_with(1);
    assert!(run.stderr.contains("policy_test.yaml:9:7: tests[0].nam: unknown field `nam`"), "{run:#?}");
    shell.write("policy_test.yaml", SUITE);
    shell.write("policy.yaml", "rules: [{name: night, conditions: {time_after: '22:00'}}]");
    let run = shell.aegis(&["test"]).ends_with(1);
    assert!(run.stderr.contains("rule `night` looks at the clock, and the suite has none"), "{run:#?}");
    shell.write("policy.yaml", "rules: 5");
    assert!(shell.aegis(&["test"]).ends_with(1).stderr.contains("policy.yaml:1:8: rules: must be a list of rules"));
}

#[test]
fn watching_runs_the_tests_again_after_a_change() {
    let shell = Shell::with_policy();
    shell.write("policy_test.yaml", SUITE);
    let mut command = shell.command(&["test", "--watch"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let mut summary = || lines.by_ref().find(|line| line.contains(" tests, "));
    assert_eq!(summary().as_deref(), Some("4 tests, 4 passed, 0 failed"));
    shell.write("policy.yaml", &POLICY.replace("approval: auto", "approval: block"));
    assert_eq!(summary().as_deref(), Some("4 tests, 2 passed, 2 failed"));
    child.kill().expect("it still runs");
    child.wait().expect("it ends");
}

/// Every case of the conformance data, as a suite: `aegis test` and `aegis simulate` answer alike.
#[test]
fn test_answers_as_simulate_does() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/policy-decisions.jsonl");
    let text = fs::read_to_string(data).expect("the data is there");
    // A few of many: each starts the binary.
    for line in text.lines().step_by(40) {
        let decisions: Value = serde_json::from_str(line).expect("it is JSON");
        let shell = Shell::new();
        let layers = shell.write_layers(&decisions["policies"]);
        let cases = decisions["cases"].as_array().expect("it has cases");
        // A suite says nothing of null, and needs none: a parameter that is null is missing.
        let cases: Vec<&Value> = cases.iter().filter(|case| !case["action"].to_string().contains("null")).collect();
        let tests: Vec<Value> = cases
            .iter()
            .map(|case| {
                let outcome = match case["expect"]["approval"].as_str() {
                    Some("auto") => "ALLOW",
                    Some("block") => "DENY",
                    Some("confirm") => "REQUIRE_CONFIRMATION",
                    _ => "ESCALATE",
                };
                let level = case["expect"]["risk_level"].as_str().expect("a level").to_lowercase();
                let expect = json!({"outcome": outcome, "rule": case["expect"]["matched_rule"], "risk_level": level});
                json!({"name": case["id"], "now": case["now"], "action": case["action"], "expect": expect})
            })
            .collect();
        shell.write("a_test.yaml", &json!({"policy": layers.0, "tests": tests}).to_string());
        shell.aegis(&["test"]).ends_with(0);
    }
}

#[test]
fn completions_know_the_commands() {
    let shell = Shell::new();
    for name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = shell.aegis(&["completions", name]).ends_with(0);
        assert!(run.stdout.contains("healthcheck"), "{name}");
    }
}

#[test]
fn a_closed_stdout_is_no_error() {
    let shell = Shell::with_policy();
    let mut child = shell.command(&["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let run = Run::of(&child.wait_with_output().expect("it ends")).ends_with(0);
    assert_eq!(run.stderr, "");
}

#[test]
fn a_policy_cannot_write_to_the_terminal() {
    let shell = Shell::new();
    shell.write("policy.yaml", "rules:\n  - name: \"a\\e[2Jb\"\n    match: { type: \"x\\u202E\" }\n");
    let run = shell.aegis(&["validate", "policy.yaml"]).ends_with(0);
    assert!(run.stdout.contains("a\\u{1b}[2Jb: x\\u{202e}@*"), "{run:#?}");
    let run = shell.aegis(&["simulate", "policy.yaml", "x\u{202e}:\u{1b}[2J"]).ends_with(0);
    assert!(run.stdout.contains("x\\u{202e}:\\u{1b}[2J") && !run.stdout.contains('\u{1b}'), "{run:#?}");
}

#[test]
fn no_command_writes_to_the_working_directory() {
    let shell = Shell::with_policy();
    shell.aegis(&["simulate", "policy.yaml", "read:x"]).ends_with(0);
    shell.aegis(&["pending"]).ends_with(1);
    let names = fs::read_dir(shell.dir.path()).expect("it is there").map(|entry| entry.expect("an entry").file_name());
    assert_eq!(names.collect::<Vec<_>>(), [Path::new("policy.yaml").as_os_str()]);
}
