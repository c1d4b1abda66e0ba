//! One file: its version, its defaults, its rules.

use std::collections::HashMap;

use regex::Regex;

use super::Reader;
use crate::domain::{Approval, ParamPath, RiskLevel};
use crate::policy::diagnostic::{Path, quoted};
use crate::policy::glob::{Glob, MAX_CHARS};
use crate::policy::rule::Rule;
use crate::policy::yaml::{Node, Value};

/// How many rules a policy may have.
pub(in crate::policy) const MAX_RULES: usize = 50_000;

const KEYS: [&str; 5] = ["version", "defaults", "rules", "redact", "secrets"];

const SECRETS_KEYS: [&str; 3] = ["defaults", "names", "patterns"];

/// How many names, and how many patterns, of secrets one file may add: every text of every proposal is searched for all of them.
pub(in crate::policy) const MAX_SECRETS: usize = 100;

/// What one file says.
#[derive(Default)]
pub(in crate::policy) struct Document {
    pub(in crate::policy) risk_level: Option<RiskLevel>,
    pub(in crate::policy) approval: Option<Approval>,
    pub(in crate::policy) rules: Vec<Rule>,
    pub(in crate::policy) redact: Vec<ParamPath>,
    pub(in crate::policy) secrets: SecretsPart,
}

/// What one file says of secrets.
#[derive(Default)]
pub(in crate::policy) struct SecretsPart {
    pub(in crate::policy) defaults: Option<bool>,
    pub(in crate::policy) names: Vec<Glob>,
    pub(in crate::policy) patterns: Vec<Regex>,
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
            "secrets" => document.secrets = reader.secrets(node, &path),
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

    fn secrets(&mut self, node: &Node, path: &Path<'_>) -> SecretsPart {
        let mut part = SecretsPart::default();
        let wanted = "a mapping with `defaults`, `names` and `patterns`";
        let Some(entries) = self.map(node, path, wanted) else { return part };
        for entry in entries {
            let (node, here) = (&entry.value, path.key(&entry.key));
            match entry.key.as_str() {
                "defaults" => match node.value {
                    Value::Bool(defaults) => part.defaults = Some(defaults),
                    _ => self.wrong(node, &here, "true or false"),
                },
                "names" => {
                    for (i, item) in self.few(node, &here, "a list of globs over names").iter().enumerate() {
                        // Names are compared in lower case.
                        let name =
                            self.text(item, &here.item(i), MAX_CHARS).map(|text| Glob::new(&text.to_lowercase()));
                        part.names.extend(name);
                    }
                }
                "patterns" => {
                    for (i, item) in self.few(node, &here, "a list of regular expressions").iter().enumerate() {
                        part.patterns.extend(self.secret_pattern(item, &here.item(i)));
                    }
                }
                _ => self.unknown(entry, path, "key", &SECRETS_KEYS),
            }
        }
        part
    }

    /// A list of which every proposal is searched for all.
    fn few<'n>(&mut self, node: &'n Node, path: &Path<'_>, wanted: &str) -> &'n [Node] {
        let items = self.list(node, path, wanted).unwrap_or_default();
        if items.len() > MAX_SECRETS {
            self.error(node.pos, path, format!("has {} entries, at most {MAX_SECRETS} are possible", items.len()));
            return &[];
        }
        items
    }

    fn secret_pattern(&mut self, node: &Node, path: &Path<'_>) -> Option<Regex> {
        let regex = self.regex(node, path)?;
        if regex.is_match("") {
            let message = format!("`{}` matches the empty text, so it is found everywhere", quoted(regex.as_str()));
            self.error(node.pos, path, message);
            return None;
        }
        Some(regex)
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
