//! The pipeline on a clock and with identities that a test owns.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::domain::{Action, ApprovalId, ConnectionId, EndingKind, How, Identity, Outcome, Proposal, Role, Roles};
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
    Generation { policy, loaded_at: Timestamp::UNIX_EPOCH }
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

    async fn propose(&self, caller: &Caller, r#type: &str, params: serde_json::Value) -> Answer {
        let params = params.as_object().expect("parameters are an object").clone();
        let action = Action { r#type: r#type.to_owned(), params, ..Action::default() };
        let proposal = Proposal { action, ..Proposal::default() };
        let ask = Propose { proposal, ..Propose::default() };
        self.governor.propose(caller, ask).await.expect("a proposal is answered")
    }

    async fn approve(&self, caller: &Caller, answer: &Answer) -> Result<crate::domain::Ending, GovernanceError> {
        let (id, digest) = question(answer);
        let ended = self.governor.decide(caller, id, digest, Verdict::Approve, String::new()).await?;
        Ok(ended.ending)
    }
}

fn question(answer: &Answer) -> (ApprovalId, Digest) {
    (answer.decision.approval_id.expect("a reviewer was asked"), answer.decision.action_digest)
}

fn caller(subject: &str, how: How, roles: &[Role]) -> Caller {
    let identity = Identity::new(subject, Roles::of(roles), how);
    Caller { identity, connection: ConnectionId(1) }
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
        assert!(matches!(refused, Err(GovernanceError::OwnProposal(_))), "{refused:?}");
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
    let now = house.governor.await_decision(&agent(), answer.decision.decision_id, Duration::ZERO).await.unwrap();
    assert_eq!(now.outcome(), Outcome::Deny);
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
    assert_eq!(answer.outcome(), Outcome::Escalate);
    // The five is gone: the guard against large amounts cannot be told, and counts as holding.
    let house = house.restart(1, asks).await;
    let ending = house.approve(&reviewer(), &answer).await.unwrap();
    assert_eq!((ending.kind, ending.allows), (EndingKind::Denied, false));
    assert!(ending.reason.contains("large"), "{}", ending.reason);
}

#[tokio::test]
async fn a_timeout_that_allows_says_that_it_expired_and_gives_way_to_a_policy_that_blocks() {
    let asks = "rules: [{name: ping, match: {type: ping}, risk_level: low, approval: approve, timeout: 1m, on_timeout: allow}]";
    let house = house(asks).await;
    let allowed = house.propose(&agent(), "ping", json!({"n": 1})).await;
    house.clock.uptime.store(60, Ordering::SeqCst);
    house.governor.expire_due().await.unwrap();
    let now = house.governor.await_decision(&agent(), allowed.decision.decision_id, Duration::ZERO).await.unwrap();
    assert_eq!(now.outcome(), Outcome::Allow);
    assert_eq!(now.state.approval.unwrap().ending.unwrap().kind, EndingKind::Expired);

    let blocked = house.propose(&agent(), "ping", json!({"n": 2})).await;
    house.governor.generations().install(generation("rules: [{match: {type: ping}, approval: block}]"));
    house.clock.uptime.store(120, Ordering::SeqCst);
    house.governor.expire_due().await.unwrap();
    let now = house.governor.await_decision(&agent(), blocked.decision.decision_id, Duration::ZERO).await.unwrap();
    assert_eq!(now.outcome(), Outcome::Deny);
}

#[tokio::test]
async fn what_one_identity_proposed_is_nobody_elses_to_follow() {
    let house = house(ASKS).await;
    let answer = house.propose(&agent(), "pay", json!({})).await;
    let id = answer.decision.decision_id;
    let stranger = caller("spiffe://b", How::BootstrapCredential, &[Role::Agent]);
    for result in [
        house.governor.await_decision(&stranger, id, Duration::ZERO).await.map(drop),
        house.governor.cancel(&stranger, id, String::new()).await.map(drop),
        house
            .governor
            .report(&stranger, id, propose::settled(crate::domain::ResultStatus::Success, ""))
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
    let id = answer.decision.decision_id;
    assert_eq!(answer.decision.action.params["password"], "[masked, 7 characters]");
    let said = "123 is wrong, and so is [masked, 7 characters]";
    let failed = propose::settled(crate::domain::ResultStatus::Failed, said);
    house.governor.report(&agent(), id, failed).await.unwrap();
    let row = house.governor.store().read().unwrap().by_decision(id).unwrap().unwrap();
    assert_eq!(row.state.result.unwrap().error, said);
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

    house.clock.wall.store(2 * 86_400, Ordering::SeqCst);
    assert_eq!(retired().await, 256, "the tile that the slow one has gone through");
    house.clock.wall.store(7 * 86_400, Ordering::SeqCst);
    assert_eq!(retired().await, 256, "it waits");
    assert_eq!(passed(), [Vec::<String>::new()]);
    house.clock.wall.store(9 * 86_400, Ordering::SeqCst);
    assert_eq!(retired().await, 512, "not for ever");
    assert_eq!(passed(), [vec![], vec!["slow".to_owned()]]);
}
