//! The reviewer at the keyboard: what is chosen, what is being typed, and what a key means. No terminal here.
//!
//! A verdict is bound to the question that was on the screen when `a` or `d` was pressed, not to whatever the list shows
//! when Enter is: lists move by themselves.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::board::{Board, Change};
use super::feed::News;
use crate::cli::answer::{self, Verdict};
use crate::cli::approval;
use crate::cli::failure::Failure;
use crate::cli::paint;
use crate::domain::visible;
use crate::proto::v1::{Approval, SessionAction};

/// What a key asks for that the desk cannot do itself.
#[derive(Debug, PartialEq)]
pub(super) enum Wish {
    Quit,
    Reload,
    /// Everything about this one, its session's history included.
    Fetch(String),
    Answer(Verdict, Box<Approval>, String),
}

/// What fills the screen.
#[derive(Debug, PartialEq)]
pub(super) enum View {
    List,
    /// Everything about the chosen one, from this line on.
    Details {
        scroll: usize,
    },
    /// A verdict waits for its reason.
    Reason {
        verdict: Verdict,
        on: Box<Approval>,
        text: String,
    },
}

/// The reviewer's state.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) board: Board,
    pub(super) view: View,
    chosen: Option<String>,
    /// What the chosen one's session did before, where it was fetched.
    history: Option<(String, Vec<SessionAction>)>,
    /// Whether the connection broke since the picture was last complete.
    was_lost: bool,
    /// The last thing that happened, styled.
    pub(super) notice: String,
}

impl Desk {
    /// A desk with nothing on it.
    pub(super) fn new() -> Self {
        Self {
            board: Board::default(),
            view: View::List,
            chosen: None,
            history: None,
            was_lost: false,
            notice: String::new(),
        }
    }

    /// Where the chosen one stands in the list.
    pub(super) fn position(&self) -> Option<usize> {
        self.board.position(self.chosen.as_deref()?)
    }

    /// The chosen one, with its history where that is known.
    pub(super) fn chosen(&self) -> Option<Approval> {
        let mut approval = self.board.get(self.chosen.as_deref()?)?.clone();
        if let Some((id, history)) = &self.history
            && *id == approval.approval_id
        {
            approval.history.clone_from(history);
        }
        Some(approval)
    }

    /// Takes in news from the stream.
    pub(super) fn hear(&mut self, news: News) -> Result<(), Failure> {
        // Finding a place takes a walk through the list: only where something may leave it.
        let may_leave = matches!(news, News::Ended(_) | News::Complete);
        let stood = may_leave.then(|| self.position()).flatten().unwrap_or(0);
        self.was_lost |= matches!(news, News::Lost(_));
        match self.board.hear(news)? {
            Change::Ended(ended) => self.tell_ended(&ended),
            Change::Lagged(missed) => self.warn(&format!("the list fell {missed} changes behind; loading it anew")),
            Change::Lost(why) => self.warn(&why),
            Change::Added(added) => self.notice = format!("new: {}", approval::title(&added)),
            Change::All if std::mem::take(&mut self.was_lost) => self.notice = "connected again".into(),
            Change::All | Change::None => {}
        }
        if self.chosen.as_ref().is_none_or(|id| self.board.get(id).is_none()) {
            self.choose(stood);
            if matches!(self.view, View::Details { .. }) {
                self.view = View::List;
            }
        }
        if let View::Reason { on, .. } = &self.view
            && self.board.get(&on.approval_id).is_none()
        {
            self.view = View::List;
        }
        Ok(())
    }

    /// What became of an answer.
    pub(super) fn answered(&mut self, answer: Result<Approval, Failure>) {
        match answer {
            Ok(ended) => self.tell_ended(&ended),
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

    fn tell_ended(&mut self, ended: &Approval) {
        self.notice = answer::short_line(ended);
    }

    fn warn(&mut self, message: &str) {
        let style = paint::WAITING;
        self.notice = format!("{style}{}{style:#}", message.replace('\n', " "));
    }

    fn choose(&mut self, position: usize) {
        let last = self.board.len().saturating_sub(1);
        self.chosen = self.board.waiting().nth(position.min(last)).map(|approval| approval.approval_id.clone());
    }

    /// Text that was pasted: a line break in it must not send anything.
    pub(super) fn paste(&mut self, pasted: &str) {
        if let View::Reason { text, .. } = &mut self.view {
            text.extend(pasted.chars().map(|c| if c.is_control() { ' ' } else { c }));
        }
    }

    /// What a key means.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Wish> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            return Some(Wish::Quit);
        }
        match &mut self.view {
            View::Reason { .. } => self.reason_key(key.code, control),
            View::Details { scroll } => match key.code {
                KeyCode::Up | KeyCode::Char('k') => {
                    *scroll = scroll.saturating_sub(1);
                    None
                }
                KeyCode::Down | KeyCode::Char('j') => {
                    *scroll += 1;
                    None
                }
                KeyCode::PageUp => {
                    *scroll = scroll.saturating_sub(10);
                    None
                }
                KeyCode::PageDown | KeyCode::Char(' ') => {
                    *scroll += 10;
                    None
                }
                KeyCode::Enter | KeyCode::Esc | KeyCode::Char('q') => {
                    self.view = View::List;
                    None
                }
                code => self.list_key(code),
            },
            View::List => self.list_key(key.code),
        }
    }

    fn list_key(&mut self, code: KeyCode) -> Option<Wish> {
        let position = self.position().unwrap_or(0);
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return Some(Wish::Quit),
            KeyCode::Char('r') => return Some(Wish::Reload),
            KeyCode::Up | KeyCode::Char('k') => self.choose(position.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.choose(position + 1),
            KeyCode::Home | KeyCode::Char('g') => self.choose(0),
            KeyCode::End | KeyCode::Char('G') => self.choose(usize::MAX),
            KeyCode::Char('a') => self.ask_reason(Verdict::Approve),
            KeyCode::Char('d') => self.ask_reason(Verdict::Deny),
            KeyCode::Enter => {
                self.view = View::Details { scroll: 0 };
                return self.chosen.clone().map(Wish::Fetch);
            }
            _ => {}
        }
        None
    }

    fn ask_reason(&mut self, verdict: Verdict) {
        if let Some(on) = self.chosen() {
            self.view = View::Reason { verdict, on: Box::new(on), text: String::new() };
        }
    }

    fn reason_key(&mut self, code: KeyCode, control: bool) -> Option<Wish> {
        let View::Reason { verdict, on, text } = &mut self.view else { return None };
        match code {
            KeyCode::Esc => self.view = View::List,
            KeyCode::Enter => {
                let wish = Wish::Answer(*verdict, on.clone(), text.trim().to_owned());
                self.notice = format!("sending the answer to {} …", visible(&on.approval_id));
                self.view = View::List;
                return Some(wish);
            }
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char('u') if control => text.clear(),
            KeyCode::Char(c) if !control => text.push(c),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::board::tests::{approval, board, pending};
    use super::*;

    pub(in crate::cli::review) fn desk(ids: &[&str]) -> Desk {
        let mut desk = Desk { board: board(ids), ..Desk::new() };
        desk.choose(0);
        desk
    }

    fn press(desk: &mut Desk, keys: &str) -> Option<Wish> {
        let mut wish = None;
        for c in keys.chars() {
            let code = match c {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                '\u{8}' => KeyCode::Backspace,
                c => KeyCode::Char(c),
            };
            wish = desk.key(code.into());
        }
        wish
    }

    fn chosen(desk: &Desk) -> &str {
        desk.chosen.as_deref().unwrap_or_default()
    }

    #[test]
    fn j_and_k_choose_and_stop_at_the_ends() {
        let mut desk = desk(&["apr_1", "apr_2", "apr_3"]);
        press(&mut desk, "jj");
        assert_eq!(chosen(&desk), "apr_3");
        press(&mut desk, "jkk");
        assert_eq!(chosen(&desk), "apr_1");
        press(&mut desk, "kG");
        assert_eq!(chosen(&desk), "apr_3");
    }

    #[test]
    fn the_choice_stays_on_its_question_when_the_list_moves() {
        let mut desk = desk(&["apr_1", "apr_2", "apr_3"]);
        press(&mut desk, "j");
        desk.hear(News::Ended(Box::new(approval("apr_1")))).unwrap();
        desk.hear(pending("apr_0")).unwrap();
        assert_eq!((chosen(&desk), desk.position()), ("apr_2", Some(1)));
        desk.hear(News::Ended(Box::new(approval("apr_2")))).unwrap();
        assert_eq!(chosen(&desk), "apr_3");
    }

    #[test]
    fn a_verdict_is_on_what_was_shown_when_it_was_begun() {
        let mut desk = desk(&["apr_1", "apr_2"]);
        press(&mut desk, "a");
        desk.hear(pending("apr_0")).unwrap();
        let wish = press(&mut desk, "fiine\u{8}\u{8}\u{8}ne\n");
        let Some(Wish::Answer(Verdict::Approve, on, reason)) = wish else { panic!("{wish:?}") };
        assert_eq!((on.approval_id.as_str(), reason.as_str()), ("apr_1", "fine"));
        assert_eq!(desk.view, View::List);
    }

    #[test]
    fn a_question_that_ends_meanwhile_cannot_be_answered() {
        let mut desk = desk(&["apr_1", "apr_2"]);
        press(&mut desk, "d");
        desk.hear(News::Ended(Box::new(approval("apr_1")))).unwrap();
        assert_eq!(desk.view, View::List);
        assert_eq!(press(&mut desk, "\u{1b}"), Some(Wish::Quit));
    }

    #[test]
    fn esc_takes_a_verdict_back() {
        let mut desk = desk(&["apr_1"]);
        assert_eq!(press(&mut desk, "aq\u{1b}"), None);
        assert_eq!(desk.view, View::List);
        assert_eq!(press(&mut desk, "q"), Some(Wish::Quit));
    }

    #[test]
    fn a_paste_sends_nothing() {
        let mut desk = desk(&["apr_1"]);
        press(&mut desk, "d");
        desk.paste("no\nway");
        let wish = press(&mut desk, "\n");
        let Some(Wish::Answer(Verdict::Deny, _, reason)) = wish else { panic!("{wish:?}") };
        assert_eq!(reason, "no way");
    }

    #[test]
    fn an_empty_desk_answers_nothing() {
        let mut desk = desk(&[]);
        assert_eq!(press(&mut desk, "a"), None);
        assert_eq!(press(&mut desk, "j\n"), None);
        assert_eq!(press(&mut desk, "q"), None, "the first q leaves the details");
        assert_eq!(press(&mut desk, "r"), Some(Wish::Reload));
    }

    #[test]
    fn details_bring_the_history_of_the_chosen_one() {
        let mut desk = desk(&["apr_1", "apr_2"]);
        assert_eq!(press(&mut desk, "\n"), Some(Wish::Fetch("apr_1".into())));
        desk.fetched(Ok(Approval { history: vec![SessionAction::default()], ..approval("apr_1") }));
        assert_eq!(desk.chosen().unwrap().history.len(), 1);
        assert_eq!(press(&mut desk, "\n"), None);
    }
}
