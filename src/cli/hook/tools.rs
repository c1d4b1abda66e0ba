//! What the tools of coding agents do, in the words of one vocabulary.
//!
//! | type | target |
//! | --- | --- |
//! | `shell/NAME`, `shell/script`, `shell/variable`, `shell/unknown`, `shell/nothing` | see [`super::commands`] |
//! | `file/read`, `file/write`, `file/search` | the real path of the file or directory |
//! | `web/fetch` | the URL |
//! | `web/search` | the query |
//! | `mcp/SERVER/TOOL` | the server |
//! | `agent/start` | the kind of sub-agent |
//! | `tool/NAME` | none: every other tool |

use serde_json::{Map, Value, json};

use super::action::Action;
use super::fields::text;
use super::place::real;
use super::{commands, patch};

/// What a tool does, and the keys of its input that say what with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Runs the command under one of these keys.
    Shell(&'static [&'static str]),
    /// Reads the file under one of these keys.
    Read(&'static [&'static str]),
    /// Writes the file under one of these keys.
    Write(&'static [&'static str]),
    /// Looks through the directory under one of these keys.
    Search(&'static [&'static str]),
    /// Applies the patch under one of these keys.
    Patch(&'static [&'static str]),
    /// Fetches the URL under one of these keys.
    Fetch(&'static [&'static str]),
    /// Searches the web.
    WebSearch(&'static [&'static str]),
    /// Starts another agent.
    Agent(&'static [&'static str]),
    /// Calls a tool of an MCP server.
    Mcp { server: String, tool: String },
    /// Anything else.
    Tool,
}

/// What a tool of this name does, by a host's table. `mcp__SERVER__TOOL` is the name that most hosts give to a tool of
/// an MCP server.
pub(super) fn kind(table: &[(&str, Kind)], tool: &str) -> Kind {
    if let Some((server, tool)) = tool.strip_prefix("mcp__").and_then(|rest| rest.split_once("__")) {
        return Kind::Mcp { server: server.to_owned(), tool: tool.to_owned() };
    }
    table.iter().find(|(name, _)| *name == tool).map_or(Kind::Tool, |(_, kind)| kind.clone())
}

impl Kind {
    /// The actions of a call.
    pub(super) fn actions(
        &self,
        tool: &str,
        input: &Map<String, Value>,
        cwd: &str,
        home: Option<&str>,
    ) -> Result<Vec<Action>, String> {
        let needed = |keys: &[&str]| match text(input, keys) {
            "" => Err(format!("the input of {tool} has no text under `{}`", keys.join("` or `"))),
            text => Ok(text.to_owned()),
        };
        let file = |kind: &str, keys: &[&str]| {
            let path = needed(keys)?;
            // Where links lead is part of the question: without a directory, nobody knows.
            if !path.starts_with(['/', '~']) && cwd.is_empty() {
                return Err(format!("the path {path} is relative, and the input does not name a directory"));
            }
            let file = real(&path, cwd, home);
            let params = json!({"tool": tool, "cwd": cwd, "file": file, "input": input});
            Ok(vec![Action::new(kind, file, params)])
        };
        let one = |kind: String, target: &str| Ok(vec![Action::new(kind, target, params(tool, input, cwd))]);
        match self {
            Self::Shell(keys) => Ok(commands::actions(&needed(keys)?, cwd, home)),
            Self::Read(keys) => file("file/read", keys),
            Self::Write(keys) => file("file/write", keys),
            Self::Search(keys) => {
                let directory = text(input, keys);
                let directory = real(if directory.is_empty() { "." } else { directory }, cwd, home);
                let params = json!({"tool": tool, "cwd": cwd, "file": directory, "input": input});
                Ok(vec![Action::new("file/search", directory, params)])
            }
            Self::Patch(keys) => {
                let patch = needed(keys)?;
                let files = patch::files(&patch)?;
                let action = |path: &String| {
                    let file = real(path, cwd, home);
                    Action::new(
                        "file/write",
                        file.clone(),
                        json!({"tool": tool, "cwd": cwd, "file": file, "patch": patch}),
                    )
                };
                Ok(files.iter().map(action).collect())
            }
            Self::Fetch(keys) => one("web/fetch".to_owned(), text(input, keys)),
            Self::WebSearch(keys) => one("web/search".to_owned(), text(input, keys)),
            Self::Agent(keys) => one("agent/start".to_owned(), text(input, keys)),
            Self::Mcp { server, tool } => {
                Ok(vec![Action::new(format!("mcp/{server}/{tool}"), server, Value::Object(input.clone()))])
            }
            Self::Tool => one(format!("tool/{tool}"), ""),
        }
    }
}

/// The input of the tool, with the tool's name and the directory.
fn params(tool: &str, input: &Map<String, Value>, cwd: &str) -> Value {
    json!({"tool": tool, "cwd": cwd, "input": input})
}
