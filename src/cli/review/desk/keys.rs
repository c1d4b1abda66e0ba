//! What a key, a click or a paste means.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::{Desk, History, Page, Wish};
use crate::cli::vote::Vote;

/// How far one turn of the wheel scrolls.
const WHEEL: usize = 3;

impl Desk {
    /// Text that was pasted: a line break in it must not send anything.
    pub(in crate::cli::review) fn paste(&mut self, pasted: &str) {
        let clean = pasted.chars().map(|c| if c.is_control() { ' ' } else { c });
        if let Some(prompt) = &mut self.prompt {
            if !prompt.is_confirming {
                prompt.reason.extend(clean);
            }
        } else if self.filter.is_typed {
            self.filter.text.extend(clean);
            self.filtered();
        }
    }

    /// What a key means.
    pub(in crate::cli::review) fn key(&mut self, key: KeyEvent) -> Option<Wish> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Some(Wish::Quit),
            KeyCode::Char('z') if control => return Some(Wish::Suspend),
            _ => {}
        }
        if control || key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SUPER) {
            // Ctrl+D is no `d`: what other programs take for the end of the input must not open anything.
            if control && key.code == KeyCode::Char('u') {
                self.clear_typed();
            }
            return None;
        }
        if self.is_helping {
            self.help_key(key.code);
            return None;
        }
        if self.prompt.is_some() {
            return self.prompt_key(key.code);
        }
        if self.filter.is_typed {
            self.filter_key(key.code);
            return None;
        }
        match (key.code, self.page) {
            (KeyCode::Char('?'), _) => {
                (self.is_helping, self.scroll) = (true, 0);
                None
            }
            (KeyCode::Char('m'), _) => {
                self.has_mouse = !self.has_mouse;
                self.say(if self.has_mouse { "the mouse chooses rows" } else { "the mouse selects text" });
                Some(Wish::CaptureMouse(self.has_mouse))
            }
            (code, Page::Open) => self.details_key(code),
            (code, Page::Queue) => self.list_key(code),
            (code, Page::Answered | Page::Record) => self.page_key(code),
        }
    }

    /// What the mouse means. It chooses, opens and scrolls; it answers nothing.
    pub(in crate::cli::review) fn mouse(&mut self, mouse: MouseEvent) {
        let is_on_the_list = self.page == Page::Queue
            && !self.is_helping
            && self.prompt.is_none()
            && self.window.list_columns.contains(&mouse.column);
        let hit = self.window.hits.iter().find(|(line, _)| *line == mouse.row).map(|(_, id)| id.clone());
        match (mouse.kind, hit) {
            (MouseEventKind::Down(MouseButton::Left), Some(id)) if is_on_the_list => {
                // What stood on that line when it was drawn, wherever it stands now.
                let place = self.rows().iter().position(|row| row.approval_id == id);
                let is_chosen_already =
                    self.cursor().is_some_and(|cursor| cursor.is_chosen && cursor.on.approval_id == id);
                match place {
                    Some(_) if is_chosen_already => self.open(),
                    Some(place) => self.choose(place),
                    None => self.warn("that question has just ended"),
                }
            }
            (MouseEventKind::ScrollUp, Some(_)) if is_on_the_list => drop(self.list_key(KeyCode::Up)),
            (MouseEventKind::ScrollDown, Some(_)) if is_on_the_list => drop(self.list_key(KeyCode::Down)),
            (MouseEventKind::ScrollUp, _) => (0..WHEEL).for_each(|_| self.scroll(KeyCode::Up)),
            (MouseEventKind::ScrollDown, _) => (0..WHEEL).for_each(|_| self.scroll(KeyCode::Down)),
            _ => {}
        }
    }

    fn clear_typed(&mut self) {
        if let Some(prompt) = &mut self.prompt {
            if !prompt.is_confirming {
                prompt.reason.clear();
            }
        } else if self.filter.is_typed {
            self.filter.text.clear();
            self.filtered();
        }
    }

    fn list_key(&mut self, code: KeyCode) -> Option<Wish> {
        match code {
            KeyCode::Char('q') => return Some(Wish::Quit),
            KeyCode::Char('r') => return Some(Wish::Reload),
            KeyCode::Esc => return self.step_back(),
            KeyCode::Tab | KeyCode::Char('h') => return self.turn_to(Page::Answered),
            KeyCode::BackTab | KeyCode::Char('t') => return self.turn_to(Page::Record),
            // Keys that were typed before there was anything to see mean nothing.
            _ if !self.board.has_begun() => return None,
            _ => {}
        }
        let rows = self.rows();
        let position = self.position(&rows).unwrap_or(0);
        // The first key of these only chooses what the program put the cursor on.
        let step = usize::from(self.cursor().is_some_and(|cursor| cursor.is_chosen));
        let page = self.window.rows.max(1) * step;
        match code {
            KeyCode::Up | KeyCode::Char('k') => self.choose(position.saturating_sub(step)),
            KeyCode::Down | KeyCode::Char('j') => self.choose(position + step),
            KeyCode::PageUp => self.choose(position.saturating_sub(page)),
            KeyCode::PageDown | KeyCode::Char(' ') => self.choose(position + page),
            KeyCode::Home | KeyCode::Char('g') => self.choose(0),
            KeyCode::End | KeyCode::Char('G') => self.choose(usize::MAX),
            KeyCode::Char('K') => self.scroll(KeyCode::Up),
            KeyCode::Char('J') => self.scroll(KeyCode::Down),
            KeyCode::Char('a') => self.ask_marked(Vote::Approve),
            KeyCode::Char('d') => self.ask_marked(Vote::Deny),
            KeyCode::Char('D') => self.ask_session(),
            KeyCode::Char('x') => self.mark(),
            KeyCode::Char('/') => self.filter.is_typed = true,
            KeyCode::Enter => self.open(),
            _ => {}
        }
        None
    }

    /// What Esc does in the list: one thing less each time, and then the end.
    fn step_back(&mut self) -> Option<Wish> {
        if !self.marked.is_empty() {
            self.marked.clear();
        } else if self.filter.is_set() {
            self.filter.text.clear();
            self.filtered();
        } else {
            return Some(Wish::Quit);
        }
        None
    }

    /// Opens the question under the cursor. Enter chooses it as well.
    fn open(&mut self) {
        if let Some(cursor) = &mut self.cursor {
            cursor.is_chosen = true;
            (self.page, self.scroll) = (Page::Open, 0);
        }
    }

    fn close(&mut self) {
        (self.page, self.scroll) = (Page::Queue, 0);
    }

    fn details_key(&mut self, code: KeyCode) -> Option<Wish> {
        match code {
            KeyCode::Char('a') => self.ask_one(Vote::Approve),
            KeyCode::Char('d') => self.ask_one(Vote::Deny),
            KeyCode::Char('x') => self.mark(),
            KeyCode::Enter | KeyCode::Esc | KeyCode::Char('q') => self.close(),
            code => self.scroll(code),
        }
        None
    }

    /// A key of the history or of the record: these only scroll.
    fn page_key(&mut self, code: KeyCode) -> Option<Wish> {
        match (code, self.page) {
            (KeyCode::Esc | KeyCode::Char('q'), _)
            | (KeyCode::Tab | KeyCode::Char('t'), Page::Record)
            | (KeyCode::BackTab | KeyCode::Char('h'), Page::Answered) => return self.turn_to(Page::Queue),
            (KeyCode::Tab | KeyCode::Char('t'), _) => return self.turn_to(Page::Record),
            (KeyCode::BackTab | KeyCode::Char('h'), _) => return self.turn_to(Page::Answered),
            (KeyCode::Char('r'), Page::Answered) => return Some(Wish::FetchAnswered),
            (code, _) => self.scroll(code),
        }
        None
    }

    fn turn_to(&mut self, page: Page) -> Option<Wish> {
        (self.page, self.scroll) = (page, 0);
        match page {
            Page::Answered if self.history == History::Unknown => {
                self.history = History::Asked;
                Some(Wish::FetchAnswered)
            }
            Page::Record if self.record.open() => Some(Wish::FollowRecord),
            Page::Queue | Page::Open | Page::Answered | Page::Record => None,
        }
    }

    fn help_key(&mut self, code: KeyCode) {
        match code {
            KeyCode::Esc | KeyCode::Char('q' | '?') | KeyCode::Enter => (self.is_helping, self.scroll) = (false, 0),
            code => self.scroll(code),
        }
    }

    fn filter_key(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.filter.is_typed = false,
            KeyCode::Esc => {
                self.filter.is_typed = false;
                self.filter.text.clear();
            }
            KeyCode::Backspace => drop(self.filter.text.pop()),
            KeyCode::Char(c) => self.filter.text.push(c),
            _ => return,
        }
        self.filtered();
    }

    /// After the filter has changed: a question that it hides loses the cursor, and no key has chosen the next one.
    fn filtered(&mut self) {
        let matches = self.filter.matcher();
        self.cursor.take_if(|cursor| !cursor.has_ended && !matches(&cursor.on));
        self.place(false);
    }

    /// Marks the question under the cursor, or takes its mark away.
    fn mark(&mut self) {
        if !self.can_act() {
            return;
        }
        let Some(on) = self.cursor().map(|cursor| cursor.on.clone()) else { return };
        if self.marked.remove(&on.approval_id).is_some() {
            return;
        }
        if self.was_read(&on) {
            self.marked.insert(on.approval_id.clone(), on);
        } else {
            self.warn("a question is marked only where all of it was on the screen: J and K scroll, Enter opens it");
        }
    }

    /// Shows another part of what scrolls. Never more than [`super::Window::last_scroll`] lets it.
    pub(super) fn scroll(&mut self, code: KeyCode) {
        let (lines, last) = (self.window.lines.max(1), self.window.last_scroll);
        let wanted = match code {
            KeyCode::Up | KeyCode::Char('k') => self.scroll.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.scroll + 1,
            KeyCode::PageUp => self.scroll.saturating_sub(lines),
            KeyCode::PageDown | KeyCode::Char(' ') => self.scroll + lines,
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => last,
            _ => self.scroll,
        };
        self.scroll = wanted.min(last);
    }
}
