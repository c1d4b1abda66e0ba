//! What the screen shows: a desk, a size and a moment in; cells out, and how much they show. A pure function, which the
//! tests call with a terminal that is none.

mod columns;
mod details;
mod foot;
mod head;
mod pages;
mod queue;
mod text;
mod theme;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use self::details::Look;
pub(super) use self::theme::Theme;
use super::desk::{Desk, Page, Shown, Window};
use crate::domain::Timestamp;

/// Below this many lines the list has the screen for itself.
const ROOM_FOR_PREVIEW: u16 = 10;
/// From this many columns on, the question stands beside the list.
const ROOM_FOR_TWO: u16 = 120;
/// The least columns of the list beside the question.
const LIST: u16 = 58;

/// Draws the desk. Says how much of everything was on the screen.
pub(super) fn draw(desk: &Desk, frame: &mut Frame<'_>, theme: Theme, now: Timestamp) -> Window {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    let look = Look { theme, zone: &desk.zone, width: area.width.into(), now };
    let foot = foot::of(desk, look);
    // On a screen that has no room for all of it, what is typed matters most.
    let foot_height = u16::try_from(foot.len()).unwrap_or(area.height).min(area.height);
    let head = head::of(desk, look, area.height >= ROOM_FOR_PREVIEW + 6);
    let head_height = u16::try_from(head.len()).unwrap_or(0).min(area.height - foot_height);
    let body_height = area.height - foot_height - head_height;
    place(buffer, Rect { height: head_height, ..area }, &head);
    let body = Rect { y: area.y + head_height, height: body_height, ..area };
    let skipped = foot.len() - usize::from(foot_height);
    place(buffer, Rect { y: body.bottom(), height: foot_height, ..area }, &foot[skipped..]);
    let mut painter = Painter { desk, buffer, look, window: Window::default() };
    painter.body(body);
    painter.window
}

/// Writes lines, as many as there is room for.
fn place(buffer: &mut Buffer, area: Rect, lines: &[Line<'static>]) {
    let area = area.intersection(buffer.area);
    for (y, line) in (area.top()..area.bottom()).zip(lines) {
        buffer.set_line(area.x, y, line, area.width);
    }
}

struct Painter<'a, 'b> {
    desk: &'a Desk,
    buffer: &'b mut Buffer,
    look: Look<'a>,
    window: Window,
}

impl Painter<'_, '_> {
    fn body(&mut self, area: Rect) {
        let several = self.desk.prompt.as_ref().is_some_and(|prompt| prompt.ask.several().is_some());
        let lines = match self.desk.page {
            _ if self.desk.is_helping => pages::help(self.look),
            _ if several => pages::several(self.desk, self.look),
            Page::Answered => pages::answered(self.desk, self.look),
            Page::Record => pages::record(self.desk, self.look),
            Page::Queue | Page::Open => return self.queue(area),
        };
        self.scrolled(area, &lines);
    }

    fn queue(&mut self, area: Rect) {
        let is_asking = self.desk.prompt.is_some();
        let is_wide = area.width >= ROOM_FOR_TWO && area.height >= ROOM_FOR_PREVIEW;
        if self.desk.page == Page::Open || is_asking && !is_wide {
            return self.details(area);
        }
        let rows = self.desk.rows();
        if rows.is_empty() {
            let nothing = match self.desk.board.has_begun() {
                false => "",
                true if self.desk.filter.is_set() => "  Nothing that waits matches the filter. Esc clears it.",
                true => "  Nothing waits for a reviewer.",
            };
            let line = text::fit(vec![Span::raw(nothing)], area.width.into());
            return place(self.buffer, area, &[line]);
        }
        let (list, preview) = if is_wide {
            let width = (area.width * 9 / 20).max(LIST);
            let list = Rect { width, ..area };
            for y in area.top()..area.bottom() {
                self.buffer.set_string(list.right(), y, "│", Theme::faint());
            }
            (list, Some(Rect { x: list.right() + 2, width: area.width - width - 2, ..area }))
        } else if area.height >= ROOM_FOR_PREVIEW {
            let height = (area.height / 2).min(u16::try_from(rows.len() + 1).unwrap_or(u16::MAX));
            let list = Rect { height, ..area };
            self.buffer.set_string(area.x, list.bottom(), "─".repeat(area.width.into()), Theme::faint());
            (list, Some(Rect { y: list.bottom() + 1, height: area.height - height - 1, ..area }))
        } else {
            (area, None)
        };
        if let Some(preview) = preview {
            self.details(preview);
        }
        let size = (list.width.into(), list.height.into());
        let shown = queue::of(self.desk, &rows, size, self.look.theme, self.look.now);
        place(self.buffer, list, &shown.lines);
        self.window.rows = usize::from(list.height).saturating_sub(1).max(1);
        self.window.list_columns = list.left()..list.right();
        let lines = shown.ids.into_iter().filter(|(line, _)| *line < list.height.into());
        let hits = lines.filter_map(|(line, id)| Some((list.y + u16::try_from(line).ok()?, id)));
        self.window.hits = hits.collect();
    }

    /// The question under the cursor.
    fn details(&mut self, area: Rect) {
        let Some(cursor) = self.desk.cursor() else { return };
        let look = Look { width: area.width.into(), ..self.look };
        let details = details::of(cursor, self.desk.background(), look);
        let lines = self.scrolled(area, &details.lines);
        self.window.shown = Some(Shown {
            approval_id: cursor.on.approval_id.clone(),
            width: look.width,
            essential: details.essential,
            lines,
        });
    }

    /// Lines of which a part is shown. Says which, and announces in the last line what does not fit.
    fn scrolled(&mut self, area: Rect, all: &[Line<'static>]) -> std::ops::Range<usize> {
        let room = usize::from(area.height);
        let last_scroll = all.len().saturating_sub(room);
        let from = self.desk.scroll.min(last_scroll);
        let is_whole = all.len() - from <= room;
        let count = if is_whole { all.len() - from } else { room.saturating_sub(1) };
        let shown = from..from + count;
        place(self.buffer, area, all.get(shown.clone()).unwrap_or_default());
        if !is_whole && room > 0 {
            let hidden = all.len() - shown.end;
            let lines = if hidden == 1 { "line" } else { "lines" };
            let more = Span::styled(format!("… {hidden} more {lines}"), self.look.theme.waiting());
            let how = if self.desk.page == Page::Queue && !self.desk.is_helping {
                " (J, or Enter)"
            } else {
                " (j, PageDown)"
            };
            let how = Span::styled(how, Style::new());
            let line = text::fit(vec![more, how], area.width.into());
            place(self.buffer, Rect { y: area.bottom() - 1, height: 1, ..area }, &[line]);
        }
        self.window.lines = room.saturating_sub(1);
        self.window.last_scroll = last_scroll;
        shown
    }
}

#[cfg(test)]
mod tests;
