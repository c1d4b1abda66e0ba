//! Globs: Python's `fnmatch` over the whole text, case-sensitive, in linear-time pieces.
//!
//! | pattern | matches |
//! | --- | --- |
//! | `*` | any run of characters, empty, `/`, `.` and newlines included; `**` is the same |
//! | `?` | exactly one character (a code point) |
//! | `[abc]`, `[a-z]` | one of these; `[^x]` does not negate; a reversed range is empty |
//! | `[!abc]` | one character that is none of these |
//! | anything else | itself: `{a,b}`, `\` and a `[` that is never closed are literal; write `[*]` for a star |
//!
//! The `globset` crate matches the names of secrets ([`secrets`](super::secrets)), and the tests hold this reader
//! against it wherever the two languages coincide. It is not asked about actions, for two reasons. Its language cannot
//! express this one: it matches bytes, so that neither `?` nor `[!a]` nor `[é]` can be translated for text beyond
//! ASCII. And each of its matchers is a compiled regex of some ten kilobytes plus a cache per thread, which ten
//! thousand rules would multiply; a glob here is a few short strings, compared with `str::find`. Which globs are tried
//! at all is decided by [`index`](super::index), over their [`literals`](Glob::literals).

mod contain;

use std::fmt;

use crate::domain::nfc;

/// The longest glob that loads, in characters.
pub(super) const MAX_CHARS: usize = 1024;

/// A compiled glob.
#[derive(Clone, Debug)]
pub struct Glob {
    text: Box<str>,
    /// What stands before the first `*`, or everything where there is none.
    head: Segment,
    /// What stands between stars; never empty pieces.
    middle: Box<[Segment]>,
    /// What stands after the last `*`; `None` where there is no star.
    tail: Option<Segment>,
}

/// A piece of a glob without a star: it matches a fixed number of characters.
#[derive(Clone, Debug)]
enum Segment {
    Literal(Box<str>),
    Units(Box<[Unit]>),
}

#[derive(Clone, Debug)]
enum Unit {
    Char(char),
    Any,
    Set { is_negated: bool, ranges: Box<[(char, char)]> },
}

/// Something an author probably did not mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oddity {
    /// A `[` that is never closed stands for itself.
    Unclosed,
    /// A set that no character is in.
    EmptySet,
    /// A set that begins with `^`, which does not negate.
    Caret,
    /// Braces, which other globs read as alternatives.
    Braces,
}

impl Oddity {
    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::Unclosed => "the `[` is never closed, so it stands for itself: write `[[]` if that is meant",
            Self::EmptySet => "a set in `[...]` is empty (a range runs backwards), so this never matches",
            Self::Caret => "`[^...]` does not negate in these globs, it is a set with `^` in it: write `[!...]`",
            Self::Braces => {
                "`{a,b}` is no alternative in these globs, the braces stand for themselves: write two rules"
            }
        }
    }
}

/// Where a literal must stand for the glob to match at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Anchor {
    Start,
    End,
    Anywhere,
}

impl Glob {
    /// Reads a glob. Every text is one.
    pub fn new(text: &str) -> Self {
        Self::parse(text).0
    }

    /// Reads a glob and says what in it looks like a mistake. Globs are compared in NFC, as the texts are that they
    /// match.
    pub(super) fn parse(text: &str) -> (Self, Vec<Oddity>) {
        let mut oddities = Vec::new();
        let mut pieces = Vec::new();
        let mut units = Vec::new();
        let chars: Vec<char> = nfc(text).chars().collect();
        let mut at = 0;
        while let Some(&c) = chars.get(at) {
            at += 1;
            match c {
                '*' => pieces.push(Segment::new(std::mem::take(&mut units))),
                '?' => units.push(Unit::Any),
                '[' => {
                    if let Some((unit, length)) = set(&chars[at..]) {
                        if matches!(&unit, Unit::Set { is_negated: false, ranges } if ranges.is_empty()) {
                            oddities.push(Oddity::EmptySet);
                        }
                        if chars.get(at) == Some(&'^') && length > 2 {
                            oddities.push(Oddity::Caret);
                        }
                        units.push(unit);
                        at += length;
                    } else {
                        oddities.push(Oddity::Unclosed);
                        units.push(Unit::Char('['));
                    }
                }
                c => units.push(Unit::Char(c)),
            }
        }
        if let (Some(open), Some(close)) = (text.find('{'), text.rfind('}'))
            && text.get(open..close).is_some_and(|inner| inner.contains(','))
        {
            oddities.push(Oddity::Braces);
        }
        let last = Segment::new(units);
        let glob = if pieces.is_empty() {
            Self { text: text.into(), head: last, middle: Box::default(), tail: None }
        } else {
            let head = pieces.remove(0);
            pieces.retain(|piece| !piece.is_empty());
            Self { text: text.into(), head, middle: pieces.into(), tail: Some(last) }
        };
        (glob, oddities)
    }

    /// The glob as the policy writes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.matches_nfc(&nfc(text))
    }

    /// Whether the whole text matches, which is in NFC.
    pub(super) fn matches_nfc(&self, text: &str) -> bool {
        let Some(rest) = self.head.strip_start(text) else { return false };
        let Some(tail) = &self.tail else { return rest.is_empty() };
        let Some(mut rest) = tail.strip_end(rest) else { return false };
        // Taking each piece where it first stands leaves the most room for the next, so nothing is ever tried twice.
        for piece in &self.middle {
            match piece.skip_first(rest) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        true
    }

    /// Whether every text matches.
    pub(super) fn matches_everything(&self) -> bool {
        self.head.is_empty() && self.middle.is_empty() && self.tail.as_ref().is_some_and(Segment::is_empty)
    }

    /// The literals that a matching text must contain, and where. Every one of them is necessary; none need be
    /// sufficient.
    pub(super) fn literals(&self) -> Vec<(Anchor, String)> {
        let mut found = Vec::new();
        self.head.literals(Anchor::Start, &mut found);
        for piece in &self.middle {
            piece.literals(Anchor::Anywhere, &mut found);
        }
        if let Some(tail) = &self.tail {
            tail.literals(Anchor::End, &mut found);
        }
        found
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Two globs are equal when they are written alike.
impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Glob {}

/// Reads the set that begins after a `[`: the set and how many characters it takes, its `]` included.
fn set(chars: &[char]) -> Option<(Unit, usize)> {
    let is_negated = chars.first() == Some(&'!');
    let start = usize::from(is_negated);
    // A `]` that comes first is a member.
    let end = start + 1 + chars.get(start + 1..)?.iter().position(|c| *c == ']')?;
    let members = &chars[start..end];
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(&low) = members.get(at) {
        let (high, length) = if let (Some('-'), Some(&high)) = (members.get(at + 1), members.get(at + 2)) {
            (high, 3)
        } else {
            (low, 1)
        };
        at += length;
        if low <= high {
            ranges.push((low, high));
        }
    }
    Some((Unit::Set { is_negated, ranges: ranges.into() }, end + 1))
}

impl Segment {
    fn new(units: Vec<Unit>) -> Self {
        let literal: Option<String> =
            units.iter().map(|unit| if let Unit::Char(c) = unit { Some(*c) } else { None }).collect();
        match literal {
            Some(literal) => Self::Literal(literal.into()),
            None => Self::Units(units.into()),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Literal(literal) if literal.is_empty())
    }

    /// What follows, if the text begins with this.
    fn strip_start<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Literal(literal) => text.strip_prefix(&**literal),
            Self::Units(units) => {
                let mut chars = text.chars();
                units.iter().all(|unit| chars.next().is_some_and(|c| unit.matches(c))).then_some(chars.as_str())
            }
        }
    }

    /// What precedes, if the text ends with this.
    fn strip_end<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Literal(literal) => text.strip_suffix(&**literal),
            Self::Units(units) => {
                let mut chars = text.chars();
                units
                    .iter()
                    .rev()
                    .all(|unit| chars.next_back().is_some_and(|c| unit.matches(c)))
                    .then_some(chars.as_str())
            }
        }
    }

    /// What follows the first place where this stands.
    fn skip_first<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Literal(literal) => text.find(&**literal).and_then(|at| text.get(at + literal.len()..)),
            Self::Units(_) => {
                text.char_indices().find_map(|(at, _)| text.get(at..).and_then(|rest| self.strip_start(rest)))
            }
        }
    }

    /// Adds the literal runs of this piece. Only the run at the anchored end keeps the anchor.
    fn literals(&self, anchor: Anchor, found: &mut Vec<(Anchor, String)>) {
        let units = match self {
            Self::Literal(literal) => {
                if !literal.is_empty() {
                    found.push((anchor, literal.to_string()));
                }
                return;
            }
            Self::Units(units) => units,
        };
        let mut at = 0;
        for run in units.split(|unit| !matches!(unit, Unit::Char(_))) {
            let is_anchored = match anchor {
                Anchor::Start => at == 0,
                Anchor::End => at + run.len() == units.len(),
                Anchor::Anywhere => false,
            };
            at += run.len() + 1;
            if !run.is_empty() {
                let text =
                    run.iter().filter_map(|unit| if let Unit::Char(c) = unit { Some(*c) } else { None }).collect();
                found.push((if is_anchored { anchor } else { Anchor::Anywhere }, text));
            }
        }
    }
}

impl Unit {
    fn matches(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::Any => true,
            Self::Set { is_negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *is_negated
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::new(pattern).matches(text)
    }

    #[test]
    fn a_star_crosses_everything() {
        for text in ["read", "read/a", "read.a", "read\n\n", "read:é"] {
            assert!(matches("read*", text), "{text}");
        }
        assert!(!matches("read*", " read"));
        assert!(matches("**", ""));
        assert!(matches("a**b", "ab"));
        assert!(!matches("", "a"));
        assert!(matches("", ""));
    }

    #[test]
    fn a_question_mark_is_one_code_point() {
        assert!(matches("?", "é"));
        assert!(matches("?", "\n"));
        assert!(!matches("?", ""));
        assert!(matches("?", "e\u{301}"), "an accent that is typed apart is compared as one character with its letter");
        assert!(!matches("?", "x\u{301}"));
    }

    #[test]
    fn one_text_is_matched_however_it_is_typed() {
        for (glob, text) in [("caf\u{e9}*", "cafe\u{301}s"), ("cafe\u{301}*", "caf\u{e9}s"), ("[\u{e9}]", "e\u{301}")] {
            assert!(matches(glob, text), "{glob} {text}");
        }
        assert!(!matches("cafe*", "cafe\u{301}") && !matches("e?", "e\u{301}"));
    }

    #[test]
    fn sets_are_those_of_fnmatch() {
        assert!(matches("[!p]*", "dev"));
        assert!(!matches("[!p]*", "prod"));
        assert!(matches("[^d]elete", "^elete"));
        assert!(matches("[^d]elete", "delete"));
        assert!(!matches("[^d]elete", "xelete"));
        assert!(matches("x[]]", "x]"));
        assert!(matches("[!]]", "a"));
        assert!(!matches("[!]]", "]"));
        assert!(matches("[[]secret]", "[secret]"));
        assert!(matches("[a-c-e]", "-"));
        assert!(!matches("[a-c-e]", "d"));
        assert!(matches("[--0]", "."));
        assert!(matches("[!a]", "é"));
        assert!(matches("[à-é]", "â"));
        assert!(!matches("[z-a]", "m"));
        assert!(matches("[!z-a]", "m"));
    }

    #[test]
    fn everything_else_stands_for_itself() {
        assert!(matches("{a,b}", "{a,b}"));
        assert!(!matches("{a,b}", "a"));
        assert!(matches("a\\*", "a\\b"));
        assert!(matches("re[", "re["));
        assert!(matches("update_*|write*", "update_x|write"));
        assert!(!matches("a", "a\n"));
        assert!(!matches("a", "A"));
    }

    #[test]
    fn mistakes_are_noticed() {
        let odd = |text| Glob::parse(text).1;
        assert_eq!(odd("re["), [Oddity::Unclosed]);
        assert_eq!(odd("[!"), [Oddity::Unclosed]);
        assert_eq!(odd("[z-a]"), [Oddity::EmptySet]);
        assert_eq!(odd("[^x]"), [Oddity::Caret]);
        assert_eq!(odd("{a,b}"), [Oddity::Braces]);
        assert_eq!(odd("[^]"), []);
        assert_eq!(odd("[a-z]*?"), []);
    }

    #[test]
    fn literals_are_what_every_match_contains() {
        let literals = |text| Glob::new(text).literals();
        assert_eq!(literals("read"), [(Anchor::Start, "read".to_owned())]);
        assert_eq!(
            literals("get_[a-z]x*y*.csv"),
            [
                (Anchor::Start, "get_".to_owned()),
                (Anchor::Anywhere, "x".to_owned()),
                (Anchor::Anywhere, "y".to_owned()),
                (Anchor::End, ".csv".to_owned()),
            ]
        );
        assert_eq!(literals("*a?"), [(Anchor::Anywhere, "a".to_owned())]);
        assert_eq!(literals("*"), []);
    }

    /// `fnmatch` by its definition, on lists of characters, exponential and obvious.
    fn reference(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|skip| reference(rest, &text[skip..])),
            ['?', rest @ ..] => !text.is_empty() && reference(rest, &text[1..]),
            ['[', rest @ ..] => {
                let negated = rest.first() == Some(&'!');
                let members = if negated { &rest[1..] } else { rest };
                let Some(close) = (1..members.len()).find(|i| members[*i] == ']') else {
                    return text.first() == Some(&'[') && reference(rest, &text[1..]);
                };
                let Some(c) = text.first() else { return false };
                let (mut set, mut holds) = (&members[..close], false);
                while !set.is_empty() {
                    if set.len() > 2 && set[1] == '-' {
                        holds |= set[0] <= *c && *c <= set[2];
                        set = &set[3..];
                    } else {
                        holds |= set[0] == *c;
                        set = &set[1..];
                    }
                }
                holds != negated && reference(&members[close + 1..], &text[1..])
            }
            [c, rest @ ..] => text.first() == Some(c) && reference(rest, &text[1..]),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn a_glob_decides_like_the_reference(
            pattern in "[ab\\*\\?\\[\\]!é^\\-z]{0,9}", text in "[abé^\\-\\]\\[!z]{0,8}",
        ) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), reference(&chars(&pattern), &chars(&text)));
        }

        #[test]
        fn a_matching_text_contains_every_literal(pattern in "[ab\\*\\?\\[\\]é]{0,9}", text in "[abé]{0,8}") {
            let glob = Glob::new(&pattern);
            let necessary = if glob.matches(&text) { glob.literals() } else { Vec::new() };
            for (anchor, literal) in necessary {
                let stands = match anchor {
                    Anchor::Start => text.starts_with(&literal),
                    Anchor::End => text.ends_with(&literal),
                    Anchor::Anywhere => text.contains(&literal),
                };
                prop_assert!(stands);
            }
        }

        /// Where the languages coincide (no braces, no escapes, ASCII, sets that are closed and not empty), so do the
        /// answers.
        #[test]
        fn a_glob_decides_like_globset(
            pattern in "([ab./]|\\*|\\?|\\[!?[a-f]\\]|\\[!?[a-c]-[d-f]\\]){0,7}", text in "[abcdef./\n]{0,8}",
        ) {
            // `**` beside a separator means directories to globset; here it is `*`.
            let single = pattern.split('*').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("*");
            let (first, last) = (pattern.starts_with('*'), pattern.ends_with('*'));
            let (before, after) = (if first { "*" } else { "" }, if last && !single.is_empty() { "*" } else { "" });
            let single = format!("{before}{single}{after}");
            let theirs = globset::GlobBuilder::new(&single).literal_separator(false).build();
            prop_assert_eq!(matches(&pattern, &text), theirs.unwrap().compile_matcher().is_match(&text));
        }
    }
}
