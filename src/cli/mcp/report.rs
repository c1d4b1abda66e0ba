//! What a tool answered, for the client and for the record.

use serde_json::{Value, json};

use super::message::Outcome;
use super::tell;
use crate::cli::wire;
use crate::domain::Timestamp;
use crate::proto::v1::{ActionResult, ResultStatus};

/// How much of a tool's error goes on the record.
const MAX_ERROR: usize = 2_000;

/// A result that is larger is not passed on.
pub(super) fn bounded(outcome: Outcome, limit: usize) -> Outcome {
    let (Outcome::Result(text) | Outcome::Error(text)) = &outcome;
    let bytes = text.get().len();
    if bytes <= limit {
        return outcome;
    }
    tell::failed(&format!(
        "The tool ran, and its answer of {bytes} bytes is larger than the {limit} bytes that Aegis passes on. Ask for \
         less at once."
    ))
}

/// What goes on the record: whether it failed, and the size and kinds of its content. The content itself stays out.
pub(super) fn of(outcome: &Outcome, started_at: Timestamp) -> ActionResult {
    let (Outcome::Result(text) | Outcome::Error(text)) = outcome;
    let answer: Value = serde_json::from_str(text.get()).unwrap_or_default();
    let content = answer.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let kinds: Vec<_> = content.iter().filter_map(|part| part.get("type")?.as_str()).take(16).collect();
    let is_failed = matches!(outcome, Outcome::Error(_)) || answer["isError"] == true;
    let error = match outcome {
        Outcome::Error(_) => answer["message"].as_str().unwrap_or_default(),
        Outcome::Result(_) => content.iter().find_map(|part| part.get("text")?.as_str()).unwrap_or_default(),
    };
    let data = json!({"bytes": text.get().len(), "content": kinds});
    ActionResult {
        status: if is_failed { ResultStatus::Failed } else { ResultStatus::Success } as i32,
        data: wire::to_value(data, "data").ok(),
        error: if is_failed { error.chars().take(MAX_ERROR).collect() } else { String::new() },
        started_at: Some(wire::to_moment(started_at)),
        completed_at: Some(wire::to_moment(Timestamp::now())),
        ..ActionResult::default()
    }
}

/// Of a call that was allowed and did not run.
pub(super) fn skipped(why: &str) -> ActionResult {
    ActionResult { status: ResultStatus::Skipped as i32, error: why.to_owned(), ..ActionResult::default() }
}

#[cfg(test)]
mod tests {
    use super::super::message::Fault;
    use super::*;

    #[test]
    fn a_tool_that_says_of_itself_that_it_failed_has_failed() {
        let now = Timestamp::now();
        let failed = Outcome::result(&json!({"isError": true, "content": [{"type": "text", "text": "no such file"}]}));
        let result = of(&failed, now);
        assert_eq!((result.status, result.error.as_str()), (ResultStatus::Failed as i32, "no such file"));
        let error = of(&Outcome::fault(&Fault::new(-1, "broken")), now);
        assert_eq!((error.status, error.error.as_str()), (ResultStatus::Failed as i32, "broken"));
        let fine = of(&Outcome::result(&json!({"content": [{"type": "text", "text": "secret"}]})), now);
        assert_eq!((fine.status, fine.error.as_str()), (ResultStatus::Success as i32, ""));
        assert!(!format!("{fine:?}").contains("secret"));
    }

    #[test]
    fn a_result_past_the_limit_is_replaced_and_says_so() {
        let large = Outcome::result(&json!({"content": [{"type": "text", "text": "x".repeat(100)}]}));
        let Outcome::Result(told) = bounded(large.clone(), 50) else { unreachable!("a result") };
        assert!(told.get().contains("\"isError\":true") && told.get().contains("50 bytes"), "{told}");
        let Outcome::Result(same) = bounded(large, 1_000) else { unreachable!("a result") };
        assert!(same.get().contains("xxx"));
    }
}
