//! A case: an action with its actor and its time, from a line of JSON or from the command line.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cli::times;
use crate::domain::json::parse_strict;
use crate::domain::{Action, Timestamp};
use crate::policy::Question;

/// One question for a policy.
#[derive(Debug, PartialEq)]
pub(super) struct Case {
    /// The case's own id, which the answer repeats.
    pub(super) id: Value,
    pub(super) now: Timestamp,
    pub(super) actor: String,
    pub(super) authenticated: bool,
    pub(super) action: Action,
}

impl Case {
    /// The question that the case asks.
    pub(super) fn question(&self) -> Question<'_> {
        Question {
            action: &self.action,
            declared_actor: &self.actor,
            authenticated_actor: self.authenticated.then_some(self.actor.as_str()),
            now: self.now,
            masked: &[],
        }
    }
}

/// Reads a line of JSON. The error begins with the column. Unknown members are ignored, because files of cases also
/// contain notes and expectations.
pub(super) fn read(line: &str, now: Timestamp) -> Result<Case, String> {
    #[derive(Deserialize)]
    #[serde(expecting = "an object with `action`")]
    struct Line {
        #[serde(default)]
        id: Value,
        #[serde(default)]
        now: Option<String>,
        #[serde(default)]
        actor: Option<LineActor>,
        #[serde(default)]
        authenticated: bool,
        action: LineAction,
    }
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "`actor` is a text or an object with `id`")]
    enum LineActor {
        Id(String),
        Actor { id: String },
    }
    #[derive(Deserialize)]
    #[serde(expecting = "an object with `type`")]
    struct LineAction {
        r#type: String,
        #[serde(default)]
        target: String,
        #[serde(default)]
        params: Map<String, Value>,
        #[serde(default)]
        description: String,
    }

    if !line.trim_start().starts_with('{') {
        return Err("1: a case is a JSON object with `action`".into());
    }
    let line: Line = parse_strict(line).map_err(|error| {
        let (column, error) = (error.column(), error.to_string());
        // serde names line 1, whatever line of the file this is.
        format!("{column}: {}", error.split(" at line 1").next().unwrap_or(&error))
    })?;
    let LineAction { r#type, target, params, description } = line.action;
    Ok(Case {
        id: line.id,
        now: match line.now {
            Some(text) => times::point(&text).map_err(|wrong| format!("1: `now`: {wrong}"))?,
            None => now,
        },
        actor: match line.actor {
            Some(LineActor::Id(id) | LineActor::Actor { id }) => id,
            None => String::new(),
        },
        authenticated: line.authenticated,
        action: Action { r#type, target, params, description },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn a_case_may_have_every_member_or_only_the_type() {
        let full = json!({
            "id": "c1", "now": "2026-03-18T12:00:00Z", "actor": {"id": "agent-7", "type": "ai-agent"},
            "authenticated": true,
            "action": {"type": "read", "target": "crm", "params": {"a": 1}, "description": "d"}, "expect": {}
        });
        let case = read(&full.to_string(), NOW).unwrap();
        assert_eq!(
            (case.now.to_string().as_str(), case.question().authenticated_actor),
            ("2026-03-18T12:00:00Z", Some("agent-7"))
        );
        assert_eq!(case.action.params, *json!({"a": 1}).as_object().unwrap());

        let case = read(r#"{"action":{"type":""},"actor":"agent-7"}"#, NOW).unwrap();
        assert_eq!((&case.id, case.now, case.actor.as_str()), (&Value::Null, NOW, "agent-7"));
        assert_eq!(case.question().authenticated_actor, None);
    }

    #[test]
    fn an_error_in_a_case_has_its_column() {
        for (line, says) in [
            ("[]", "1: a case is a JSON object with `action`"),
            ("{}", "2: missing field `action`"),
            (r#"{"action":{"type":5}}"#, "19: invalid type: integer `5`, expected a string"),
            (r#"{"action":{"type":"a","params":[1]}}"#, "31: invalid type: sequence, expected a map"),
            (r#"{"action":{"type":"a","params":{"n":1,"n":2}}}"#, r#"41: the key "n" is given twice"#),
            (r#"{"action":{"type":"a"},"actor":7}"#, "33: `actor` is a text or an object with `id`"),
            (r#"{"action":{"type":"a"},"now":"noon"}"#, "1: `now`: `noon` is not a moment"),
            ("{", "1: EOF while parsing an object"),
            (r#"{"action":{"type":"a","type":"b"}}"#, "28: the key \"type\" is given twice: give it once"),
        ] {
            let wrong = read(line, NOW).unwrap_err();
            assert!(wrong.starts_with(says) && !wrong.contains("struct"), "{line}: {wrong}");
        }
    }
}
