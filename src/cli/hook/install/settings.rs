//! Settings in JSON, with or without comments: the hook's entries are added or removed, and every other byte stays.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstArray, CstInputValue, CstNode, CstObject, CstRootNode};
use serde_json::{Value, json};

/// The form of a host's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    ClaudeCode,
    Codex,
    Gemini,
    Cursor,
    Copilot,
}

/// What to write.
pub(super) struct Edit {
    pub(super) host: &'static str,
    pub(super) style: Style,
    pub(super) events: &'static [&'static str],
    pub(super) command: String,
    /// The host's timeout.
    pub(super) seconds: u64,
}

impl Edit {
    /// The entry for one event, fail-closed where the host can be told so.
    fn entry(&self) -> Value {
        let Self { command, seconds, .. } = self;
        match self.style {
            Style::ClaudeCode => json!({"matcher": "*", "hooks": [
                {"type": "command", "command": command, "timeout": seconds, "onFailure": "block"},
            ]}),
            Style::Codex => json!({"matcher": "*", "hooks": [
                {"type": "command", "command": command, "timeout": seconds},
            ]}),
            Style::Gemini => json!({"matcher": "*", "hooks": [
                {"type": "command", "name": "aegis", "command": command, "timeout": seconds * 1_000},
            ]}),
            Style::Cursor => json!({"command": command, "timeout": seconds, "failClosed": true}),
            Style::Copilot => json!({"type": "command", "bash": command, "timeoutSec": seconds}),
        }
    }
}

/// The settings with the hook; `None` if it is there already.
pub(super) fn install(text: &str, edit: &Edit) -> Result<Option<String>, String> {
    let root = parse(if text.trim().is_empty() { "{}\n" } else { text })?;
    let object = root.object_value().ok_or("it is no JSON object")?;
    let entry = edit.entry();
    let is_there = |event: &&str| {
        let found = entries(&object, event);
        found.iter().filter(|found| is_ours(found, edit.host)).count() == 1 && found.contains(&entry)
    };
    if edit.events.iter().all(is_there) {
        return Ok(None);
    }
    remove(&object, edit.host)?;
    if matches!(edit.style, Style::Cursor | Style::Copilot) && object.get("version").is_none() {
        object.append("version", CstInputValue::Number("1".to_owned()));
    }
    let hooks = object.object_value_or_create("hooks").ok_or("`hooks` is no object")?;
    for event in edit.events {
        let list = hooks.array_value_or_create(event).ok_or_else(|| format!("`hooks.{event}` is no list"))?;
        list.ensure_multiline();
        list.append(input(&entry));
    }
    Ok(Some(root.to_string()))
}

/// The settings without the hook; `None` if it is not there.
pub(super) fn uninstall(text: &str, host: &str) -> Result<Option<String>, String> {
    let root = parse(text)?;
    let object = root.object_value().ok_or("it is no JSON object")?;
    Ok(remove(&object, host)?.then(|| root.to_string()))
}

fn parse(text: &str) -> Result<CstRootNode, String> {
    CstRootNode::parse(text, &ParseOptions::default()).map_err(|error| format!("it is not valid JSON: {error}"))
}

/// The entries of an event.
fn entries(object: &CstObject, event: &str) -> Vec<Value> {
    let list = object.object_value("hooks").and_then(|hooks| hooks.array_value(event));
    list.iter().flat_map(CstArray::elements).filter_map(|element| element.to_serde_value()).collect()
}

/// Whether an entry, or a hook of an entry, is one that this program wrote.
fn is_ours(entry: &Value, host: &str) -> bool {
    let command = |hook: &Value| {
        let text = hook.get("command").or_else(|| hook.get("bash")).and_then(Value::as_str).unwrap_or_default();
        text.contains("aegis") && text.contains(&format!(" hook {host} "))
    };
    command(entry) || entry.get("hooks").and_then(Value::as_array).is_some_and(|hooks| hooks.iter().any(command))
}

/// Removes this program's hooks, and the lists and objects that are empty without them.
fn remove(object: &CstObject, host: &str) -> Result<bool, String> {
    let Some(hooks) = object.object_value("hooks") else { return Ok(false) };
    let ours = |node: &CstNode| node.to_serde_value().is_some_and(|value| is_ours(&value, host));
    let mut removed = false;
    for property in hooks.properties() {
        let Some(list) = property.array_value() else { continue };
        for element in list.elements().into_iter().filter(ours) {
            removed = true;
            let inner = element.as_object().and_then(|group| group.array_value("hooks"));
            if let Some(inner) = inner {
                inner.elements().into_iter().filter(ours).for_each(CstNode::remove);
                if !inner.elements().is_empty() {
                    continue;
                }
            }
            element.remove();
        }
        if removed && list.elements().is_empty() {
            property.remove();
        }
    }
    if removed && hooks.properties().is_empty() {
        object.get("hooks").ok_or("`hooks` is gone")?.remove();
    }
    Ok(removed)
}

/// JSON as the editor takes it.
fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(object) => {
            CstInputValue::Object(object.iter().map(|(key, value)| (key.clone(), input(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(style: Style) -> Edit {
        let command = "'/my bin/aegis' hook claude-code --deadline 300s || exit 2".to_owned();
        Edit { host: "claude-code", style, events: &["PreToolUse", "PostToolUse"], command, seconds: 360 }
    }

    const SETTINGS: &str = r#"{
  // my own
  "model": "opus", /* here */
  "hooks": {
    "PreToolUse": [
      {"matcher": "Bash", "hooks": [{"type": "command", "command": "./lint"}]},
    ],
  },
  "z": 1,
  "a": [1, 2],
}
"#;

    #[test]
    fn the_hook_is_added_once_and_removed_without_a_trace() {
        for style in [Style::ClaudeCode, Style::Codex, Style::Gemini, Style::Cursor, Style::Copilot] {
            let installed = install(SETTINGS, &edit(style)).unwrap().unwrap();
            for kept in ["// my own", "/* here */", "./lint", "\"a\": [1, 2]"] {
                assert!(installed.contains(kept), "{kept}: {installed}");
            }
            let value = parse(&installed).unwrap().to_serde_value().unwrap();
            assert_eq!(value["hooks"]["PostToolUse"], json!([edit(style).entry()]));
            assert_eq!(value["hooks"]["PreToolUse"][1], edit(style).entry());
            assert_eq!(install(&installed, &edit(style)).unwrap(), None, "the second time changes nothing");
            let changed = Edit { seconds: 90, ..edit(style) };
            let changed = install(&installed, &changed).unwrap().unwrap();
            assert_eq!(changed.matches("hook claude-code").count(), 2, "{changed}");
            let removed = uninstall(&installed, "claude-code").unwrap().unwrap();
            let without = parse(&removed).unwrap().to_serde_value().unwrap();
            let mut own = parse(SETTINGS).unwrap().to_serde_value().unwrap();
            if matches!(style, Style::Cursor | Style::Copilot) {
                own["version"] = json!(1);
            }
            assert_eq!(without, own);
            assert!(removed.contains("// my own"));
            assert_eq!(uninstall(&removed, "claude-code").unwrap(), None);
        }
    }

    #[test]
    fn a_hook_of_others_in_the_same_group_stays() {
        let group = json!({"hooks": {"PreToolUse": [{"matcher": "*", "hooks": [
            {"type": "command", "command": "./lint"},
            {"type": "command", "command": edit(Style::ClaudeCode).command},
        ]}]}});
        let removed = uninstall(&group.to_string(), "claude-code").unwrap().unwrap();
        let value: Value = serde_json::from_str(&removed).unwrap();
        assert_eq!(value["hooks"]["PreToolUse"][0]["hooks"], json!([{"type": "command", "command": "./lint"}]));
        assert_eq!(uninstall(&group.to_string(), "codex").unwrap(), None);
    }

    #[test]
    fn what_is_no_settings_file_is_refused() {
        for text in ["[1]", "{", r#"{"hooks": []}"#, r#"{"hooks": {"PreToolUse": {}}}"#] {
            assert!(install(text, &edit(Style::ClaudeCode)).is_err(), "{text}");
        }
        assert!(install("", &edit(Style::ClaudeCode)).unwrap().unwrap().contains("PreToolUse"));
    }
}
