//! opencode: it has plugins instead of hooks. The plugin that `aegis hook install opencode` writes sends this input,
//! and throws unless the answer is `allow`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::host::{Host, said};
use crate::cli::hook::call::{Answer, Call, Moment, Reply};
use crate::cli::hook::fields::{object, text};
use crate::cli::hook::tools::{Kind, kind};

pub(super) const HOST: Host = Host {
    name: "opencode",
    is_from_types: true,
    deadline: Duration::from_mins(5),
    can_confirm: false,
    read,
    answer,
    runs,
    sample,
};

const TOOLS: &[(&str, Kind)] = &[
    ("bash", Kind::Shell(&["command"])),
    ("read", Kind::Read(&["filePath"])),
    ("write", Kind::Write(&["filePath"])),
    ("edit", Kind::Write(&["filePath"])),
    ("multiedit", Kind::Write(&["filePath"])),
    ("patch", Kind::Patch(&["patchText"])),
    ("apply_patch", Kind::Patch(&["patchText"])),
    ("glob", Kind::Search(&["path"])),
    ("grep", Kind::Search(&["path"])),
    ("list", Kind::Search(&["path"])),
    ("webfetch", Kind::Fetch(&["url"])),
    ("websearch", Kind::WebSearch(&["query"])),
    ("task", Kind::Agent(&["subagent_type"])),
];

fn read(input: &Map<String, Value>) -> Result<Call, String> {
    let event = text(input, &["event"]).to_owned();
    let moment = match event.as_str() {
        "tool.execute.before" => Moment::Before,
        "tool.execute.after" => Moment::After(None),
        _ => return Err("the input has no `event` of the plugin".to_owned()),
    };
    let tool = text(input, &["tool"]).to_owned();
    if tool.is_empty() {
        return Err("the input has no `tool`".to_owned());
    }
    let arguments = object(input.get("args"))?;
    let project = text(input, &["directory"]).to_owned();
    let cwd = match text(&arguments, &["workdir"]) {
        directory if !directory.is_empty() && tool == "bash" => {
            std::path::Path::new(&project).join(directory).to_string_lossy().into_owned()
        }
        _ => project,
    };
    Ok(Call {
        moment,
        event,
        kind: kind(TOOLS, &tool),
        tool,
        cwd,
        session: text(input, &["sessionID"]).to_owned(),
        id: text(input, &["callID"]).to_owned(),
        description: text(&arguments, &["description"]).to_owned(),
        input: arguments,
        labels: Map::new(),
    })
}

fn answer(_: &Call, answer: &Answer) -> Reply {
    match answer {
        Answer::Allow | Answer::Nothing => Reply::json(&json!({"decision": "allow"})),
        Answer::Confirm(why) | Answer::Deny(why) => Reply::json(&json!({"decision": "deny", "reason": why})),
    }
}

fn runs(code: Option<i32>, stdout: &str) -> bool {
    code == Some(0) && said(stdout, &["/decision"]).as_deref() == Some("allow")
}

fn sample(command: &str, cwd: &str) -> Value {
    json!({
        "event": "tool.execute.before", "tool": "bash", "sessionID": "aegis-doctor", "callID": "doctor",
        "args": {"command": command}, "directory": cwd,
    })
}
