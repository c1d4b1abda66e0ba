//! The questions that are open, by what they are about: the same call, made again, gets the answer instead of a new
//! question.
//!
//! Equal calls share one idempotency key, so a reviewer sees one question. Its yes is for one run: the first call that
//! claims it runs, and the others ask anew. A key is kept in a file while a person is asked, so that it outlives the
//! proxy. Only one of several proxies can take the file.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::cli::failure::Failure;
use crate::cli::memory::Memory;
use crate::cli::proposing::random_key;
use crate::cli::say;

/// How many questions are kept in memory if they cannot be kept in files.
const IN_MEMORY: usize = 1_000;

/// What a proposal must repeat to get the same decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) idempotency: String,
    pub(super) session: String,
    pub(super) description: String,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    is_asked: Cell<bool>,
    is_kept: Cell<bool>,
    is_over: Cell<bool>,
}

/// The open questions.
pub(super) struct Questions {
    memory: Memory,
    session: String,
    live: RefCell<HashMap<String, Rc<Entry>>>,
}

/// A call's share in a question.
pub(super) struct Question<'q> {
    questions: &'q Questions,
    identity: String,
    entry: Rc<Entry>,
    /// Whether another call has asked it before.
    pub(super) is_known: bool,
}

impl Questions {
    /// The questions that are kept here, and a name for this session.
    pub(super) fn new(memory: Memory) -> Result<Self, Failure> {
        Ok(Self { memory, session: format!("mcp-{}", random_key()?), live: RefCell::default() })
    }

    /// The open question about this, or a new one.
    pub(super) fn join(&self, identity: String, description: &str) -> Result<Question<'_>, Failure> {
        let live = self.live.borrow().get(&identity).cloned();
        let kept = || self.memory.peek("open", &identity).map(|key| Rc::new(Entry::new(key, true)));
        let known = live.or_else(kept);
        let is_known = known.is_some();
        let entry = if let Some(entry) = known {
            entry
        } else {
            let (session, description) = (self.session.clone(), description.to_owned());
            Rc::new(Entry::new(Key { idempotency: random_key()?, session, description }, false))
        };
        self.live.borrow_mut().insert(identity.clone(), Rc::clone(&entry));
        Ok(Question { questions: self, identity, entry, is_known })
    }

    /// Forgets an entry in memory, unless another has taken its place.
    fn forget(&self, identity: &str, entry: &Rc<Entry>) {
        let mut live = self.live.borrow_mut();
        if live.get(identity).is_some_and(|found| Rc::ptr_eq(found, entry)) {
            live.remove(identity);
        }
    }
}

impl Entry {
    fn new(key: Key, is_kept: bool) -> Self {
        Self { key, is_asked: Cell::new(is_kept), is_kept: Cell::new(is_kept), is_over: Cell::new(false) }
    }
}

impl Question<'_> {
    /// What the proposal must carry.
    pub(super) fn key(&self) -> &Key {
        &self.entry.key
    }

    /// A person is asked: the key must outlive this call.
    pub(super) fn keep(&self) {
        self.entry.is_asked.set(true);
        let memory = &self.questions.memory;
        // Another proxy may have asked the same at the same moment. Then each keeps to its own question.
        if self.entry.is_kept.get() || memory.peek::<Key>("open", &self.identity).is_some() {
            return;
        }
        match memory.keep("open", &self.identity, &self.entry.key) {
            Ok(()) => self.entry.is_kept.set(true),
            Err(error) => say::warning(format_args!(
                "the question is lost if this proxy ends: it cannot be kept in a file: {error}"
            )),
        }
    }

    /// Takes the answer, which is for one run. Whether this call has got it.
    pub(super) fn claim(&self) -> bool {
        self.questions.forget(&self.identity, &self.entry);
        if self.entry.is_over.replace(true) {
            return false;
        }
        if !self.entry.is_kept.get() {
            return true;
        }
        let memory = &self.questions.memory;
        match memory.take::<Key>("open", &self.identity) {
            Some(key) if key == self.entry.key => true,
            // The question of another proxy.
            Some(other) => {
                if let Err(error) = memory.keep("open", &self.identity, &other) {
                    say::warning(format_args!("a question of another proxy cannot be kept: {error}"));
                }
                false
            }
            None => false,
        }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let must_stay = self.entry.is_asked.get() && !self.entry.is_kept.get() && !self.entry.is_over.get();
        let others = Rc::strong_count(&self.entry) > 2;
        if !others && (!must_stay || self.questions.live.borrow().len() > IN_MEMORY) {
            self.questions.forget(&self.identity, &self.entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(dir: &tempfile::TempDir) -> Questions {
        Questions::new(Memory::at(dir.path().join("questions"))).unwrap()
    }

    fn join<'q>(questions: &'q Questions, about: &str) -> Question<'q> {
        questions.join(about.to_owned(), "").unwrap()
    }

    #[test]
    fn equal_calls_share_a_question_and_one_of_them_gets_the_answer() {
        let dir = tempfile::tempdir().unwrap();
        let questions = at(&dir);
        let (one, two, other) = (join(&questions, "a"), join(&questions, "a"), join(&questions, "b"));
        assert_eq!(one.key(), two.key());
        assert_ne!(one.key(), other.key());
        assert_eq!((one.claim(), two.claim(), one.claim()), (true, false, false));
        assert_ne!(join(&questions, "a").key(), one.key(), "the next call asks anew");
    }

    #[test]
    fn a_question_outlives_its_proxy_and_is_answered_once() {
        let dir = tempfile::tempdir().unwrap();
        let key = {
            let questions = at(&dir);
            let question = join(&questions, "a");
            question.keep();
            question.key().clone()
        };
        let (next, another) = (at(&dir), at(&dir));
        let (one, two) = (join(&next, "a"), join(&another, "a"));
        assert_eq!((one.key(), two.key(), one.is_known), (&key, &key, true));
        assert_eq!((two.claim(), one.claim()), (true, false));
        assert_ne!(join(&next, "a").key(), &key);
    }

    #[test]
    fn a_question_that_nobody_was_asked_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let questions = at(&dir);
        let key = join(&questions, "a").key().clone();
        assert_ne!(join(&questions, "a").key(), &key);
        assert!(questions.live.borrow().is_empty());
    }

    #[test]
    fn a_question_that_cannot_be_kept_in_a_file_is_kept_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("questions"), "no directory").unwrap();
        let questions = at(&dir);
        let question = join(&questions, "a");
        question.keep();
        let key = question.key().clone();
        drop(question);
        let again = join(&questions, "a");
        assert_eq!(again.key(), &key);
        assert!(again.claim());
    }
}
