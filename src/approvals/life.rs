//! The states of a question for a reviewer, as a pure state machine: no I/O, no clock, no policy. The caller passes in
//! what it needs of those.
//!
//! A question is open until it ends, and it ends once: by a reviewer, by its deadline, by its proposer, or by a changed
//! policy. Only [`Pending::next`] decides how. The caller passes the state that the store has, and writes the returned
//! state in the same transaction.
//!
//! An act returns a state, not an ending. So a vote that does not settle the question yet could leave it open, with the
//! vote in the state.

use std::time::Duration;

use super::pending::Pending;
use crate::audit::record::{IdentityRecord, VoteRecord};
use crate::domain::{Caller, Defence, Digest, Ending, EndingKind, QuestionState, Timestamp, Verdict};

/// What the policy in force says about the action now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyNow {
    /// It does not block the action.
    Allows,
    /// It blocks the action, for this reason.
    Blocks(String),
    /// It does not block the action, but something else does: a limit, or a halt.
    Stops {
        /// The code of the ending: [`Ending::LIMIT`] or [`Ending::HALTED`].
        code: &'static str,
        /// Why.
        why: String,
    },
}

/// An event that may change a question.
#[derive(Clone, Debug)]
pub enum Act<'a> {
    /// A reviewer approves.
    Approve {
        /// The reviewer.
        by: &'a Caller,
        /// The digest of the action that the reviewer saw.
        shown: Digest,
        /// The reason that the reviewer gave.
        reason: String,
        /// What the policy in force says now.
        policy: PolicyNow,
    },
    /// A reviewer denies.
    Deny {
        /// The reviewer.
        by: &'a Caller,
        /// The digest of the action that the reviewer saw.
        shown: Digest,
        /// The reason that the reviewer gave.
        reason: String,
    },
    /// The proposer withdraws.
    Withdraw {
        /// The proposer. The caller has checked that it is.
        by: &'a Caller,
        /// The reason that the proposer gave.
        reason: String,
    },
    /// The deadline has passed.
    TimeOut {
        /// What the policy in force says now. Used only if the action may run without an answer.
        policy: PolicyNow,
    },
}

impl Act<'_> {
    /// The vote, if the act is one.
    pub fn vote(&self) -> Option<VoteRecord> {
        let (verdict, by, shown, reason) = match self {
            Self::Approve { by, shown, reason, .. } => (Verdict::Approve, by, shown, reason),
            Self::Deny { by, shown, reason } => (Verdict::Deny, by, shown, reason),
            Self::Withdraw { .. } | Self::TimeOut { .. } => return None,
        };
        let (by, reason) = (IdentityRecord::of(by), reason.clone());
        Some(VoteRecord { verdict, by, reason, action_digest: *shown })
    }
}

/// The time of an act, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, for the record.
    pub time: Timestamp,
    /// The monotonic clock, for deadlines.
    pub uptime: Duration,
}

/// Why an act changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The question has ended.
    Ended(Ending),
    /// The deadline has passed, but the store has no ending yet: [`Act::TimeOut`] follows.
    Late,
    /// The deadline has not passed.
    Early,
    /// The reviewer saw another action.
    NotShown,
    /// The reviewer is the proposer.
    OwnProposal,
}

impl Pending {
    /// Returns the state after the act.
    pub fn next(&self, state: &QuestionState, act: Act<'_>, now: Moment) -> Result<QuestionState, Refusal> {
        if let Some(ending) = state.ending() {
            return Err(Refusal::Ended(ending.clone()));
        }
        let is_late = self.deadline <= now.uptime;
        let ending = match act {
            Act::Approve { by, shown, reason, policy } => {
                self.check_vote(by, shown, is_late)?;
                match policy {
                    PolicyNow::Blocks(_) if !Defence::PolicyNow.on() => {
                        by_caller(EndingKind::Approved, by, now, reason)
                    }
                    PolicyNow::Allows => by_caller(EndingKind::Approved, by, now, reason),
                    PolicyNow::Blocks(why) => policy_changed(now, &why),
                    PolicyNow::Stops { code, why } => stopped(now, code, why),
                }
            }
            Act::Deny { by, shown, reason } => {
                self.check_vote(by, shown, is_late)?;
                by_caller(EndingKind::Denied, by, now, reason)
            }
            Act::Withdraw { .. } if is_late => return Err(Refusal::Late),
            Act::Withdraw { by, reason } => by_caller(EndingKind::Cancelled, by, now, reason),
            Act::TimeOut { .. } if !is_late => return Err(Refusal::Early),
            Act::TimeOut { policy: PolicyNow::Blocks(why) } if self.silence_allows() => policy_changed(now, &why),
            Act::TimeOut { policy: PolicyNow::Stops { code, why } } if self.silence_allows() => stopped(now, code, why),
            Act::TimeOut { .. } => self.timed_out(now),
        };
        Ok(QuestionState::Ended(ending))
    }

    fn check_vote(&self, by: &Caller, shown: Digest, is_late: bool) -> Result<(), Refusal> {
        if self.decision.action_digest() != shown && Defence::ShownDigest.on() {
            Err(Refusal::NotShown)
        } else if self.proposer().is_reviewer(by, self.own_uid) {
            Err(Refusal::OwnProposal)
        } else if is_late {
            Err(Refusal::Late)
        } else {
            Ok(())
        }
    }

    fn timed_out(&self, now: Moment) -> Ending {
        Ending {
            kind: EndingKind::Expired,
            allows: self.silence_allows(),
            by: String::new(),
            at: now.time,
            reason: if self.is_missed {
                "nobody answered in time: it ran out while the daemon was not running".to_owned()
            } else {
                "nobody answered in time".to_owned()
            },
            code: Ending::TIMEOUT.to_owned(),
        }
    }
}

/// The end of an open question in a record that was restored from a backup: nobody waits for it any more, and it may
/// have ended otherwise after the backup.
pub(crate) fn ended_by_restore(at: Timestamp) -> Ending {
    Ending {
        kind: EndingKind::Cancelled,
        allows: false,
        by: String::new(),
        at,
        reason: "the record was restored from a backup: propose the action again".to_owned(),
        code: String::new(),
    }
}

fn by_caller(kind: EndingKind, by: &Caller, now: Moment, reason: String) -> Ending {
    let allows = kind == EndingKind::Approved;
    Ending { kind, allows, by: by.identity.subject.to_string(), at: now.time, reason, code: String::new() }
}

fn policy_changed(now: Moment, why: &str) -> Ending {
    stopped(now, Ending::POLICY_CHANGED, format!("the policy now in force does not allow it: {why}"))
}

/// The daemon denies.
fn stopped(now: Moment, code: &str, reason: String) -> Ending {
    let (kind, code) = (EndingKind::Denied, code.to_owned());
    Ending { kind, allows: false, by: String::new(), at: now.time, reason, code }
}

#[cfg(test)]
mod tests;
