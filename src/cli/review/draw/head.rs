//! The top of the screen: how many wait, where the cursor stands, how well that is known, and the filter.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::details::Look;
use super::text;
use super::theme::Theme;
use crate::cli::review::board::Link;
use crate::cli::review::desk::{Desk, Follows, Page};
use crate::cli::words;
use crate::domain::visible;
use crate::proto::v1::RiskLevel;

/// One line, or two where there is room.
pub(super) fn of(desk: &Desk, look: Look<'_>, has_room: bool) -> Vec<Line<'static>> {
    let (state, style) = match (desk.page, &desk.record.follows, desk.board.link()) {
        (Page::Record, Follows::Loading, _) => ("loading …", look.theme.waiting()),
        (Page::Record, Follows::Refused(_) | Follows::Not, _) => ("not to be had", look.theme.bad()),
        (Page::Record, Follows::Lost, _) | (_, _, Link::Lost(_)) => {
            ("connection lost, trying again …", look.theme.bad())
        }
        (_, _, Link::Loading) => ("loading …", look.theme.waiting()),
        (_, _, Link::Live) => ("live", look.theme.good()),
    };
    let state = if look.width < 60 && state.len() > 20 { "lost, trying again …" } else { state };
    let mut spans = vec![Span::styled("aegis review", Theme::heading())];
    match desk.page {
        Page::Queue | Page::Open => spans.extend(counts(desk, look)),
        Page::Answered => spans.push(Span::raw(format!("   history   {} ended", desk.answered.len()))),
        Page::Record => spans.push(Span::raw(format!("   the record   the newest {}", desk.record.len()))),
    }
    let room = look.width.saturating_sub(text::width(state) + 1);
    let mut line = text::fit(spans, room);
    let gap = look.width.saturating_sub(line.width() + text::width(state));
    line.push_span(Span::raw(" ".repeat(gap)));
    line.push_span(Span::styled(text::cut(state, look.width), style));
    let mut lines = vec![line];
    if desk.page == Page::Queue && (desk.filter.is_typed || desk.filter.is_set()) {
        lines.push(filter(desk, look));
    } else if has_room {
        lines.push(Line::default());
    }
    lines
}

/// How many wait, where the cursor is, the two highest risks, and what is marked.
fn counts(desk: &Desk, look: Look<'_>) -> Vec<Span<'static>> {
    let waiting = match desk.board.len() {
        1 => "   1 waits".to_owned(),
        count => format!("   {count} wait"),
    };
    let mut spans = vec![Span::raw(waiting)];
    if desk.marked() > 0 {
        spans.push(Span::raw("   "));
        spans.push(Span::styled(format!("{} marked", desk.marked()), look.theme.waiting()));
    }
    let rows = desk.rows();
    if let Some(position) = desk.position(&rows) {
        spans.push(Span::raw(format!("   {}/{}", position + 1, rows.len())));
    }
    for level in [RiskLevel::Critical, RiskLevel::High] {
        let count = desk.board.waiting().filter(|approval| approval.risk_level == level as i32).count();
        if count > 0 {
            let word = words::risk(level as i32);
            spans.push(Span::raw("   "));
            spans.push(Span::styled(format!("{count} {}", word.to_lowercase()), look.theme.word(&word)));
        }
    }
    spans
}

fn filter(desk: &Desk, look: Look<'_>) -> Line<'static> {
    let rows = desk.rows().len();
    let count = format!("  {rows} of {} match", desk.board.len());
    let room = look.width.saturating_sub(text::width(&count) + 3);
    let shown = text::tail(&visible(&desk.filter.text), room);
    let mut spans = vec![Span::styled("/", Theme::heading()), Span::raw(shown)];
    if desk.filter.is_typed {
        spans.push(Span::styled(" ", Theme::chosen()));
    }
    spans.push(Span::styled(count, Style::new().patch(Theme::faint())));
    text::fit(spans, look.width)
}
