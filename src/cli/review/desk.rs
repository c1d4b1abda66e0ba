//! The reviewer at the keyboard: where the cursor is, what is being typed, and what a key means. No terminal here:
//! events go in, and what they ask for comes out as a [`Wish`].
//!
//! A reviewer acts on what is on the screen and on nothing else. So the cursor never moves by itself: a question that
//! ends under it stays where it is, as ended, until a key moves the cursor away; one that moves in the list takes the
//! cursor along. What is open (details, or the prompt for a reason) stays open until a key closes it. A row that the
//! cursor was put on by the program takes no vote before a key has chosen it. And several questions are answered
//! together only where each was on the screen in full.

mod filter;
mod keys;
mod prompt;
mod reading;
mod record;
mod voting;

use std::collections::{BTreeMap, VecDeque};

use super::board::{Board, Rank, Update};
use super::feed::News;
use crate::cli::approval;
use crate::cli::failure::Failure;
use crate::cli::times::Zone;
use crate::cli::vote::{self, Taken, Vote};
use crate::domain::Defence;
use crate::proto::v1::{Approval, SessionAction};

pub(super) use self::filter::Filter;
pub(super) use self::prompt::{Ask, Prompt};
use self::reading::Reading;
pub(super) use self::reading::Shown;
pub(super) use self::record::{Follows, Record, Tail};

/// How many of those that have ended are kept for the history.
const MOST_ANSWERED: usize = 1_000;

/// What an event asks for that the desk cannot do itself.
#[derive(Debug, PartialEq)]
pub(super) enum Wish {
    Quit,
    /// Stop, as other programs do on Ctrl+Z.
    Suspend,
    Reload,
    /// Take the mouse, or leave it to the terminal, which selects text with it.
    CaptureMouse(bool),
    /// What is around this question.
    Fetch(Box<Approval>),
    /// What ended before this program began.
    FetchAnswered,
    /// Open the record and follow it.
    FollowRecord,
    Answer(Vote, Vec<Approval>, String),
}

/// What fills the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// What waits.
    Queue,
    /// The question under the cursor, alone.
    Open,
    /// What has ended.
    Answered,
    /// The record, as it is written.
    Record,
}

/// The question that the cursor is on: a copy, which stays when the board forgets it.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) on: Approval,
    pub(super) has_ended: bool,
    /// Whether a key put the cursor here.
    pub(super) is_chosen: bool,
}

/// What is around a question: fetched, because the stream does not bring it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Background {
    /// What its session did before.
    pub(super) session: Vec<SessionAction>,
    /// What its actor did before. `None` where the reviewer may not read the record.
    pub(super) actor: Option<Vec<SessionAction>>,
    /// The rule as the policy has it: names and values. Empty where the reviewer may not read the policy.
    pub(super) rule: Vec<(String, String)>,
}

/// The last thing that happened.
#[derive(Debug, Default)]
pub(super) struct Notice {
    pub(super) text: String,
    pub(super) is_warning: bool,
}

/// How much of everything fits the screen, as it was last drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// The rows of the list.
    pub(super) rows: usize,
    /// The lines of what scrolls.
    pub(super) lines: usize,
    /// The scroll position at which the last line is shown.
    pub(super) last_scroll: usize,
    /// What was on the screen of the question under the cursor.
    pub(super) shown: Option<Shown>,
    /// Which question stood on which line of the screen, and from which column to which.
    pub(super) hits: Vec<(u16, String)>,
    pub(super) list_columns: std::ops::Range<u16>,
}

/// Whether what ended before this program began was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum History {
    Unknown,
    Asked,
}

/// Answers that are on their way.
#[derive(Debug, Default)]
struct Sending {
    sent: usize,
    done: usize,
    refused: usize,
    /// The last thing to be said about one of them.
    warning: Option<String>,
}

/// The reviewer's state.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) board: Board,
    pub(super) page: Page,
    /// The first line that is shown of what scrolls: the details, the history, the record, the help.
    pub(super) scroll: usize,
    pub(super) is_helping: bool,
    pub(super) prompt: Option<Prompt>,
    pub(super) filter: Filter,
    pub(super) answered: VecDeque<Approval>,
    history: History,
    pub(super) record: Record,
    pub(super) notice: Notice,
    /// Whether the mouse is the program's.
    pub(super) has_mouse: bool,
    /// The zone that times are shown in.
    pub(super) zone: Zone,
    cursor: Option<Cursor>,
    /// What is to be answered together.
    marked: BTreeMap<String, Approval>,
    reading: Reading,
    /// What is around the question with this id, once it was fetched.
    background: Option<(String, Background)>,
    /// The question about which something is being fetched.
    fetching: Option<String>,
    /// Whether the connection broke since the picture was last complete.
    was_lost: bool,
    sending: Sending,
    window: Window,
}

impl Desk {
    /// A desk with nothing on it.
    pub(super) fn new(zone: Zone) -> Self {
        Self {
            board: Board::default(),
            page: Page::Queue,
            scroll: 0,
            is_helping: false,
            prompt: None,
            filter: Filter::default(),
            answered: VecDeque::new(),
            history: History::Unknown,
            record: Record::default(),
            notice: Notice::default(),
            has_mouse: true,
            zone,
            cursor: None,
            marked: BTreeMap::new(),
            reading: Reading::default(),
            background: None,
            fetching: None,
            was_lost: false,
            sending: Sending::default(),
            window: Window::default(),
        }
    }

    /// The question under the cursor.
    pub(super) fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    /// What is around the question under the cursor, where that is known.
    pub(super) fn background(&self) -> Option<&Background> {
        let id = &self.cursor.as_ref()?.on.approval_id;
        self.background.as_ref().filter(|(of, _)| of == id).map(|(_, background)| background)
    }

    /// Whether this one is marked.
    pub(super) fn is_marked(&self, id: &str) -> bool {
        self.marked.contains_key(id)
    }

    /// How many are marked.
    pub(super) fn marked(&self) -> usize {
        self.marked.len()
    }

    /// Whether all of this one was on the screen.
    pub(super) fn was_read(&self, approval: &Approval) -> bool {
        self.reading.is_in_full(approval)
    }

    /// The list: what is pending and matches the filter, and in its old place what has ended under the cursor.
    pub(super) fn rows(&self) -> Vec<&Approval> {
        let matches = self.filter.matcher();
        let mut rows: Vec<&Approval> = self.board.ranked().filter(|approval| matches(approval)).collect();
        if let Some(cursor) = self.cursor.as_ref().filter(|cursor| cursor.has_ended) {
            let rank = Rank::of(&cursor.on);
            let place = rows.partition_point(|row| Rank::of(row) < rank);
            rows.insert(place, &cursor.on);
        }
        rows
    }

    /// Where the cursor stands in these rows.
    pub(super) fn position(&self, rows: &[&Approval]) -> Option<usize> {
        let id = &self.cursor.as_ref()?.on.approval_id;
        rows.iter().position(|row| row.approval_id == *id)
    }

    /// What the desk needs to know next: what is around the question that the cursor is on.
    pub(super) fn wants(&mut self) -> Option<Wish> {
        let cursor = self.cursor.as_ref().filter(|_| self.fetching.is_none() && !self.was_lost)?;
        if self.background.as_ref().is_some_and(|(of, _)| *of == cursor.on.approval_id) {
            return None;
        }
        self.fetching = Some(cursor.on.approval_id.clone());
        Some(Wish::Fetch(Box::new(cursor.on.clone())))
    }

    /// Takes in news from the stream.
    pub(super) fn hear(&mut self, news: News) -> Result<(), Failure> {
        self.was_lost |= matches!(news, News::Lost(_));
        let is_first = !self.board.has_begun();
        match self.board.hear(news)? {
            Update::Ended(ended) => self.end(ended),
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
                self.say(&format!("new: {}", approval::title(&added)));
                self.place(false);
            }
            Update::All => self.all_is_known(is_first),
            Update::None => {}
        }
        if !Defence::ChosenQuestion.on() {
            self.cursor.take_if(|cursor| cursor.has_ended);
            self.place(true);
        }
        Ok(())
    }

    fn all_is_known(&mut self, is_first: bool) {
        if std::mem::take(&mut self.was_lost) {
            self.say("connected again");
        }
        let board = &self.board;
        if let Some(cursor) = &mut self.cursor
            && board.get(&cursor.on.approval_id).is_none()
        {
            cursor.has_ended = true;
        }
        self.marked.retain(|id, _| board.get(id).is_some());
        self.reading.keep(|id| board.get(id).is_some());
        // What the screen begins with is looked at before a key is pressed.
        self.place(is_first);
    }

    /// Puts the cursor on the first row where it is on none.
    fn place(&mut self, is_chosen: bool) {
        if self.cursor.is_none() {
            let first = self.rows().first().map(|row| (*row).clone());
            self.cursor = first.map(|on| Cursor { on, has_ended: false, is_chosen });
            self.scroll_details_home();
        }
    }

    /// How many votes are on their way.
    fn sent(&mut self, count: usize) {
        self.sending.sent += count;
    }

    /// What became of a vote.
    pub(super) fn answered(&mut self, answer: Result<Taken, Failure>) {
        self.sending.done += 1;
        match answer {
            Ok(Taken { ended, is_recorded }) => {
                self.board.forget(&ended.approval_id);
                self.end(ended);
                if !is_recorded {
                    self.sending.warning = Some(vote::UNRECORDED.into());
                }
            }
            Err(failure) => {
                self.sending.refused += 1;
                self.sending.warning = Some(failure.to_string());
            }
        }
        let Sending { sent, done, refused, .. } = self.sending;
        if done < sent {
            return self.say(&format!("{done} of {sent} answers have arrived …"));
        }
        match std::mem::take(&mut self.sending).warning {
            Some(warning) if sent > 1 && refused > 0 => {
                self.warn(&format!("{refused} of {sent} answers were refused. The last: {warning}"));
            }
            Some(warning) => self.warn(&warning),
            None if sent > 1 => self.say(&format!("all {sent} answers were taken")),
            None => {}
        }
    }

    /// What was fetched about a question. What cannot be had is left out.
    pub(super) fn fetched(&mut self, id: String, fetched: Result<Background, Failure>) {
        self.fetching = None;
        let background = fetched.unwrap_or_else(|failure| {
            self.warn(&failure.to_string());
            Background::default()
        });
        self.background = Some((id, background));
    }

    /// What ended before this program began, or while it was not connected.
    pub(super) fn fetched_answered(&mut self, fetched: Result<Vec<Approval>, Failure>) {
        match fetched {
            Ok(approvals) => approvals.into_iter().for_each(|ended| self.keep_answered(ended)),
            Err(failure) => {
                self.history = History::Unknown;
                self.warn(&failure.to_string());
            }
        }
    }

    /// Takes in what the stream of the record says.
    pub(super) fn follow(&mut self, tail: Tail) {
        match tail {
            Tail::Row(row) => {
                let is_new = self.record.take_in(*row);
                // Whoever has scrolled away from the newest row goes on seeing the same rows.
                if is_new && self.page == Page::Record && self.scroll > 0 && !self.is_helping {
                    self.scroll += 1;
                }
            }
            Tail::CaughtUp => self.record.follows = Follows::Live,
            Tail::Lost(why) => {
                self.record.follows = Follows::Lost;
                self.warn(&why);
            }
            Tail::Refused(why) => self.record.follows = Follows::Refused(why),
        }
    }

    fn end(&mut self, ended: Approval) {
        self.say(&vote::short_line(&ended, &self.zone));
        self.marked.remove(&ended.approval_id);
        self.reading.forget(&ended.approval_id);
        if let Some(cursor) = &mut self.cursor
            && cursor.on.approval_id == ended.approval_id
        {
            cursor.has_ended = true;
            cursor.on.ending.clone_from(&ended.ending);
            cursor.on.votes.clone_from(&ended.votes);
            (cursor.on.state, cursor.on.version) = (ended.state, ended.version);
        }
        self.keep_answered(ended);
    }

    /// Keeps one for the history: the last to end first, each once, and no more than can be read.
    fn keep_answered(&mut self, ended: Approval) {
        let ended_at = |approval: &Approval| {
            approval.ending.as_ref().and_then(|ending| ending.ended_at.as_ref()).map(|at| (at.seconds, at.nanos))
        };
        if self.answered.iter().any(|known| known.approval_id == ended.approval_id) {
            return;
        }
        let at = ended_at(&ended);
        let place = self.answered.partition_point(|known| ended_at(known) > at);
        self.answered.insert(place, ended);
        self.answered.truncate(MOST_ANSWERED);
    }

    fn say(&mut self, text: &str) {
        let text = anstream::adapter::strip_str(text).to_string().replace('\n', " ");
        self.notice = Notice { text, is_warning: false };
    }

    fn warn(&mut self, message: &str) {
        self.say(message);
        self.notice.is_warning = true;
    }

    /// Moves the cursor, because a key says so.
    fn choose(&mut self, position: usize) {
        let rows = self.rows();
        let last = rows.len().saturating_sub(1);
        let Some(row) = rows.get(position.min(last)).map(|row| (*row).clone()) else { return };
        match &mut self.cursor {
            Some(cursor) if cursor.on.approval_id == row.approval_id => cursor.is_chosen = true,
            cursor => {
                *cursor = Some(Cursor { on: row, has_ended: false, is_chosen: true });
                self.scroll_details_home();
            }
        }
    }

    /// Begins with the first line of another question. What scrolls on another page stays where it is.
    fn scroll_details_home(&mut self) {
        if matches!(self.page, Page::Queue | Page::Open) && !self.is_helping {
            self.scroll = 0;
        }
    }

    /// Learns how much of it the screen showed.
    pub(super) fn seen(&mut self, window: Window) {
        self.scroll = self.scroll.min(window.last_scroll);
        if let (Some(shown), Some(cursor)) = (&window.shown, &self.cursor)
            && shown.approval_id == cursor.on.approval_id
        {
            self.reading.saw(&cursor.on, shown);
        }
        self.window = window;
    }
}

#[cfg(test)]
pub(super) mod tests;
