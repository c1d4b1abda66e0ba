//! The strict reading of YAML, for the other files that an operator writes. It refuses the same, with the same
//! messages and places.
//!
//! A file is read into a type of serde. Errors of serde, and errors that the caller finds afterwards, are reported at
//! their place.

use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::code::Code;
use super::diagnostic::{Diagnostic, LoadErrors, Path, Pos, Report};
use super::yaml::{self, Node, Value};

/// One step into a document.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Under this key.
    Key(&'a str),
    /// The item of this index.
    Item(usize),
}

/// A well-formed YAML file: no duplicate keys, no tags, no second document, no null, everything bounded.
#[derive(Clone, Debug)]
pub struct StrictYaml {
    file: String,
    root: Node,
}

impl StrictYaml {
    /// Reads a text. `file` is the name that messages use.
    pub fn parse(file: &str, text: &str) -> Result<Self, LoadErrors> {
        let mut report = Report::default();
        let root = yaml::parse(file, text, &mut report);
        if let Some(root) = &root {
            if !matches!(root.value, Value::Map(_)) {
                report.error(
                    file,
                    root.pos,
                    &Path::Root,
                    Code::WrongType,
                    format!("must be a mapping, not {}", root.kind()),
                );
            }
            refuse_nulls(file, root, &Path::Root, &mut report);
        }
        report.finish()?;
        match root {
            Some(root) => Ok(Self { file: file.to_owned(), root }),
            None => Err(LoadErrors::general(file, Code::InvalidYaml, "it cannot be read".to_owned())),
        }
    }

    /// Reads the document into this type. The first thing that does not fit is reported at its place.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, LoadErrors> {
        serde_path_to_error::deserialize(self.root.to_json()).map_err(|error| {
            let steps: Vec<Step<'_>> = error.path().iter().filter_map(step).collect();
            LoadErrors::new(vec![self.finding(&steps, error.inner().to_string())])
        })
    }

    /// An error at a place of the document: its value is wrong.
    pub fn finding(&self, steps: &[Step<'_>], message: String) -> Diagnostic {
        let mut at = &self.root;
        let mut pos = at.pos;
        let mut path = String::new();
        for step in steps {
            // Writing to a String cannot fail.
            let _ = match step {
                Step::Key(key) if path.is_empty() => write!(path, "{key}"),
                Step::Key(key) => write!(path, ".{key}"),
                Step::Item(index) => write!(path, "[{index}]"),
            };
            let Some((next, place)) = child(at, *step) else { break };
            (at, pos) = (next, place);
        }
        let Pos { line, column } = pos;
        Diagnostic { file: self.file.clone(), line, column, path, message, code: Code::InvalidValue }
    }
}

fn step(segment: &Segment) -> Option<Step<'_>> {
    match segment {
        Segment::Seq { index } => Some(Step::Item(*index)),
        Segment::Map { key } => Some(Step::Key(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// The node at the end of a step, and its place: that of the key, or of the item's value.
fn child<'n>(node: &'n Node, step: Step<'_>) -> Option<(&'n Node, Pos)> {
    match (&node.value, step) {
        (Value::Map(entries), Step::Key(key)) => {
            entries.iter().find(|entry| entry.key == key).map(|entry| (&entry.value, entry.pos))
        }
        (Value::List(items), Step::Item(index)) => items.get(index).map(|item| (item, item.pos)),
        _ => None,
    }
}

fn refuse_nulls(file: &str, node: &Node, path: &Path<'_>, report: &mut Report) {
    match &node.value {
        Value::Null => {
            report.error(file, node.pos, path, Code::EmptyValue, "has no value: leave the key out if nothing is meant")
        }
        Value::Map(entries) => {
            for entry in entries {
                refuse_nulls(file, &entry.value, &path.key(&entry.key), report);
            }
        }
        Value::List(items) => {
            for (i, item) in items.iter().enumerate() {
                refuse_nulls(file, item, &path.item(i), report);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        name: String,
    }

    fn wrong(text: &str) -> String {
        match StrictYaml::parse("a.yaml", text).and_then(|yaml| yaml.read::<File>()) {
            Ok(file) => panic!("{file:?}"),
            Err(errors) => errors.to_string(),
        }
    }

    #[test]
    fn errors_are_reported_at_their_place() {
        for (text, says) in [
            ("items:\n  - {nam: x}\n", "a.yaml:2:6: items[0].nam: unknown field `nam`, expected `name`"),
            ("items:\n  - {name: 7}\n", "a.yaml:2:6: items[0].name: invalid type: integer `7`, expected a string"),
            ("items:\n  - name:\n", "items[0].name: has no value"),
            ("items: []\nitems: []\n", "a.yaml:2:"),
            ("items: [{name: x}, {}]\n", "a.yaml:1:20: items[1]: missing field `name`"),
            ("", "a.yaml"),
        ] {
            let said = wrong(text);
            assert!(said.contains(says), "{text:?}: {said}");
        }
    }

    #[test]
    fn an_error_that_the_caller_finds_has_a_place_too() {
        let yaml = StrictYaml::parse("a.yaml", "items:\n  - name: x\n").unwrap();
        assert_eq!(yaml.read::<File>().unwrap().items[0].name, "x");
        let finding = yaml.finding(&[Step::Key("items"), Step::Item(0), Step::Key("name")], "is odd".into());
        assert_eq!(finding.to_string(), "a.yaml:2:5: items[0].name: is odd");
    }
}
