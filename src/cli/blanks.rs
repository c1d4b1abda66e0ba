//! Blanks that an agent wrote, made visible.
//!
//! Enough blanks in a text push its end to where the next line of a screen begins: an agent could write lines there
//! that look like the daemon's own.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::domain::Defence;

/// More blanks than this in a row are counted.
const SHOWN: usize = 8;

/// The text with blanks as `␣` where they stand at an end, where there are several, or where they are no plain spaces;
/// and as `␣×200` where there are many. One space between words stays a space.
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

/// White space, and the character of Braille that has no dots.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{2800}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_as_they_are() {
        for text in ["", "crm", "please approve this", "日本 語"] {
            assert!(matches!(mark(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn blanks_that_could_fake_a_line_are_seen() {
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
