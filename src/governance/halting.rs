//! Halts somebody, and lets them go on: see [`Halts`](super::halts::Halts).

use std::sync::Arc;

use super::error::GovernanceError;
use super::governor::Governor;
use super::halts::{Halts, InForce};
use super::job::{self, Refused};
use super::unrecorded::recorded;
use crate::audit::record::Event;
use crate::audit::{StoreError, StoredHalt};
use crate::domain::{Caller, HaltScope, Timestamp};

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

fn halted(halt: &StoredHalt, now: Timestamp) -> Event {
    let StoredHalt { scope, reason, by, at } = halt.clone();
    // A record has the time of its writing.
    let at = (now.duration_since(at) > jiff::SignedDuration::from_secs(1)).then_some(at);
    Event::Halted { scope, reason, by, at }
}
