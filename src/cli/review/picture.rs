//! What the screen shows: a desk, a size and a moment in, lines out.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::board::Link;
use super::desk::{Cursor, Desk, Open, Prompt, View, Window};
use crate::cli::table::{self, Cell, Column, Table};
use crate::cli::vote::Vote;
use crate::cli::{approval, paint, words};
use crate::domain::{Timestamp, visible};
use crate::proto::v1::Approval;

const CHOSEN: Style = Style::new().invert();
/// Below this many lines the list has the screen for itself.
const ROOM_FOR_PREVIEW: usize = 10;
/// Before a value: two blanks, its label, and a blank.
const LABELS: usize = 12;

/// The lines of the screen, none wider than it and as many as fit, and how much they show.
pub(super) fn draw(desk: &Desk, (width, height): (usize, usize), now: Timestamp) -> (Vec<String>, Window) {
    let foot = foot(desk, width);
    let room = height.saturating_sub(foot.len() + 3);
    let mut lines = vec![head(desk, width), String::new()];
    let window = match &desk.view {
        View::List => list(&mut lines, desk, width, room, now),
        View::Open(Open { scroll, .. }) => details(&mut lines, desk, *scroll, width, room, now),
    };
    lines.resize(room + 3, String::new());
    lines.extend(foot);
    // On a screen that has no room for all of it, what is typed matters most.
    let too_many = lines.len().saturating_sub(height);
    let lines = lines.into_iter().skip(too_many).map(|line| fit(line, width)).collect();
    (lines, window)
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

fn list(lines: &mut Vec<String>, desk: &Desk, width: usize, room: usize, now: Timestamp) -> Window {
    if desk.len() == 0 {
        let nothing = if desk.board.has_begun() { "  Nothing waits for a reviewer." } else { "" };
        lines.push(nothing.into());
        return Window::default();
    }
    let for_list = if room < ROOM_FOR_PREVIEW { room } else { (room / 2).min(desk.len() + 1) };
    let position = desk.position().unwrap_or(0);
    // The heading takes a line. The row under the cursor is kept in sight.
    let rows = for_list.saturating_sub(1).max(1);
    let from = (position + 1).saturating_sub(rows);
    let text = rows_of(desk, from, rows, width, now).render(Some(width.saturating_sub(2)));
    lines.extend(text.lines().enumerate().map(|(i, line)| match desk.cursor() {
        Some(cursor) if i > 0 && from + i - 1 == position => under_the_cursor(cursor, line, width),
        _ => format!("  {line}"),
    }));
    if room >= ROOM_FOR_PREVIEW {
        lines.push(format!("{}{}{:#}", paint::FAINT, "─".repeat(width), paint::FAINT));
        let left = (room + 2).saturating_sub(lines.len());
        details(lines, desk, 0, width, left, now);
    }
    Window { rows, ..Window::default() }
}

/// The rows, with as many columns as the width has room for.
fn rows_of(desk: &Desk, from: usize, count: usize, width: usize, now: Timestamp) -> Table {
    let (with_target, with_names) = (width >= 45, width >= 60);
    let mut columns = vec![Column::left("Risk", 0), Column::left("Action", 0)];
    columns.extend(with_target.then(|| Column::left("Target", 0)));
    if with_names {
        columns.extend([Column::left("Actor", 0), Column::left("Session", 0)]);
    }
    columns.push(Column::left("Left", 0));
    let mut table = Table::new(&columns);
    for approval in desk.rows().skip(from).take(count) {
        let action = approval.action.clone().unwrap_or_default();
        let has_ended = desk.board.get(&approval.approval_id).is_none();
        let mut cells = vec![Cell::word(words::risk(approval.risk_level)).whole(), Cell::new(&action.r#type)];
        cells.extend(with_target.then(|| Cell::new(&action.target)));
        if with_names {
            cells.push(Cell::new(approval.actor.as_ref().map_or("", |actor| &actor.id)));
            cells.push(Cell::new(approval.context.as_ref().map_or("", |context| &context.session_id)));
        }
        let left = match (has_ended, approval.caller_waiting) {
            (true, _) => "ended".to_owned(),
            (false, Some(false)) => format!("{}, nobody waits", approval::time_left(approval, now)),
            (false, _) => approval::time_left(approval, now),
        };
        cells.push(Cell::new(left).whole());
        table.row(cells);
    }
    table
}

/// `>` where a key put the cursor, `·` where the program did.
fn under_the_cursor(cursor: &Cursor, line: &str, width: usize) -> String {
    let line = anstream::adapter::strip_str(line).to_string();
    if !cursor.is_chosen {
        return format!("· {line}");
    }
    let gap = width.saturating_sub(line.width() + 2);
    format!("{CHOSEN}> {line}{:gap$}{CHOSEN:#}", "")
}

/// Everything about the question under the cursor, field by field. Says so where not all of it fits.
fn details(lines: &mut Vec<String>, desk: &Desk, scroll: usize, width: usize, room: usize, now: Timestamp) -> Window {
    let Some(approval) = desk.shown() else { return Window::default() };
    let all = all_details(&approval, desk.cursor().is_some_and(|cursor| cursor.has_ended), width, now);
    // What does not fit is announced in the last line.
    let last_scroll = if all.len() > room { all.len() - room } else { 0 };
    let mut shown: Vec<String> = all.into_iter().skip(scroll.min(last_scroll)).collect();
    if shown.len() > room {
        let hidden = shown.len() - room + 1;
        shown.truncate(room.saturating_sub(1));
        let more = format!("  … {hidden} more lines (Enter and down show them)");
        shown.push(format!("{}{}{:#}", paint::WAITING, table::cut(&more, width), paint::WAITING));
    }
    lines.extend(shown);
    Window { lines: room.saturating_sub(1), last_scroll, ..Window::default() }
}

/// The title, what has become of it, and the fields. A value that is too wide goes on below itself behind a mark that
/// stands where no agent's text does.
fn all_details(approval: &Approval, has_ended: bool, width: usize, now: Timestamp) -> Vec<String> {
    let title = table::cut(&approval::title(approval), width);
    let mut lines = vec![format!("{}{title}{:#}", paint::HEADING, paint::HEADING)];
    if has_ended {
        let how = approval.ending.as_ref().map_or_else(|| "while nobody looked".to_owned(), approval::ending);
        let ended = table::cut(&format!("ENDED: {how}. It takes no answer any more."), width);
        lines.push(format!("{}{ended}{:#}", paint::BAD, paint::BAD));
    }
    for (label, value) in approval::fields(approval, now) {
        let style = if label == "risk" { paint::of(&value) } else { paint::PLAIN };
        for (i, part) in wrap(&value, width.saturating_sub(LABELS)).into_iter().enumerate() {
            let label = if i == 0 { label } else { "↳" };
            let faint = paint::FAINT;
            lines.push(format!("  {faint}{label:<pad$}{faint:#}{style}{part}{style:#}", pad = LABELS - 2));
        }
    }
    lines
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

/// The lines at the bottom: what happened or what is typed, and what the keys mean.
fn foot(desk: &Desk, width: usize) -> Vec<String> {
    let is_wide = width >= 68;
    let keys = match &desk.view {
        View::List if is_wide => "a approve   d deny   Enter details   j/k move   r reload   q quit",
        View::List => "a yes  d no  Enter more  j/k  q quit",
        View::Open(Open { prompt: Some(_), .. }) => "Enter sends   Esc goes back",
        View::Open(_) if is_wide => "a approve   d deny   j/k scroll   Home/End   Enter back",
        View::Open(_) => "a yes  d no  j/k  Enter back",
    };
    let mut lines = vec![fit(desk.notice.clone(), width)];
    if let View::Open(Open { prompt: Some(prompt), .. }) = &desk.view
        && let Some(cursor) = desk.cursor()
    {
        lines.extend(asked(prompt, cursor, width));
    }
    lines.push(format!("{}{}{:#}", paint::FAINT, table::cut(keys, width), paint::FAINT));
    lines
}

/// What is about to be sent, on one line, and the reason on the next. The end of what is typed is always in sight.
fn asked(Prompt { vote, reason }: &Prompt, cursor: &Cursor, width: usize) -> [String; 2] {
    let (verb, style) = match vote {
        Vote::Approve => ("Approve", paint::GOOD),
        Vote::Deny => ("Deny", paint::BAD),
    };
    let question = if cursor.has_ended {
        format!("{}{}{:#}", paint::BAD, table::cut("This has ended: Esc goes back", width), paint::BAD)
    } else {
        let title = table::cut(&approval::title(&cursor.on), width.saturating_sub(verb.len() + 2));
        format!("{style}{verb}{style:#} {title}?")
    };
    let label = if width >= 40 { "because (optional): " } else { "because: " };
    let room = width.saturating_sub(label.width() + 1);
    let reason = visible(reason);
    let mut used = 0;
    let kept = reason.chars().rev().take_while(|c| {
        used += c.width().unwrap_or(0);
        used <= room
    });
    let tail: String = kept.collect::<Vec<_>>().into_iter().rev().collect();
    [question, format!("{label}{tail}{CHOSEN} {CHOSEN:#}")]
}

/// A styled line that is too wide loses its colours with its end.
fn fit(line: String, width: usize) -> String {
    let plain = anstream::adapter::strip_str(&line).to_string();
    if plain.width() <= width { line } else { table::cut(&plain, width) }
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyCode;

    use super::super::board::tests::approval;
    use super::super::desk::tests::desk;
    use super::super::feed::News;
    use super::*;
    use crate::cli::approval::tests::at;

    fn drawn(desk: &mut Desk, size: (usize, usize)) -> String {
        let (lines, window) = draw(desk, size, at("2026-11-20T12:05:30Z"));
        desk.seen(window);
        let lines: Vec<String> = lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        assert_eq!(lines.len(), size.1, "every line of the screen is drawn");
        for line in &lines {
            assert!(line.width() <= size.0, "too wide for {}: {line:?}", size.0);
            assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
        }
        lines.join("\n")
    }

    #[test]
    fn the_list_shows_what_is_needed_to_answer() {
        let screen = drawn(&mut desk(&["apr_1", "apr_2"]), (80, 30));
        assert!(screen.contains("aegis review   2 wait") && screen.contains("live"), "{screen}");
        assert!(screen.contains("> HIGH  bulk_update  crm     agent-7  s1       9m 30s"), "{screen}");
        assert!(screen.contains("params    count = 150"), "{screen}");
        assert!(screen.contains("a approve   d deny"), "{screen}");
    }

    #[test]
    fn every_size_can_be_drawn() {
        let mut desk = desk(&["apr_1", "apr_2", "apr_3"]);
        for key in [KeyCode::Null, KeyCode::Enter, KeyCode::Char('a')] {
            desk.key(key.into());
            for width in (0..70).chain([80, 200]) {
                for height in 0..40 {
                    drawn(&mut desk, (width, height));
                }
            }
        }
    }

    #[test]
    fn a_narrow_screen_shows_which_action_it_is_and_what_is_typed() {
        let mut desk = desk(&["apr_1"]);
        let screen = drawn(&mut desk, (24, 12));
        assert!(screen.contains("> HIGH") && screen.contains("9m 30s"), "{screen}");
        desk.key(KeyCode::Char('a').into());
        for c in "a long reason that ends here".chars() {
            desk.key(KeyCode::Char(c).into());
        }
        let screen = drawn(&mut desk, (24, 12));
        assert!(screen.contains("Approve bulk_update@crm") && screen.contains("ends here"), "{screen}");
    }

    #[test]
    fn the_row_under_the_cursor_stays_in_sight() {
        let ids: Vec<String> = (0..100).map(|i| format!("apr_{i:03}")).collect();
        let mut desk = desk(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        for _ in 0..70 {
            desk.key(KeyCode::Down.into());
        }
        assert!(drawn(&mut desk, (80, 9)).contains("> HIGH"));
        assert!(drawn(&mut desk, (80, 50)).contains("apr_070"));
    }

    #[test]
    fn what_does_not_fit_is_announced_and_can_be_reached() {
        let mut desk = desk(&["apr_1"]);
        desk.key(KeyCode::Enter.into());
        assert!(drawn(&mut desk, (60, 12)).contains("more lines"));
        desk.key(KeyCode::End.into());
        let end = drawn(&mut desk, (60, 12));
        assert!(end.contains("before") && !end.contains("more lines"), "{end}");
        // Back by as many keys as are needed, however often End was pressed.
        desk.key(KeyCode::Up.into());
        assert!(drawn(&mut desk, (60, 12)).contains("more lines"));
    }

    #[test]
    fn a_line_that_goes_on_is_marked_where_no_agent_writes() {
        let mut desk = desk(&["apr_1"]);
        desk.key(KeyCode::Enter.into());
        let screen = drawn(&mut desk, (50, 40));
        let digest: Vec<&str> = screen.lines().skip_while(|line| !line.starts_with("  digest")).take(2).collect();
        assert!(digest[1].starts_with("  ↳         "), "{screen}");
    }

    #[test]
    fn a_vote_is_asked_for_with_its_question_in_sight() {
        let mut desk = desk(&["apr_1"]);
        desk.key(KeyCode::Char('d').into());
        for c in "x".repeat(200).chars().chain("the end".chars()) {
            desk.key(KeyCode::Char(c).into());
        }
        let screen = drawn(&mut desk, (80, 24));
        assert!(screen.contains("Deny bulk_update@crm?") && screen.contains("because (optional): "), "{screen}");
        assert!(screen.contains("the end") && screen.contains("count = 150"), "{screen}");
    }

    #[test]
    fn what_has_ended_is_shown_as_ended_wherever_it_is_seen() {
        let mut desk = desk(&["apr_1", "apr_2"]);
        desk.key(KeyCode::Char('a').into());
        desk.hear(News::Ended(Box::new(approval("apr_1")))).unwrap();
        let screen = drawn(&mut desk, (80, 24));
        assert!(screen.contains("ENDED: while nobody looked") && screen.contains("This has ended: Esc"), "{screen}");
        desk.key(KeyCode::Esc.into());
        let screen = drawn(&mut desk, (80, 24));
        assert!(screen.contains("> HIGH  bulk_update  crm     agent-7  s1       ended"), "{screen}");
        assert!(screen.contains("aegis review   1 waits"), "{screen}");
    }

    #[test]
    fn a_lost_connection_is_said_at_the_top() {
        let mut desk = desk(&["apr_1"]);
        desk.hear(News::Lost("the daemon ended the stream".into())).unwrap();
        let screen = drawn(&mut desk, (80, 24));
        assert!(screen.contains("connection lost, trying again …"), "{screen}");
        assert!(screen.contains("the daemon ended the stream"), "{screen}");
        for news in [News::Snapshot { missed: None }, News::Complete] {
            desk.hear(news).unwrap();
        }
        let screen = drawn(&mut desk, (80, 24));
        assert!(screen.contains("live") && screen.contains("connected again"), "{screen}");
    }
}
