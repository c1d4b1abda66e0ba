//! Copilot CLI: camel case, and no name of the event in the input. A crash and every code but 0 deny; a timeout lets
//! the tool run, so the deadline must lie within the host's.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::host::{Host, said};
use crate::cli::hook::call::{Answer, Call, Moment, Reply};
use crate::cli::hook::fields::{labels, object, text};
use crate::cli::hook::tools::{Kind, kind};

pub(super) const HOST: Host = Host {
    name: "copilot",
    is_from_types: true,
    deadline: Duration::from_secs(20),
    can_confirm: false,
    read,
    answer,
    runs,
    sample,
};

const TOOLS: &[(&str, Kind)] = &[
    ("bash", Kind::Shell(&["command"])),
    ("shell", Kind::Shell(&["command"])),
    ("view", Kind::Read(&["path", "file_path"])),
    ("create", Kind::Write(&["path", "file_path"])),
    ("edit", Kind::Write(&["path", "file_path"])),
    ("apply_patch", Kind::Patch(&["patch", "input", "command"])),
    ("glob", Kind::Search(&["path"])),
    ("grep", Kind::Search(&["path"])),
    ("rg", Kind::Search(&["path"])),
    ("web_fetch", Kind::Fetch(&["url"])),
    ("fetch", Kind::Fetch(&["url"])),
    ("web_search", Kind::WebSearch(&["query"])),
    ("task", Kind::Agent(&["agent_type"])),
];

fn read(input: &Map<String, Value>) -> Result<Call, String> {
    let tool = text(input, &["toolName"]).to_owned();
    let is_other =
        input.contains_key("sessionId") && input.contains_key("timestamp") && !input.contains_key("toolArgs");
    let moment = match input.get("toolResult") {
        _ if tool.is_empty() && is_other => Moment::Other,
        _ if tool.is_empty() => return Err("the input has no `toolName`".to_owned()),
        None => Moment::Before,
        Some(result) => {
            let result = result.as_object().cloned().unwrap_or_default();
            let is_failure = matches!(text(&result, &["resultType"]), "failure" | "denied");
            Moment::After(is_failure.then(|| text(&result, &["textResultForLlm"]).to_owned()))
        }
    };
    let arguments = object(input.get("toolArgs"))?;
    Ok(Call {
        event: if matches!(moment, Moment::After(_)) { "postToolUse" } else { "preToolUse" }.to_owned(),
        moment,
        kind: kind(TOOLS, &tool),
        tool,
        session: text(input, &["sessionId"]).to_owned(),
        cwd: text(input, &["cwd"]).to_owned(),
        id: text(input, &["toolCallId"]).to_owned(),
        description: text(&arguments, &["description"]).to_owned(),
        input: arguments,
        labels: labels(input, &["timestamp"]),
    })
}

fn answer(_: &Call, answer: &Answer) -> Reply {
    match answer {
        Answer::Allow | Answer::Nothing => Reply::silent(),
        Answer::Confirm(why) | Answer::Deny(why) => {
            Reply::json(&json!({"permissionDecision": "deny", "permissionDecisionReason": why}))
        }
    }
}

fn runs(code: Option<i32>, stdout: &str) -> bool {
    code == Some(0) && said(stdout, &["/permissionDecision"]).as_deref() != Some("deny")
}

fn sample(command: &str, cwd: &str) -> Value {
    json!({
        "sessionId": "aegis-doctor", "timestamp": 1_764_280_000_000_i64, "cwd": cwd, "toolName": "bash",
        "toolArgs": json!({"command": command}).to_string(),
    })
}
