//! The bottom of the screen: what happened or what is typed, and what the keys mean.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::details::Look;
use super::text;
use super::theme::Theme;
use crate::cli::approval;
use crate::cli::review::desk::{Ask, Desk, Page, Prompt};
use crate::cli::vote::Vote;
use crate::domain::visible;

/// The lines, the keys last.
pub(super) fn of(desk: &Desk, look: Look<'_>) -> Vec<Line<'static>> {
    let style = if desk.notice.is_warning { look.theme.waiting() } else { Style::new() };
    let mut lines = vec![text::fit(vec![Span::styled(desk.notice.text.clone(), style)], look.width)];
    if let Some(prompt) = &desk.prompt {
        lines.push(question(desk, prompt, look));
        lines.push(reason(prompt, look));
    }
    let keys = keys(desk, look.width);
    lines.push(text::fit(vec![Span::styled(keys, Theme::faint())], look.width));
    lines
}

/// The keys that matter now, as many as there is room for.
fn keys(desk: &Desk, width: usize) -> &'static str {
    let fitting = |all: &[&'static str]| {
        let last = all.last().copied().unwrap_or_default();
        all.iter().copied().find(|keys| text::width(keys) <= width).unwrap_or(last)
    };
    match (&desk.prompt, desk.page) {
        _ if desk.is_helping => "j/k scroll   Esc back",
        (Some(prompt), _) if prompt.is_confirming => {
            fitting(&["y sends all of them   n, Esc back", "y sends   n back"])
        }
        (Some(prompt), _) if prompt.ask.several().is_some() => "Enter goes on   Esc goes back",
        (Some(_), _) => "Enter sends   Esc goes back",
        _ if desk.filter.is_typed => "Enter keeps the filter   Esc clears it",
        (None, Page::Open) => fitting(&[
            "a approve   d deny   x mark   j/k scroll   Home/End   Enter back   ? help",
            "a approve   d deny   x mark   j/k scroll   Enter back",
            "a yes  d no  j/k  Enter back",
        ]),
        (None, Page::Queue) => fitting(&[
            "a approve   d deny   x mark   D deny session   Enter open   J/K scroll   / filter   h history   t record   \
             ? help   q quit",
            "a approve   d deny   x mark   Enter open   / filter   h history   t record   ? help",
            "a approve   d deny   x mark   Enter open   / filter   ? help",
            "a yes  d no  Enter more  j/k  ? help",
        ]),
        (None, Page::Answered | Page::Record) => {
            fitting(&["j/k, PageDown scroll   h history   t record   Esc queue   ? help", "j/k scroll   Esc queue"])
        }
    }
}

/// What is about to be sent.
fn question(desk: &Desk, prompt: &Prompt, look: Look<'_>) -> Line<'static> {
    let (verb, style) = match prompt.vote {
        Vote::Approve => ("Approve", look.theme.good()),
        Vote::Deny => ("Deny", look.theme.bad()),
    };
    let waits = |id: &str| desk.board.get(id).is_some();
    let rest = match &prompt.ask {
        Ask::One => match desk.cursor() {
            Some(cursor) if !cursor.has_ended => format!(" {}?", approval::title(&cursor.on)),
            _ => return text::fit(vec![Span::styled("This has ended: Esc goes back", look.theme.bad())], look.width),
        },
        Ask::Marked(questions) => match questions.iter().filter(|one| waits(&one.approval_id)).count() {
            1 => " the 1 marked question?".to_owned(),
            count => format!(" the {count} marked questions?"),
        },
        Ask::Session(session, questions) => {
            let session = approval::shown(session);
            match questions.iter().filter(|one| waits(&one.approval_id)).count() {
                1 => format!(" the 1 question of the session {session}?"),
                count => format!(" all {count} questions of the session {session}?"),
            }
        }
    };
    text::fit(vec![Span::styled(verb, style), Span::raw(rest)], look.width)
}

/// The reason. The end of what is typed is always in sight.
fn reason(prompt: &Prompt, look: Look<'_>) -> Line<'static> {
    let label = if look.width >= 40 { "because (optional): " } else { "because: " };
    let typed = text::tail(&visible(&prompt.reason), look.width.saturating_sub(text::width(label) + 1));
    if prompt.is_confirming {
        let sure = Span::styled("Press y to send.", look.theme.waiting());
        return text::fit(
            vec![sure, Span::raw(" "), Span::styled(label, Theme::faint()), Span::raw(typed)],
            look.width,
        );
    }
    text::fit(vec![Span::raw(label), Span::raw(typed), Span::styled(" ", Theme::chosen())], look.width)
}
