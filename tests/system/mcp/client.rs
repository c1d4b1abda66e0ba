//! An MCP client for the tests: it starts the proxy, and writes and reads plain lines of JSON.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::server;
use crate::harness::{AEGIS, DEADLINE, Daemon};

/// The directory of the scripted server, and of the proxy's state.
pub(super) struct Place(pub(super) TempDir);

impl Place {
    pub(super) fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a temporary directory"));
        place.set_tools(&server::tools());
        place
    }

    pub(super) fn set_tools(&self, tools: &Value) {
        let (file, part) = (self.0.path().join("tools.json"), self.0.path().join("tools.part"));
        std::fs::write(&part, tools.to_string()).expect("the tools are written");
        std::fs::rename(part, file).expect("the tools are replaced");
    }

    /// What has reached the server.
    pub(super) fn calls(&self) -> Vec<String> {
        let calls = std::fs::read_to_string(self.0.path().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// How often a tool has run.
    pub(super) fn runs(&self, tool: &str) -> usize {
        let is_run = |call: &&String| call.starts_with('{') && call.contains(&format!("\"name\":\"{tool}\""));
        self.calls().iter().filter(is_run).count()
    }
}

/// A client, connected through a proxy. The proxy is killed when this is dropped.
pub(super) struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
    /// What has arrived and nobody has asked for yet.
    kept: Vec<Value>,
    last: i64,
}

impl Client {
    /// A client of this daemon, past the handshake.
    pub(super) fn of(daemon: &Daemon, place: &Place, options: &[&str]) -> Self {
        Self::start(Some(&daemon.data_dir()), place, options)
    }

    pub(super) fn start(data_dir: Option<&Path>, place: &Place, options: &[&str]) -> Self {
        let mut command = Command::new(AEGIS);
        command.args(["mcp", "wrap", "--server", "s", "--state-dir"]).arg(place.0.path().join("state"));
        command.args(options).arg("--").args(server::command());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("MCP_SCRIPT", place.0.path());
        command.env("NO_COLOR", "1").envs(data_dir.map(|dir| ("AEGIS_DATA_DIR", dir)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the proxy starts");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let message = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut client = Self { stdin: child.stdin.take(), child, lines, kept: Vec::new(), last: 0 };
        let me = json!({"name": "tester", "version": "9"});
        let capabilities = json!({"elicitation": {}, "sampling": {}});
        let hello = json!({"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": me});
        let hello = client.ask("initialize", hello);
        assert_eq!(hello["result"]["serverInfo"]["name"], "scripted", "{hello}");
        client.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        client
    }

    pub(super) fn say(&mut self, message: &Value) {
        self.write(&message.to_string());
    }

    pub(super) fn write(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        writeln!(stdin, "{line}").expect("the proxy reads");
    }

    /// Sends a request and does not wait.
    pub(super) fn send(&mut self, method: &str, params: Value) -> i64 {
        self.last += 1;
        let mut request = json!({"jsonrpc": "2.0", "id": self.last, "method": method});
        request["params"] = params;
        self.say(&request);
        self.last
    }

    /// The first message of which this holds. Others are kept.
    pub(super) fn wait(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&is) {
            return self.kept.remove(at);
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.lines.recv_timeout(left);
            let message = message.unwrap_or_else(|error| panic!("{what}: {error}; there is {:?}", self.kept));
            if is(&message) {
                return message;
            }
            self.kept.push(message);
        }
    }

    pub(super) fn answer(&mut self, id: i64) -> Value {
        self.wait(&format!("the answer to {id}"), |message| message["id"] == id && message.get("method").is_none())
    }

    pub(super) fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        self.answer(id)
    }

    /// Begins to call a tool.
    pub(super) fn begin(&mut self, tool: &str, arguments: Value) -> i64 {
        let mut params = json!({"name": tool});
        params["arguments"] = arguments;
        self.send("tools/call", params)
    }

    /// Calls a tool, and returns its result.
    pub(super) fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let id = self.begin(tool, arguments);
        self.answer(id)["result"].clone()
    }

    /// The names of the tools that are listed.
    pub(super) fn listed(&mut self) -> Vec<String> {
        let list = self.ask("tools/list", json!({}));
        let tools = list["result"]["tools"].as_array().unwrap_or_else(|| panic!("{list}"));
        tools.iter().filter_map(|tool| Some(tool["name"].as_str()?.to_owned())).collect()
    }

    /// A message that has arrived already, or none.
    pub(super) fn has(&mut self, is: impl Fn(&Value) -> bool) -> bool {
        self.kept.extend(self.lines.try_iter());
        self.kept.iter().any(is)
    }

    /// Closes the pipe to the proxy, and waits until it has ended.
    pub(super) fn leave(mut self) -> ExitStatus {
        drop(self.stdin.take());
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the proxy can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "the proxy does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn kill(mut self) {
        self.child.kill().expect("the proxy can be killed");
        self.child.wait().expect("the proxy has ended");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the model reads in a result.
pub(super) fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {result}"))
}

/// What a program reads beside it.
pub(super) fn meta(result: &Value) -> &Value {
    &result["_meta"]["aegis/decision"]
}
