//! Cursor: `preToolUse` and the older `before…` events. Register one of the two: both fire for the same call. Code 2
//! denies; other failures let the tool run unless `failClosed` is set.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::host::{Host, said};
use crate::cli::hook::call::{Answer, Call, Moment, Reply};
use crate::cli::hook::fields::{labels, object, text};
use crate::cli::hook::tools::{Kind, kind};

pub(super) const HOST: Host = Host {
    name: "cursor",
    is_from_types: true,
    deadline: Duration::from_secs(20),
    can_confirm: true,
    read,
    answer,
    runs,
    sample,
};

const TOOLS: &[(&str, Kind)] = &[
    ("Shell", Kind::Shell(&["command"])),
    ("Read", Kind::Read(&["file_path", "path", "target_file"])),
    ("Write", Kind::Write(&["file_path", "path", "target_file"])),
    ("Edit", Kind::Write(&["file_path", "path", "target_file"])),
    ("Delete", Kind::Write(&["file_path", "path", "target_file"])),
    ("Grep", Kind::Search(&["path"])),
    ("Glob", Kind::Search(&["path", "target_directory"])),
    ("LS", Kind::Search(&["path", "target_directory"])),
    ("WebFetch", Kind::Fetch(&["url"])),
    ("WebSearch", Kind::WebSearch(&["search_term", "query"])),
    ("Task", Kind::Agent(&["subagent_type"])),
];

fn read(input: &Map<String, Value>) -> Result<Call, String> {
    let event = text(input, &["hook_event_name"]).to_owned();
    let (moment, tool, arguments) = match event.as_str() {
        "" => return Err("the input has no `hook_event_name`".to_owned()),
        "preToolUse" | "beforeMCPExecution" => (Moment::Before, named(input)?, object(input.get("tool_input"))?),
        "postToolUse" | "afterMCPExecution" => (Moment::After(None), named(input)?, object(input.get("tool_input"))?),
        "postToolUseFailure" => {
            let error = text(input, &["error_message", "error"]).to_owned();
            (Moment::After(Some(error)), named(input)?, object(input.get("tool_input"))?)
        }
        "beforeShellExecution" => (Moment::Before, "Shell".to_owned(), labels(input, &["command"])),
        "afterShellExecution" => (Moment::After(None), "Shell".to_owned(), labels(input, &["command"])),
        "beforeReadFile" => (Moment::Before, "Read".to_owned(), labels(input, &["file_path"])),
        _ => (Moment::Other, String::new(), Map::new()),
    };
    let is_mcp = event.ends_with("MCPExecution");
    let kind = match tool.strip_prefix("MCP:").or(is_mcp.then_some(tool.as_str())) {
        // The input does not name the server, only its URL or command.
        Some(tool) => Kind::Mcp { server: "-".to_owned(), tool: tool.to_owned() },
        None => kind(TOOLS, &tool),
    };
    let roots = input.get("workspace_roots").and_then(|roots| roots.get(0)).and_then(Value::as_str);
    let cwd = match (text(&arguments, &["working_directory", "cwd"]), text(input, &["cwd"])) {
        ("", "") => roots.unwrap_or_default(),
        ("", cwd) | (cwd, _) => cwd,
    };
    Ok(Call {
        cwd: cwd.to_owned(),
        moment,
        event,
        kind,
        tool,
        session: text(input, &["conversation_id"]).to_owned(),
        id: text(input, &["tool_use_id"]).to_owned(),
        description: text(&arguments, &["description", "explanation"]).to_owned(),
        input: arguments,
        labels: labels(input, &["generation_id", "model", "url", "user_email"]),
    })
}

fn named(input: &Map<String, Value>) -> Result<String, String> {
    match text(input, &["tool_name"]) {
        "" => Err("the input has no `tool_name`".to_owned()),
        tool => Ok(tool.to_owned()),
    }
}

fn answer(_: &Call, answer: &Answer) -> Reply {
    let permission =
        |word: &str, why: &str| Reply::json(&json!({"permission": word, "user_message": why, "agent_message": why}));
    match answer {
        Answer::Allow => Reply::json(&json!({"permission": "allow"})),
        Answer::Confirm(why) => permission("ask", why),
        Answer::Deny(why) => permission("deny", why),
        Answer::Nothing => Reply::json(&json!({})),
    }
}

fn runs(code: Option<i32>, stdout: &str) -> bool {
    match code {
        Some(2) => false,
        Some(0) => !matches!(said(stdout, &["/permission"]).as_deref(), Some("deny" | "ask")),
        _ => true,
    }
}

fn sample(command: &str, cwd: &str) -> Value {
    json!({
        "conversation_id": "aegis-doctor", "generation_id": "1", "hook_event_name": "preToolUse",
        "workspace_roots": [cwd], "tool_name": "Shell", "tool_input": {"command": command, "cwd": cwd},
        "tool_use_id": "doctor",
    })
}
