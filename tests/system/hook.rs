//! The hooks of coding agents, as their hosts run them: JSON on stdin, an answer on stdout, an exit code.
//!
//! The inputs are built from the published types and documents of each host. No host runs here.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use aegis::proto::v1;
use serde_json::{Value, json};

use crate::harness::{AEGIS, Daemon, Setup, eventually, result_of, stderr, stdout};

const POLICY: &str = r#"
rules:
  - {name: reads, match: {type: "file/read"}, approval: auto}
  - {name: looks, match: {type: "shell/ls"}, approval: auto}
  - {name: confirms, match: {type: "shell/make"}, approval: confirm}
  - {name: pushes, match: {type: "shell/git", target: push}, risk_level: high, approval: approve}
  - {name: never, match: {type: "shell/rm"}, risk_level: critical, approval: block, reason: "files stay"}
  - {name: mcp, match: {type: "mcp/github/*"}, approval: block}
defaults: {approval: approve}
"#;

/// The hosts.
const HOSTS: [&str; 6] = ["claude-code", "codex", "cursor", "gemini", "copilot", "opencode"];

/// A shell command, as the host says that it is about to run. Each call has an id of its own, where hosts have ids.
fn shell(host: &str, command: &str, call: &str) -> Value {
    let input = json!({"command": command, "description": "a test"});
    match host {
        "claude-code" | "codex" => json!({
            "session_id": "s1", "transcript_path": "/tmp/t.jsonl", "cwd": "/tmp", "permission_mode": "default",
            "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": input, "tool_use_id": call,
        }),
        "cursor" => json!({
            "conversation_id": "s1", "generation_id": "g", "hook_event_name": "preToolUse", "cursor_version": "2.4",
            "workspace_roots": ["/tmp"], "tool_name": "Shell", "tool_input": input, "tool_use_id": call,
        }),
        "gemini" => json!({
            "session_id": "s1", "transcript_path": "/tmp/t.json", "cwd": "/tmp", "hook_event_name": "BeforeTool",
            "timestamp": "2026-11-28T10:00:00Z", "tool_name": "run_shell_command", "tool_input": input,
        }),
        "copilot" => json!({
            "sessionId": "s1", "timestamp": 1_764_324_000_000_i64, "cwd": "/tmp", "toolName": "bash",
            "toolArgs": input.to_string(),
        }),
        _ => json!({
            "event": "tool.execute.before", "tool": "bash", "sessionID": "s1", "callID": call, "args": input,
            "directory": "/tmp",
        }),
    }
}

/// The same call after it has run.
fn afterwards(host: &str, before: &Value) -> Value {
    let mut after = before.clone();
    let fields = match host {
        "claude-code" | "codex" => json!({"hook_event_name": "PostToolUse", "tool_response": {"stdout": ""}}),
        "cursor" => json!({"hook_event_name": "postToolUse", "tool_output": "{}"}),
        "gemini" => json!({"hook_event_name": "AfterTool", "tool_response": {"llmContent": ""}}),
        "copilot" => json!({"toolResult": {"resultType": "success", "textResultForLlm": ""}}),
        _ => json!({"event": "tool.execute.after"}),
    };
    for (key, value) in fields.as_object().unwrap() {
        after[key] = value.clone();
    }
    after
}

fn hook(daemon: &Daemon, host: &str, more: &[&str]) -> Command {
    let mut command = daemon.cli_command(&[&["hook", host], more].concat());
    command.env("HOME", daemon.home.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(mut command: Command, input: &str) -> Child {
    let mut child = command.spawn().expect("the hook starts");
    // A hook that refuses its command line reads nothing.
    let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
    child
}

fn run(daemon: &Daemon, host: &str, input: &Value) -> Output {
    run_with(daemon, host, &[], &input.to_string())
}

fn run_with(daemon: &Daemon, host: &str, more: &[&str], input: &str) -> Output {
    start(hook(daemon, host, more), input).wait_with_output().expect("the hook ends")
}

/// What the host reads from an answer: the word of the decision, and the reason for the model.
fn read(host: &str, output: &Output) -> (String, String) {
    match output.status.code() {
        Some(2) => return ("deny".to_owned(), stderr(output)),
        Some(0) => {}
        code => panic!("{host}: code {code:?}: {}", stderr(output)),
    }
    let text = stdout(output);
    if text.is_empty() {
        assert!(["claude-code", "codex", "copilot"].contains(&host), "{host} must be answered");
        return ("allow".to_owned(), String::new());
    }
    let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{host}: {error}: {text}"));
    let (word, reason) = match host {
        "claude-code" | "codex" => (
            &answer["hookSpecificOutput"]["permissionDecision"],
            &answer["hookSpecificOutput"]["permissionDecisionReason"],
        ),
        "cursor" => (&answer["permission"], &answer["agent_message"]),
        "copilot" => (&answer["permissionDecision"], &answer["permissionDecisionReason"]),
        _ => (&answer["decision"], &answer["reason"]),
    };
    (word.as_str().expect("there is a decision").to_owned(), reason.as_str().unwrap_or_default().to_owned())
}

fn serve() -> Daemon {
    Setup::new().policy(POLICY).start()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_is_answered_in_its_own_form_and_the_result_is_on_the_record() {
    let daemon = serve();
    for host in HOSTS {
        let allowed = shell(host, "ls -l", &format!("{host}-1"));
        assert_eq!(read(host, &run(&daemon, host, &allowed)).0, "allow", "{host}");
        let output = run(&daemon, host, &afterwards(host, &allowed));
        assert_eq!(output.status.code(), Some(0), "{host}: {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{host}");
        let row = daemon.rows().await.into_iter().next_back().expect("there is a row");
        let action = row.action.as_ref().expect("a row has its action");
        assert_eq!((action.r#type.as_str(), result_of(&row)), ("shell/ls", v1::ResultStatus::Success), "{host}");
        assert_eq!(row.actor.as_ref().map(|actor| actor.id.as_str()), Some(host));

        let (word, reason) = read(host, &run(&daemon, host, &shell(host, "cd /tmp && sudo rm -rf x", "2")));
        assert_eq!(word, "deny", "{host}");
        assert!(reason.contains("shell/rm") && reason.contains("files stay") && reason.contains("dec_"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_command_is_the_only_one_of_its_call_on_the_record() {
    let daemon = serve();
    let call = shell("claude-code", "ls; git push; bash -c 'rm x'", "1");
    assert_eq!(read("claude-code", &run(&daemon, "claude-code", &call)).0, "deny");
    let types: Vec<_> = daemon.rows().await.into_iter().filter_map(|row| Some(row.action?.r#type)).collect();
    assert_eq!(types, ["shell/rm"]);
}

/// The approval that a hook waits for.
async fn asked(daemon: &Daemon) -> String {
    eventually("a question is open", || {
        let output = daemon.cli(&["pending", "--format", "json"]);
        let pending: Value = serde_json::from_str(&stdout(&output)).unwrap_or_default();
        let id = pending.pointer("/0/approval_id").and_then(Value::as_str).map(str::to_owned);
        async move { id }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_waits_for_a_reviewer() {
    let daemon = serve();
    for (host, verb, word) in [("claude-code", "approve", "allow"), ("gemini", "deny", "deny")] {
        let waiting = start(hook(&daemon, host, &[]), &shell(host, "ls && git push", "1").to_string());
        let id = asked(&daemon).await;
        assert!(daemon.cli(&[verb, &id, "--reason", "I have looked"]).status.success());
        let output = waiting.wait_with_output().expect("the hook ends");
        let (said, reason) = read(host, &output);
        assert_eq!(said, word, "{reason}");
        assert!(word == "allow" || reason.contains("I have looked"), "{reason}");
    }
    // Of the denied call, `ls` was allowed and did not run.
    let results: Vec<_> = daemon.rows().await.iter().map(result_of).collect();
    assert!(results.contains(&v1::ResultStatus::Skipped), "{results:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_its_deadline_a_hook_denies_and_the_same_call_gets_the_answer_later() {
    let daemon = serve();
    let host = "codex";
    let again = |call: &str| {
        let input = shell(host, "git push", call).to_string();
        read(host, &run_with(&daemon, host, &["--deadline", "6s"], &input))
    };
    let (word, reason) = again("1");
    let id = asked(&daemon).await;
    assert_eq!(word, "deny");
    assert!(reason.contains(&id) && reason.contains("again later"), "{reason}");
    let (word, reason) = again("2");
    assert!(word == "deny" && reason.contains(&id), "the same question: {reason}");
    assert!(daemon.cli(&["approve", &id, "--reason", "yes"]).status.success());
    assert_eq!(again("3").0, "allow");
    // The answer was for one run.
    let (word, reason) = again("4");
    assert!(word == "deny" && !reason.contains(&id), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_is_stopped_withdraws_its_question() {
    let daemon = serve();
    let waiting = start(hook(&daemon, "claude-code", &[]), &shell("claude-code", "git push", "1").to_string());
    let id = asked(&daemon).await;
    let status = Command::new("kill").args(["-TERM", &waiting.id().to_string()]).status();
    assert!(status.expect("kill runs").success());
    assert_eq!(read("claude-code", &waiting.wait_with_output().expect("it ends")).0, "deny");
    let output = daemon.cli(&["approve", &id, "--reason", "too late"]);
    assert!(!output.status.success() && stderr(&output).contains("cancelled"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agents_own_user_confirms_where_the_host_can_ask() {
    let daemon = serve();
    let call = shell("claude-code", "make", "1");
    assert_eq!(read("claude-code", &run(&daemon, "claude-code", &call)).0, "ask");
    let output = run(&daemon, "claude-code", &afterwards("claude-code", &call));
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let rows = daemon.rows().await;
    assert_eq!(rows.last().map(result_of), Some(v1::ResultStatus::Success), "{rows:?}");
    for host in ["codex", "gemini", "copilot", "opencode"] {
        let (word, reason) = read(host, &run(&daemon, host, &shell(host, "make", "1")));
        assert!(word == "deny" && reason.contains("confirmation"), "{host}: {word}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_read_alike_over_all_hosts() {
    let daemon = Setup::new().policy("defaults: {risk_level: low, approval: auto}").start();
    let session = |fields: Value| {
        let mut call = json!({"cwd": "/tmp", "directory": "/tmp", "workspace_roots": ["/tmp"], "timestamp": 1});
        for (key, value) in fields.as_object().expect("an object") {
            call[key] = value.clone();
        }
        call
    };
    let claude = |tool: &str, input: Value| {
        session(json!({"hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": input}))
    };
    let cursor = |tool: &str, input: Value| {
        session(json!({"hook_event_name": "preToolUse", "tool_name": tool, "tool_input": input.to_string()}))
    };
    let gemini = |tool: &str, input: Value, mcp: Value| {
        let event = "BeforeTool";
        session(json!({"hook_event_name": event, "tool_name": tool, "tool_input": input, "mcp_context": mcp}))
    };
    let copilot = |tool: &str, input: Value| session(json!({"sessionId": "s", "toolName": tool, "toolArgs": input}));
    let opencode = |tool: &str, args: Value| {
        session(json!({"event": "tool.execute.before", "callID": "1", "tool": tool, "args": args}))
    };
    let patch = "*** Begin Patch\n*** Update File: a.rs\n@@\n-x\n+y\n*** Add File: b.rs\n+z\n*** End Patch";
    for (host, input, is) in [
        ("claude-code", claude("Read", json!({"file_path": "/etc/../etc/hosts"})), &["file/read /etc/hosts"][..]),
        ("cursor", cursor("Read", json!({"file_path": "/etc/hosts"})), &["file/read /etc/hosts"]),
        ("gemini", gemini("read_file", json!({"file_path": "/etc/hosts"}), Value::Null), &["file/read /etc/hosts"]),
        ("copilot", copilot("view", json!({"path": "/etc/hosts"})), &["file/read /etc/hosts"]),
        ("opencode", opencode("read", json!({"filePath": "/etc/hosts"})), &["file/read /etc/hosts"]),
        ("claude-code", claude("Write", json!({"file_path": "x", "content": "y"})), &["file/write /tmp/x"]),
        ("codex", claude("apply_patch", json!({"command": patch})), &["file/write /tmp/a.rs", "file/write /tmp/b.rs"]),
        ("gemini", gemini("replace", json!({"file_path": "x"}), Value::Null), &["file/write /tmp/x"]),
        ("claude-code", claude("WebFetch", json!({"url": "https://a.example/"})), &["web/fetch https://a.example/"]),
        ("opencode", opencode("webfetch", json!({"url": "https://a.example/"})), &["web/fetch https://a.example/"]),
        ("claude-code", claude("mcp__github__merge", json!({"pr": 1})), &["mcp/github/merge github"]),
        (
            "gemini",
            gemini("merge", json!({"pr": 1}), json!({"server_name": "github", "tool_name": "merge"})),
            &["mcp/github/merge github"],
        ),
        ("claude-code", claude("Task", json!({"subagent_type": "Explore", "prompt": "x"})), &["agent/start Explore"]),
        ("claude-code", claude("Unheard", json!({"x": 1})), &["tool/Unheard"]),
        ("cursor", cursor("MCP:merge", json!({"pr": 1})), &["mcp/-/merge -"]),
    ] {
        let before = daemon.rows().await.len();
        let output = run(&daemon, host, &input);
        assert_eq!(read(host, &output).0, "allow", "{host}: {input}");
        let rows = daemon.rows().await.split_off(before);
        let names: Vec<_> = rows
            .into_iter()
            .filter_map(|row| row.action)
            .map(|action| format!("{} {}", action.r#type, action.target).trim_end().to_owned())
            .collect();
        assert_eq!(names, is, "{host}: {input}: {}", stderr(&output));
    }
}

#[test]
fn every_fault_is_a_denial() {
    let daemon = serve();
    let silent = daemon.home.path().join("silent.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&silent).expect("a socket");
    let (silent, nobody) = (format!("unix:{}", silent.display()), "unix:/nowhere/at.sock".to_owned());
    for host in HOSTS {
        let call = shell(host, "ls", "1").to_string();
        for (what, more, input) in [
            ("no daemon", &["--deadline", "4s", "--endpoint", &nobody][..], call.as_str()),
            ("a daemon that hangs", &["--deadline", "2s", "--endpoint", &silent], &call),
            ("no JSON", &[], "{"),
            ("no object", &[], "[]"),
            ("nothing", &[], ""),
            ("an empty object", &[], "{}"),
            ("a key twice", &[], r#"{"hook_event_name":"PreToolUse","hook_event_name":"Stop"}"#),
            ("an unknown option", &["--nonsense"], &call),
            ("a wrong endpoint", &["--endpoint", "nonsense"], &call),
        ] {
            let output = run_with(&daemon, host, more, input);
            assert_eq!(output.status.code(), Some(2), "{host}: {what}: {}", stdout(&output));
            assert!(!stderr(&output).trim().is_empty(), "{host}: {what}");
            assert_eq!(stdout(&output), "", "{host}: {what}");
        }
    }
    let output = run_with(&daemon, "claude-code", &[], &shell("claude-code", "", "1").to_string());
    assert_eq!(output.status.code(), Some(2), "a tool call without its command: {}", stdout(&output));
    let unheard = json!({"hook_event_name": "SessionStart", "session_id": "s"});
    assert_eq!(run(&daemon, "claude-code", &unheard).status.code(), Some(0), "what is no tool call is not governed");
}

fn aegis(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(AEGIS);
    command.args(arguments).current_dir(home).env_clear().env("HOME", home).env("NO_COLOR", "1");
    command.output().expect("it runs")
}

#[test]
fn what_install_writes_governs_and_uninstall_takes_only_that_away() {
    let daemon = serve();
    let home = daemon.home.path();
    let own = "{\n  // mine\n  \"model\": \"x\"\n}\n";
    for (host, file) in [
        ("claude-code", ".claude/settings.json"),
        ("codex", ".codex/hooks.json"),
        ("cursor", ".cursor/hooks.json"),
        ("gemini", ".gemini/settings.json"),
        ("copilot", ".copilot/hooks/aegis.json"),
    ] {
        let path = home.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, own).unwrap();
        let data_dir = daemon.data_dir().display().to_string();
        let install = ["hook", "install", host, "--data-dir", &data_dir];
        let output = aegis(home, &install);
        assert!(output.status.success() && stdout(&output).starts_with("Installed"), "{}", stderr(&output));
        let installed = std::fs::read_to_string(&path).unwrap();
        assert!(stdout(&aegis(home, &install)).starts_with("Already installed"), "{installed}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), installed);

        // As the host would run it.
        let text: String = installed.lines().filter(|line| !line.trim().starts_with("//")).collect();
        let settings: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {installed}"));
        let event = settings["hooks"].as_object().unwrap().keys().find(|name| !name.to_lowercase().starts_with("post"));
        let event = event.filter(|name| *name != "AfterTool").cloned();
        let event = event.unwrap_or_else(|| "BeforeTool".to_owned());
        let entry = &settings["hooks"][&event][0];
        let entry = entry.pointer("/hooks/0").unwrap_or(entry);
        let line = entry["command"].as_str().or(entry["bash"].as_str()).expect("there is a command");
        let mut shell_command = Command::new("sh");
        shell_command.args(["-c", line]).env_clear().env("HOME", home).env("NO_COLOR", "1");
        shell_command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        shell_command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = start(shell_command, &shell(host, "rm x", "1").to_string()).wait_with_output().unwrap();
        assert_eq!(read(host, &output).0, "deny", "{host}: {line}");

        let output = aegis(home, &["hook", "uninstall", host]);
        assert!(stdout(&output).starts_with("Removed"), "{}", stderr(&output));
        let left = std::fs::read_to_string(&path).unwrap();
        assert!(left.contains("// mine") && left.contains("\"model\": \"x\"") && !left.contains("aegis"), "{left}");
        assert!(stdout(&aegis(home, &["hook", "uninstall", host])).starts_with("There is no hook"));
    }
    let plugin = home.join(".opencode/plugins/aegis.js");
    assert!(aegis(home, &["hook", "install", "opencode", "--project"]).status.success());
    let text = std::fs::read_to_string(&plugin).unwrap();
    assert!(text.contains("tool.execute.before") && !text.contains("$WORDS") && !text.contains("$LIMIT"), "{text}");
    assert!(aegis(home, &["hook", "uninstall", "opencode", "--project"]).status.success());
    assert!(!plugin.exists());

    let broken = home.join("broken.json");
    std::fs::write(&broken, "{\"hooks\": []}").unwrap();
    let output = aegis(home, &["hook", "install", "gemini", "--settings", "broken.json"]);
    assert!(!output.status.success() && stderr(&output).contains("`hooks` is no object"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(&broken).unwrap(), "{\"hooks\": []}");
}

#[test]
fn the_doctor_finds_nothing_open_under_the_policy_for_coding_agents_but_the_shared_user() {
    let setup = Setup::new();
    let home = setup.home().to_owned();
    let output = aegis(&home, &["init", "--for", "coding-agent"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let policy = std::fs::read_to_string(home.join("policy.yaml")).unwrap();
    // The daemon of a test has its data directory in another place.
    let policy = policy.replace("(/state|/var/lib)/aegis(-hooks)?", "(/state/aegis|/var/lib/aegis|/data)(-hooks)?");
    let policy = policy.replace("/aegis(-hooks)?(/|$)", "/(aegis(-hooks)?|data)(/|$)");
    let daemon = setup.policy(&policy).start();
    let doctor = |arguments: &[&str]| {
        let mut command = daemon.cli_command(&[&["doctor", "--format", "json"], arguments].concat());
        command.env("HOME", &home).current_dir(&home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let output = command.output().expect("it runs");
        let checks: Vec<Value> =
            serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{}", stderr(&output)));
        (output.status.code(), checks)
    };
    let (code, checks) = doctor(&[]);
    assert_eq!(code, Some(1));
    assert_eq!((&checks[0]["area"], &checks[0]["state"]), (&json!("user"), &json!("open")), "the user comes first");
    let open: Vec<_> = checks[1..].iter().filter(|check| check["state"] == "open").collect();
    assert!(open.is_empty(), "{open:#?}");
    let closed = |area: &str| checks.iter().filter(|check| check["area"] == area && check["state"] == "closed").count();
    assert_eq!(closed("policy"), checks.iter().filter(|check| check["area"] == "policy").count(), "{checks:#?}");
    assert_eq!(closed("hook"), 6 * 5, "{checks:#?}");

    // Under another policy the doctor says what is open.
    let daemon = Setup::new().policy("defaults: {risk_level: low, approval: auto}").start();
    let mut command = daemon.cli_command(&["doctor", "claude-code", "--format", "json"]);
    let output = command.env("HOME", &home).current_dir(&home).output().expect("it runs");
    let checks: Vec<Value> = serde_json::from_str(&stdout(&output)).expect("JSON");
    let policy: Vec<_> = checks.iter().filter(|check| check["area"] == "policy").collect();
    assert!(policy.len() > 20 && policy.iter().all(|check| check["state"] == "open"), "{policy:#?}");
}

#[test]
fn the_policy_for_coding_agents_lets_the_usual_work_through() {
    let setup = Setup::new();
    let home = setup.home().to_owned();
    assert!(aegis(&home, &["init", "--for", "coding-agent"]).status.success());
    let policy = std::fs::read_to_string(home.join("policy.yaml")).unwrap();
    let daemon = setup.policy(&policy).start();
    let cases = [
        ("ls -la src && git status && git diff HEAD", "allow"),
        ("cat README.md | grep -n x | head -5", "allow"),
        ("echo 'about aegis approve' > notes.txt", "allow"),
        ("git commit -m 'about aegis approve'", "ask"),
        ("cat $(ls)", "ask"),
        ("npm test", "ask"),
        ("git push", "ask"),
        ("cat ~/.ssh/id_ed25519", "ask"),
        ("curl x | sh", "ask"),
        ("aegis propose x", "ask"),
        ("env aegis approve apr_1", "deny"),
        ("kill -9 -1", "deny"),
    ];
    let start_one = |(command, _): &(&str, &str)| {
        let input = shell("claude-code", command, command).to_string();
        start(hook(&daemon, "claude-code", &["--deadline", "12s"]), &input)
    };
    let running: Vec<_> = cases.iter().map(start_one).collect();
    for ((command, word), child) in cases.into_iter().zip(running) {
        let (said, reason) = read("claude-code", &child.wait_with_output().expect("the hook ends"));
        let said = if said == "deny" && reason.contains("asked a person") { "ask" } else { said.as_str() };
        assert_eq!(said, word, "{command}: {reason}");
    }
}
