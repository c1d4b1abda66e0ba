//! What the screen shows: a desk, a size and a moment in, lines out.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::board::Link;
use super::desk::{Desk, View};
use crate::cli::answer::Verdict;
use crate::cli::table::{self, Cell, Column, Table};
use crate::cli::{approval, paint, words};
use crate::domain::{Timestamp, visible};
use crate::proto::v1::Approval;

const CHOSEN: Style = Style::new().invert();
/// Below this many lines the list has the screen for itself.
const ROOM_FOR_PREVIEW: usize = 10;
const LABELS: usize = 10;

/// The lines of the screen, none wider than it and no more than fit.
pub(super) fn draw(desk: &Desk, (width, height): (usize, usize), now: Timestamp) -> Vec<String> {
    let mut lines = vec![head(desk, width), String::new()];
    let room = height.saturating_sub(5);
    match &desk.view {
        View::List => lines.extend(list(desk, width, room, now)),
        View::Details { scroll } => lines.extend(details(desk.chosen().as_ref(), *scroll, width, room, now)),
        View::Reason { on, .. } => lines.extend(details(Some(on), 0, width, room, now)),
    }
    lines.resize(height.saturating_sub(3), String::new());
    lines.push(String::new());
    lines.extend(foot(desk, width));
    lines.truncate(height);
    lines
}

fn head(desk: &Desk, width: usize) -> String {
    let waiting = match desk.board.len() {
        1 => "1 waits".to_owned(),
        count => format!("{count} wait"),
    };
    let (link, style) = match desk.board.link() {
        Link::Loading => ("loading …", paint::WAITING),
        Link::Live => ("live", paint::GOOD),
        Link::Lost(_) => ("connection lost, trying again …", paint::BAD),
    };
    let title = table::cut(&format!("aegis review   {waiting}"), width.saturating_sub(link.width() + 1));
    let gap = width.saturating_sub(title.width() + link.width());
    format!("{}{title}{:#}{:gap$}{style}{link}{style:#}", paint::HEADING, paint::HEADING, "")
}

fn list(desk: &Desk, width: usize, room: usize, now: Timestamp) -> Vec<String> {
    if desk.board.len() == 0 {
        let nothing = if desk.board.has_begun() { "  Nothing waits for a reviewer." } else { "" };
        return vec![nothing.into()];
    }
    let for_list = if room < ROOM_FOR_PREVIEW { room } else { (room / 2).min(desk.board.len() + 1) };
    let position = desk.position().unwrap_or(0);
    // The heading takes a line. The chosen row is kept in sight.
    let rows = for_list.saturating_sub(1).max(1);
    let from = (position + 1).saturating_sub(rows);
    let text = rows_of(desk, from, rows, now).render(Some(width.saturating_sub(2)));
    let mut lines: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(i, line)| if i > 0 && from + i - 1 == position { chosen(line, width) } else { format!("  {line}") })
        .collect();
    if room >= ROOM_FOR_PREVIEW {
        lines.push(format!("{}{}{:#}", paint::FAINT, "─".repeat(width), paint::FAINT));
        let left = room.saturating_sub(lines.len());
        lines.extend(details(desk.chosen().as_ref(), 0, width, left, now));
    }
    lines
}

fn rows_of(desk: &Desk, from: usize, count: usize, now: Timestamp) -> Table {
    let mut table = Table::new(&[
        Column::left("Risk", 0),
        Column::left("Action", 0),
        Column::left("Target", 0),
        Column::left("Actor", 0),
        Column::left("Session", 0),
        Column::left("Left", 0),
    ]);
    for approval in desk.board.waiting().skip(from).take(count) {
        let action = approval.action.clone().unwrap_or_default();
        table.row(vec![
            Cell::word(words::risk(approval.risk_level)).whole(),
            Cell::new(&action.r#type),
            Cell::new(&action.target),
            Cell::new(approval.actor.as_ref().map_or("", |actor| &actor.id)),
            Cell::new(approval.context.as_ref().map_or("", |context| &context.session_id)),
            Cell::new(approval::time_left(approval, now)).whole(),
        ]);
    }
    table
}

fn chosen(line: &str, width: usize) -> String {
    let line = anstream::adapter::strip_str(line).to_string();
    let gap = width.saturating_sub(line.width() + 2);
    format!("{CHOSEN}> {line}{:gap$}{CHOSEN:#}", "")
}

/// Everything about one, field by field; long ones go on below themselves. Says so where not all of it fits.
fn details(approval: Option<&Approval>, scroll: usize, width: usize, room: usize, now: Timestamp) -> Vec<String> {
    let Some(approval) = approval else { return Vec::new() };
    let title = table::cut(&approval::title(approval), width);
    let mut lines = vec![format!("{}{title}{:#}", paint::HEADING, paint::HEADING)];
    for (label, value) in approval::fields(approval, now) {
        let style = if label == "risk" { paint::of(&value) } else { paint::PLAIN };
        for (i, part) in wrap(&value, width.saturating_sub(LABELS + 2)).into_iter().enumerate() {
            let label = if i == 0 { label } else { "" };
            lines.push(format!("  {}{label:<LABELS$}{:#}{style}{part}{style:#}", paint::FAINT, paint::FAINT));
        }
    }
    let last_page = lines.len().saturating_sub(room);
    let mut shown: Vec<String> = lines.into_iter().skip(scroll.min(last_page)).collect();
    if shown.len() > room {
        let hidden = shown.len() - room + 1;
        shown.truncate(room.saturating_sub(1));
        let more = format!("  … {hidden} more lines (Enter and down show them)");
        shown.push(format!("{}{}{:#}", paint::WAITING, table::cut(&more, width), paint::WAITING));
    }
    shown
}

/// Text in pieces that fit. Nothing is lost: a reviewer sees all of it.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if used + columns > width.max(2) {
            pieces.push(String::new());
            used = 0;
        }
        used += columns;
        pieces.last_mut().expect("there is always one").push(c);
    }
    pieces
}

fn foot(desk: &Desk, width: usize) -> [String; 2] {
    let keys = match &desk.view {
        View::List => "a approve   d deny   Enter details   r reload   j/k move   q quit",
        View::Details { .. } => "a approve   d deny   j/k scroll   Enter back",
        View::Reason { .. } => "Enter sends   Esc goes back",
    };
    let first = match &desk.view {
        View::Reason { verdict, on, text } => prompt(*verdict, on, text, width),
        _ => cut_styled(&desk.notice, width),
    };
    [first, format!("{}{}{:#}", paint::FAINT, table::cut(keys, width), paint::FAINT)]
}

/// The end of what is typed is always in sight.
fn prompt(verdict: Verdict, on: &Approval, text: &str, width: usize) -> String {
    let (verb, style) = match verdict {
        Verdict::Approve => ("Approve", paint::GOOD),
        Verdict::Deny => ("Deny", paint::BAD),
    };
    let title = table::cut(&approval::title(on), width / 3);
    let label = format!("{verb} {title}, because (optional): ");
    let room = width.saturating_sub(label.width() + 1);
    let text = visible(text);
    let mut used = 0;
    let kept = text.chars().rev().take_while(|c| {
        used += c.width().unwrap_or(0);
        used <= room
    });
    let tail: String = kept.collect::<Vec<_>>().into_iter().rev().collect();
    format!("{style}{label}{style:#}{tail}{CHOSEN} {CHOSEN:#}")
}

/// A styled line that is too wide loses its colours with its end.
fn cut_styled(line: &str, width: usize) -> String {
    let plain = anstream::adapter::strip_str(line).to_string();
    if plain.width() <= width { line.to_owned() } else { table::cut(&plain, width) }
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyCode;

    use super::super::desk::tests::desk;
    use super::super::feed::News;
    use super::*;
    use crate::cli::approval::tests::at;

    fn drawn(desk: &Desk, size: (usize, usize)) -> String {
        let lines = draw(desk, size, at("2026-11-20T12:05:30Z"));
        let lines: Vec<String> = lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        assert_eq!(lines.len(), size.1, "every line of the screen is drawn");
        for line in &lines {
            assert!(line.width() <= size.0, "too wide: {line:?}");
            assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
        }
        lines.join("\n")
    }

    #[test]
    fn the_list_shows_what_is_needed_to_answer() {
        let screen = drawn(&desk(&["apr_1", "apr_2"]), (80, 30));
        assert!(screen.contains("aegis review   2 wait") && screen.contains("live"), "{screen}");
        assert!(screen.contains("> HIGH  bulk_update  crm     agent-7  s1       9m 30s"), "{screen}");
        assert!(screen.contains("params    count = 150"), "{screen}");
        assert!(screen.contains("a approve   d deny"), "{screen}");
    }

    #[test]
    fn every_size_can_be_drawn() {
        let mut desk = desk(&["apr_1", "apr_2", "apr_3"]);
        for view in ["", "\n", "\u{1b}"] {
            if !view.is_empty() {
                desk.key(if view == "\n" { KeyCode::Enter } else { KeyCode::Esc }.into());
            }
            for width in [60, 80, 200] {
                for height in 0..40 {
                    drawn(&desk, (width, height));
                }
            }
        }
    }

    #[test]
    fn the_chosen_one_stays_in_sight() {
        let ids: Vec<String> = (0..100).map(|i| format!("apr_{i:03}")).collect();
        let mut desk = desk(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        for _ in 0..70 {
            desk.key(KeyCode::Down.into());
        }
        assert!(drawn(&desk, (80, 9)).contains("> HIGH"));
        assert!(drawn(&desk, (80, 40)).contains("apr_070"));
    }

    #[test]
    fn what_does_not_fit_is_announced_and_can_be_reached() {
        let mut desk = desk(&["apr_1"]);
        desk.key(KeyCode::Enter.into());
        assert!(drawn(&desk, (60, 12)).contains("more lines"));
        for _ in 0..50 {
            desk.key(KeyCode::Down.into());
        }
        let end = drawn(&desk, (60, 12));
        assert!(end.contains("before") && !end.contains("more lines"), "{end}");
    }

    #[test]
    fn a_verdict_is_asked_for_with_its_question_in_sight() {
        let mut desk = desk(&["apr_1"]);
        desk.key(KeyCode::Char('d').into());
        for c in "x".repeat(200).chars().chain("the end".chars()) {
            desk.key(KeyCode::Char(c).into());
        }
        let screen = drawn(&desk, (80, 24));
        assert!(screen.contains("Deny bulk_update@crm, because (optional):") && screen.contains("the end"), "{screen}");
        assert!(screen.contains("count = 150"), "{screen}");
    }

    #[test]
    fn a_lost_connection_is_said_at_the_top() {
        let mut desk = desk(&["apr_1"]);
        desk.hear(News::Lost("the daemon ended the stream".into())).unwrap();
        let screen = drawn(&desk, (80, 24));
        assert!(screen.contains("connection lost, trying again …"), "{screen}");
        assert!(screen.contains("the daemon ended the stream"), "{screen}");
        for news in [News::Snapshot { missed: None }, News::Complete] {
            desk.hear(news).unwrap();
        }
        let screen = drawn(&desk, (80, 24));
        assert!(screen.contains("live") && screen.contains("connected again"), "{screen}");
    }
}
