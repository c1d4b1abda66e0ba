//! [`Halts`]: who is halted. Their proposals are denied, and so is what they were allowed and have not reported.
//!
//! A halt takes effect in memory at once, and is on the record as soon as that can be written: a full disk must not
//! keep anybody from saying no. The end of a halt takes effect only when it is on the record. `halting` does both.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::error::GovernanceError;
use crate::audit::StoredHalt;
use crate::audit::record::{DecisionRecord, IdentityRecord};
use crate::domain::{Defence, HaltScope};

/// The most halts at a time.
const MOST: usize = 1000;

/// The halts in force.
#[derive(Debug)]
pub struct Halts {
    current: ArcSwap<Vec<Arc<InForce>>>,
    changing: Mutex<()>,
    changes: watch::Sender<()>,
}

/// A halt in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The halt.
    pub halt: StoredHalt,
    /// Whether it is on the record. Otherwise it is in force, and is recorded when the record can be written.
    pub is_recorded: bool,
}

/// Who proposes, as far as halts ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who<'a> {
    pub(super) identity: &'a IdentityRecord,
    pub(super) declared: &'a str,
    pub(super) session_id: &'a str,
}

impl<'a> Who<'a> {
    /// The proposer of a decision.
    pub(super) fn of(decision: &'a DecisionRecord) -> Self {
        Self { identity: &decision.identity, declared: &decision.actor.id, session_id: &decision.session_id }
    }

    fn is_in(self, scope: &HaltScope) -> bool {
        match scope {
            HaltScope::All => true,
            HaltScope::Actor(name) => {
                self.declared == name || self.identity.actor.as_ref() == Some(name) || self.identity.subject == *name
            }
            HaltScope::Subject(name) => self.identity.subject == *name,
            HaltScope::Session(name) => self.session_id == name,
        }
    }
}

impl Halts {
    /// The halts of the store.
    pub(super) fn new(halts: Vec<StoredHalt>) -> Self {
        let all = halts.into_iter().map(|halt| Arc::new(InForce { halt, is_recorded: true })).collect();
        Self { current: ArcSwap::from_pointee(all), changing: Mutex::default(), changes: watch::Sender::new(()) }
    }

    /// The first halt that is about this proposer.
    pub(super) fn of(&self, who: Who<'_>) -> Option<Arc<InForce>> {
        let all = self.current.load();
        all.iter().find(|one| who.is_in(&one.halt.scope) && Defence::Halts.on()).cloned()
    }

    /// Every halt, by scope.
    pub fn list(&self) -> Vec<Arc<InForce>> {
        let mut all = Vec::clone(&self.current.load());
        all.sort_by(|one, other| one.halt.scope.cmp(&other.halt.scope));
        all
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.current.load().len()
    }

    /// Announces each change.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Arc<InForce>>) -> T) -> T {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::clone(&self.current.load());
        let done = change(&mut all);
        self.current.store(Arc::new(all));
        self.changes.send_replace(());
        done
    }

    /// Puts a halt in force, or returns the one of this scope that is.
    pub(super) fn put(&self, halt: StoredHalt) -> Result<Arc<InForce>, GovernanceError> {
        self.change(|all| {
            if let Some(there) = all.iter().find(|one| one.halt.scope == halt.scope) {
                return Ok(Arc::clone(there));
            }
            if all.len() >= MOST {
                return Err(GovernanceError::TooManyHalts(MOST));
            }
            let one = Arc::new(InForce { halt, is_recorded: false });
            all.push(Arc::clone(&one));
            Ok(one)
        })
    }

    /// The halt of this scope is on the record.
    pub(super) fn recorded(&self, scope: &HaltScope) {
        self.change(|all| {
            for one in all.iter_mut().filter(|one| one.halt.scope == *scope) {
                *one = Arc::new(InForce { halt: one.halt.clone(), is_recorded: true });
            }
        });
    }

    pub(super) fn remove(&self, scope: &HaltScope) {
        self.change(|all| all.retain(|one| one.halt.scope != *scope));
    }

    /// Those that are not on the record.
    pub(super) fn unrecorded(&self) -> Vec<StoredHalt> {
        self.current.load().iter().filter(|one| !one.is_recorded).map(|one| one.halt.clone()).collect()
    }
}

/// Why an action of a halted proposer does not run, for people. It contains no text of the agent.
pub(super) fn why(halt: &StoredHalt) -> String {
    let whom = match &halt.scope {
        HaltScope::All => "everybody is",
        HaltScope::Actor(_) => "this actor is",
        HaltScope::Subject(_) => "this subject is",
        HaltScope::Session(_) => "this session is",
    };
    let reason = if halt.reason.is_empty() { String::new() } else { format!(": {}", halt.reason) };
    format!("{whom} halted by {}{reason}", halt.by)
}
