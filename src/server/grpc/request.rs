//! From requests to the domain: every field is looked at, every fault is named with its path, nothing is rounded.

use std::fmt::Display;
use std::time::Duration;

use prost_types::value::Kind;
use serde_json::{Map, Number, Value};
use tonic::Status;
use tonic_types::FieldViolation;

use super::status::bad_request;
use crate::domain::{Action, Actor, Approval, Outcome, Proposal, Report, ResultStatus, RiskLevel, Timestamp};
use crate::proto::v1;

/// How long the texts of a request may be, in bytes.
const NAME_BYTES: usize = 256;
const TYPE_BYTES: usize = 1024;
const TARGET_BYTES: usize = 8192;
const TEXT_BYTES: usize = 16 * 1024;
/// The longest that one call may wait for a reviewer.
pub(crate) const MAX_WAIT: Duration = Duration::from_hours(1);
/// The largest integer that a double holds exactly along with all smaller ones.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// How large an action may be.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// The canonical JSON of parameters, metadata or result data, in bytes.
    pub params_bytes: usize,
    /// How deep they may be nested.
    pub params_depth: usize,
}

/// Reads requests, and gathers everything that is wrong with one.
///
/// A field's path is put together only where something is wrong with it.
#[derive(Debug)]
pub(crate) struct Reader {
    limits: RequestLimits,
    violations: Vec<FieldViolation>,
}

impl Reader {
    /// A reader of one request.
    pub(crate) fn new(limits: RequestLimits) -> Self {
        Self { limits, violations: Vec::new() }
    }

    /// What was read, if nothing was wrong with it.
    pub(crate) fn finish<T>(self, read: T) -> Result<T, Status> {
        if self.violations.is_empty() { Ok(read) } else { Err(bad_request(self.violations)) }
    }

    /// Says that a field is wrong.
    pub(crate) fn wrong(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.violations.push(FieldViolation::new(field, description));
    }

    /// A text of at most so many bytes.
    fn text(&mut self, field: impl Display, text: String, bytes: usize) -> String {
        if text.len() > bytes {
            self.wrong(field.to_string(), format!("{} bytes long; at most {bytes}", text.len()));
            return String::new();
        }
        text
    }

    /// Free text for the record.
    pub(crate) fn free_text(&mut self, field: &str, text: String) -> String {
        self.text(field, text, TEXT_BYTES)
    }

    /// A key, a token or another short text; `None` where it is empty.
    pub(crate) fn optional_name(&mut self, field: &str, text: String) -> Option<String> {
        Some(self.text(field, text, NAME_BYTES)).filter(|text| !text.is_empty())
    }

    /// An id or a digest.
    pub(crate) fn parsed<T: std::str::FromStr>(&mut self, field: &str, text: &str) -> Option<T>
    where
        T::Err: Display,
    {
        if text.is_empty() {
            self.wrong(field, "must not be empty");
            return None;
        }
        text.parse().map_err(|error: T::Err| self.wrong(field, error.to_string())).ok()
    }

    /// The revision of a policy.
    pub(crate) fn revision(&mut self, field: &str, text: &str) -> Option<crate::domain::Digest> {
        let digest = crate::domain::Digest::from_hex(text);
        if digest.is_none() {
            self.wrong(field, "must be the revision of a policy: 64 hex digits");
        }
        digest
    }

    /// A SHA-256 digest in hex.
    pub(crate) fn digest(&mut self, field: &str, text: &str) -> Option<crate::domain::Digest> {
        let digest = crate::domain::Digest::from_hex(text);
        if digest.is_none() {
            self.wrong(field, "must be the action_digest of the approval as it was shown: 64 hex digits");
        }
        digest
    }

    /// A value of an enumeration.
    pub(crate) fn enumeration<E: TryFrom<i32>>(&mut self, field: &str, number: i32) -> Option<E> {
        let value = E::try_from(number).ok();
        if value.is_none() {
            self.wrong(field, format!("{number} is not a value of this enumeration"));
        }
        value
    }

    /// What is proposed.
    pub(crate) fn action(&mut self, field: impl Display, action: Option<v1::Action>) -> Action {
        let Some(action) = action else {
            self.wrong(field.to_string(), "must be given");
            return Action::default();
        };
        let v1::Action { r#type, target, params, description } = action;
        if r#type.is_empty() {
            self.wrong(format!("{field}.type"), "must not be empty");
        }
        Action {
            r#type: self.text(format_args!("{field}.type"), r#type, TYPE_BYTES),
            target: self.text(format_args!("{field}.target"), target, TARGET_BYTES),
            params: self.object(format_args!("{field}.params"), params),
            description: self.text(format_args!("{field}.description"), description, TEXT_BYTES),
        }
    }

    /// Who proposes, as declared.
    pub(crate) fn actor(&mut self, field: impl Display, actor: Option<v1::Actor>) -> Actor {
        let v1::Actor { id, r#type } = actor.unwrap_or_default();
        Actor {
            id: self.text(format_args!("{field}.id"), id, NAME_BYTES),
            r#type: self.text(format_args!("{field}.type"), r#type, NAME_BYTES),
        }
    }

    /// A proposal.
    pub(crate) fn proposal(
        &mut self,
        actor: Option<v1::Actor>,
        action: Option<v1::Action>,
        context: Option<v1::Context>,
        trace_id: String,
    ) -> Proposal {
        let v1::Context { session_id, metadata } = context.unwrap_or_default();
        Proposal {
            actor: self.actor("actor", actor),
            action: self.action("action", action),
            session_id: self.text("context.session_id", session_id, NAME_BYTES),
            metadata: self.object("context.metadata", metadata),
            trace_id,
        }
    }

    /// What an agent says came of an action.
    pub(crate) fn report(&mut self, request: v1::ReportResultRequest) -> Report {
        let status = match request.status() {
            v1::ResultStatus::Success => ResultStatus::Success,
            v1::ResultStatus::Failed => ResultStatus::Failed,
            v1::ResultStatus::Skipped => ResultStatus::Skipped,
            v1::ResultStatus::RolledBack => ResultStatus::RolledBack,
            other => {
                let sent = other.as_str_name();
                self.wrong("status", format!("an agent reports success, failed, skipped or rolled_back, not {sent}"));
                ResultStatus::Failed
            }
        };
        Report {
            status,
            data: request.data.and_then(|data| self.value("data", data)),
            error: self.text("error", request.error, TEXT_BYTES),
            started_at: request.started_at.and_then(|at| self.timestamp("started_at", at)),
            completed_at: request.completed_at.and_then(|at| self.timestamp("completed_at", at)),
        }
    }

    /// A moment.
    pub(crate) fn timestamp(&mut self, field: &str, at: prost_types::Timestamp) -> Option<Timestamp> {
        let moment = Timestamp::new(at.seconds, at.nanos).ok();
        if moment.is_none() {
            self.wrong(field, "is not a moment between the years -9999 and 9999");
        }
        moment
    }

    /// How long to wait.
    pub(crate) fn wait(&mut self, field: &str, wait: Option<prost_types::Duration>) -> Duration {
        let Some(prost_types::Duration { seconds, nanos }) = wait else { return Duration::ZERO };
        // Not by prost's own conversion, which negates what is negative and so panics on the smallest numbers.
        let wrong = match (u64::try_from(seconds), u32::try_from(nanos)) {
            (Ok(_), Ok(1_000_000_000..)) => "nanos must be below a second",
            (Ok(seconds), Ok(nanos)) if Duration::new(seconds, nanos) <= MAX_WAIT => {
                return Duration::new(seconds, nanos);
            }
            (Ok(_), Ok(_)) => "at most one hour: wait again with AwaitDecision",
            _ => "must not be negative",
        };
        self.wrong(field, wrong);
        Duration::ZERO
    }

    fn object(&mut self, field: impl Display, object: Option<prost_types::Struct>) -> Map<String, Value> {
        let Some(object) = object else { return Map::new() };
        match self.value(field, prost_types::Value { kind: Some(Kind::StructValue(object)) }) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }

    /// A value of bounded size and depth without NaN, infinities or rounded integers.
    fn value(&mut self, field: impl Display, value: prost_types::Value) -> Option<Value> {
        let mut path = field.to_string();
        let value = match to_json(value, self.limits.params_depth, &mut path) {
            Ok(value) => value,
            Err(why) => {
                self.wrong(path, why);
                return None;
            }
        };
        let bytes = json_bytes(&value);
        if bytes > self.limits.params_bytes {
            let limit = self.limits.params_bytes;
            self.wrong(field.to_string(), format!("{bytes} bytes of JSON; at most {limit} (--max-params-bytes)"));
            return None;
        }
        Some(value)
    }
}

/// The risk level that a filter names, if it names one.
pub(crate) fn risk_level(level: v1::RiskLevel) -> Option<RiskLevel> {
    match level {
        v1::RiskLevel::Unspecified => None,
        v1::RiskLevel::Low => Some(RiskLevel::Low),
        v1::RiskLevel::Medium => Some(RiskLevel::Medium),
        v1::RiskLevel::High => Some(RiskLevel::High),
        v1::RiskLevel::Critical => Some(RiskLevel::Critical),
    }
}

/// The approval mode that a filter names, if it names one.
pub(crate) fn approval_mode(mode: v1::ApprovalMode) -> Option<Approval> {
    match mode {
        v1::ApprovalMode::Unspecified => None,
        v1::ApprovalMode::Auto => Some(Approval::Auto),
        v1::ApprovalMode::Confirm => Some(Approval::Confirm),
        v1::ApprovalMode::Approve => Some(Approval::Approve),
        v1::ApprovalMode::Block => Some(Approval::Block),
    }
}

/// The outcome that a filter names, if it names one.
pub(crate) fn outcome(outcome: v1::Outcome) -> Option<Outcome> {
    match outcome {
        v1::Outcome::Unspecified => None,
        v1::Outcome::Allow => Some(Outcome::Allow),
        v1::Outcome::Deny => Some(Outcome::Deny),
        v1::Outcome::Escalate => Some(Outcome::Escalate),
        v1::Outcome::RequireConfirmation => Some(Outcome::RequireConfirmation),
    }
}

/// The result status that a filter names, if it names one.
pub(crate) fn result_status(status: v1::ResultStatus) -> Option<ResultStatus> {
    match status {
        v1::ResultStatus::Unspecified => None,
        v1::ResultStatus::Success => Some(ResultStatus::Success),
        v1::ResultStatus::Failed => Some(ResultStatus::Failed),
        v1::ResultStatus::Blocked => Some(ResultStatus::Blocked),
        v1::ResultStatus::Denied => Some(ResultStatus::Denied),
        v1::ResultStatus::Skipped => Some(ResultStatus::Skipped),
        v1::ResultStatus::RolledBack => Some(ResultStatus::RolledBack),
        v1::ResultStatus::Unknown => Some(ResultStatus::Unknown),
    }
}

/// `path` is where the conversion stands; where it fails, it names the place.
fn to_json(value: prost_types::Value, depth: usize, path: &mut String) -> Result<Value, String> {
    if depth == 0 {
        return Err("nested deeper than allowed (--max-params-depth)".to_owned());
    }
    let length = path.len();
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(bool)) => Value::Bool(bool),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::NumberValue(number)) => Value::Number(number_to_json(number)?),
        Some(Kind::ListValue(list)) => {
            let mut items = Vec::with_capacity(list.values.len());
            for (i, item) in list.values.into_iter().enumerate() {
                path.extend(["[", &i.to_string(), "]"]);
                items.push(to_json(item, depth - 1, path)?);
                path.truncate(length);
            }
            Value::Array(items)
        }
        Some(Kind::StructValue(object)) => {
            let mut map = Map::new();
            for (key, item) in object.fields {
                path.push('.');
                path.extend(key.chars().take(64));
                let item = to_json(item, depth - 1, path)?;
                path.truncate(length);
                map.insert(key, item);
            }
            Value::Object(map)
        }
    })
}

/// Whole numbers become integers, so that the record reads `150` and not `150.0`.
fn number_to_json(number: f64) -> Result<Number, String> {
    #[expect(clippy::cast_possible_truncation, reason = "whole and within +-2^53, so it is exact")]
    if number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER {
        return Ok(Number::from(number as i64));
    }
    Number::from_f64(number).ok_or_else(|| format!("{number} is not a number that JSON has; send it as a string"))
}

/// How long the value's JSON is.
fn json_bytes(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Neither the value nor the counter can fail.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::StatusExt as _;

    fn reader() -> Reader {
        Reader::new(RequestLimits { params_bytes: 1000, params_depth: 4 })
    }

    fn value(kind: Kind) -> prost_types::Value {
        prost_types::Value { kind: Some(kind) }
    }

    fn params(key: &str, item: prost_types::Value) -> prost_types::Struct {
        prost_types::Struct { fields: [(key.to_owned(), item)].into() }
    }

    fn action(params: prost_types::Struct) -> v1::Action {
        v1::Action { r#type: "read".into(), params: Some(params), ..v1::Action::default() }
    }

    fn violations(reader: Reader) -> Vec<(String, String)> {
        let status = reader.finish(()).unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        let details = status.get_details_bad_request().unwrap();
        details.field_violations.into_iter().map(|violation| (violation.field, violation.description)).collect()
    }

    #[test]
    fn whole_numbers_are_integers() {
        let mut reader = reader();
        let read = reader.action("action", Some(action(params("count", value(Kind::NumberValue(150.0))))));
        assert_eq!(read.params["count"].to_string(), "150");
        assert!(reader.finish(()).is_ok());
    }

    #[test]
    fn nan_is_named_with_its_path() {
        let mut reader = reader();
        let list = prost_types::ListValue { values: vec![value(Kind::NumberValue(f64::NAN))] };
        reader.action("action", Some(action(params("scores", value(Kind::ListValue(list))))));
        assert_eq!(violations(reader)[0].0, "action.params.scores[0]");
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let mut reader = reader();
        reader.action("action", Some(v1::Action { target: "x".repeat(10_000), ..v1::Action::default() }));
        reader.actor("actor", Some(v1::Actor { id: "x".repeat(300), ..v1::Actor::default() }));
        let fields: Vec<_> = violations(reader).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["action.type", "action.target", "actor.id"]);
    }

    #[test]
    fn deep_and_large_parameters_are_refused() {
        let mut nested = value(Kind::BoolValue(true));
        for _ in 0..5 {
            nested = value(Kind::StructValue(params("a", nested)));
        }
        let mut deep = reader();
        deep.action("action", Some(action(params("a", nested))));
        assert_eq!(violations(deep)[0].0, "action.params.a.a.a.a");

        let mut large = reader();
        large.action("action", Some(action(params("a", value(Kind::StringValue("x".repeat(2000)))))));
        assert_eq!(violations(large)[0].0, "action.params");
    }

    #[test]
    fn a_wait_is_no_longer_than_an_hour_and_no_number_panics() {
        let hour = MAX_WAIT.as_secs().cast_signed();
        let wait = |seconds, nanos| {
            let mut reader = reader();
            let wait = reader.wait("wait", Some(prost_types::Duration { seconds, nanos }));
            reader.finish(wait).ok()
        };
        assert_eq!(wait(hour, 0), Some(MAX_WAIT));
        assert_eq!(wait(1, 500_000_000), Some(Duration::from_millis(1500)));
        for (seconds, nanos) in [(hour, 1), (-1, 0), (0, -1), (0, i32::MAX), (1, 1_000_000_000)] {
            assert_eq!(wait(seconds, nanos), None, "{seconds}, {nanos}");
        }
        for extreme in [i64::MIN, i64::MAX] {
            for nanos in [i32::MIN, 0, i32::MAX] {
                assert_eq!(wait(extreme, nanos), None, "{extreme}, {nanos}");
            }
        }
    }

    #[test]
    fn an_agent_cannot_report_what_only_the_daemon_settles() {
        for status in [v1::ResultStatus::Unspecified, v1::ResultStatus::Blocked, v1::ResultStatus::Unknown] {
            let mut reader = reader();
            reader.report(v1::ReportResultRequest { status: status.into(), ..v1::ReportResultRequest::default() });
            assert_eq!(violations(reader)[0].0, "status");
        }
    }
}
