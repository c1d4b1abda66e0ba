//! Findings about a policy: what is wrong or doubtful, where it is, and what would be right.
//!
//! Everything a person reads about a policy file goes through [`Report`]. It is bounded: a file can have a million
//! errors, and nobody reads more than the first hundred.

use std::fmt;

use serde::Serialize;

use super::code::{Code, Severity};
use crate::domain::visible;

/// How many errors, and how many warnings, one load reports at most.
const MAX_REPORTED: usize = 100;

/// How many characters of a policy's own text a message repeats at most.
const MAX_QUOTED: usize = 80;

/// One finding in a policy file. Shown as `file:line:column: path: message`, a warning with its `[code]` after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The name of the layer, typically a path.
    pub file: String,
    /// The line, counted from 1; 0 if the finding has no place in the text.
    pub line: usize,
    /// The column in characters, counted from 1; 0 if the finding has no place in the text.
    pub column: usize,
    /// The place in the document, for example `rules[2].conditions.param_gt`; empty for the document itself.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// The kind of the finding, which also says whether it is an error or a warning.
    pub code: Code,
}

impl Diagnostic {
    /// A finding about a file as a whole: it cannot be read, for example.
    pub fn for_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        let (path, code) = (String::new(), Code::UnreadableFile);
        Self { file: file.into(), line: 0, column: 0, path, message: message.into(), code }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(": ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match self.code.severity() {
            Severity::Warning => write!(f, " [{}]", self.code),
            Severity::Error => Ok(()),
        }
    }
}

/// Why a policy did not load: every error in every file, in the order of the files. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadErrors(Vec<Diagnostic>);

impl LoadErrors {
    /// These findings, for example why the files of a policy could not be read. There must be at least one.
    pub fn new(findings: Vec<Diagnostic>) -> Self {
        Self(findings)
    }

    /// An error without a place.
    pub(super) fn general(file: &str, code: Code, message: String) -> Self {
        Self(vec![diagnostic(file, Pos::default(), &Path::Root, message, code)])
    }

    /// The errors, in the order of the files and of their lines as far as they were read.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.0
    }

    /// Goes through the errors.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "\n" })?;
            fmt::Display::fmt(diagnostic, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadErrors {}

impl IntoIterator for LoadErrors {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a LoadErrors {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// A place in a file, both counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pos {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A place in a document, as a chain of borrowed steps. Its text is built only when there is a finding.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    /// A place as text.
    Spelled(&'a str),
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(super) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }

    pub(super) fn item(&'a self, index: usize) -> Path<'a> {
        Path::Item(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Spelled(text) => f.write_str(text),
            Path::Item(parent, index) => write!(f, "{parent}[{index}]"),
            Path::Key(parent, key) => {
                let is_plain = key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) && key.len() <= 64;
                match (parent, is_plain && !key.is_empty()) {
                    (Path::Root | Path::Spelled(""), true) => f.write_str(key),
                    (_, true) => write!(f, "{parent}.{key}"),
                    (_, false) => write!(f, "{parent}[\"{}\"]", quoted(key)),
                }
            }
        }
    }
}

/// Collects the findings of one load, up to a bound.
#[derive(Default)]
pub(super) struct Report {
    errors: Bounded,
    warnings: Bounded,
}

#[derive(Default)]
struct Bounded {
    kept: Vec<Diagnostic>,
    left_out: usize,
}

impl Bounded {
    fn push(&mut self, make: impl FnOnce() -> Diagnostic) {
        if self.kept.len() < MAX_REPORTED {
            self.kept.push(make());
        } else {
            self.left_out += 1;
        }
    }

    fn append(&mut self, other: Self) {
        for finding in other.kept {
            self.push(|| finding);
        }
        self.left_out += other.left_out;
    }

    fn finish(mut self, what: &str, code: Code) -> Vec<Diagnostic> {
        if let (Some(last), true) = (self.kept.last(), self.left_out > 0) {
            let message = format!("{} more {what} are not shown", self.left_out);
            self.kept.push(Diagnostic { line: 0, column: 0, path: String::new(), message, code, ..last.clone() });
        }
        self.kept
    }
}

impl Report {
    pub(super) fn error(&mut self, file: &str, pos: Pos, path: &Path<'_>, code: Code, message: impl Into<String>) {
        self.errors.push(|| diagnostic(file, pos, path, message.into(), code));
    }

    pub(super) fn warn(&mut self, file: &str, pos: Pos, path: &Path<'_>, code: Code, message: impl Into<String>) {
        self.warnings.push(|| diagnostic(file, pos, path, message.into(), code));
    }

    /// Adds the findings of another report after those of this one.
    pub(super) fn append(&mut self, other: Self) {
        self.errors.append(other.errors);
        self.warnings.append(other.warnings);
    }

    pub(super) fn error_count(&self) -> usize {
        self.errors.kept.len() + self.errors.left_out
    }

    /// The warnings, or the errors if there are any.
    pub(super) fn finish(self) -> Result<Vec<Diagnostic>, LoadErrors> {
        if self.errors.kept.is_empty() {
            Ok(self.warnings.finish("warnings", Code::MoreWarnings))
        } else {
            Err(LoadErrors(self.errors.finish("errors", Code::MoreErrors)))
        }
    }
}

fn diagnostic(file: &str, pos: Pos, path: &Path<'_>, message: String, code: Code) -> Diagnostic {
    Diagnostic { file: file.to_owned(), line: pos.line, column: pos.column, path: path.to_string(), message, code }
}

/// Part of the policy's own text for a message: shortened, with hidden characters made visible.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_QUOTED).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    visible(&short).into_owned()
}

/// The known word that an unknown word was probably meant to be.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Comparing costs the product of the lengths; nobody misspells a word of this length.
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.len() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_reads_like_a_compiler_message() {
        let root = Path::Root;
        let rules = root.key("rules");
        let rule = rules.item(2);
        let found = diagnostic(
            "a.yaml",
            Pos { line: 3, column: 5 },
            &rule.key("aproval"),
            "unknown key".into(),
            Code::UnknownKey,
        );
        assert_eq!(found.to_string(), "a.yaml:3:5: rules[2].aproval: unknown key");
    }

    #[test]
    fn odd_keys_are_quoted_in_paths() {
        let root = Path::Root;
        assert_eq!(root.key("a b").to_string(), "[\"a b\"]");
        assert_eq!(root.key("").to_string(), "[\"\"]");
    }

    #[test]
    fn the_report_is_bounded_and_says_so() {
        let mut report = Report::default();
        for _ in 0..MAX_REPORTED + 7 {
            report.error("a.yaml", Pos::default(), &Path::Root, Code::WrongType, "wrong");
        }
        let errors = report.finish().unwrap_err();
        assert_eq!(errors.diagnostics().len(), MAX_REPORTED + 1);
        assert!(errors.to_string().ends_with("a.yaml: 7 more errors are not shown"));
    }

    #[test]
    fn the_nearest_word_is_offered_only_when_it_is_near() {
        assert_eq!(nearest("aproval", ["name", "approval"]), Some("approval"));
        assert_eq!(nearest("colour", ["name", "approval"]), None);
        assert_eq!(nearest(&"a".repeat(1_000_000), ["approval"]), None);
    }
}
