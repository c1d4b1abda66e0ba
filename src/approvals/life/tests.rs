//! The machine against a model that is too simple to be wrong.

use proptest::prelude::*;

use super::*;
use crate::approvals::Asked;
use crate::approvals::testing::{decision, pending};
use crate::audit::record::{DecisionRecord, IdentityRecord};
use crate::domain::{ConnectionId, How, Identity, Peer, Role, Roles};
use std::sync::Arc;

const DEADLINE: u64 = 20;

/// Who does something, and over which connection. The first three are the proposer: by two credentials of one subject,
/// and by the credential of another subject over the connection of the proposal.
const PEOPLE: [(&str, How, u64); 5] = [
    ("local:agent", How::UnixPeer, 1),
    ("local:agent", How::Token, 2),
    ("local:eve", How::Token, 1),
    ("local:ada", How::UnixPeer, 3),
    ("local:bob", How::Certificate, 4),
];
/// Those of them who are the proposer.
const PROPOSERS: usize = 3;

fn caller(person: usize) -> Caller {
    let (subject, how, connection) = PEOPLE[person];
    let identity = Identity::new(subject, Roles::of(&Role::ALL), how);
    Caller { identity, connection: ConnectionId(connection), peer: Peer::Loopback }
}

/// A question that the first of the people put.
fn question(timeout_allows: bool, is_missed: bool) -> Pending {
    let decision = DecisionRecord { identity: IdentityRecord::of(&caller(0)), ..decision(1) };
    let connection = Some(caller(0).connection);
    let decision = Asked::new(Arc::new(decision));
    Pending { decision, connection, timeout_allows, is_missed, ..pending(1, DEADLINE) }
}

/// One step of a story: so many seconds pass, then somebody does something.
#[derive(Clone, Debug)]
struct Step {
    seconds: u64,
    what: What,
    person: usize,
    /// Whether the reviewer was shown this very action.
    shown: bool,
    blocked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Approve,
    Deny,
    Withdraw,
    TimeOut,
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![Just(What::Approve), Just(What::Deny), Just(What::Withdraw), Just(What::TimeOut)];
    (0..8_u64, what, 0..PEOPLE.len(), prop::bool::weighted(0.8), prop::bool::weighted(0.3))
        .prop_map(|(seconds, what, person, shown, blocked)| Step { seconds, what, person, shown, blocked })
}

/// What should come of a step while the question is open: the kind of the end and whether it allows, or nothing.
fn model(step: &Step, uptime: u64, timeout_allows: bool) -> Option<(EndingKind, bool)> {
    let late = uptime >= DEADLINE;
    let may_vote = step.shown && step.person >= PROPOSERS && !late;
    match step.what {
        What::Approve if may_vote && step.blocked => Some((EndingKind::Denied, false)),
        What::Approve if may_vote => Some((EndingKind::Approved, true)),
        What::Deny if may_vote => Some((EndingKind::Denied, false)),
        What::Withdraw if !late => Some((EndingKind::Cancelled, false)),
        What::TimeOut if late && timeout_allows && step.blocked => Some((EndingKind::Denied, false)),
        What::TimeOut if late => Some((EndingKind::Expired, timeout_allows)),
        _ => None,
    }
}

fn act<'a>(step: &Step, by: &'a Caller, question: &Pending) -> Act<'a> {
    let shown = if step.shown { question.decision.action_digest() } else { Digest::of(b"another action") };
    let policy = if step.blocked { PolicyNow::Blocks("no".into()) } else { PolicyNow::Allows };
    let reason = String::new();
    match step.what {
        What::Approve => Act::Approve { by, shown, reason, policy },
        What::Deny => Act::Deny { by, shown, reason },
        What::Withdraw => Act::Withdraw { by, reason },
        What::TimeOut => Act::TimeOut { policy },
    }
}

proptest! {
    #[test]
    fn a_question_ends_once_and_only_as_the_model_says(
        steps in prop::collection::vec(step(), 1..24),
        timeout_allows: bool,
        is_missed: bool,
    ) {
        let question = question(timeout_allows, is_missed);
        let timeout_allows = timeout_allows && !is_missed;
        let mut state = QuestionState::Open;
        let (mut uptime, mut ends) = (0, 0);
        for step in steps {
            uptime += step.seconds;
            let now = Moment {
                time: Timestamp::from_second(i64::try_from(uptime).unwrap()).unwrap(),
                uptime: Duration::from_secs(uptime),
            };
            let by = caller(step.person);
            let expected = if state.is_open() { model(&step, uptime, timeout_allows) } else { None };
            match question.next(&state, act(&step, &by, &question), now) {
                Ok(next) => {
                    let ending = next.ending().expect("no act leaves a question open yet").clone();
                    prop_assert_eq!(Some((ending.kind, ending.allows)), expected, "{:?}", step);
                    prop_assert_eq!(ending.at, now.time);
                    let is_vote = ending.by == "local:ada" || ending.by == "local:bob";
                    let is_withdrawal = ending.kind == EndingKind::Cancelled;
                    prop_assert!(is_vote || is_withdrawal || ending.by.is_empty(), "{:?}", ending);
                    ends += 1;
                    state = next;
                }
                Err(Refusal::Ended(ending)) => prop_assert_eq!(Some(&ending), state.ending()),
                Err(refusal) => {
                    prop_assert!(state.is_open(), "what is over is said to be over: {:?}", refusal);
                    prop_assert_eq!(expected, None, "{:?} to {:?}", refusal, step);
                }
            }
        }
        prop_assert!(ends <= 1);
        // Time ends what nobody has ended.
        let end = Moment { time: Timestamp::UNIX_EPOCH, uptime: Duration::from_secs(uptime.max(DEADLINE)) };
        let last = question.next(&state, Act::TimeOut { policy: PolicyNow::Allows }, end);
        prop_assert_eq!(last.is_ok(), ends == 0);
    }
}

#[test]
fn a_vote_that_comes_at_the_deadline_is_late() {
    let question = question(false, false);
    let ada = caller(PROPOSERS);
    let deny = |uptime| {
        let shown = question.decision.action_digest();
        let act = Act::Deny { by: &ada, shown, reason: String::new() };
        question.next(&QuestionState::Open, act, Moment { time: Timestamp::UNIX_EPOCH, uptime })
    };
    let deadline = Duration::from_secs(DEADLINE);
    assert!(deny(deadline.saturating_sub(Duration::from_nanos(1))).is_ok());
    assert_eq!(deny(deadline), Err(Refusal::Late));
}
