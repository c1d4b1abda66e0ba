//! Gemini CLI: `BeforeTool` and `AfterTool`. Code 2 blocks; other codes warn and go on, and so does a timeout.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::host::{Host, said};
use crate::cli::hook::call::{Answer, Call, Moment, Reply};
use crate::cli::hook::fields::{labels, object, text};
use crate::cli::hook::tools::{Kind, kind};

pub(super) const HOST: Host = Host {
    name: "gemini",
    is_from_types: true,
    deadline: Duration::from_secs(45),
    can_confirm: false,
    read,
    answer,
    runs,
    sample,
};

const TOOLS: &[(&str, Kind)] = &[
    ("run_shell_command", Kind::Shell(&["command"])),
    ("read_file", Kind::Read(&["file_path", "absolute_path"])),
    ("write_file", Kind::Write(&["file_path"])),
    ("replace", Kind::Write(&["file_path"])),
    ("glob", Kind::Search(&["dir_path", "path"])),
    ("grep_search", Kind::Search(&["dir_path", "path"])),
    ("search_file_content", Kind::Search(&["dir_path", "path"])),
    ("list_directory", Kind::Search(&["dir_path", "path"])),
    ("web_fetch", Kind::Fetch(&["url", "prompt"])),
    ("google_web_search", Kind::WebSearch(&["query"])),
];

fn read(input: &Map<String, Value>) -> Result<Call, String> {
    let event = text(input, &["hook_event_name"]).to_owned();
    let tool = text(input, &["tool_name"]).to_owned();
    let failed = input.get("tool_response").and_then(|response| response.get("error")).filter(|error| !error.is_null());
    let moment = match event.as_str() {
        "" => return Err("the input has no `hook_event_name`".to_owned()),
        "BeforeTool" | "AfterTool" if tool.is_empty() => return Err("the input has no `tool_name`".to_owned()),
        "BeforeTool" => Moment::Before,
        "AfterTool" => Moment::After(failed.map(|error| match error.as_str() {
            Some(text) => text.to_owned(),
            None => error.to_string(),
        })),
        _ => Moment::Other,
    };
    let arguments = object(input.get("tool_input"))?;
    let kind = match input.get("mcp_context").and_then(Value::as_object) {
        Some(mcp) => Kind::Mcp {
            server: text(mcp, &["server_name"]).to_owned(),
            tool: match text(mcp, &["tool_name"]) {
                "" => tool.clone(),
                name => name.to_owned(),
            },
        },
        None => kind(TOOLS, &tool),
    };
    let project = text(input, &["cwd"]).to_owned();
    // A shell command may name a directory of its own, relative to the project.
    let cwd = match text(&arguments, &["dir_path", "directory"]) {
        directory if !directory.is_empty() && tool == "run_shell_command" => {
            std::path::Path::new(&project).join(directory).to_string_lossy().into_owned()
        }
        _ => project,
    };
    Ok(Call {
        moment,
        event,
        kind,
        tool,
        cwd,
        session: text(input, &["session_id"]).to_owned(),
        id: String::new(),
        description: text(&arguments, &["description"]).to_owned(),
        input: arguments,
        labels: labels(input, &["timestamp"]),
    })
}

fn answer(_: &Call, answer: &Answer) -> Reply {
    match answer {
        Answer::Allow => Reply::json(&json!({"decision": "allow"})),
        Answer::Confirm(why) | Answer::Deny(why) => Reply::json(&json!({"decision": "deny", "reason": why})),
        Answer::Nothing => Reply::json(&json!({})),
    }
}

fn runs(code: Option<i32>, stdout: &str) -> bool {
    match code {
        Some(2) => false,
        Some(0) => !matches!(said(stdout, &["/decision"]).as_deref(), Some("deny" | "block")),
        _ => true,
    }
}

fn sample(command: &str, cwd: &str) -> Value {
    json!({
        "session_id": "aegis-doctor", "transcript_path": "/dev/null", "cwd": cwd, "hook_event_name": "BeforeTool",
        "timestamp": "2026-11-28T00:00:00Z", "tool_name": "run_shell_command", "tool_input": {"command": command},
    })
}
