//! [`Halts`]: who is halted. Their proposals are denied, and so is what they were allowed and have not reported.
//!
//! A halt takes effect in memory at once, and is on the record as soon as that can be written: a full disk must not
//! keep anybody from saying no. The end of a halt takes effect only when it is on the record.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::error::GovernanceError;
use super::governor::Governor;
use super::job::{self, Refused};
use super::unrecorded::recorded;
use crate::audit::record::{DecisionRecord, Event, IdentityRecord};
use crate::audit::{StoreError, StoredHalt};
use crate::domain::{Caller, Defence, HaltScope};

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
    fn put(&self, halt: StoredHalt) -> Result<Arc<InForce>, GovernanceError> {
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
    fn recorded(&self, scope: &HaltScope) {
        self.change(|all| {
            for one in all.iter_mut().filter(|one| one.halt.scope == *scope) {
                *one = Arc::new(InForce { halt: one.halt.clone(), is_recorded: true });
            }
        });
    }

    fn remove(&self, scope: &HaltScope) {
        self.change(|all| all.retain(|one| one.halt.scope != *scope));
    }

    /// Those that are not on the record.
    fn unrecorded(&self) -> Vec<StoredHalt> {
        self.current.load().iter().filter(|one| !one.is_recorded).map(|one| one.halt.clone()).collect()
    }
}

impl Governor {
    /// The halts in force.
    pub fn halts(&self) -> &Arc<Halts> {
        &self.halts
    }

    /// Halts somebody, at once. A halt of the same scope stays as it is.
    pub async fn halt(
        &self,
        caller: &Caller,
        scope: HaltScope,
        reason: String,
    ) -> Result<Arc<InForce>, GovernanceError> {
        let reason = self.without_secrets(&reason);
        let by = caller.identity.subject.to_string();
        let halt = StoredHalt { scope, reason, by, at: self.clock.now() };
        let scope = halt.scope.clone();
        let placed = self.halts.put(halt)?;
        if placed.is_recorded {
            return Ok(placed);
        }
        tracing::warn!(scope = %scope, by = placed.halt.by, reason = placed.halt.reason, "halted");
        if let Some(done) = recorded(self.record_halt(placed.halt.clone())).await {
            done?;
            return Ok(Arc::new(InForce { halt: placed.halt.clone(), is_recorded: true }));
        }
        tracing::warn!(scope = %scope, "halted in memory: the record cannot be written");
        self.unrecorded.halted(1);
        Ok(placed)
    }

    /// Lets somebody go on. Returns the halt that has ended.
    pub async fn resume(&self, caller: &Caller, scope: HaltScope) -> Result<StoredHalt, GovernanceError> {
        let Some(there) = self.halts.list().into_iter().find(|one| one.halt.scope == scope) else {
            return Err(GovernanceError::NoHalt(scope));
        };
        let (now, by, halts) = (self.clock.now(), caller.identity.subject.to_string(), Arc::clone(&self.halts));
        let unrecorded = (!there.is_recorded).then(|| there.halt.clone());
        let ended = job::run(&self.store, move |tx| {
            // One that is not on the record yet is recorded first: whoever reads the record sees why it was told no.
            if let Some(halt) = unrecorded
                && tx.put_halt(&halt)?
            {
                tx.append(now, &halted(&halt, now))?;
            }
            // It is missing if an earlier call removed it and was told that it failed.
            if tx.remove_halt(&scope)?.is_some() {
                tx.append(now, &Event::Resumed { scope: scope.clone(), by })?;
            }
            tx.after_commit(move || halts.remove(&scope));
            Ok::<_, Refused<GovernanceError>>(there.halt.clone())
        });
        let ended = ended.await?;
        tracing::warn!(scope = %ended.scope, by = %caller.identity.subject, "resumed");
        Ok(ended)
    }

    /// Records the halts that took effect while the record could not be written.
    pub(super) async fn record_halts(&self) -> Result<(), StoreError> {
        for halt in self.halts.unrecorded() {
            match self.record_halt(halt).await {
                Ok(()) => {}
                Err(GovernanceError::Record(error)) => return Err(error),
                Err(_) => return Err(StoreError::Closed),
            }
        }
        self.unrecorded.halted(0);
        Ok(())
    }

    async fn record_halt(&self, halt: StoredHalt) -> Result<(), GovernanceError> {
        let (now, halts, in_force) = (self.clock.now(), Arc::clone(&self.halts), Arc::clone(&self.halts));
        job::run(&self.store, move |tx| {
            // It may have ended meanwhile.
            let is_there = in_force.list().iter().any(|one| one.halt == halt);
            if is_there && tx.put_halt(&halt)? {
                tx.append(now, &halted(&halt, now))?;
            }
            tx.after_commit(move || halts.recorded(&halt.scope));
            Ok(())
        })
        .await
    }
}

fn halted(halt: &StoredHalt, now: crate::domain::Timestamp) -> Event {
    let StoredHalt { scope, reason, by, at } = halt.clone();
    // A record has the time of its writing.
    let at = (now.duration_since(at) > jiff::SignedDuration::from_secs(1)).then_some(at);
    Event::Halted { scope, reason, by, at }
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
