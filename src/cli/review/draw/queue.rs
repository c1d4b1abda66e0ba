//! The list of what waits.

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::columns::{self, Cell};
use super::theme::Theme;
use crate::cli::review::desk::Desk;
use crate::cli::{approval, words};
use crate::domain::Timestamp;
use crate::proto::v1::Approval;

/// A question with less time left than this is printed bold.
const SOON: i64 = 60;

/// The lines of the list, its heading first, and which question stands on which of them.
pub(super) struct Rows {
    pub(super) lines: Vec<Line<'static>>,
    pub(super) ids: Vec<(usize, String)>,
}

/// As many rows as there is room for. The one under the cursor is kept in sight.
pub(super) fn of(
    desk: &Desk,
    rows: &[&Approval],
    (width, height): (usize, usize),
    theme: Theme,
    now: Timestamp,
) -> Rows {
    let count = height.saturating_sub(1).max(1);
    let position = desk.position(rows).unwrap_or(0);
    let from = (position + 1).saturating_sub(count);
    let shown: Vec<&Approval> = rows.iter().skip(from).take(count).copied().collect();
    let (with_target, with_actor, with_waits) = (width >= 45, width >= 60, width >= 60);
    let (with_session, with_rule) = (width >= 72, width >= 110);
    let mut headings = vec!["Risk", "Action"];
    headings.extend(with_target.then_some("Target"));
    headings.extend(with_actor.then_some("Actor"));
    headings.extend(with_session.then_some("Session"));
    headings.extend(with_rule.then_some("Rule"));
    headings.push("Left");
    headings.extend(with_waits.then_some("Waits"));
    let cells: Vec<Vec<Cell>> = shown
        .iter()
        .map(|approval| {
            let action = approval.action.clone().unwrap_or_default();
            let risk = words::risk(approval.risk_level);
            let mut cells = vec![Cell::whole(&risk, theme.word(&risk)), Cell::new(&action.r#type)];
            cells.extend(with_target.then(|| Cell::new(&action.target)));
            cells.extend(with_actor.then(|| Cell::new(approval.actor.as_ref().map_or("", |actor| &actor.id))));
            cells.extend(
                with_session.then(|| Cell::new(approval.context.as_ref().map_or("", |context| &context.session_id))),
            );
            cells.extend(with_rule.then(|| Cell::new(&approval.matched_rule)));
            cells.push(left(desk, approval, now));
            cells.extend(with_waits.then(|| Cell::whole(approval::who_waits(approval), Style::new())));
            cells
        })
        .collect();
    let table = columns::table(&headings, cells, width.saturating_sub(2));
    let mut lines = Vec::new();
    let mut ids = Vec::new();
    for (i, spans) in table.into_iter().enumerate() {
        // The first line is the heading.
        let row = i.checked_sub(1).and_then(|i| shown.get(i));
        if let Some(row) = row {
            ids.push((lines.len(), row.approval_id.clone()));
        }
        lines.push(row_line(desk, row.copied(), spans, width));
    }
    Rows { lines, ids }
}

/// `>` where a key put the cursor, `·` where the program did, and `*` where it is marked.
fn row_line(desk: &Desk, row: Option<&Approval>, spans: Vec<Span<'static>>, width: usize) -> Line<'static> {
    let cursor = desk.cursor().filter(|cursor| row.is_some_and(|row| cursor.on.approval_id == row.approval_id));
    let mark = if row.is_some_and(|row| desk.is_marked(&row.approval_id)) { '*' } else { ' ' };
    let sign = match cursor {
        Some(cursor) if cursor.is_chosen => '>',
        Some(_) => '·',
        None => ' ',
    };
    let mut all = vec![Span::raw(format!("{sign}{mark}"))];
    all.extend(spans);
    let mut line = super::text::fit(all, width);
    if cursor.is_some_and(|cursor| cursor.is_chosen) {
        let gap = width.saturating_sub(line.width());
        line.push_span(Span::raw(" ".repeat(gap)));
        for span in &mut line.spans {
            span.style = Style { fg: None, bg: None, ..span.style }.patch(Theme::chosen());
        }
    }
    line
}

/// The time left, or that it has ended.
fn left(desk: &Desk, approval: &Approval, now: Timestamp) -> Cell {
    if desk.board.get(&approval.approval_id).is_none() {
        return Cell::whole("ended", Theme::faint());
    }
    let left = approval::time_left(approval, now);
    let is_soon = approval.expires_at.as_ref().is_some_and(|at| at.seconds - now.as_second() < SOON);
    let style = if is_soon { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
    Cell::whole(&left, style)
}
