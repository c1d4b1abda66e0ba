//! Claude Code: JSON on stdin and stdout. Code 2 blocks with the text of stderr; any other failure lets the tool run,
//! unless `onFailure` is `block`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::host::{Host, said};
use crate::cli::hook::call::{Answer, Call, Moment, Reply};
use crate::cli::hook::fields::{labels, object, text};
use crate::cli::hook::tools::{Kind, kind};

pub(super) const HOST: Host = Host {
    name: "claude-code",
    is_from_types: true,
    deadline: Duration::from_mins(5),
    can_confirm: true,
    read,
    answer,
    runs,
    sample,
};

const TOOLS: &[(&str, Kind)] = &[
    ("Bash", Kind::Shell(&["command"])),
    ("Monitor", Kind::Shell(&["command"])),
    ("Read", Kind::Read(&["file_path"])),
    ("NotebookRead", Kind::Read(&["notebook_path"])),
    ("Write", Kind::Write(&["file_path"])),
    ("Edit", Kind::Write(&["file_path"])),
    ("MultiEdit", Kind::Write(&["file_path"])),
    ("NotebookEdit", Kind::Write(&["notebook_path"])),
    ("Glob", Kind::Search(&["path"])),
    ("Grep", Kind::Search(&["path"])),
    ("LS", Kind::Search(&["path"])),
    ("WebFetch", Kind::Fetch(&["url"])),
    ("WebSearch", Kind::WebSearch(&["query"])),
    ("Task", Kind::Agent(&["subagent_type"])),
    ("Agent", Kind::Agent(&["subagent_type"])),
];

fn read(input: &Map<String, Value>) -> Result<Call, String> {
    read_with(input, TOOLS)
}

/// Reads the input that Claude Code and Codex share.
pub(super) fn read_with(input: &Map<String, Value>, tools: &[(&str, Kind)]) -> Result<Call, String> {
    let event = text(input, &["hook_event_name"]).to_owned();
    let moment = match event.as_str() {
        "" => return Err("the input has no `hook_event_name`".to_owned()),
        "PreToolUse" | "PermissionRequest" => Moment::Before,
        "PostToolUse" => Moment::After(None),
        "PostToolUseFailure" => Moment::After(Some(match text(input, &["error"]) {
            "" => "the tool failed".to_owned(),
            error => error.to_owned(),
        })),
        _ => Moment::Other,
    };
    let tool = text(input, &["tool_name"]).to_owned();
    if tool.is_empty() && moment != Moment::Other {
        return Err("the input has no `tool_name`".to_owned());
    }
    let arguments = object(input.get("tool_input"))?;
    Ok(Call {
        moment,
        event,
        session: text(input, &["session_id"]).to_owned(),
        cwd: text(input, &["cwd"]).to_owned(),
        id: text(input, &["tool_use_id"]).to_owned(),
        kind: kind(tools, &tool),
        tool,
        description: text(&arguments, &["description"]).to_owned(),
        input: arguments,
        labels: labels(input, &["permission_mode", "agent_id", "agent_type", "tool_use_id", "turn_id", "model"]),
    })
}

fn answer(call: &Call, answer: &Answer) -> Reply {
    if call.event == "PermissionRequest" {
        return match answer {
            Answer::Deny(why) => permission_request(&json!({"behavior": "deny", "message": why})),
            Answer::Allow | Answer::Confirm(_) | Answer::Nothing => Reply::silent(),
        };
    }
    let decision = |decision: &str, why: &str| {
        Reply::json(&json!({"hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": decision,
            "permissionDecisionReason": why,
        }}))
    };
    match answer {
        // The user's own rules and prompts still hold: to say `allow` would skip them.
        Answer::Allow | Answer::Nothing => Reply::silent(),
        Answer::Confirm(why) => decision("ask", why),
        Answer::Deny(why) => decision("deny", why),
    }
}

/// The answer to a `PermissionRequest`.
pub(super) fn permission_request(decision: &Value) -> Reply {
    Reply::json(&json!({"hookSpecificOutput": {"hookEventName": "PermissionRequest", "decision": decision}}))
}

fn runs(code: Option<i32>, stdout: &str) -> bool {
    match code {
        Some(2) => false,
        Some(0) => !matches!(
            said(stdout, &["/hookSpecificOutput/permissionDecision"]).as_deref(),
            Some("deny" | "ask" | "defer")
        ),
        // `onFailure: block`, which `aegis hook install` sets, is not known to older versions.
        _ => true,
    }
}

pub(super) fn sample(command: &str, cwd: &str) -> Value {
    json!({
        "session_id": "aegis-doctor", "transcript_path": "/dev/null", "cwd": cwd, "permission_mode": "default",
        "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": command},
        "tool_use_id": "toolu_doctor",
    })
}
