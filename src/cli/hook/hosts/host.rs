//! What is to be known of a coding agent's hooks.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::cli::hook::call::{Answer, Call, Reply};

/// A coding agent, as its hooks are.
pub(in crate::cli) struct Host {
    /// Its name on the command line and on the record.
    pub(in crate::cli) name: &'static str,
    /// Whether its form was read in a running program, or in published types and documents only.
    pub(in crate::cli) is_from_types: bool,
    /// How long the hook takes at most unless `--deadline` says otherwise: less than the host's own default timeout.
    pub(in crate::cli) deadline: Duration,
    /// Whether it can ask its own user.
    pub(in crate::cli::hook) can_confirm: bool,
    /// Reads its input.
    pub(in crate::cli::hook) read: fn(&Map<String, Value>) -> Result<Call, String>,
    /// Writes its answer.
    pub(in crate::cli::hook) answer: fn(&Call, &Answer) -> Reply,
    /// Whether the tool runs after a hook that ended like this: its exit code (`None` if a signal ended it, or the host
    /// gave up) and what it printed.
    pub(in crate::cli) runs: fn(Option<i32>, &str) -> bool,
    /// An input that asks to run this shell command in this directory.
    pub(in crate::cli) sample: fn(&str, &str) -> Value,
}

/// The host's own answer in a JSON document, under one of these paths.
pub(super) fn said(stdout: &str, pointers: &[&str]) -> Option<String> {
    let value: Value = serde_json::from_str(stdout).ok()?;
    pointers.iter().find_map(|pointer| Some(value.pointer(pointer)?.as_str()?.to_owned()))
}
