//! Joins the positions of the strict pass with the values of `serde_yaml`, and refuses a file where the two disagree.
//!
//! Aliases are followed and merge keys resolved here. A key that is written out wins over a merged one. Of several
//! merged mappings, the one named first wins, as the specification of the merge key says.

use std::collections::HashSet;

use serde_json::Number;
use serde_yaml::Value as Yaml;

use super::node::{Entry, Node, Value};
use super::scalar::{Scalar, looks_boolean};
use super::scan::{Arena, Id, Kind};
use crate::policy::code::Code;
use crate::policy::diagnostic::{Path, Pos, Report, quoted};

/// The values of a file that the strict pass accepted. `None` if the parsers disagree, which is reported.
pub(super) fn join(file: &str, text: &str, arena: &Arena, report: &mut Report) -> Option<Node> {
    let yaml = match serde_yaml::from_str::<Yaml>(text) {
        Ok(yaml) => yaml,
        Err(error) => {
            let pos =
                error.location().map_or(Pos { line: 1, column: 1 }, |l| Pos { line: l.line(), column: l.column() });
            report.error(
                file,
                pos,
                &Path::Root,
                Code::InvalidYaml,
                format!("this is not YAML that can be relied on: {error}"),
            );
            return None;
        }
    };
    let before = report.error_count();
    let node = Join { file, arena, report }.node(arena.root(), yaml, &Path::Root);
    (report.error_count() == before).then_some(node)
}

struct Join<'r> {
    file: &'r str,
    arena: &'r Arena,
    report: &'r mut Report,
}

impl Join<'_> {
    /// The recursion is as deep as the document, whose depth the strict pass bounds.
    fn node(&mut self, id: Id, yaml: Yaml, path: &Path<'_>) -> Node {
        let raw = self.arena.resolved(id);
        let pos = raw.pos;
        let value = match (&raw.kind, yaml) {
            (Kind::List(items), Yaml::Sequence(values)) if items.len() == values.len() => {
                let items = items.iter().zip(values).enumerate();
                Value::List(items.map(|(i, (item, value))| self.node(*item, value, &path.item(i))).collect())
            }
            (Kind::Map(pairs), Yaml::Mapping(values)) if pairs.len() == values.len() => {
                Value::Map(self.entries(pairs, values, path))
            }
            (Kind::Scalar { text, is_plain, scalar }, yaml) => {
                if *is_plain && looks_boolean(text) {
                    let message =
                        format!("`{text}` is text here, not a boolean: put it in quotes, or write true or false");
                    self.report.warn(self.file, pos, path, Code::BooleanWord, message);
                }
                agreed(*scalar, text, yaml).unwrap_or_else(|| self.disagreement(pos, path, text))
            }
            _ => self.disagreement(pos, path, "this collection"),
        };
        Node { pos, value }
    }

    fn entries(&mut self, pairs: &[(Id, Id)], values: serde_yaml::Mapping, path: &Path<'_>) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(pairs.len());
        let mut merged = Vec::new();
        for (&(key, id), (yaml_key, yaml)) in pairs.iter().zip(values) {
            let pos = self.arena.get(key).pos;
            let Kind::Scalar { text, .. } = &self.arena.resolved(key).kind else { continue };
            if yaml_key.as_str() != Some(text) {
                self.disagreement(pos, &path.key(text), text);
            }
            let mut value = self.node(id, yaml, &path.key(text));
            if self.arena.is_merge(key) {
                match value.value {
                    Value::Map(inner) => merged.push(inner),
                    Value::List(items) => merged.extend(items.into_iter().filter_map(|item| match item.value {
                        Value::Map(inner) => Some(inner),
                        _ => None,
                    })),
                    _ => {}
                }
                continue;
            }
            // An empty value has no place to point at, but its key has.
            if matches!(&self.arena.get(id).kind, Kind::Scalar { text, .. } if text.is_empty())
                && value.value == Value::Null
            {
                value.pos = pos;
            }
            entries.push(Entry { key: text.clone(), pos, value });
        }
        if !merged.is_empty() {
            let mut seen: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
            for entry in merged.into_iter().flatten() {
                if seen.insert(entry.key.clone()) {
                    entries.push(entry);
                }
            }
        }
        entries
    }

    fn disagreement(&mut self, pos: Pos, path: &Path<'_>, text: &str) -> Value {
        let message = format!(
            "`{}` is read as one thing by some YAML parsers and as another by others: put it in quotes if it is text, \
             write it in plain decimal if it is a number",
            quoted(text)
        );
        self.report.error(self.file, pos, path, Code::AmbiguousValue, message);
        Value::Null
    }
}

/// The value, if `serde_yaml` read what the core schema says.
fn agreed(scalar: Scalar, text: &str, yaml: Yaml) -> Option<Value> {
    match (scalar, yaml) {
        (Scalar::Null, Yaml::Null) => Some(Value::Null),
        (Scalar::Bool(ours), Yaml::Bool(theirs)) if ours == theirs => Some(Value::Bool(theirs)),
        (Scalar::Unsigned(ours), Yaml::Number(theirs)) if theirs.as_u64() == Some(ours) => {
            Some(Value::Number(Number::from(ours)))
        }
        (Scalar::Negative(ours), Yaml::Number(theirs)) if theirs.as_i64() == Some(ours) => {
            Some(Value::Number(Number::from(ours)))
        }
        (Scalar::Float(ours), Yaml::Number(theirs))
            if theirs.is_f64() && theirs.as_f64().is_some_and(|theirs| theirs.to_bits() == ours.to_bits()) =>
        {
            Number::from_f64(ours).map(Value::Number)
        }
        (Scalar::Text, Yaml::String(theirs)) if theirs == text => Some(Value::Text(theirs)),
        _ => None,
    }
}
