//! How a vote comes about: what may be voted on, the reason, and what is sent in the end.

use crossterm::event::KeyCode;

use super::prompt::{Ask, Prompt};
use super::{Desk, Page, Wish};
use crate::cli::approval;
use crate::cli::review::board::Rank;
use crate::cli::vote::Vote;
use crate::proto::v1::Approval;

impl Desk {
    /// Opens the prompt for the question under the cursor.
    pub(super) fn ask_one(&mut self, vote: Vote) {
        if self.can_act() {
            self.open_prompt(Ask::One, vote);
        }
    }

    /// Opens the prompt for what is marked, or else for the question under the cursor.
    pub(super) fn ask_marked(&mut self, vote: Vote) {
        if self.marked.is_empty() {
            return self.ask_one(vote);
        }
        let mut marked: Vec<Approval> = self.marked.values().cloned().collect();
        marked.sort_by_cached_key(Rank::of);
        self.open_prompt(Ask::Marked(marked), vote);
    }

    /// Opens the prompt to deny all that wait of the session of the question under the cursor.
    pub(super) fn ask_session(&mut self) {
        if !self.can_act() {
            return;
        }
        let session = |approval: &Approval| approval.context.clone().unwrap_or_default().session_id;
        let Some(of) = self.cursor().map(|cursor| session(&cursor.on)) else { return };
        if of.is_empty() {
            return self.warn("this question belongs to no session");
        }
        let all = self.board.ranked().filter(|approval| session(approval) == of).cloned().collect();
        self.open_prompt(Ask::Session(of, all), Vote::Deny);
    }

    fn open_prompt(&mut self, ask: Ask, vote: Vote) {
        self.prompt = Some(Prompt { ask, vote, reason: String::new(), is_confirming: false });
    }

    /// Whether a key may act on the question under the cursor. Says why not.
    pub(super) fn can_act(&mut self) -> bool {
        let why_not = match self.cursor() {
            None => "nothing waits for a reviewer",
            Some(cursor) if cursor.has_ended => "this question has ended: choose another one with j or k",
            Some(cursor) if !cursor.is_chosen => "this question is new: choose it first, with Enter or j",
            Some(_) => return true,
        };
        self.warn(why_not);
        false
    }

    pub(super) fn prompt_key(&mut self, code: KeyCode) -> Option<Wish> {
        let prompt = self.prompt.as_mut()?;
        if prompt.is_confirming {
            match code {
                KeyCode::Char('y') => return self.send(),
                KeyCode::Esc | KeyCode::Char('n') => prompt.is_confirming = false,
                code => self.scroll(code),
            }
            return None;
        }
        match code {
            KeyCode::Esc => self.prompt = None,
            KeyCode::Enter if prompt.ask.several().is_some() => prompt.is_confirming = true,
            KeyCode::Enter => return self.send(),
            KeyCode::Backspace => drop(prompt.reason.pop()),
            KeyCode::Char(c) => prompt.reason.push(c),
            code => self.scroll(code),
        }
        None
    }

    /// Sends the vote on everything in the prompt that has not ended.
    fn send(&mut self) -> Option<Wish> {
        let prompt = self.prompt.take()?;
        let waiting: Vec<Approval> = match prompt.ask.several() {
            Some(questions) => {
                questions.iter().filter(|one| self.board.get(&one.approval_id).is_some()).cloned().collect()
            }
            None => {
                self.cursor().filter(|cursor| !cursor.has_ended).map(|cursor| cursor.on.clone()).into_iter().collect()
            }
        };
        if waiting.is_empty() {
            self.prompt = Some(prompt);
            self.warn("this question has ended: nothing was sent. Esc goes back");
            return None;
        }
        match waiting.as_slice() {
            [one] => self.say(&format!("sending the answer to {} …", approval::title(one))),
            all => self.say(&format!("sending {} answers …", all.len())),
        }
        for one in &waiting {
            self.marked.remove(&one.approval_id);
        }
        self.page = Page::Queue;
        self.sent(waiting.len());
        Some(Wish::Answer(prompt.vote, waiting, prompt.reason.trim().to_owned()))
    }
}
