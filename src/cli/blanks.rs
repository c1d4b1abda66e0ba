//! Makes the blanks in an agent's text visible.
//!
//! Enough blanks in a text push its end to where the next line of the screen begins. An agent could write lines there
//! that look like the daemon's own.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::domain::Defence;

/// A run of more blanks than this is shown as a number.
const SHOWN: usize = 8;

/// The text with `␣` for a blank at an end, for each of several blanks in a row, and for a blank that is no plain
/// space. A long run becomes `␣×200`. One space between words stays a space.
pub(super) fn mark(text: &str) -> Cow<'_, str> {
    let is_plain = !text.starts_with(' ') && !text.ends_with(' ') && !text.contains("  ");
    if !Defence::VisibleBlanks.on() || is_plain && !text.chars().any(|c| c != ' ' && is_blank(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_blank) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c| !is_blank(c)).unwrap_or(from.len());
        let (blanks, after) = from.split_at(end);
        let count = blanks.chars().count();
        let is_at_an_end = after.is_empty() || (shown.is_empty() && before.is_empty());
        shown.push_str(before);
        match count {
            1 if blanks == " " && !is_at_an_end => shown.push(' '),
            ..=SHOWN => shown.extend(std::iter::repeat_n('␣', count)),
            // Writing to a String cannot fail.
            _ => drop(write!(shown, "␣×{count}␣")),
        }
        rest = after;
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// White space, and the Braille character without dots.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{2800}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_spaces_between_words_stay() {
        for text in ["", "crm", "please approve this", "日本 語"] {
            assert!(matches!(mark(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn blanks_that_could_fake_a_line_are_made_visible() {
        for (text, shown) in [
            ("a  b", "a␣␣b"),
            (" a", "␣a"),
            ("a ", "a␣"),
            (" ", "␣"),
            ("a b  c d", "a b␣␣c d"),
            ("a\u{a0}b", "a␣b"),
            ("a\u{3000}\u{2800} b", "a␣␣␣b"),
        ] {
            assert_eq!(mark(text), shown);
        }
        assert_eq!(mark(&format!("ok{}risk LOW", " ".repeat(200))), "ok␣×200␣risk LOW");
    }
}
