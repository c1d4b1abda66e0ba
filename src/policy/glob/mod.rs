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
//! The `globset` crate matches the names of secrets ([`secrets`](super::secrets)), and the tests compare this reader
//! with it wherever the two languages agree. It does not match actions, for two reasons. First, it cannot express this
//! language: it matches bytes, so `?`, `[!a]` and `[é]` have no translation for text beyond ASCII. Second, each of its
//! matchers is a compiled regex of some ten kilobytes with a cache per thread, and ten thousand rules would multiply
//! that. A glob here is a few short strings, compared with `str::find`. [`index`](super::index) decides which globs
//! are tried at all, by their [`literals`](Glob::literals).

mod contain;

use std::fmt;

use crate::domain::nfc;

/// The longest glob that loads, in characters.
pub(super) const MAX_CHARS: usize = 1024;

/// A compiled glob.
#[derive(Clone, Debug)]
pub struct Glob {
    text: Box<str>,
    /// The piece before the first `*`, or everything if there is no `*`.
    head: Segment,
    /// The pieces between stars; none of them is empty.
    middle: Box<[Segment]>,
    /// The piece after the last `*`; `None` if there is no star.
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

/// Something that the author probably did not mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oddity {
    /// A `[` that is never closed matches itself.
    Unclosed,
    /// A set with no character in it.
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
                "`{a,b}` is no alternative in these globs, the braces stand for themselves: write a list of globs"
            }
        }
    }
}

/// Where a literal must be for the glob to match at all.
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

    /// Reads a glob and reports what looks like a mistake. Globs are compared in NFC, like the texts that they match.
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

    /// Whether the whole text matches. The text must be in NFC.
    pub(super) fn matches_nfc(&self, text: &str) -> bool {
        let Some(rest) = self.head.strip_start(text) else { return false };
        let Some(tail) = &self.tail else { return rest.is_empty() };
        let Some(mut rest) = tail.strip_end(rest) else { return false };
        // Each piece takes the first place that fits. That leaves the most room for the next, so nothing is tried
        // twice.
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

    /// The literals that a matching text must contain, and where. A text that contains all of them may still not
    /// match.
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

/// Two globs are equal if their texts are.
impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Glob {}

/// Reads a set after its `[`. Returns the set and the number of characters that it takes, `]` included.
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

    /// The text after this piece, if the text begins with it.
    fn strip_start<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Literal(literal) => text.strip_prefix(&**literal),
            Self::Units(units) => {
                let mut chars = text.chars();
                units.iter().all(|unit| chars.next().is_some_and(|c| unit.matches(c))).then_some(chars.as_str())
            }
        }
    }

    /// The text before this piece, if the text ends with it.
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

    /// The text after the first place that this piece matches.
    fn skip_first<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Literal(literal) => text.find(&**literal).and_then(|at| text.get(at + literal.len()..)),
            Self::Units(_) => {
                text.char_indices().find_map(|(at, _)| text.get(at..).and_then(|rest| self.strip_start(rest)))
            }
        }
    }

    /// Adds the literals of this piece. Only the literal at the anchored end keeps the anchor.
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
    fn a_star_matches_separators_and_newlines_too() {
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
        assert!(matches("?", "e\u{301}"), "a letter and a combining accent are compared as one character");
        assert!(!matches("?", "x\u{301}"));
    }

    #[test]
    fn a_glob_matches_a_text_in_any_normal_form() {
        for (glob, text) in [("caf\u{e9}*", "cafe\u{301}s"), ("cafe\u{301}*", "caf\u{e9}s"), ("[\u{e9}]", "e\u{301}")] {
            assert!(matches(glob, text), "{glob} {text}");
        }
        assert!(!matches("cafe*", "cafe\u{301}") && !matches("e?", "e\u{301}"));
    }

    #[test]
    fn sets_follow_fnmatch() {
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
    fn every_other_character_matches_itself() {
        assert!(matches("{a,b}", "{a,b}"));
        assert!(!matches("{a,b}", "a"));
        assert!(matches("a\\*", "a\\b"));
        assert!(matches("re[", "re["));
        assert!(matches("update_*|write*", "update_x|write"));
        assert!(!matches("a", "a\n"));
        assert!(!matches("a", "A"));
    }

    #[test]
    fn probable_mistakes_are_reported() {
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
    fn the_literals_of_a_glob_are_found_with_their_anchors() {
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

    /// `fnmatch` by its definition, on lists of characters: exponential, but obviously right.
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

        /// Where the two languages agree (no braces, no escapes, ASCII, closed and non-empty sets), the answers agree
        /// too.
        #[test]
        fn a_glob_decides_like_globset(
            pattern in "([ab./]|\\*|\\?|\\[!?[a-f]\\]|\\[!?[a-c]-[d-f]\\]){0,7}", text in "[abcdef./\n]{0,8}",
        ) {
            // To globset, `**` beside a separator means directories; here it means the same as `*`.
            let single = pattern.split('*').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("*");
            let (first, last) = (pattern.starts_with('*'), pattern.ends_with('*'));
            let (before, after) = (if first { "*" } else { "" }, if last && !single.is_empty() { "*" } else { "" });
            let single = format!("{before}{single}{after}");
            let theirs = globset::GlobBuilder::new(&single).literal_separator(false).build();
            prop_assert_eq!(matches(&pattern, &text), theirs.unwrap().compile_matcher().is_match(&text));
        }
    }
}
