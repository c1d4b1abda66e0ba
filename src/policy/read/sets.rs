//! Named sets, and their uses as `{ set: NAME }` in the rules of every layer.

use super::fields::Reader;
use crate::policy::code::Code;
use crate::policy::diagnostic::{Path, quoted};
use crate::policy::sets::{MAX_USED, Sets};
use crate::policy::yaml::{Node, Value};

/// The longest name of a set, in characters.
pub(in crate::policy) const MAX_SET_NAME: usize = 64;

/// Reads the sets of one file. Each replaces the set of that name in an earlier layer.
pub(in crate::policy) fn sets(reader: &mut Reader<'_>, root: &Node, into: &mut Sets) {
    let Value::Map(entries) = &root.value else { return };
    let Some(sets) = entries.iter().find(|entry| entry.key == "sets") else { return };
    let path = Path::Root;
    let path = path.key("sets");
    let Some(entries) = reader.map(&sets.value, &path, "a mapping from names to lists of values") else { return };
    for entry in entries {
        let here = path.key(&entry.key);
        if entry.key.is_empty() || entry.key.chars().count() > MAX_SET_NAME {
            let message = format!("the name of a set has 1 to {MAX_SET_NAME} characters");
            reader.error(entry.pos, &here, Code::InvalidValue, message);
        }
        if let Some(items) = reader.list(&entry.value, &here, "a list of texts, numbers or booleans") {
            reader.check_set(items, &entry.value, &here);
            into.insert(entry.key.clone(), items.to_vec());
        }
    }
}

impl Reader<'_> {
    fn check_set(&mut self, items: &[Node], node: &Node, path: &Path<'_>) {
        if items.is_empty() {
            self.error(node.pos, path, Code::EmptyValue, "must not be empty: nothing is in an empty set");
        }
        for (i, item) in items.iter().enumerate() {
            if !matches!(item.value, Value::Text(_) | Value::Number(_) | Value::Bool(_)) {
                self.wrong(item, &path.item(i), "a text, a number or a boolean");
            }
        }
    }

    /// The values of a list that is written out, or of the set that `{ set: NAME }` names. The values of a set get the
    /// place of its use: the set may be in another file.
    pub(super) fn list_or_set(&mut self, node: &Node, path: &Path<'_>, wanted: &str) -> Option<Vec<Node>> {
        let Value::Map(entries) = &node.value else {
            return self.list(node, path, wanted).map(<[Node]>::to_vec);
        };
        let [entry] = entries.as_slice() else {
            self.wrong(node, path, wanted);
            return None;
        };
        if entry.key != "set" {
            self.unknown(entry, path, "key", &["set"]);
            return None;
        }
        let here = path.key("set");
        let name = self.text(&entry.value, &here, MAX_SET_NAME)?;
        let sets = self.sets;
        if let Some(items) = sets.get(name) {
            if sets.count(items.len()) {
                return Some(items.iter().map(|item| Node { pos: entry.value.pos, ..item.clone() }).collect());
            }
            let message = format!("all uses of sets together have more than {MAX_USED} values");
            self.error(entry.value.pos, &here, Code::TooLarge, message);
            return None;
        }
        let near = sets.nearest(name);
        let name = quoted(name);
        let message = match near {
            Some(near) => format!("there is no set `{name}`, did you mean `{}`?", quoted(near)),
            None => format!("there is no set `{name}`: name it under `sets` at the top of this file or another layer"),
        };
        self.error(entry.value.pos, &here, Code::UnknownWord, message);
        None
    }
}
