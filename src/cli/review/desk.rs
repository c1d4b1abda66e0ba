//! The reviewer at the keyboard: where the cursor is, what is being typed, and what a key means. No terminal here.
//!
//! A reviewer acts on what is on the screen and on nothing else. So the cursor never moves by itself: a question that
//! ends under it stays where it is, as ended, until a key moves the cursor away. What is open (details, or the prompt
//! for a reason) stays open until a key closes it. And a row that the cursor was put on by the program takes no vote
//! before a key has chosen it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::board::{Board, Update};
use super::feed::News;
use crate::cli::approval;
use crate::cli::failure::Failure;
use crate::cli::paint;
use crate::cli::vote::{self, Taken, Vote};
use crate::domain::{Defence, visible};
use crate::proto::v1::{Approval, SessionAction};

/// What a key asks for that the desk cannot do itself.
#[derive(Debug, PartialEq)]
pub(super) enum Wish {
    Quit,
    Reload,
    /// Everything about this one, its session's history included.
    Fetch(String),
    Answer(Vote, Box<Approval>, String),
}

/// What fills the screen.
#[derive(Debug, PartialEq)]
pub(super) enum View {
    List,
    Open(Open),
}

/// The question under the cursor, open.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Open {
    /// The first line that is shown.
    pub(super) scroll: usize,
    /// A vote that waits for its reason, and for Enter.
    pub(super) prompt: Option<Prompt>,
    /// Whether Esc leads from the prompt back to the list.
    from_list: bool,
}

/// A vote that waits for its reason.
#[derive(Debug, PartialEq)]
pub(super) struct Prompt {
    pub(super) vote: Vote,
    pub(super) reason: String,
}

/// The question that the cursor is on: a copy, which stays when the board forgets it.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) on: Approval,
    pub(super) has_ended: bool,
    /// Whether a key put the cursor here.
    pub(super) is_chosen: bool,
}

/// How much of the list and of what is open fits the screen, as it was last drawn.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    pub(super) rows: usize,
    pub(super) lines: usize,
    /// The scroll position at which the last line is shown.
    pub(super) last_scroll: usize,
}

/// The reviewer's state.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) board: Board,
    pub(super) view: View,
    cursor: Option<Cursor>,
    /// What the session of this question did before, where it was fetched.
    history: Option<(String, Vec<SessionAction>)>,
    /// Whether the connection broke since the picture was last complete.
    was_lost: bool,
    /// The last thing that happened, styled.
    pub(super) notice: String,
    window: Window,
}

impl Desk {
    /// A desk with nothing on it.
    pub(super) fn new() -> Self {
        Self {
            board: Board::default(),
            view: View::List,
            cursor: None,
            history: None,
            was_lost: false,
            notice: String::new(),
            window: Window::default(),
        }
    }

    /// The question under the cursor.
    pub(super) fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    /// The question under the cursor, with its session's history where that is known.
    pub(super) fn shown(&self) -> Option<Approval> {
        let mut approval = self.cursor.as_ref()?.on.clone();
        if let Some((id, history)) = &self.history
            && *id == approval.approval_id
        {
            approval.history.clone_from(history);
        }
        Some(approval)
    }

    /// Where the cursor stands in [`Self::rows`].
    pub(super) fn position(&self) -> Option<usize> {
        Some(self.board.position(&self.cursor.as_ref()?.on.approval_id))
    }

    /// The list: what is pending, and in its old place what has ended under the cursor.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Approval> {
        let ended = self.cursor.as_ref().filter(|cursor| cursor.has_ended).map(|cursor| &cursor.on);
        let before = ended.map_or(0, |ended| self.board.position(&ended.approval_id));
        self.board.waiting().take(before).chain(ended).chain(self.board.waiting().skip(before))
    }

    /// How many rows the list has.
    pub(super) fn len(&self) -> usize {
        self.board.len() + usize::from(self.cursor.as_ref().is_some_and(|cursor| cursor.has_ended))
    }

    /// Takes in news from the stream.
    pub(super) fn hear(&mut self, news: News) -> Result<(), Failure> {
        self.was_lost |= matches!(news, News::Lost(_));
        let is_first = !self.board.has_begun();
        match self.board.hear(news)? {
            Update::Ended(ended) => self.end(&ended),
            Update::Changed(changed) => {
                if let Some(cursor) = &mut self.cursor
                    && cursor.on.approval_id == changed.approval_id
                {
                    cursor.on.caller_waiting = changed.caller_waiting;
                }
            }
            Update::Lagged(missed) => self.warn(&format!("the list fell {missed} changes behind; loading it again")),
            Update::Lost(why) => self.warn(&why),
            Update::Added(added) => {
                self.notice = format!("new: {}", approval::title(&added));
                self.place(false);
            }
            Update::All => {
                if std::mem::take(&mut self.was_lost) {
                    self.notice = "connected again".into();
                }
                if let Some(cursor) = &mut self.cursor
                    && self.board.get(&cursor.on.approval_id).is_none()
                {
                    cursor.has_ended = true;
                }
                // What the screen begins with is looked at before a key is pressed.
                self.place(is_first);
            }
            Update::None => {}
        }
        if !Defence::ChosenQuestion.on() {
            self.cursor.take_if(|cursor| cursor.has_ended);
            self.place(true);
        }
        Ok(())
    }

    /// Puts the cursor on the first row where it is on none.
    fn place(&mut self, is_chosen: bool) {
        if self.cursor.is_none() {
            let first = self.board.waiting().next().cloned();
            self.cursor = first.map(|on| Cursor { on, has_ended: false, is_chosen });
        }
    }

    /// What became of a vote.
    pub(super) fn answered(&mut self, answer: Result<Taken, Failure>) {
        match answer {
            Ok(Taken { ended, is_recorded }) => {
                self.board.forget(&ended.approval_id);
                self.end(&ended);
                if !is_recorded {
                    self.warn(vote::UNRECORDED);
                }
            }
            Err(failure) => self.warn(&failure.to_string()),
        }
    }

    /// What was fetched about one.
    pub(super) fn fetched(&mut self, fetched: Result<Approval, Failure>) {
        match fetched {
            Ok(approval) => self.history = Some((approval.approval_id, approval.history)),
            Err(failure) => self.warn(&failure.to_string()),
        }
    }

    fn end(&mut self, ended: &Approval) {
        self.notice = vote::short_line(ended);
        if let Some(cursor) = &mut self.cursor
            && cursor.on.approval_id == ended.approval_id
        {
            cursor.has_ended = true;
            cursor.on.ending.clone_from(&ended.ending);
            cursor.on.votes.clone_from(&ended.votes);
            (cursor.on.state, cursor.on.version) = (ended.state, ended.version);
        }
    }

    fn warn(&mut self, message: &str) {
        let style = paint::WAITING;
        self.notice = format!("{style}{}{style:#}", message.replace('\n', " "));
    }

    /// Moves the cursor, because a key says so.
    fn choose(&mut self, position: usize) {
        let last = self.len().saturating_sub(1);
        let Some(row) = self.rows().nth(position.min(last)).cloned() else { return };
        match &mut self.cursor {
            Some(cursor) if cursor.on.approval_id == row.approval_id => cursor.is_chosen = true,
            cursor => *cursor = Some(Cursor { on: row, has_ended: false, is_chosen: true }),
        }
    }

    /// Learns how much of it the screen showed.
    pub(super) fn seen(&mut self, window: Window) {
        self.window = window;
        if let View::Open(open) = &mut self.view {
            open.scroll = open.scroll.min(window.last_scroll);
        }
    }

    /// Text that was pasted: a line break in it must not send anything.
    pub(super) fn paste(&mut self, pasted: &str) {
        if let View::Open(Open { prompt: Some(prompt), .. }) = &mut self.view {
            prompt.reason.extend(pasted.chars().map(|c| if c.is_control() { ' ' } else { c }));
        }
    }

    /// What a key means.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Wish> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            return Some(Wish::Quit);
        }
        let is_modified = control || key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SUPER);
        match &mut self.view {
            View::Open(Open { prompt: Some(prompt), .. }) if is_modified => {
                if control && key.code == KeyCode::Char('u') {
                    prompt.reason.clear();
                }
                None
            }
            // Ctrl+D is no `d`: what other programs take for the end of the input must not open anything.
            _ if is_modified => None,
            View::Open(Open { prompt: Some(_), .. }) => self.prompt_key(key.code),
            View::Open(_) => self.details_key(key.code),
            View::List => self.list_key(key.code),
        }
    }

    fn list_key(&mut self, code: KeyCode) -> Option<Wish> {
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return Some(Wish::Quit),
            KeyCode::Char('r') => return Some(Wish::Reload),
            // Keys that were typed before there was anything to see mean nothing.
            _ if !self.board.has_begun() => return None,
            _ => {}
        }
        let position = self.position().unwrap_or(0);
        // The first key of these only chooses what the program put the cursor on.
        let step = usize::from(self.cursor.as_ref().is_some_and(|cursor| cursor.is_chosen));
        let page = self.window.rows.max(1) * step;
        match code {
            KeyCode::Up | KeyCode::Char('k') => self.choose(position.saturating_sub(step)),
            KeyCode::Down | KeyCode::Char('j') => self.choose(position + step),
            KeyCode::PageUp => self.choose(position.saturating_sub(page)),
            KeyCode::PageDown | KeyCode::Char(' ') => self.choose(position + page),
            KeyCode::Home | KeyCode::Char('g') => self.choose(0),
            KeyCode::End | KeyCode::Char('G') => self.choose(usize::MAX),
            KeyCode::Char('a') => self.ask_reason(Vote::Approve),
            KeyCode::Char('d') => self.ask_reason(Vote::Deny),
            KeyCode::Enter => {
                let cursor = self.cursor.as_mut()?;
                cursor.is_chosen = true;
                self.view = View::Open(Open::default());
                return Some(Wish::Fetch(cursor.on.approval_id.clone()));
            }
            _ => {}
        }
        None
    }

    fn details_key(&mut self, code: KeyCode) -> Option<Wish> {
        match code {
            KeyCode::Char('a') => self.ask_reason(Vote::Approve),
            KeyCode::Char('d') => self.ask_reason(Vote::Deny),
            KeyCode::Enter | KeyCode::Esc | KeyCode::Char('q') => self.view = View::List,
            KeyCode::Char('k') => self.scroll(KeyCode::Up),
            KeyCode::Char('j') => self.scroll(KeyCode::Down),
            KeyCode::Char('g') => self.scroll(KeyCode::Home),
            KeyCode::Char('G') => self.scroll(KeyCode::End),
            KeyCode::Char(' ') => self.scroll(KeyCode::PageDown),
            code => self.scroll(code),
        }
        None
    }

    /// Shows another part of what is open. Never more than [`Window::last_scroll`] lets it.
    fn scroll(&mut self, code: KeyCode) {
        let Window { lines, last_scroll, .. } = self.window;
        let View::Open(Open { scroll, .. }) = &mut self.view else { return };
        let wanted = match code {
            KeyCode::Up => scroll.saturating_sub(1),
            KeyCode::Down => *scroll + 1,
            KeyCode::PageUp => scroll.saturating_sub(lines.max(1)),
            KeyCode::PageDown => *scroll + lines.max(1),
            KeyCode::Home => 0,
            KeyCode::End => last_scroll,
            _ => *scroll,
        };
        *scroll = wanted.min(last_scroll);
    }

    fn ask_reason(&mut self, vote: Vote) {
        match &self.cursor {
            None => self.warn("nothing waits for a reviewer"),
            Some(cursor) if cursor.has_ended => self.warn("this question has ended: choose another one with j or k"),
            Some(cursor) if !cursor.is_chosen => self.warn("this question is new: choose it first, with Enter or j"),
            Some(_) => {
                let prompt = Some(Prompt { vote, reason: String::new() });
                match &mut self.view {
                    View::List => self.view = View::Open(Open { prompt, from_list: true, scroll: 0 }),
                    View::Open(open) => open.prompt = prompt,
                }
            }
        }
    }

    fn prompt_key(&mut self, code: KeyCode) -> Option<Wish> {
        let View::Open(open) = &mut self.view else { return None };
        let (prompt, cursor) = (open.prompt.as_mut()?, self.cursor.as_ref()?);
        match code {
            KeyCode::Esc if open.from_list => self.view = View::List,
            KeyCode::Esc => open.prompt = None,
            KeyCode::Enter if cursor.has_ended => self.warn("this question has ended: nothing was sent. Esc goes back"),
            KeyCode::Enter => {
                let (vote, reason) = (prompt.vote, prompt.reason.trim().to_owned());
                let wish = Wish::Answer(vote, Box::new(cursor.on.clone()), reason);
                self.notice = format!("sending the answer to {} …", visible(&cursor.on.approval_id));
                self.view = View::List;
                return Some(wish);
            }
            KeyCode::Backspace => drop(prompt.reason.pop()),
            KeyCode::Char(c) => prompt.reason.push(c),
            code => self.scroll(code),
        }
        None
    }
}

#[cfg(test)]
pub(super) mod tests;
