//! An action and its actor, as `propose` and `evaluate` take them from the command line.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value};

use super::failure::{Failure, because};
use super::wire;
use crate::domain::json::parse_strict;
use crate::proto::v1;

/// An action and who proposes it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ActionArgs {
    /// Type of the action, for example `bulk_update`
    #[arg(value_name = "TYPE")]
    action_type: String,

    /// Target of the action, for example `crm`
    #[arg(default_value = "", hide_default_value = true)]
    target: String,

    /// Parameters of the action: a JSON object, `@FILE`, or `@-` for stdin
    #[arg(long, value_name = "JSON|@FILE")]
    params: Option<String>,

    /// Describe the action to a reviewer, in the agent's own words
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,

    /// Declare who proposes
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    actor: String,

    /// Declare what kind of actor that is, for example `ai-agent`
    #[arg(long, value_name = "TYPE", default_value = "", hide_default_value = true)]
    actor_type: String,
}

impl ActionArgs {
    /// The action as a message.
    pub(super) fn action(&self) -> Result<v1::Action, Failure> {
        let params = match &self.params {
            Some(text) => Some(wire::to_struct(object("--params", text)?, "params").map_err(Failure::usage)?),
            None => None,
        };
        let Self { action_type, target, description, .. } = self.clone();
        Ok(v1::Action { r#type: action_type, target, params, description })
    }

    /// The actor as a message.
    pub(super) fn actor(&self) -> v1::Actor {
        v1::Actor { id: self.actor.clone(), r#type: self.actor_type.clone() }
    }
}

/// Reads a JSON object from the command line, from `@FILE`, or from stdin (`@-`).
pub(super) fn object(flag: &str, text: &str) -> Result<Map<String, Value>, Failure> {
    let (text, from) = match text.strip_prefix('@') {
        None => (text.to_owned(), flag.to_owned()),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Failure::usage(format!("{flag}: cannot read stdin: {}", because(&error))))?;
            (text, format!("{flag}: stdin"))
        }
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|error| {
                Failure::usage(format!("{flag}: cannot read {}: {}", Path::new(path).display(), because(&error)))
            })?;
            (text, format!("{flag}: {path}"))
        }
    };
    let wrong = |what: String| {
        Failure::usage(format!("{from}: {what}")).hint(r#"write a JSON object, for example '{"count": 150}'"#)
    };
    match parse_strict(&text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(wrong(format!("expected a JSON object, got {}", kind(&other)))),
        Err(error) => Err(wrong(format!("not valid JSON: {error}"))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    #[test]
    fn params_come_from_the_command_line_or_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("params.json");
        fs::write(&file, "{\"count\": 150}\n").unwrap();
        assert_eq!(object("--params", r#"{"count":150}"#).unwrap()["count"], 150);
        assert_eq!(object("--params", &format!("@{}", file.display())).unwrap()["count"], 150);
    }

    #[test]
    fn params_that_are_no_object_are_refused_with_an_example() {
        for (text, says) in [
            ("[1]", "got a list"),
            (r#"{"a":{"b":1,"b":2}}"#, "given twice"),
            ("{a: 1}", "not valid JSON"),
            ("", "not valid JSON"),
            ("@/nowhere", "cannot read"),
        ] {
            let failure = object("--params", text).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage);
            assert!(failure.to_string().contains(says), "{text}: {failure}");
        }
    }
}
