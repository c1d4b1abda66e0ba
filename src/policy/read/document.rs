//! One file: its version, its defaults, its rules.

use std::collections::HashMap;

use super::Reader;
use crate::domain::{Approval, ParamPath, RiskLevel};
use crate::policy::diagnostic::{Path, quoted};
use crate::policy::rule::Rule;
use crate::policy::yaml::{Node, Value};

/// How many rules a policy may have.
pub(in crate::policy) const MAX_RULES: usize = 50_000;

const KEYS: [&str; 4] = ["version", "defaults", "rules", "redact"];

/// What one file says.
#[derive(Default)]
pub(in crate::policy) struct Document {
    pub(in crate::policy) risk_level: Option<RiskLevel>,
    pub(in crate::policy) approval: Option<Approval>,
    pub(in crate::policy) rules: Vec<Rule>,
    pub(in crate::policy) redact: Vec<ParamPath>,
}

/// Reads one file. What is wrong is reported.
pub(in crate::policy) fn document(reader: &mut Reader<'_>, root: &Node) -> Document {
    let mut document = Document::default();
    let path = Path::Root;
    let Some(entries) = reader.map(root, &path, "a mapping with `rules`, `defaults` or both") else { return document };
    for entry in entries {
        let path = path.key(&entry.key);
        let node = &entry.value;
        match entry.key.as_str() {
            "version" => reader.version(node, &path),
            "defaults" => reader.defaults(node, &path, &mut document),
            "rules" => document.rules = reader.rules(node, &path),
            "redact" => document.redact = reader.param_paths(node, &path),
            // Free for anchors.
            key if key.starts_with("x-") => {}
            _ => reader.unknown(entry, &Path::Root, "key", &KEYS),
        }
    }
    document
}

impl Reader<'_> {
    fn version(&mut self, node: &Node, path: &Path<'_>) {
        let is_known = match &node.value {
            Value::Text(text) => text == "1",
            Value::Number(number) => number.as_u64() == Some(1),
            _ => false,
        };
        if !is_known {
            self.error(node.pos, path, "unknown version: this is a policy of version \"1\" (the key may be left out)");
        }
    }

    fn defaults(&mut self, node: &Node, path: &Path<'_>, document: &mut Document) {
        let Some(entries) = self.map(node, path, "a mapping with `risk_level` and `approval`") else { return };
        for entry in entries {
            match entry.key.as_str() {
                "risk_level" => document.risk_level = self.risk_level(&entry.value, &path.key(&entry.key)),
                "approval" => document.approval = self.approval(&entry.value, &path.key(&entry.key)),
                _ => self.unknown(entry, path, "key", &["risk_level", "approval"]),
            }
        }
    }

    fn rules(&mut self, node: &Node, path: &Path<'_>) -> Vec<Rule> {
        let Some(items) = self.list(node, path, "a list of rules") else { return Vec::new() };
        if items.len() > MAX_RULES {
            self.error(node.pos, path, format!("has {} rules, a policy may have {MAX_RULES}", items.len()));
            return Vec::new();
        }
        let mut rules: Vec<Rule> = Vec::with_capacity(items.len());
        // From a name to the line it was given on, and whether a policy gave it.
        let mut names: HashMap<String, (usize, bool)> = HashMap::new();
        for (i, item) in items.iter().enumerate() {
            let path = path.item(i);
            let Some(rule) = self.rule(item, &path, i) else { continue };
            match names.get(&rule.name) {
                Some((line, true)) if rule.is_named => {
                    let message = format!(
                        "the name `{}` is already that of the rule on line {line}: the record could not tell them apart",
                        quoted(&rule.name)
                    );
                    self.error(item.pos, &path, message);
                }
                Some((line, _)) => {
                    let message = format!(
                        "the automatic name `{}` of an unnamed rule is also that of the rule on line {line}: the record cannot \
                         tell them apart, give it another",
                        quoted(&rule.name)
                    );
                    self.warn(item.pos, &path, message);
                }
                None => {
                    names.insert(rule.name.clone(), (rule.position.line, rule.is_named));
                }
            }
            rules.push(rule);
        }
        rules
    }
}
