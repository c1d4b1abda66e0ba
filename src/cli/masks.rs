//! Text of an agent as a person sees it: safe to show, and with what is masked in marks that no text can imitate.
//!
//! A placeholder stands in `⟦` and `⟧`. In an agent's own text, these two characters are written as escapes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{blanks, safe_json};
use crate::domain::{MaskedText, Pointer, Stretch, visible};
use crate::proto::v1::Mask;

const OPEN: char = '\u{27e6}';
const CLOSE: char = '\u{27e7}';

/// What is masked in an action, by the JSON pointer of the value.
pub(super) struct Masks<'a> {
    all: &'a [Mask],
    by_pointer: BTreeMap<&'a str, Vec<&'a Mask>>,
}

/// What an agent wrote, with hidden characters written out, blanks made visible, and nothing that looks like a mark.
pub(super) fn shown(text: &str) -> String {
    let shown = blanks::mark(&visible(text)).into_owned();
    if shown.contains([OPEN, CLOSE]) {
        return shown.replace(OPEN, "\\u{27e6}").replace(CLOSE, "\\u{27e7}");
    }
    shown
}

fn mark(length: u32) -> String {
    format!("{OPEN}masked: {length} characters{CLOSE}")
}

impl<'a> Masks<'a> {
    pub(super) fn new(all: &'a [Mask]) -> Self {
        let mut by_pointer = BTreeMap::<_, Vec<_>>::new();
        for mask in all.iter().filter(|mask| !mask.pointer.is_empty()) {
            by_pointer.entry(mask.pointer.as_str()).or_default().push(mask);
        }
        Self { all, by_pointer }
    }

    /// The names of what is masked, each once.
    pub(super) fn names(&self) -> String {
        let mut names: Vec<String> = Vec::new();
        for mask in self.all {
            let name = shown(if mask.path.is_empty() { mask.pointer.trim_start_matches('/') } else { &mask.path });
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(", ")
    }

    /// A sentence for each parameter of which a part cannot be read, such as a command.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = String> {
        let in_params = self.by_pointer.iter().filter(|(pointer, _)| pointer.starts_with("/params/"));
        in_params.filter_map(|(pointer, masks)| {
            let hidden: u64 = masks.iter().filter(|mask| mask.start.is_some()).map(|mask| u64::from(mask.length)).sum();
            let name = shown(pointer.trim_start_matches("/params/"));
            (hidden > 0).then(|| format!("{hidden} characters of {name} cannot be read: they are masked"))
        })
    }

    /// A text of the agent.
    pub(super) fn text(&self, text: &str, at: &Pointer) -> String {
        self.parts(text, at, shown)
    }

    fn parts(&self, text: &str, at: &Pointer, shown: impl Fn(&str) -> String) -> String {
        let Some(masks) = self.by_pointer.get(at.as_str()) else { return shown(text) };
        if let Some(whole) = masks.iter().find(|mask| mask.start.is_none()) {
            return mark(whole.length);
        }
        let stretch = |mask: &&Mask| Some(Stretch { start: mask.start?, end: mask.end?, length: mask.length });
        let masked = MaskedText { text: text.to_owned(), stretches: masks.iter().filter_map(stretch).collect() };
        let parts = masked.parts().into_iter().map(|part| match part {
            Ok(text) => shown(text),
            Err((_, stretch)) => mark(stretch.length),
        });
        parts.collect()
    }

    /// A value of the agent, as JSON.
    pub(super) fn value(&self, value: &Value, at: &mut Pointer) -> String {
        let below = format!("{}/", at.as_str());
        let has_masks = self.by_pointer.contains_key(at.as_str())
            || self.by_pointer.range(below.as_str()..).next().is_some_and(|(pointer, _)| pointer.starts_with(&below));
        match value {
            _ if !has_masks => shown(&safe_json::compact(value)),
            Value::Array(items) => {
                let items = items.iter().enumerate().map(|(i, item)| {
                    let before = at.enter_index(i);
                    let item = self.value(item, at);
                    at.leave(before);
                    item
                });
                format!("[{}]", items.collect::<Vec<_>>().join(","))
            }
            Value::Object(map) => {
                let members = map.iter().map(|(key, value)| {
                    let before = at.enter(key);
                    let member = format!("{}:{}", shown(&safe_json::compact(key)), self.value(value, at));
                    at.leave(before);
                    member
                });
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }
            Value::String(text) => {
                let masks = self.by_pointer.get(at.as_str());
                let is_whole = masks.is_some_and(|masks| masks.iter().any(|mask| mask.start.is_none()));
                let inner = self.parts(text, at, |text| {
                    let quoted = shown(&safe_json::compact(&text));
                    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                    inner.unwrap_or(&quoted).to_owned()
                });
                if is_whole { inner } else { format!("\"{inner}\"") }
            }
            other => shown(&safe_json::compact(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mask(pointer: &str, stretch: Option<(u32, u32)>, length: u32) -> Mask {
        let (start, end) = stretch.unzip();
        Mask { pointer: pointer.into(), path: String::new(), start, end, length, digest: String::new() }
    }

    #[test]
    fn what_is_masked_is_marked_and_what_only_looks_like_it_is_text() {
        let all = [
            mask("/params/password", None, 8),
            mask("/params/command", Some((5, 27)), 40),
            mask("/params/list/1", None, 3),
        ];
        let masks = Masks::new(&all);
        let at = |name: &str| {
            let mut at = Pointer::to("params");
            at.enter(name);
            at
        };
        let placeholder = "[masked, 8 characters]";
        assert_eq!(masks.value(&json!(placeholder), &mut at("password")), "\u{27e6}masked: 8 characters\u{27e7}");
        let fake = "\u{27e6}masked: 8 characters\u{27e7}";
        assert_eq!(masks.value(&json!(fake), &mut at("note")), "\"\\u{27e6}masked: 8 characters\\u{27e7}\"");
        assert_eq!(masks.value(&json!(placeholder), &mut at("note")), "\"[masked, 8 characters]\"");
        let command = format!("curl {placeholder} \u{27e7}");
        assert_eq!(
            masks.value(&json!(command), &mut at("command")),
            "\"curl \u{27e6}masked: 40 characters\u{27e7} \\u{27e7}\""
        );
        assert_eq!(
            masks.value(&json!([placeholder, placeholder]), &mut at("list")),
            "[\"[masked, 8 characters]\",\u{27e6}masked: 3 characters\u{27e7}]"
        );
        let unreadable: Vec<_> = masks.unreadable().collect();
        assert_eq!(unreadable, ["40 characters of command cannot be read: they are masked"]);
    }
}
