//! Codex: the input of Claude Code, but a stricter reader. It takes `deny` with a reason; to allow, a hook prints
//! nothing. Whatever else it prints, and every failure but code 2 with a text on stderr, lets the tool run.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::claude_code::{permission_request, read_with, sample};
use super::host::{Host, said};
use crate::cli::hook::call::{Answer, Call, Reply};
use crate::cli::hook::tools::Kind;

pub(super) const HOST: Host = Host {
    name: "codex",
    is_from_types: true,
    deadline: Duration::from_mins(5),
    can_confirm: false,
    read,
    answer,
    runs,
    sample,
};

const TOOLS: &[(&str, Kind)] = &[
    ("Bash", Kind::Shell(&["command"])),
    ("shell", Kind::Shell(&["command"])),
    ("apply_patch", Kind::Patch(&["command", "input", "patch"])),
    ("view_image", Kind::Read(&["path"])),
    ("web_search", Kind::WebSearch(&["query"])),
];

fn read(input: &Map<String, Value>) -> Result<Call, String> {
    read_with(input, TOOLS)
}

fn answer(call: &Call, answer: &Answer) -> Reply {
    match answer {
        Answer::Allow | Answer::Nothing => Reply::silent(),
        Answer::Confirm(why) | Answer::Deny(why) if call.event == "PermissionRequest" => {
            permission_request(&json!({"behavior": "deny", "message": why}))
        }
        Answer::Confirm(why) | Answer::Deny(why) => Reply::json(&json!({"hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": why,
        }})),
    }
}

fn runs(code: Option<i32>, stdout: &str) -> bool {
    match code {
        Some(2) => false,
        Some(0) => said(stdout, &["/hookSpecificOutput/permissionDecision"]).as_deref() != Some("deny"),
        _ => true,
    }
}
