//! The basic readers: a mapping, a list, a text, a word from a list of words, a parameter's name.

use super::pattern::{MAX_PATTERN, Patterns, oddities};
use crate::domain::{Approval, ParamPath, RiskLevel};
use crate::policy::code::Code;
use crate::policy::diagnostic::{Path, Pos, Report, nearest, quoted};
use crate::policy::pattern::Pattern;
use crate::policy::sets::Sets;
use crate::policy::yaml::{Entry, Node, Value};

/// Reads the values of one file.
pub(in crate::policy) struct Reader<'r> {
    pub(in crate::policy) file: &'r str,
    pub(in crate::policy) report: &'r mut Report,
    pub(in crate::policy) patterns: &'r mut Patterns,
    pub(in crate::policy) sets: &'r Sets,
}

impl Reader<'_> {
    pub(super) fn error(&mut self, pos: Pos, path: &Path<'_>, code: Code, message: impl Into<String>) {
        self.report.error(self.file, pos, path, code, message);
    }

    pub(super) fn warn(&mut self, pos: Pos, path: &Path<'_>, code: Code, message: impl Into<String>) {
        self.report.warn(self.file, pos, path, code, message);
    }

    /// Reports a value of the wrong type.
    pub(super) fn wrong(&mut self, node: &Node, path: &Path<'_>, wanted: &str) {
        let hint = match node.value {
            Value::Null => "; leave the key out if nothing is meant",
            _ => "",
        };
        self.error(node.pos, path, Code::WrongType, format!("must be {wanted}, not {}{hint}", node.kind()));
    }

    pub(super) fn map<'n>(&mut self, node: &'n Node, path: &Path<'_>, wanted: &str) -> Option<&'n [Entry]> {
        if let Value::Map(entries) = &node.value {
            return Some(entries);
        }
        self.wrong(node, path, wanted);
        None
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, path: &Path<'_>, wanted: &str) -> Option<&'n [Node]> {
        if let Value::List(items) = &node.value {
            return Some(items);
        }
        self.wrong(node, path, wanted);
        None
    }

    /// A text, which must not be empty and not longer than this many characters.
    pub(super) fn text<'n>(&mut self, node: &'n Node, path: &Path<'_>, max: usize) -> Option<&'n str> {
        let text = self.any_text(node, path, max)?;
        if text.is_empty() {
            self.error(node.pos, path, Code::EmptyValue, "must not be empty");
            return None;
        }
        Some(text)
    }

    /// A text, not longer than this many characters.
    pub(super) fn any_text<'n>(&mut self, node: &'n Node, path: &Path<'_>, max: usize) -> Option<&'n str> {
        let Value::Text(text) = &node.value else {
            self.wrong(node, path, if matches!(node.value, Value::Null) { "text" } else { "text (in quotes)" });
            return None;
        };
        if text.chars().count() > max {
            self.error(node.pos, path, Code::TooLong, format!("is longer than {max} characters"));
            return None;
        }
        Some(text)
    }

    /// Reports a key that means nothing here.
    pub(super) fn unknown(&mut self, entry: &Entry, path: &Path<'_>, what: &str, known: &[&str]) {
        let key = quoted(&entry.key);
        let message = match nearest(&entry.key, known.iter().copied()) {
            Some(near) => format!("unknown {what} `{key}`, did you mean `{near}`?"),
            None => format!("unknown {what} `{key}`: there are {}", known.join(", ")),
        };
        self.error(entry.pos, &path.key(&entry.key), Code::UnknownKey, message);
    }

    pub(super) fn risk_level(&mut self, node: &Node, path: &Path<'_>) -> Option<RiskLevel> {
        const SYNONYMS: [(&str, &str); 4] =
            [("severe", "critical"), ("warn", "medium"), ("none", "low"), ("info", "low")];
        self.word(node, path, "risk level", &RiskLevel::ALL.map(RiskLevel::as_str), &SYNONYMS)
    }

    pub(super) fn approval(&mut self, node: &Node, path: &Path<'_>) -> Option<Approval> {
        const SYNONYMS: [(&str, &str); 12] = [
            ("allow", "auto"),
            ("yes", "auto"),
            ("on", "auto"),
            ("off", "block"),
            ("no", "block"),
            ("deny", "block"),
            ("denied", "block"),
            ("reject", "block"),
            ("ask", "approve"),
            ("review", "approve"),
            ("escalate", "approve"),
            ("manual", "approve"),
        ];
        self.word(node, path, "approval", &Approval::ALL.map(Approval::as_str), &SYNONYMS)
    }

    /// One of a list of words.
    pub(super) fn word<T: std::str::FromStr>(
        &mut self,
        node: &Node,
        path: &Path<'_>,
        what: &str,
        known: &[&str],
        synonyms: &[(&str, &str)],
    ) -> Option<T> {
        let one_of = format!("one of {}", known.join(", "));
        let Value::Text(word) = &node.value else {
            self.wrong(node, path, &one_of);
            return None;
        };
        if let Ok(level) = word.parse() {
            return Some(level);
        }
        let shown = quoted(word);
        let trimmed = word.trim();
        let lower = trimmed.to_lowercase();
        let message = if trimmed != word && known.contains(&trimmed) {
            format!("`{shown}` has spaces around it: write `{trimmed}`")
        } else if known.contains(&lower.as_str()) {
            format!("unknown {what} `{shown}`, levels are lower case: `{lower}`")
        } else {
            let synonym = synonyms.iter().find(|(synonym, _)| *synonym == lower).map(|(_, meant)| *meant);
            match synonym.or_else(|| nearest(word, known.iter().copied())) {
                Some(meant) => format!("unknown {what} `{shown}`, did you mean `{meant}`? It must be {one_of}"),
                None => format!("unknown {what} `{shown}`: it must be {one_of}"),
            }
        };
        self.error(node.pos, path, Code::UnknownWord, message);
        None
    }

    /// A regular expression.
    pub(super) fn regex(&mut self, node: &Node, path: &Path<'_>) -> Option<Pattern> {
        let pattern = self.any_text(node, path, MAX_PATTERN)?;
        for oddity in oddities(pattern) {
            self.warn(node.pos, path, Code::RegexDialect, format!("in `{}` {oddity}", quoted(pattern)));
        }
        match self.patterns.compile(pattern) {
            Ok(pattern) => Some(pattern),
            Err(message) => {
                self.error(node.pos, path, Code::InvalidRegex, format!("`{}` {message}", quoted(pattern)));
                None
            }
        }
    }

    /// The name of a masked parameter. Names have no indexes and no wildcards, so a name with one would never mask
    /// anything.
    pub(super) fn param_path(&mut self, node: &Node, path: &Path<'_>) -> Option<ParamPath> {
        let text = self.text(node, path, usize::MAX)?;
        let parts = || text.split('.');
        if text.contains(['[', ']', '*']) || parts().any(str::is_empty) || parts().next() == Some("$") {
            let meant: Vec<&str> = parts()
                .map(|part| part.split('[').next().unwrap_or(part))
                .filter(|part| !part.is_empty() && !part.contains('*') && *part != "$")
                .collect();
            let right = if meant.is_empty() { "customers.iban".to_owned() } else { quoted(&meant.join(".")) };
            let message = format!(
                "`{}` is no name of a parameter: a path is keys with one dot between them, and a list on the way \
                 stands for each of its elements: write `{right}`",
                quoted(text)
            );
            self.error(node.pos, path, Code::InvalidParameterPath, message);
            return None;
        }
        if let Some(index) = parts().skip(1).find(|part| part.bytes().all(|byte| byte.is_ascii_digit())) {
            let message = format!(
                "`{index}` is a key here, never an index: a list on the way stands for each of its elements, so leave \
                 the number out if a list is meant"
            );
            self.warn(node.pos, path, Code::RedactIndex, message);
        }
        Some(ParamPath::new(text))
    }

    /// A list of parameter names.
    pub(super) fn param_paths(&mut self, node: &Node, path: &Path<'_>) -> Vec<ParamPath> {
        let Some(items) = self.list(node, path, "a list of parameter names") else { return Vec::new() };
        let mut paths = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            paths.extend(self.param_path(item, &path.item(i)));
        }
        // The order means nothing, so it must not change the revision.
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}
