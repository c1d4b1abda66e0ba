//! [`HttpExecutor`]: gives allowed actions to an HTTP endpoint (`--executor-url`), which runs them.
//!
//! It sends `POST` with
//!
//! ```json
//! {"action": {"type": "read", "target": "crm", "params": {}, "description": ""},
//!  "actor": {"id": "agent-7", "type": "ai-agent"}, "session_id": "s1",
//!  "decision": {"decision_id": "dec_...", "matched_rule": "reads", "constraints": {}, ...}}
//! ```
//!
//! and the header `Idempotency-Key`, which is the id of the decision. An answer `{"status": "success" | "failed",
//! "data": ..., "error": "..."}` is the result; any other JSON with a status of 2xx is the data of a success.
//!
//! Where an answer is missing nobody knows whether the action ran, so its result is `unknown`. The executor is asked
//! again only if the operator says that it takes the same key for the same action (`--executor-idempotent`). The
//! addresses of the executor are found once, when the daemon starts. Redirects are not followed.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::domain::json::parse_strict;
use crate::domain::{Report, ResultStatus, Timestamp, visible};
use crate::governance::{Executor, Order, Running};
use crate::outbound::fetch::{Answer, Bounds, Client, FetchError, Url};

/// The most actions that run at once. Others wait.
const AT_ONCE: usize = 64;
/// The longest answer, in bytes.
const MAX_BYTES: usize = 4 << 20;
/// How often an idempotent executor is asked, and how long to wait in between, times two each time.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(100);
/// How much of an answer that failed is recorded, in characters.
const SHOWN: usize = 200;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Where the executor is, and how it is asked.
#[derive(Clone, Debug)]
pub(crate) struct ExecutorSource {
    /// Its address.
    pub(crate) url: Url,
    /// How long an action may take.
    pub(crate) timeout: Duration,
    /// Whether it takes the same key for the same action.
    pub(crate) is_idempotent: bool,
    /// The authorities that its certificate is checked with; those of the machine if there are none.
    pub(crate) authorities: Option<std::path::PathBuf>,
}

/// The executor cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecutorError {
    /// Its host has no address.
    #[error("--executor-url: `{host}` has no address: {error}")]
    NoAddress {
        /// The host.
        host: String,
        /// What the system said.
        error: io::Error,
    },
    /// The client cannot be made.
    #[error("--executor-url: {0}")]
    Client(#[from] FetchError),
}

/// Gives actions to an HTTP endpoint.
pub(crate) struct HttpExecutor {
    client: Client,
    source: ExecutorSource,
    running: Semaphore,
}

impl HttpExecutor {
    /// Finds the addresses of the executor.
    pub(crate) async fn start(source: ExecutorSource) -> Result<Arc<Self>, ExecutorError> {
        let (host, port) = source.url.place();
        let found = tokio::net::lookup_host((host, port)).await.map(Iterator::collect::<Vec<_>>);
        let addresses =
            found.and_then(
                |found| {
                    if found.is_empty() { Err(io::Error::other("the system knows none")) } else { Ok(found) }
                },
            );
        let addresses = addresses.map_err(|error| ExecutorError::NoAddress { host: host.to_owned(), error })?;
        let authorities = source.authorities.clone();
        let client =
            tokio::task::spawn_blocking(move || Client::pinned(authorities.as_deref().map(Path::new), addresses)).await;
        let client = client.map_err(|error| ExecutorError::NoAddress {
            host: source.url.to_string(),
            error: io::Error::other(error),
        })??;
        Ok(Arc::new(Self { client, source, running: Semaphore::new(AT_ONCE) }))
    }

    async fn ask(&self, order: &Order) -> Result<Answer, FetchError> {
        let decision_id = order.decision.decision_id.to_string();
        let headers = [(CONTENT_TYPE, "application/json"), (IDEMPOTENCY_KEY, decision_id.as_str())];
        let body = Bytes::from(document(order).to_string());
        let until = tokio::time::Instant::now() + self.source.timeout;
        let (mut pause, mut attempt) = (PAUSE, 1);
        loop {
            let timeout = until.saturating_duration_since(tokio::time::Instant::now());
            let bounds = Bounds { max_bytes: MAX_BYTES, timeout };
            let answer = self.client.post_with(&self.source.url, &headers, body.clone(), bounds).await;
            let may_help = match &answer {
                Ok(answer) => matches!(answer.status.as_u16(), 429 | 502 | 503 | 504),
                Err(error) => matches!(error, FetchError::Connect { .. } | FetchError::Transport { .. }),
            };
            let is_over = tokio::time::Instant::now() + pause >= until;
            if !may_help || !self.source.is_idempotent || attempt >= ATTEMPTS || is_over {
                return answer;
            }
            tokio::time::sleep(pause).await;
            (pause, attempt) = (pause * 2, attempt + 1);
        }
    }
}

impl Executor for Arc<HttpExecutor> {
    fn run(&self, order: Order) -> Running {
        let executor = Self::clone(self);
        Box::pin(async move {
            // It is never closed.
            let _turn = executor.running.acquire().await;
            let started_at = Timestamp::now();
            let answer = executor.ask(&order).await;
            Report { started_at: Some(started_at), completed_at: Some(Timestamp::now()), ..result(answer) }
        })
    }
}

fn document(order: &Order) -> Value {
    let Order { decision, action, actor, session_id } = order;
    json!({
        "action": action,
        "actor": actor,
        "session_id": session_id,
        "decision": {
            "decision_id": decision.decision_id,
            "outcome": decision.outcome,
            "reason": decision.reason,
            "risk_level": decision.risk_level.as_upper(),
            "matched_rule": decision.matched_rule,
            "constraints": decision.constraints,
            "policy_revision": decision.policy_revision,
            "timestamp": decision.timestamp,
            "audit_ref": decision.audit_ref,
            "approval_id": decision.approval_id,
            "action_digest": decision.action_digest,
            "action_digest_salt": hex::encode(decision.action_digest_salt.0),
        },
    })
}

/// The result that an answer stands for.
fn result(answer: Result<Answer, FetchError>) -> Report {
    let report = |status, data, error: String| Report { status, data, error, started_at: None, completed_at: None };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error @ FetchError::Connect { .. }) => {
            return report(ResultStatus::Failed, None, format!("the executor cannot be reached: {error}"));
        }
        Err(error) => {
            let why = format!("the executor did not answer, so the action may have run: {error}");
            return report(ResultStatus::Unknown, None, why);
        }
    };
    let text = String::from_utf8_lossy(&answer.body);
    if !answer.status.is_success() {
        let shown: String = text.chars().take(SHOWN).collect();
        let redirect = if answer.status.is_redirection() { ", and redirects are not followed" } else { "" };
        let why = format!("the executor answers {}{redirect}: {}", answer.status, visible(&shown));
        return report(ResultStatus::Failed, None, why);
    }
    if text.trim().is_empty() || answer.status == StatusCode::NO_CONTENT {
        return report(ResultStatus::Success, None, String::new());
    }
    let Ok(data) = parse_strict::<Value>(&text) else {
        let why = "the executor answers with something that is no JSON, so it is unknown what became of the action";
        return report(ResultStatus::Unknown, None, why.to_owned());
    };
    match Told::deserialize(&data) {
        Ok(Told { status, data, error }) => {
            let status = match status {
                ToldStatus::Success => ResultStatus::Success,
                ToldStatus::Failed => ResultStatus::Failed,
            };
            report(status, data, error.unwrap_or_default())
        }
        Err(_) => report(ResultStatus::Success, Some(data), String::new()),
    }
}

/// A result in the words of an executor.
#[derive(Deserialize)]
struct Told {
    status: ToldStatus,
    data: Option<Value>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ToldStatus {
    Success,
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, body: &str) -> Report {
        let status = StatusCode::from_u16(status).expect("a status");
        result(Ok(Answer { status, body: Bytes::copy_from_slice(body.as_bytes()) }))
    }

    #[test]
    fn an_answer_is_a_result_and_a_missing_one_is_unknown() {
        for (status, body, result, data, error) in [
            (200, r#"{"status": "success", "data": [1]}"#, ResultStatus::Success, Some(json!([1])), ""),
            (200, r#"{"status": "failed", "error": "no"}"#, ResultStatus::Failed, None, "no"),
            (201, r#"{"status": "done"}"#, ResultStatus::Success, Some(json!({"status": "done"})), ""),
            (200, "5", ResultStatus::Success, Some(json!(5)), ""),
            (204, "", ResultStatus::Success, None, ""),
            (200, "<html>", ResultStatus::Unknown, None, "no JSON"),
            (302, "", ResultStatus::Failed, None, "302 Found, and redirects are not followed"),
            (500, "a\nb\u{1b}", ResultStatus::Failed, None, "500 Internal Server Error: a\\nb\\u{1b}"),
        ] {
            let report = told(status, body);
            assert_eq!((report.status, &report.data), (result, &data), "{status} {body}");
            assert!(report.error.contains(error), "{status} {body}: {}", report.error);
        }
        let url = Url::parse("http://127.0.0.1:1/run").expect("a URL");
        let lost = FetchError::Timeout { url: url.clone(), timeout: Duration::from_secs(1) };
        assert_eq!(result(Err(lost)).status, ResultStatus::Unknown);
        let away = FetchError::Connect { url, why: "refused".to_owned() };
        assert_eq!(result(Err(away)).status, ResultStatus::Failed);
    }
}
