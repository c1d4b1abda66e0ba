//! One file: its version, its defaults, its rules.

use std::collections::HashMap;

use super::fields::Reader;
use crate::domain::{Approval, ParamPath, RiskLevel};
use crate::policy::code::Code;
use crate::policy::diagnostic::{Path, quoted};
use crate::policy::glob::MAX_CHARS;
use crate::policy::pattern::Pattern;
use crate::policy::rule::Rule;
use crate::policy::scoped::Scoped;
use crate::policy::secrets::Names;
use crate::policy::yaml::{Node, Value};

/// How many rules a policy may have.
pub(in crate::policy) const MAX_RULES: usize = 50_000;

const KEYS: [&str; 7] = ["version", "defaults", "rules", "limits", "redact", "secrets", "sets"];

const SECRETS_KEYS: [&str; 3] = ["defaults", "names", "patterns"];

/// How many names, and how many patterns, of secrets one file may add. Every text of every proposal is searched for
/// all of them.
pub(in crate::policy) const MAX_SECRETS: usize = 100;

/// The content of one file.
#[derive(Default)]
pub(in crate::policy) struct Document {
    pub(in crate::policy) risk_level: Option<RiskLevel>,
    pub(in crate::policy) approval: Option<Approval>,
    pub(in crate::policy) rules: Vec<Rule>,
    pub(in crate::policy) limits: Vec<Scoped>,
    pub(in crate::policy) redact: Vec<ParamPath>,
    pub(in crate::policy) secrets: SecretsPart,
}

/// What one file says about secrets.
#[derive(Default)]
pub(in crate::policy) struct SecretsPart {
    pub(in crate::policy) defaults: Option<bool>,
    pub(in crate::policy) names: Vec<String>,
    pub(in crate::policy) patterns: Vec<Pattern>,
}

/// Reads one file and reports what is wrong.
pub(in crate::policy) fn document(reader: &mut Reader<'_>, root: &Node) -> Document {
    let mut document = Document::default();
    let path = Path::Root;
    let Some(entries) = reader.map(root, &path, "a mapping with `rules`, `defaults` or both") else { return document };
    for entry in entries {
        let path = path.key(&entry.key);
        let node = &entry.value;
        if !entry.key.starts_with("x-") {
            reader.placeholders(node, &path, false);
        }
        match entry.key.as_str() {
            "version" => reader.version(node, &path),
            "defaults" => reader.defaults(node, &path, &mut document),
            "rules" => document.rules = reader.rules(node, &path),
            "limits" => document.limits = reader.limits(node, &path),
            "redact" => document.redact = reader.param_paths(node, &path),
            "secrets" => document.secrets = reader.secrets(node, &path),
            // Read before the rules of all layers.
            "sets" => {}
            // Free for anchors.
            key if key.starts_with("x-") => {}
            _ => reader.unknown(entry, &Path::Root, "key", &KEYS),
        }
    }
    document
}

impl Reader<'_> {
    /// Warns of `${NAME}`, which other tools fill in. In conditions, `${actor.id}` has a meaning, and another name with
    /// a dot is refused where they are read. The document is bounded in depth.
    fn placeholders(&mut self, node: &Node, path: &Path<'_>, is_condition: bool) {
        match &node.value {
            Value::Text(text) => {
                if let Some(found) = placeholder(text).filter(|found| !(is_condition && found.contains('.'))) {
                    let message = format!(
                        "`{}` stands for itself: nothing is filled in when a policy is read; write the value, or fill \
                         the file in before it is loaded",
                        quoted(found)
                    );
                    self.warn(node.pos, path, Code::Placeholder, message);
                }
            }
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.placeholders(item, &path.item(i), is_condition);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    let is_condition = is_condition || entry.key == "conditions";
                    self.placeholders(&entry.value, &path.key(&entry.key), is_condition);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn version(&mut self, node: &Node, path: &Path<'_>) {
        let is_known = match &node.value {
            Value::Text(text) => text == "1",
            Value::Number(number) => number.as_u64() == Some(1),
            _ => false,
        };
        if !is_known {
            self.error(
                node.pos,
                path,
                Code::UnknownVersion,
                "unknown version: this is a policy of version \"1\" (the key may be left out)",
            );
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
                        part.names.extend(self.secret_name(item, &here.item(i)));
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

    /// A list that must be short, because every proposal is searched for all of its items.
    fn few<'n>(&mut self, node: &'n Node, path: &Path<'_>, wanted: &str) -> &'n [Node] {
        let items = self.list(node, path, wanted).unwrap_or_default();
        if items.len() > MAX_SECRETS {
            self.error(
                node.pos,
                path,
                Code::TooLarge,
                format!("has {} entries, at most {MAX_SECRETS} are possible", items.len()),
            );
            return &[];
        }
        items
    }

    /// A glob over names, in lower case. Names match in any case, so one spelling keeps the revision the same.
    fn secret_name(&mut self, node: &Node, path: &Path<'_>) -> Option<String> {
        let text = self.text(node, path, MAX_CHARS)?;
        match Names::compile([text]) {
            Ok(_) => Some(text.to_lowercase()),
            Err(why) => {
                self.error(
                    node.pos,
                    path,
                    Code::InvalidGlob,
                    format!("`{}` is no glob: {why}; write `[[]` for a bracket", quoted(text)),
                );
                None
            }
        }
    }

    fn secret_pattern(&mut self, node: &Node, path: &Path<'_>) -> Option<Pattern> {
        let pattern = self.regex(node, path)?;
        if pattern.is_match("") {
            let message = format!("`{}` matches the empty text, so it is found everywhere", quoted(pattern.as_str()));
            self.error(node.pos, path, Code::InvalidRegex, message);
            return None;
        }
        Some(pattern)
    }

    fn rules(&mut self, node: &Node, path: &Path<'_>) -> Vec<Rule> {
        let Some(items) = self.list(node, path, "a list of rules") else { return Vec::new() };
        if items.len() > MAX_RULES {
            self.error(
                node.pos,
                path,
                Code::TooLarge,
                format!("has {} rules, a policy may have {MAX_RULES}", items.len()),
            );
            return Vec::new();
        }
        let mut rules: Vec<Rule> = Vec::with_capacity(items.len());
        // Maps a name to the line of its rule, and says whether the policy gave the name.
        let mut names: HashMap<String, (usize, bool)> = HashMap::new();
        for (i, item) in items.iter().enumerate() {
            let path = path.item(i);
            let Some(rule) = self.rule(item, &path, i) else { continue };
            match names.get(&rule.name) {
                Some((line, true)) if rule.is_named => {
                    let message = format!(
                        "the name `{}` is already that of the rule on line {line}: the record could not tell them \
                         apart",
                        quoted(&rule.name)
                    );
                    self.error(item.pos, &path, Code::DuplicateRule, message);
                }
                Some((line, _)) => {
                    let message = format!(
                        "the automatic name `{}` of an unnamed rule is also that of the rule on line {line}: the \
                         record cannot tell them apart, give it another",
                        quoted(&rule.name)
                    );
                    self.warn(item.pos, &path, Code::AutomaticName, message);
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

/// The first `${NAME}` in a text. A shell allows more after the name, as in `${NAME:-else}`.
pub(super) fn placeholder(text: &str) -> Option<&str> {
    text.match_indices("${").find_map(|(start, _)| {
        let rest = &text[start..];
        let end = rest.find('}')?;
        let is_name = rest[2..end].starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        is_name.then_some(&rest[..=end])
    })
}
