//! Masking parameters before they are stored or shown.
//!
//! Only scalars are masked, wherever they stand under a masked name, so that a reviewer still sees the shape of what is
//! asked.

use serde_json::{Map, Value};

use super::value;
use crate::domain::{self, Marks, ParamPath, Pointer};

/// The parameters with every scalar under these names replaced by `[masked, N characters]`, and the names that there
/// was something under, each once, in the order given. Each placeholder is marked; `root` leads to the parameters.
pub fn mask<'a>(
    params: &Map<String, Value>,
    paths: impl Iterator<Item = &'a ParamPath>,
    root: &Pointer,
    marks: &mut Marks,
) -> (Map<String, Value>, Vec<ParamPath>) {
    let (mut shown, mut masked) = (params.clone(), Vec::<ParamPath>::new());
    let mut masker = Masker { at: root.clone(), marks };
    for path in paths {
        // Two names can lead to one value; what is masked already is not measured again.
        if masked.contains(path) {
            continue;
        }
        let is_found = path.values(params).into_iter().any(has_scalar);
        if is_found {
            masker.literal(&mut shown, path, params);
            masker.nested(&mut shown, path, params);
            masked.push(path.clone());
        }
    }
    (shown, masked)
}

/// Whether a text is what stands for one that is not shown: an SDK that keeps secrets to itself sends that.
pub fn is_masked(text: &str) -> bool {
    masked_characters(text).is_some()
}

/// How many characters a placeholder stands for; `None` if the text is another one.
pub fn masked_characters(text: &str) -> Option<usize> {
    let number = text.strip_prefix("[masked, ").and_then(|rest| rest.strip_suffix(" characters]"))?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| number.parse().unwrap_or(usize::MAX))
}

/// What stands for a value that is not shown.
pub(super) fn placeholder(value: &Value) -> String {
    match value {
        Value::String(text) if is_masked(text) => text.clone(),
        other => domain::placeholder(characters(other)),
    }
}

/// How many characters a value has. What its sender has masked says how many it had.
pub(super) fn characters(value: &Value) -> usize {
    match value {
        Value::String(text) => masked_characters(text).unwrap_or_else(|| text.chars().count()),
        Value::Number(number) => value::number_text(number).chars().count(),
        other => other.to_string().chars().count(),
    }
}

fn has_scalar(value: &Value) -> bool {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(map) => left.extend(map.values()),
            _ => return true,
        }
    }
    false
}

/// Masks values, and marks where.
struct Masker<'m> {
    at: Pointer,
    marks: &'m mut Marks,
}

/// Depth is bounded where values come in.
impl Masker<'_> {
    fn literal(&mut self, shown: &mut Map<String, Value>, path: &ParamPath, original: &Map<String, Value>) {
        if let (Some(shown), Some(original)) = (shown.get_mut(path.as_str()), path.literal(original)) {
            let before = self.at.enter(path.as_str());
            self.value(shown, original);
            self.at.leave(before);
        }
    }

    fn nested(&mut self, shown: &mut Map<String, Value>, path: &ParamPath, original: &Map<String, Value>) {
        let Some((first, rest)) = path.as_str().split_once('.') else { return };
        if let (Some(shown), Some(original)) = (shown.get_mut(first), original.get(first)) {
            let before = self.at.enter(first);
            self.below(shown, original, rest);
            self.at.leave(before);
        }
    }

    /// Masks what a path leads to; a list on the way stands for each of its elements.
    fn below(&mut self, shown: &mut Value, original: &Value, path: &str) {
        match (shown, original) {
            (Value::Array(shown), Value::Array(original)) => {
                for (i, (shown, original)) in shown.iter_mut().zip(original).enumerate() {
                    let before = self.at.enter_index(i);
                    self.below(shown, original, path);
                    self.at.leave(before);
                }
            }
            (Value::Object(shown), Value::Object(original)) => {
                let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
                let (Some(shown), Some(original)) = (shown.get_mut(key), original.get(key)) else { return };
                let before = self.at.enter(key);
                match rest {
                    Some(rest) => self.below(shown, original, rest),
                    None => self.value(shown, original),
                }
                self.at.leave(before);
            }
            _ => {}
        }
    }

    /// Masks every scalar. The original goes along in the same shape, so that a length is always that of the real
    /// value.
    fn value(&mut self, shown: &mut Value, original: &Value) {
        match (shown, original) {
            (Value::Array(shown), Value::Array(original)) => {
                for (i, (shown, original)) in shown.iter_mut().zip(original).enumerate() {
                    let before = self.at.enter_index(i);
                    self.value(shown, original);
                    self.at.leave(before);
                }
            }
            (Value::Object(shown), Value::Object(original)) => {
                for ((key, shown), original) in shown.iter_mut().zip(original.values()) {
                    let before = self.at.enter(key);
                    self.value(shown, original);
                    self.at.leave(before);
                }
            }
            (shown, original) => {
                self.marks.whole(&self.at, characters(original));
                *shown = Value::String(placeholder(original));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn masked(params: &Value, paths: &[&str]) -> (Value, Vec<String>) {
        let paths: Vec<ParamPath> = paths.iter().map(|path| ParamPath::new(*path)).collect();
        let (root, mut marks) = (Pointer::to("params"), Marks::default());
        let (shown, masked) = mask(params.as_object().unwrap(), paths.iter(), &root, &mut marks);
        // Every placeholder that was not sent is marked as a whole value, and nothing else is.
        for mark in marks.into_list() {
            let value = shown_at(&shown, &mark.pointer);
            assert_eq!(value, format!("[masked, {} characters]", mark.length), "{}", mark.pointer);
            assert_eq!((mark.start, mark.end), (None, None));
        }
        (Value::Object(shown), masked.iter().map(ToString::to_string).collect())
    }

    fn shown_at(shown: &Map<String, Value>, pointer: &str) -> String {
        let document = json!({"params": shown});
        document.pointer(pointer).and_then(Value::as_str).unwrap().to_owned()
    }

    #[test]
    fn a_mark_says_which_of_two_values_of_one_name_is_masked() {
        let params = json!({"a.b": {"c": "[masked, 2 characters]"}, "a": {"b": [{"c": 12}]}});
        let mut marks = Marks::default();
        let path = ParamPath::new("a.b.c");
        mask(params.as_object().unwrap(), [&path].into_iter(), &Pointer::to("params"), &mut marks);
        let pointers: Vec<_> = marks.into_list().into_iter().map(|mark| mark.pointer).collect();
        assert_eq!(pointers, ["/params/a/b/0/c"]);
    }

    #[test]
    fn scalars_are_masked_with_their_length_and_shapes_stay() {
        let params = json!({"card": {"number": "4111 é", "cvc": 123, "tags": [true, null]}, "to": "a"});
        let expected = json!({"card": {"number": "[masked, 6 characters]", "cvc": "[masked, 3 characters]",
            "tags": ["[masked, 4 characters]", "[masked, 4 characters]"]}, "to": "a"});
        assert_eq!(masked(&params, &["card", "gone", "card"]), (expected, vec!["card".to_owned()]));
    }

    #[test]
    fn a_name_masks_the_literal_key_and_the_path() {
        let params = json!({"a.b": "xx", "a": {"b": "xyz", "c": 1}});
        let expected = json!({"a.b": "[masked, 2 characters]", "a": {"b": "[masked, 3 characters]", "c": 1}});
        assert_eq!(masked(&params, &["a.b"]), (expected, vec!["a.b".to_owned()]));
    }

    #[test]
    fn a_list_on_the_way_stands_for_each_of_its_elements() {
        let params =
            json!({"customers": [{"iban": "DE89", "name": "a"}, {"name": "b"}, [{"iban": ["x", {"y": 12}]}], "iban"]});
        let expected = json!({"customers": [
            {"iban": "[masked, 4 characters]", "name": "a"},
            {"name": "b"},
            [{"iban": ["[masked, 1 characters]", {"y": "[masked, 2 characters]"}]}],
            "iban",
        ]});
        assert_eq!(masked(&params, &["customers.iban"]), (expected, vec!["customers.iban".to_owned()]));
        let nothing = json!({"customers": [{"name": "b"}, 5]});
        assert_eq!(masked(&nothing, &["customers.iban"]), (nothing.clone(), Vec::new()));
    }

    #[test]
    fn names_that_overlap_measure_the_real_value() {
        let params = json!({"a": {"b": "xyz"}});
        let expected = json!({"a": {"b": "[masked, 3 characters]"}});
        assert_eq!(masked(&params, &["a", "a.b"]), (expected, vec!["a".to_owned(), "a.b".to_owned()]));
    }

    #[test]
    fn what_its_sender_has_masked_says_how_long_the_real_value_is() {
        let params =
            json!({"a": "[masked, 7 characters]", "b": "[masked,  characters]", "c": "[masked, 7 characters] "});
        let shown =
            json!({"a": "[masked, 7 characters]", "b": "[masked, 21 characters]", "c": "[masked, 23 characters]"});
        let paths = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(masked(&params, &["a", "b", "c"]), (shown, paths));
    }

    #[test]
    fn where_there_is_nothing_nothing_is_masked() {
        let params = json!({"a": {}, "b": [], "c": 1});
        assert_eq!(masked(&params, &["a", "b", "d", "c.x"]), (params.clone(), Vec::new()));
    }
}
