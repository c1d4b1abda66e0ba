//! Regular expressions of `param_matches`, in the dialect that policies are written in.
//!
//! It is that of the `regex` crate, whose search time is linear in the value. A search is unanchored, `&&` in a set is
//! an intersection, and `\d` and `\w` are those of Unicode. There is no look-around and no back-reference. One thing
//! follows other dialects: `$` (without `(?m)`) also matches before one last newline, so `"prod\n"` does not dodge
//! `^prod$`. `\z` is the very end.

use std::borrow::Cow;
use std::fmt;

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::{self, AssertionKind, Ast, Flag, GroupKind};

/// What replaces `$`. It takes the newline with it, so only what matches the empty text can follow it.
const END: &str = r"(?:\n?\z)";

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Box<str>,
    regex: Regex,
}

impl Pattern {
    /// Compiles a pattern. The limits are in bytes: of the compiled pattern, and of what a search may keep in memory.
    pub(super) fn new(text: &str, size_limit: usize, cache_limit: usize) -> Result<Self, regex::Error> {
        Self::build(text, &with_lenient_end(text), size_limit, cache_limit)
    }

    /// Compiles a pattern in which `$` is the very end of the text, as JSON Schema has it.
    pub(super) fn exact(text: &str, size_limit: usize, cache_limit: usize) -> Result<Self, regex::Error> {
        Self::build(text, text, size_limit, cache_limit)
    }

    fn build(text: &str, expression: &str, size_limit: usize, cache_limit: usize) -> Result<Self, regex::Error> {
        let mut builder = RegexBuilder::new(expression);
        let regex = builder.size_limit(size_limit).dfa_size_limit(cache_limit).build()?;
        Ok(Self { text: text.into(), regex })
    }

    /// The pattern as the policy writes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern is found in the text.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The expression that is searched for.
    pub(super) fn regex(&self) -> &Regex {
        &self.regex
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Two patterns are equal if their texts are.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

/// The pattern with every `$` that means the end of the text written out. An invalid pattern stays as it is: compiling
/// it says what is wrong.
fn with_lenient_end(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains('$') {
        return Cow::Borrowed(pattern);
    }
    let Ok(parsed) = ast::parse::Parser::new().parse(pattern) else { return Cow::Borrowed(pattern) };
    let mut ends = Vec::new();
    find_ends(&parsed, &mut false, &mut ends);
    let (mut written, mut copied) = (String::with_capacity(pattern.len() + END.len() * ends.len()), 0);
    for end in ends {
        written.push_str(&pattern[copied..end]);
        written.push_str(END);
        copied = end + 1;
    }
    written.push_str(&pattern[copied..]);
    Cow::Owned(written)
}

/// Collects the position of each `$` that is not in multi-line mode, in order. A flag holds to the end of its group.
/// The parser bounds the depth.
fn find_ends(ast: &Ast, is_multi_line: &mut bool, ends: &mut Vec<usize>) {
    let set = |flags: &ast::Flags, is_multi_line: &mut bool| {
        *is_multi_line = flags.flag_state(Flag::MultiLine).unwrap_or(*is_multi_line);
    };
    match ast {
        Ast::Assertion(assertion) if assertion.kind == AssertionKind::EndLine && !*is_multi_line => {
            ends.push(assertion.span.start.offset);
        }
        Ast::Flags(flags) => set(&flags.flags, is_multi_line),
        Ast::Repetition(repetition) => find_ends(&repetition.ast, is_multi_line, ends),
        Ast::Group(group) => {
            let mut inner = *is_multi_line;
            if let GroupKind::NonCapturing(flags) = &group.kind {
                set(flags, &mut inner);
            }
            find_ends(&group.ast, &mut inner, ends);
        }
        Ast::Alternation(alternation) => {
            for ast in &alternation.asts {
                find_ends(ast, is_multi_line, ends);
            }
        }
        Ast::Concat(concat) => {
            for ast in &concat.asts {
                find_ends(ast, is_multi_line, ends);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern, 1 << 20, 1 << 20).unwrap().is_match(text)
    }

    #[test]
    fn a_dollar_matches_at_the_end_and_before_one_last_newline() {
        for pattern in [
            "^prod$",
            "^(prod$)",
            "^(?:prod|x)$",
            "(?i)^PROD$",
            "^prod(?:$)",
            "^prod$$",
            "(?x) ^prod $ # $",
            "^pro(d$|x)",
        ] {
            for (text, holds) in
                [("prod", true), ("prod\n", true), ("prod\n\n", false), ("prod\nx", false), ("prod\r\n", false)]
            {
                assert_eq!(matches(pattern, text), holds, "{pattern} {text:?}");
            }
        }
    }

    #[test]
    fn only_the_end_of_the_text_is_lenient() {
        assert!(!matches("^prod\\z", "prod\n") && matches("^prod\\z", "prod"));
        assert!(matches("(?m)^prod$", "a\nprod\nb") && !matches("(?m)^a$(?-m)$", "a\n\n"));
        assert!(matches("(?m:^a$)\n(?-m:b$)", "a\nb\n") && matches("(?:(?m)a)b$", "ab\n"));
        assert!(matches("[$]x\\$", "$x$") && !matches("[$]x\\$$", "$x"));
        assert_eq!(with_lenient_end("a[$]\\$"), "a[$]\\$");
    }

    #[test]
    fn patterns_with_the_same_text_are_equal() {
        let pattern = Pattern::new("^a$", 1 << 20, 1 << 20).unwrap();
        assert_eq!((pattern.as_str(), pattern.to_string().as_str()), ("^a$", "^a$"));
    }
}
