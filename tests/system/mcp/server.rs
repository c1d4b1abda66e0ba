//! An MCP server for the tests, which does what its tools are called. It is this test binary, started once more.
//!
//! In the directory `MCP_SCRIPT` it reads its tools from `tools.json` at each `tools/list`, and writes each call that
//! reaches it to `calls`.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The command that starts the server. The test harness prints to stdout, so the server's output goes around it.
pub(super) fn command() -> Vec<String> {
    let binary = std::env::current_exe().expect("this binary has a path");
    let script = r#"exec "$0" --exact mcp::server::serves --ignored --nocapture 3>&1 >/dev/null"#;
    ["sh", "-c", script, &binary.display().to_string()].map(str::to_owned).to_vec()
}

/// The tools that the server has at first.
pub(super) fn tools() -> Value {
    let names = ["echo", "rm", "deploy", "make", "fail", "slow", "hang", "big", "sample", "announce"];
    let tool = |name: &str| {
        json!({
            "name": name, "description": format!("does {name}"), "annotations": {"destructiveHint": name == "rm"},
            "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}},
        })
    };
    names.into_iter().map(tool).collect()
}

struct Server {
    dir: PathBuf,
    out: fs::File,
}

impl Server {
    fn say(&mut self, message: &Value) {
        // The proxy may be gone.
        let _ = writeln!(self.out, "{message}");
    }

    fn log(&self, text: &str) {
        let mut log = OpenOptions::new().create(true).append(true).open(self.dir.join("calls")).unwrap();
        writeln!(log, "{text}").unwrap();
    }

    /// The result of a request; `None` if it is not answered.
    fn answer(&mut self, method: &str, params: &Value) -> Option<Value> {
        let text = |text: &str| json!({"content": [{"type": "text", "text": text}]});
        Some(match method {
            "initialize" => json!({
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": true}},
                "serverInfo": {"name": "scripted", "version": "1"},
            }),
            "tools/list" => {
                let tools = fs::read_to_string(self.dir.join("tools.json")).unwrap();
                let tools: Vec<Value> = serde_json::from_str(&tools).unwrap();
                // Two pages, so that both are read.
                let half = tools.len() / 2;
                match params["cursor"].as_str() {
                    None => json!({"tools": tools[..half], "nextCursor": "2"}),
                    Some(_) => json!({"tools": tools[half..]}),
                }
            }
            "tools/call" => {
                self.log(&params.to_string());
                match params["name"].as_str()? {
                    "fail" => json!({"isError": true, "content": [{"type": "text", "text": "it broke"}]}),
                    "hang" => return None,
                    "big" => text(&"x".repeat(100_000)),
                    "slow" => {
                        let token = &params["_meta"]["progressToken"];
                        for progress in 1..=3 {
                            let params = json!({"progressToken": token, "progress": progress, "total": 3});
                            self.say(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
                        }
                        text("done")
                    }
                    "sample" => {
                        let params = json!({"messages": [], "maxTokens": 1});
                        let ask =
                            json!({"jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": params});
                        self.say(&ask);
                        text("asked")
                    }
                    "announce" => {
                        let method = "notifications/tools/list_changed";
                        self.say(&json!({"jsonrpc": "2.0", "method": method}));
                        text("announced")
                    }
                    _ => text(&format!("did {}", params["arguments"])),
                }
            }
            _ => {
                self.log(&format!("{method} {params}"));
                json!({"method": method})
            }
        })
    }
}

#[test]
#[ignore = "other tests start it as a program"]
fn serves() {
    let Some(dir) = std::env::var_os("MCP_SCRIPT").map(PathBuf::from) else { return };
    let own = std::env::vars().find(|(name, _)| name.starts_with("AEGIS_T") || name.starts_with("AEGIS_E"));
    let out = OpenOptions::new().write(true).open(Path::new("/dev/fd/3")).unwrap();
    let mut server = Server { dir, out };
    if let Some((name, _)) = own {
        server.log(&format!("the server has {name}"));
    }
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let (id, method) = (&message["id"], message["method"].as_str());
        match (id, method) {
            (Value::Null, Some("notifications/initialized")) => {}
            (Value::Null, Some(method)) => server.log(&format!("{method} {}", message["params"])),
            (id, Some(method)) => {
                if let Some(result) = server.answer(method, &message["params"]) {
                    server.say(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
                }
            }
            (_, None) => server.log(&format!("answered {}", message.get("result").unwrap_or(&message["error"]))),
        }
    }
}
