//! Proposals, as `propose`, `hook` and `mcp` make them: repeated over a lost connection, and waited for.

use std::time::{Duration, Instant};

use tonic::{Response, Status};

use super::connect::{self, Remote};
use super::failure::Failure;
use super::status::is_connection_lost;
use super::wire;
use crate::proto::v1::{self, Decision, Outcome};

/// The longest wait of one call: short enough that no proxy on the way ends it.
const ONE_WAIT: Duration = Duration::from_mins(1);
/// How long a call is repeated after a lost connection, if nobody asked to wait longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Whether this is the outcome.
pub(super) fn is(decision: &Decision, outcome: Outcome) -> bool {
    decision.outcome == outcome as i32
}

/// An idempotency key that nobody else has.
pub(super) fn random_key() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::new(format!("the system gave no random bytes: {error}")))?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}

/// Asks until there is an answer or the deadline has passed.
pub(super) async fn wait(remote: &Remote, decision: Decision, deadline: Instant) -> Result<Decision, Failure> {
    wait_through(remote, decision, deadline, is_connection_lost).await
}

/// Asks until there is an answer or the deadline has passed, and again after a status that passes.
pub(super) async fn wait_through(
    remote: &Remote,
    mut decision: Decision,
    deadline: Instant,
    passes: impl Fn(&Status) -> bool,
) -> Result<Decision, Failure> {
    while is(&decision, Outcome::Escalate) {
        let asked_at = Instant::now();
        let left = deadline.saturating_duration_since(asked_at);
        if left.is_zero() {
            break;
        }
        let wait = left.min(ONE_WAIT);
        let request =
            v1::AwaitDecisionRequest { decision_id: decision.decision_id.clone(), wait: Some(wire::to_duration(wait)) };
        let answer = repeated(deadline, &passes, async || {
            remote.governance().await_decision(connect::waiting_call(request.clone(), wait)).await
        });
        decision = answered(answer.await?.decision)?;
        // A daemon that lets no call wait answers at once. Do not ask it in a tight loop.
        if asked_at.elapsed() < Duration::from_millis(200) && is(&decision, Outcome::Escalate) {
            tokio::time::sleep(left.min(Duration::from_millis(500))).await;
        }
    }
    Ok(decision)
}

/// Makes a call, and repeats it while only the connection fails. Only for idempotent calls.
pub(super) async fn patiently<T>(
    deadline: Instant,
    call: impl AsyncFn() -> Result<Response<T>, Status>,
) -> Result<T, Status> {
    repeated(deadline, is_connection_lost, call).await
}

/// Makes a call, and repeats it after a status that passes. Only for idempotent calls.
pub(super) async fn repeated<T>(
    deadline: Instant,
    passes: impl Fn(&Status) -> bool,
    call: impl AsyncFn() -> Result<Response<T>, Status>,
) -> Result<T, Status> {
    let mut pause = Duration::from_millis(100);
    loop {
        match call().await {
            Err(status) if passes(&status) && Instant::now() + pause < deadline => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
            answer => return answer.map(Response::into_inner),
        }
    }
}

/// The decision of an answer.
pub(super) fn answered(decision: Option<Decision>) -> Result<Decision, Failure> {
    decision.ok_or_else(|| Failure::new("the daemon answered without a decision: do not run the action"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_call_is_repeated_after_a_lost_connection_and_not_after_a_refusal() {
        let calls = AtomicU32::new(0);
        let deadline = Instant::now() + Duration::from_secs(10);
        let answer = patiently(deadline, async || {
            if calls.fetch_add(1, Ordering::Relaxed) < 2 {
                return Err(Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset))));
            }
            Ok(Response::new(7))
        });
        assert_eq!(answer.await.unwrap(), 7);

        calls.store(0, Ordering::Relaxed);
        let answer: Result<(), _> = patiently(deadline, async || {
            calls.fetch_add(1, Ordering::Relaxed);
            Err(Status::unavailable("the record cannot be written"))
        })
        .await;
        assert_eq!((answer.unwrap_err().code(), calls.into_inner()), (tonic::Code::Unavailable, 1));
    }
}
