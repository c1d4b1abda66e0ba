//! Text in the columns that it has: measured, wrapped and cut as the screen shows it, grapheme by grapheme.
//!
//! The library drops silently what is too wide or has no width. Here nothing is lost in silence: what is cut ends with
//! `…`, what goes on below is marked, and what has no width is written out.

use std::borrow::Cow;

use ratatui::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// The graphemes of a text and the columns of each.
fn graphemes(text: &str) -> impl Iterator<Item = (Cow<'_, str>, usize)> {
    text.graphemes(true).map(|grapheme| match grapheme.width() {
        0 => {
            let written: String = grapheme.chars().map(|c| c.escape_unicode().to_string()).collect();
            let width = written.width();
            (Cow::Owned(written), width)
        }
        width => (Cow::Borrowed(grapheme), width),
    })
}

/// The columns of a text.
pub(super) fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { graphemes(text).map(|(_, width)| width).sum() }
}

/// As much of the text as fits, with `…` in place of the rest.
pub(super) fn cut(text: &str, room: usize) -> String {
    if room == 0 {
        return String::new();
    }
    let (mut shown, mut used, mut fits) = (String::new(), 0, true);
    // Where the text ends that leaves a column for `…`.
    let mut kept = 0;
    for (grapheme, width) in graphemes(text) {
        used += width;
        if used > room {
            fits = false;
            break;
        }
        shown.push_str(&grapheme);
        if used < room {
            kept = shown.len();
        }
    }
    if !fits {
        shown.truncate(kept);
        shown.push('…');
    }
    shown
}

/// The end of a text that fits: of what is typed, the end is always in sight.
pub(super) fn tail(text: &str, room: usize) -> String {
    let all: Vec<_> = graphemes(text).collect();
    let mut used = 0;
    let kept = all.iter().rev().take_while(|(_, width)| {
        used += width;
        used <= room
    });
    let from = all.len() - kept.count();
    all.iter().skip(from).map(|(grapheme, _)| grapheme.as_ref()).collect()
}

/// The text in pieces that fit, broken after a blank where one is near. Nothing is lost.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    // Nothing that can be shown is wider than two columns.
    let room = room.max(2);
    let (mut pieces, mut piece, mut used) = (Vec::new(), String::new(), 0);
    // Where the word began that is being written, and the columns before it.
    let (mut word, mut before) = (0, 0);
    for (grapheme, width) in graphemes(text) {
        if used + width > room {
            let is_near = word > 0 && used - before < room / 3;
            let rest = if is_near { piece.split_off(word) } else { String::new() };
            used = if is_near { used - before } else { 0 };
            pieces.push(std::mem::replace(&mut piece, rest));
            (word, before) = (0, 0);
        }
        used += width;
        piece.push_str(&grapheme);
        if grapheme == " " {
            (word, before) = (piece.len(), used);
        }
    }
    pieces.push(piece);
    pieces
}

/// A line of styled pieces that is no wider than this.
pub(super) fn fit(spans: Vec<Span<'static>>, room: usize) -> Line<'static> {
    let mut left = room;
    let mut line = Vec::new();
    let total: usize = spans.iter().map(|span| width(&span.content)).sum();
    for span in spans {
        let of = width(&span.content);
        // Where something follows that does not fit, a column is kept for `…`.
        let cuts = of > left || (total > room && of == left);
        let text = if cuts { cut_always(&span.content, left) } else { span.content.into_owned() };
        line.push(Span::styled(text, span.style));
        if cuts {
            break;
        }
        left -= of;
    }
    Line::from(line)
}

/// The text with `…` at its end, in this many columns.
fn cut_always(text: &str, room: usize) -> String {
    let shown = cut(text, room);
    if shown.ends_with('…') || room == 0 { shown } else { format!("{}…", cut_off(text, room - 1)) }
}

fn cut_off(text: &str, room: usize) -> String {
    let mut used = 0;
    let kept = graphemes(text).take_while(|(_, width)| {
        used += width;
        used <= room
    });
    kept.map(|(grapheme, _)| grapheme.into_owned()).collect()
}

/// The text, and blanks up to this many columns.
pub(super) fn pad(text: &str, room: usize) -> String {
    let gap = room.saturating_sub(width(text));
    format!("{text}{:gap$}", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_ends_with_a_mark_and_fits() {
        for (text, room, shown) in [
            ("crm", 3, "crm"),
            ("crm", 2, "c…"),
            ("crm", 1, "…"),
            ("crm", 0, ""),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("e\u{301}te\u{301}", 3, "e\u{301}te\u{301}"),
            ("👨‍👩‍👧 family", 4, "👨‍👩‍👧 …"),
        ] {
            assert_eq!(cut(text, room), shown, "{text}");
        }
    }

    #[test]
    fn nothing_is_lost_where_text_is_wrapped() {
        for text in ["", "please approve this one", "日本語日本語", "x".repeat(50).as_str(), "a b c d e f g", "👨‍👩‍👧👨‍👩‍👧"]
        {
            for room in 0..30 {
                let pieces = wrap(text, room);
                assert_eq!(pieces.concat(), text, "{room}");
                assert!(pieces.iter().all(|piece| width(piece) <= room.max(2)), "{pieces:?}");
            }
        }
        assert_eq!(wrap("please approve this", 16), ["please approve ", "this"]);
        assert_eq!(wrap("a_very_long_name_of_a_file", 10), ["a_very_lon", "g_name_of_", "a_file"]);
    }

    #[test]
    fn what_has_no_width_is_written_out() {
        assert_eq!(wrap("\u{301}", 20).concat(), "\\u{301}");
        assert_eq!(width("\u{301}"), 7);
    }

    #[test]
    fn of_what_is_typed_the_end_is_in_sight() {
        assert_eq!(tail("a long reason", 6), "reason");
        assert_eq!(tail("日本語", 5), "本語");
        assert_eq!(tail("short", 10), "short");
        assert_eq!(tail("short", 0), "");
    }

    #[test]
    fn a_line_of_pieces_is_cut_where_it_is_full() {
        let text = |spans: &[&str], room| {
            let spans = spans.iter().map(|text| Span::raw((*text).to_owned())).collect();
            fit(spans, room).spans.into_iter().map(|span| span.content.into_owned()).collect::<String>()
        };
        assert_eq!(text(&["ab", "cd"], 4), "abcd");
        assert_eq!(text(&["ab", "cd"], 3), "abc".replace('c', "…"));
        assert_eq!(text(&["ab", "cd"], 2), "a…");
        assert_eq!(text(&["ab", "cd"], 1), "…");
        assert_eq!(text(&["ab", "cd"], 0), "");
        assert_eq!(text(&["日本", "語"], 5), "日本…");
    }
}
