//! The pipeline on a clock and with identities that a test owns.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::audit::Store;
use crate::audit::record::Event;
use crate::domain::{
    Action, ApprovalId, Caller, Check, Checked, Clock, ConnectionId, Decision, DecisionCode, Digest, EndingKind, How,
    Identity, JsonLimits, Outcome, Peer, Proposal, Report, Role, Roles, Timestamp, Verdict,
};
use crate::policy::{Policy, Source};

const NOON: i64 = 1_774_000_000;

/// Time that stands still until a test moves it: the wall clock and the uptime apart from each other.
#[derive(Default)]
struct Hands {
    wall: AtomicI64,
    uptime: AtomicU64,
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(NOON + self.wall.load(Ordering::SeqCst)).expect("a moment of our time")
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(self.uptime.load(Ordering::SeqCst))
    }
}

struct House {
    governor: Governor,
    clock: Arc<Hands>,
    directory: TempDir,
}

fn generation(yaml: &str) -> Generation {
    let source = Source { name: "policy.yaml".to_owned(), text: yaml.to_owned() };
    let policy = Policy::load(&[source]).expect("the policy of a test is valid");
    Generation::new(policy, Timestamp::UNIX_EPOCH)
}

async fn open(directory: TempDir, clock: Arc<Hands>, yaml: &str) -> House {
    let store = Store::open(&directory.path().join("record.redb"), crate::audit::Options::default());
    let generations = Generations::new(PolicySource::Starter, generation(yaml));
    let settings = Settings::default();
    let shared: Arc<dyn Clock> = Arc::<Hands>::clone(&clock);
    let store = store.expect("the store opens");
    let started = Governor::start(store, generations, shared, getrandom::fill, [7; 32], settings, Vec::new()).await;
    House { governor: started.expect("the record can be written"), clock, directory }
}

async fn house(yaml: &str) -> House {
    open(tempfile::tempdir().expect("a directory"), Arc::default(), yaml).await
}

impl House {
    /// Ends the run and begins another on the same data, after the wall clock has moved on by so many seconds.
    async fn restart(self, away: i64, yaml: &str) -> Self {
        self.governor.store().shutdown();
        self.clock.wall.fetch_add(away, Ordering::SeqCst);
        // Another process, another uptime.
        self.clock.uptime.store(0, Ordering::SeqCst);
        let Self { governor, clock, directory } = self;
        drop(governor);
        open(directory, clock, yaml).await
    }

    async fn propose(&self, caller: &Caller, r#type: &str, params: serde_json::Value) -> Decision {
        let params = params.as_object().expect("parameters are an object").clone();
        let action = Action { r#type: r#type.to_owned(), params, ..Action::default() };
        let proposal = Proposal { action, ..Proposal::default() };
        let ask = Propose { proposal, ..Propose::default() };
        self.governor.propose(caller, checked(ask)).await.expect("a proposal is answered")
    }

    async fn approve(&self, caller: &Caller, answer: &Decision) -> Result<crate::domain::Ending, GovernanceError> {
        let (id, digest) = question(answer);
        let voted = self.governor.decide(caller, id, digest, Verdict::Approve, String::new()).await?;
        let state = match voted {
            Voted::Now { approval, .. } => approval.state,
            Voted::Before(row) => row.state.approval.expect("a reviewer was asked").state,
        };
        Ok(state.ending().expect("one vote ends it").clone())
    }
}

fn question(answer: &Decision) -> (ApprovalId, Digest) {
    (answer.approval_id.expect("a reviewer was asked"), answer.action_digest)
}

/// Every caller comes over a connection of its own.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

fn caller(subject: &str, how: How, roles: &[Role]) -> Caller {
    let identity = Identity::new(subject, Roles::of(roles), how);
    let connection = ConnectionId(CONNECTIONS.fetch_add(1, Ordering::SeqCst));
    Caller { identity, connection, peer: Peer::Loopback }
}

fn agent() -> Caller {
    caller(Identity::ANONYMOUS, How::Anonymous, &[Role::Agent])
}

fn reviewer() -> Caller {
    caller("local:ada", How::UnixPeer, &[Role::Reviewer])
}

const ASKS: &str = "rules: [{name: pay, match: {type: pay}, approval: approve, timeout: 10m}]";

#[tokio::test]
async fn a_proposer_is_never_its_own_reviewer_whatever_credential_it_comes_with() {
    let house = house(ASKS).await;
    let both = caller("local:ada", How::UnixPeer, &[Role::Agent, Role::Reviewer]);
    let answer = house.propose(&both, "pay", json!({})).await;
    for how in [How::UnixPeer, How::BootstrapCredential] {
        let refused = house.approve(&caller("local:ada", how, &[Role::Reviewer]), &answer).await;
        assert!(matches!(refused, Err(GovernanceError::OwnProposal)), "{refused:?}");
    }
    let other = caller("local:bob", How::UnixPeer, &[Role::Reviewer]);
    assert_eq!(house.approve(&other, &answer).await.unwrap().kind, EndingKind::Approved);
}

#[tokio::test]
async fn a_wall_clock_that_jumps_neither_ends_an_approval_nor_revives_one() {
    let house = house(ASKS).await;
    let early = house.propose(&agent(), "pay", json!({"n": 1})).await;
    house.clock.wall.store(365 * 86_400, Ordering::SeqCst);
    house.governor.expire_due().await.unwrap();
    assert_eq!(house.governor.queue().len(), 1, "a year by the wall clock is no time at all");
    assert_eq!(house.approve(&reviewer(), &early).await.unwrap().kind, EndingKind::Approved);

    let late = house.propose(&agent(), "pay", json!({"n": 2})).await;
    house.clock.wall.store(-365 * 86_400, Ordering::SeqCst);
    house.clock.uptime.fetch_add(601, Ordering::SeqCst);
    assert!(matches!(house.approve(&reviewer(), &late).await, Err(GovernanceError::Expired { .. })));
    assert!(house.governor.queue().is_empty());
}

#[tokio::test]
async fn expiry_is_checked_in_the_transaction_and_ends_it_for_good() {
    let house = house(ASKS).await;
    let answer = house.propose(&agent(), "pay", json!({})).await;
    house.clock.uptime.store(600, Ordering::SeqCst);
    // Nobody has swept: the approval itself finds that it is too late.
    assert!(matches!(house.approve(&reviewer(), &answer).await, Err(GovernanceError::Expired { .. })));
    let now = house.governor.await_decision(&agent(), answer.decision_id, Duration::ZERO).await.unwrap();
    assert_eq!(now.outcome, Outcome::Deny);
    assert!(matches!(house.approve(&reviewer(), &answer).await, Err(GovernanceError::Expired { .. })));
}

#[tokio::test]
async fn an_approval_waits_through_a_restart_for_what_is_left_of_its_time() {
    let house = house(ASKS).await;
    let answer = house.propose(&agent(), "pay", json!({})).await;
    let house = house.restart(300, ASKS).await;
    let pending = house.governor.queue().get(question(&answer).0).expect("it is open still");
    assert_eq!(pending.deadline, Duration::from_mins(5));
    assert_eq!(house.approve(&reviewer(), &answer).await.unwrap().kind, EndingKind::Approved);
}

#[tokio::test]
async fn approving_asks_the_policy_that_is_in_force_by_then() {
    let house = house(ASKS).await;
    let answer = house.propose(&agent(), "pay", json!({})).await;
    let blocks = "rules: [{name: frozen, match: {type: pay}, approval: block}]";
    house.governor.generations().install(generation(blocks));
    let ending = house.approve(&reviewer(), &answer).await.unwrap();
    assert_eq!((ending.kind, ending.code.as_str(), ending.by.as_str()), (EndingKind::Denied, "POLICY_CHANGED", ""));
}

#[tokio::test]
async fn a_value_that_was_masked_is_beyond_telling_after_a_restart() {
    let asks = "
rules:
  - {name: large, match: {type: pay}, conditions: {param_gt: {amount: 100}}, approval: block}
  - {name: pay, match: {type: pay}, approval: approve, redact: [amount]}
";
    let house = house(asks).await;
    let answer = house.propose(&agent(), "pay", json!({"amount": 5})).await;
    assert_eq!(answer.outcome, Outcome::Escalate);
    // The five is gone: the guard against large amounts cannot be told, and counts as holding.
    let house = house.restart(1, asks).await;
    let ending = house.approve(&reviewer(), &answer).await.unwrap();
    assert_eq!((ending.kind, ending.allows), (EndingKind::Denied, false));
    assert!(ending.reason.contains("large"), "{}", ending.reason);
}

#[tokio::test]
async fn a_timeout_that_allows_says_that_it_expired_and_gives_way_to_a_policy_that_blocks() {
    let house = house(LENIENT).await;
    let allowed = house.propose(&agent(), "ping", json!({"n": 1})).await;
    house.clock.uptime.store(60, Ordering::SeqCst);
    house.governor.expire_due().await.unwrap();
    let now = house.governor.await_decision(&agent(), allowed.decision_id, Duration::ZERO).await.unwrap();
    assert_eq!(now.outcome, Outcome::Allow);
    assert_eq!(now.code, DecisionCode::Timeout);

    let blocked = house.propose(&agent(), "ping", json!({"n": 2})).await;
    house.governor.generations().install(generation("rules: [{match: {type: ping}, approval: block}]"));
    house.clock.uptime.store(120, Ordering::SeqCst);
    house.governor.expire_due().await.unwrap();
    let now = house.governor.await_decision(&agent(), blocked.decision_id, Duration::ZERO).await.unwrap();
    assert_eq!(now.outcome, Outcome::Deny);
}

fn checked<T: Check>(value: T) -> Checked<T> {
    Checked::new(value, JsonLimits::default(), Vec::new()).expect("tests send what is right")
}

#[tokio::test]
async fn what_one_identity_proposed_is_nobody_elses_to_follow() {
    let house = house(ASKS).await;
    let answer = house.propose(&agent(), "pay", json!({})).await;
    let id = answer.decision_id;
    let stranger = caller("spiffe://b", How::BootstrapCredential, &[Role::Agent]);
    for result in [
        house.governor.await_decision(&stranger, id, Duration::ZERO).await.map(drop),
        house.governor.cancel(&stranger, id, String::new()).await.map(drop),
        house
            .governor
            .report(&stranger, id, checked(Report::settled(crate::domain::ResultStatus::Success, "")))
            .await
            .map(drop),
    ] {
        assert!(matches!(result, Err(GovernanceError::NoDecision(_))), "{result:?}");
    }
}

#[tokio::test]
async fn a_secret_too_short_to_be_looked_for_hides_nothing_else() {
    let reads = "rules: [{match: {type: read}, approval: auto}]";
    let house = house(reads).await;
    let answer = house.propose(&agent(), "read", json!({"cvc": 123, "password": "[masked, 7 characters]"})).await;
    let id = answer.decision_id;
    let row = house.governor.store().read().unwrap().by_decision(id).unwrap().unwrap();
    assert_eq!(row.decision.action.params["password"], "[masked, 7 characters]");
    let said = "123 is wrong, and so is [masked, 7 characters]";
    let failed = Report::settled(crate::domain::ResultStatus::Failed, said);
    house.governor.report(&agent(), id, checked(failed)).await.unwrap();
    let row = house.governor.store().read().unwrap().by_decision(id).unwrap().unwrap();
    assert_eq!(row.state.result.unwrap().error, said);
}

const LENIENT: &str = "
rules:
  - {match: {type: ping}, risk_level: low, approval: approve, timeout: 1m, on_timeout: allow, redact: [card]}
";

#[tokio::test]
async fn silence_while_no_daemon_ran_allows_nothing() {
    let house = house(LENIENT).await;
    let missed = house.propose(&agent(), "ping", json!({"n": 1})).await;
    let house = house.restart(61, LENIENT).await;
    assert!(house.governor.queue().is_empty(), "it has ended before anybody can look");
    let now = house.governor.await_decision(&agent(), missed.decision_id, Duration::ZERO).await.unwrap();
    assert_eq!((now.outcome, now.code), (Outcome::Deny, DecisionCode::Timeout));
    assert!(now.reason.contains("while the daemon was not running"), "{}", now.reason);

    // What is open still when the daemon is back ends as its rule says.
    let open = house.propose(&agent(), "ping", json!({"n": 2})).await;
    let house = house.restart(30, LENIENT).await;
    house.clock.uptime.store(30, Ordering::SeqCst);
    house.governor.expire_due().await.unwrap();
    let now = house.governor.await_decision(&agent(), open.decision_id, Duration::ZERO).await.unwrap();
    assert_eq!((now.outcome, now.code), (Outcome::Allow, DecisionCode::Timeout));
}

impl House {
    async fn propose_by(&self, caller: &Caller, key: &str) -> Result<Decision, GovernanceError> {
        let action = Action { r#type: "read".to_owned(), ..Action::default() };
        let proposal = Proposal { action, ..Proposal::default() };
        let ask = Propose { proposal, idempotency_key: Some(key.to_owned()), ..Propose::default() };
        self.governor.propose(caller, checked(ask)).await
    }
}

#[tokio::test]
async fn a_key_is_good_for_one_run() {
    let reads = "rules: [{match: {type: read}, approval: auto}]";
    let house = house(reads).await;
    let key = "0123456789abcdef";
    let first = house.propose_by(&agent(), key).await.unwrap();
    assert_eq!((first.outcome, first.code, first.replayed), (Outcome::Allow, DecisionCode::Policy, false));
    let again = house.propose_by(&agent(), key).await.unwrap();
    assert_eq!(again, Decision { replayed: true, ..first.clone() });

    house.governor.generations().install(generation("rules: [{name: shut, match: {type: read}, approval: block}]"));
    let blocked = house.propose_by(&agent(), key).await.unwrap();
    assert_eq!((blocked.outcome, blocked.code, blocked.replayed), (Outcome::Deny, DecisionCode::PolicyChanged, true));
    house.governor.generations().install(generation(reads));
    assert_eq!(house.propose_by(&agent(), key).await.unwrap(), again, "the decision itself has not changed");

    let report = Report::settled(crate::domain::ResultStatus::Failed, "out of order");
    house.governor.report(&agent(), first.decision_id, checked(report.clone())).await.unwrap();
    let spent = house.propose_by(&agent(), key).await.unwrap();
    assert_eq!((spent.outcome, spent.code, spent.replayed), (Outcome::Deny, DecisionCode::AlreadyReported, true));
    let result = spent.result.clone().unwrap();
    assert_eq!((result.report, result.audit_ref.is_some()), (report, true));
    assert!(result.reported_at.is_some());
    let waited = house.governor.await_decision(&agent(), first.decision_id, Duration::ZERO).await.unwrap();
    assert_eq!(waited, Decision { replayed: false, ..spent });
}

#[tokio::test]
async fn a_proposer_can_check_the_digest_of_what_was_decided() {
    let house = house(ASKS).await;
    let (one, two) =
        (house.propose(&agent(), "pay", json!({"n": 1})).await, house.propose(&agent(), "pay", json!({"n": 1})).await);
    let action =
        Action { r#type: "pay".into(), params: json!({"n": 1}).as_object().unwrap().clone(), ..Action::default() };
    let canonical = crate::domain::canonical_action(&action, "", "").unwrap();
    for decision in [&one, &two] {
        assert_eq!(crate::domain::action_digest(&decision.action_digest_salt, &canonical), decision.action_digest);
    }
    assert_ne!(one.action_digest, two.action_digest);
}

#[tokio::test]
async fn masked_values_are_forgotten_when_the_life_of_their_action_ends() {
    let rules = "
rules:
  - {match: {type: read}, approval: auto, redact: [card]}
  - {match: {type: pay}, approval: approve, redact: [card]}
  - {match: {type: mail}, approval: confirm, redact: [card]}
  - {match: {type: drop}, approval: block, redact: [card]}
";
    let house = house(rules).await;
    let (governor, agent) = (&house.governor, agent());
    let propose = async |r#type| house.propose(&agent, r#type, json!({"card": "4111-1111"})).await;
    let is_held = |decision: &Decision| governor.held.get(decision.decision_id).is_some();

    let denied = propose("drop").await;
    assert!(!is_held(&denied), "nothing is ever reported of what is blocked");
    let read = propose("read").await;
    assert!(is_held(&read));
    let report = Report::settled(crate::domain::ResultStatus::Success, "paid with 4111-1111");
    governor.report(&agent, read.decision_id, checked(report)).await.unwrap();
    assert!(!is_held(&read));
    let row = governor.store().read().unwrap().by_decision(read.decision_id).unwrap().unwrap();
    assert_eq!(row.state.result.unwrap().error, "paid with [masked, 9 characters]");

    let (approved, cancelled) = (propose("pay").await, propose("pay").await);
    house.approve(&reviewer(), &approved).await.unwrap();
    governor.cancel(&agent, cancelled.decision_id, String::new()).await.unwrap();
    assert_eq!((is_held(&approved), is_held(&cancelled)), (true, false));
    let late = propose("pay").await;
    house.clock.uptime.store(3600, Ordering::SeqCst);
    governor.expire_due().await.unwrap();
    assert!(!is_held(&late));

    let confirmable = propose("mail").await;
    assert!(is_held(&confirmable));
    governor.cancel(&agent, confirmable.decision_id, String::new()).await.unwrap();
    assert!(!is_held(&confirmable));
}

#[tokio::test]
async fn retention_waits_for_the_slowest_cursor_for_a_time_and_says_when_it_passes_one() {
    const RETAIN: Duration = Duration::from_hours(24);
    let house = house("rules: [{name: reads, match: {type: read}, approval: block}]").await;
    for n in 0..600 {
        house.propose(&agent(), "read", json!({"n": n})).await;
    }
    let store = house.governor.store().clone();
    store.transact(|tx| tx.advance_cursor("slow", 300).and_then(|()| tx.advance_cursor("fast", 600))).await.unwrap();
    let retired = async || {
        while house.governor.retire(RETAIN).await.unwrap() > 0 {}
        store.read().unwrap().retired().unwrap()
    };
    let passed = || {
        let mut passed = Vec::new();
        for record in store.read().unwrap().records(600, 100).unwrap() {
            if let Some(Event::RecordsRetired { passed: some, .. }) = record.record().map(|record| &record.event) {
                passed.push(some.iter().map(|cursor| cursor.name.clone()).collect::<Vec<_>>());
            }
        }
        passed
    };

    let day = |day: u8| {
        house.clock.wall.store(i64::from(day) * 86_400, Ordering::SeqCst);
        house.clock.uptime.store(u64::from(day) * 86_400, Ordering::SeqCst);
    };
    day(2);
    assert_eq!(retired().await, 256, "the tile that the slow one has gone through");
    day(7);
    assert_eq!(retired().await, 256, "it waits");
    assert_eq!(passed(), [Vec::<String>::new()]);
    day(9);
    assert_eq!(retired().await, 512, "not for ever");
    assert_eq!(passed(), [vec![], vec!["slow".to_owned()]]);
}

#[tokio::test]
async fn a_clock_that_jumps_while_the_daemon_runs_retires_nothing_and_stays_suspect_after_a_restart() {
    const RULES: &str = "rules: [{name: reads, match: {type: read}, approval: block}]";
    const RETAIN: Duration = Duration::from_hours(24);
    let house = house(RULES).await;
    for n in 0..300 {
        house.propose(&agent(), "read", json!({"n": n})).await;
    }
    // Less than a day ahead of what has passed: nothing is as old by the time that has.
    house.clock.wall.store(86_399, Ordering::SeqCst);
    assert_eq!(house.governor.retire(Duration::from_hours(1)).await.unwrap(), 0);
    assert!(house.governor.clock_state().borrow().gap.is_none());
    house.clock.wall.store(100 * 86_400, Ordering::SeqCst);
    assert_eq!(house.governor.retire(RETAIN).await.unwrap(), 0);
    let gap = house.governor.clock_state().borrow().gap.expect("it is noted");
    house.propose(&agent(), "read", json!({})).await;

    let house = house.restart(0, RULES).await;
    assert_eq!(house.governor.clock_state().borrow().gap, Some(gap));
    assert_eq!(house.governor.retire(RETAIN).await.unwrap(), 0);
    let (store, now) = (house.governor.store().clone(), house.governor.now());
    find_clock_gap(&store, now, Some(gap.before)).await.unwrap();
    let house = house.restart(0, RULES).await;
    assert_eq!(house.governor.retire(RETAIN).await.unwrap(), 256);
}

const LIMITED: &str = "
rules:
  - {name: few, match: {type: few}, approval: auto, limit: {max: 2, per: 1h}}
  - {name: silent, match: {type: silent}, approval: approve, timeout: 1m, on_timeout: allow, limit: {max: 1, per: 1h}}
  - {name: each, match: {type: each}, approval: auto, limit: {max: 1, by: type, per: 1h}}
  - {name: of, match: {type: of*}, approval: auto, limit: {max: 1, by: type, per: 1h, approval: approve}}
";

#[tokio::test]
async fn a_window_slides_and_what_is_over_is_forgotten() {
    let house = house(LIMITED).await;
    let propose = async || house.propose(&agent(), "few", json!({})).await;
    let first = propose().await;
    assert!(first.reason.ends_with("; limit `few`: 1 left of 2 per 1h"), "{}", first.reason);
    house.clock.wall.fetch_add(600, Ordering::SeqCst);
    assert_eq!(propose().await.outcome, Outcome::Allow);
    let denied = propose().await;
    assert_eq!((denied.outcome, denied.code), (Outcome::Deny, DecisionCode::Limit));
    house.clock.wall.fetch_add(3000, Ordering::SeqCst);
    assert_eq!(propose().await.outcome, Outcome::Allow, "the first is an hour old");
    assert_eq!(propose().await.outcome, Outcome::Deny, "the second is not");
    // A clock that is set back frees nothing.
    house.clock.wall.fetch_sub(3600, Ordering::SeqCst);
    assert_eq!(propose().await.outcome, Outcome::Deny);

    assert_eq!(house.governor.counts(None, None, 10).await.unwrap().counts.len(), 1);
    assert_eq!(house.governor.forget_counts(None).await.unwrap(), None);
    let stored = async || house.governor.store().scan(|reader| reader.spent_after(None, 10)).await.unwrap().len();
    assert_eq!(stored().await, 1, "it still counts");
    house.clock.wall.fetch_add(3 * 3600, Ordering::SeqCst);
    house.governor.forget_counts(None).await.unwrap();
    assert_eq!(stored().await, 0);
}

#[tokio::test]
async fn silence_allows_no_more_than_a_limit() {
    let house = house(LIMITED).await;
    let asked =
        [house.propose(&agent(), "silent", json!({})).await, house.propose(&agent(), "silent", json!({})).await];
    house.clock.uptime.fetch_add(61, Ordering::SeqCst);
    house.clock.wall.fetch_add(61, Ordering::SeqCst);
    house.governor.expire_due().await.unwrap();
    let mut allowed = 0;
    for decision in asked {
        let told = house.governor.await_decision(&agent(), decision.decision_id, Duration::ZERO).await.unwrap();
        allowed += usize::from(told.outcome == Outcome::Allow);
    }
    assert_eq!(allowed, 1);
}

#[tokio::test]
async fn where_all_counts_are_in_use_a_new_one_gets_the_answer_of_its_limit() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = Arc::<Hands>::default();
    let store = Store::open(&directory.path().join("record.redb"), crate::audit::Options::default()).unwrap();
    let generations = Generations::new(PolicySource::Starter, generation(LIMITED));
    let settings = Settings { limit_counts: 200, anonymous_share: 50, ..Settings::default() };
    let shared: Arc<dyn Clock> = Arc::<Hands>::clone(&clock);
    let governor = Governor::start(store, generations, shared, getrandom::fill, [7; 32], settings, Vec::new()).await;
    let house = House { governor: governor.unwrap(), clock, directory };
    for n in 0..100 {
        let decision = house.propose(&agent(), &format!("of{n}"), json!({})).await;
        assert_eq!(decision.outcome, Outcome::Allow, "{n}");
    }
    let one_more = house.propose(&agent(), "of100", json!({})).await;
    assert_eq!(one_more.outcome, Outcome::Escalate);
    assert!(one_more.reason.contains("there is no place for another count"), "{}", one_more.reason);
    let again = house.propose(&agent(), "of1", json!({})).await;
    assert!(again.reason.contains("1 spent of 1 per 1h by type"), "{}", again.reason);
    // Callers with a credential have places of their own.
    let known = caller("token:ada", How::Token, &[Role::Agent]);
    assert_eq!(house.propose(&known, "of100", json!({})).await.outcome, Outcome::Allow);
    // An hour later the places are free.
    house.clock.wall.fetch_add(3601, Ordering::SeqCst);
    house.governor.forget_counts(None).await.unwrap();
    assert_eq!(house.propose(&agent(), "of100", json!({})).await.outcome, Outcome::Allow);
}

#[tokio::test]
async fn what_is_spent_and_who_is_halted_is_known_after_a_restart_and_redaction_leaves_no_text() {
    let house = house(LIMITED).await;
    let admin = caller("local:ada", How::UnixPeer, &[Role::Admin]);
    let spent = house.propose(&agent(), "each", json!({})).await;
    let scope = crate::domain::HaltScope::Session("s".to_owned());
    house.governor.halt(&admin, scope.clone(), "why".to_owned()).await.unwrap();
    let house = house.restart(1, LIMITED).await;
    assert_eq!(house.propose(&agent(), "each", json!({})).await.code, DecisionCode::Limit);
    assert_eq!(house.governor.halts().list()[0].halt.scope, scope);
    let shown = async || house.governor.counts(None, None, 10).await.unwrap().counts[0].spent.by.clone();
    assert_eq!(shown().await["type"], "each");
    let report = Report::settled(crate::domain::ResultStatus::Success, "");
    house.governor.report(&agent(), spent.decision_id, checked(report)).await.unwrap();
    house.governor.redact(&admin, spent.decision_id, "asked for".to_owned(), None).await.unwrap();
    assert!(shown().await.is_empty());
    assert_eq!(house.propose(&agent(), "each", json!({})).await.code, DecisionCode::Limit, "it still counts");
    house.governor.store().scan_at_start(crate::audit::Reader::check).await.unwrap();
    house.governor.store().shutdown();
}
