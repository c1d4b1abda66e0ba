//! Converts protobuf requests to the domain, and reports errors of the conversion.
//! [`domain::check`](crate::domain::check) checks everything else.

use std::fmt::Display;
use std::time::Duration;

use prost_types::value::Kind;
use serde_json::{Map, Number, Value};

use crate::audit::TextFilter;
use crate::domain::check::{MAX_WAIT, NAME_BYTES, TEXT_BYTES, inexact};
use crate::domain::{
    Action, Actor, Approval, CallError, Check, Checked, Checker, Digest, JsonLimits, MAX_WHOLE_NUMBER, Outcome,
    Proposal, QuestionStatus, Report, ResultStatus, RiskLevel, Timestamp,
};
use crate::policy::MAX_LAYERS;
use crate::proto::v1;

/// The default number of entries in a page.
pub(crate) const DEFAULT_PAGE: usize = 100;
/// The most entries in a page.
const LARGEST_PAGE: usize = 1000;
/// The fewest digits that name a revision.
const REVISION_DIGITS: usize = 4;

/// Reads a request, and collects its violations.
///
/// The path of a field is built only if the field is wrong.
#[derive(Debug)]
pub(crate) struct Reader(Checker);

impl Reader {
    /// A reader of one request.
    pub(crate) fn new(limits: JsonLimits) -> Self {
        Self(Checker::new(limits))
    }

    /// The result, if there is no violation.
    pub(crate) fn finish<T>(self, read: T) -> Result<T, CallError> {
        self.0.finish(read)
    }

    /// The result, after the domain has checked it too.
    pub(crate) fn check<T: Check>(self, read: T) -> Result<Checked<T>, CallError> {
        let limits = self.0.limits();
        Checked::new(read, limits, self.0.into_violations())
    }

    /// The result, after the domain has checked it too. The violations that the domain finds are below this field.
    pub(crate) fn check_below<T: Check>(self, field: &str, read: T) -> Result<Checked<T>, CallError> {
        let limits = self.0.limits();
        Checked::below(field, read, limits, self.0.into_violations())
    }

    /// Reports that a field is wrong.
    pub(crate) fn wrong(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.wrong(field, description);
    }

    /// Free text for the record.
    pub(crate) fn free_text(&mut self, field: &str, text: String) -> String {
        self.0.text(field, &text, TEXT_BYTES);
        text
    }

    /// A key, a token or another short text; `None` if it is empty.
    pub(crate) fn optional_name(&mut self, field: &str, text: String) -> Option<String> {
        self.0.text(field, &text, NAME_BYTES);
        Some(text).filter(|text| !text.is_empty())
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

    /// The revision of a policy, or its first digits.
    pub(crate) fn revision_prefix(&mut self, field: &str, text: &str) {
        let is_right = (REVISION_DIGITS..=64).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_hexdigit());
        if !is_right {
            self.wrong(
                field,
                format!("must be the revision of a policy, 64 hex digits, or at least the first {REVISION_DIGITS}"),
            );
        }
    }

    /// The files of a policy: their number.
    pub(crate) fn layers(&mut self, field: &str, layers: &[v1::PolicyLayer]) {
        if layers.is_empty() || layers.len() > MAX_LAYERS {
            self.wrong(field, format!("{} layers; between 1 and {MAX_LAYERS}", layers.len()));
        }
    }

    /// A SHA-256 digest in hex.
    pub(crate) fn digest(&mut self, field: &str, text: &str) -> Option<Digest> {
        let digest = Digest::from_hex(text);
        if digest.is_none() {
            self.wrong(field, "must be the action_digest of the approval that was shown: 64 hex digits");
        }
        digest
    }

    /// The values of a list of an enumeration. `UNSPECIFIED` is none of them.
    pub(crate) fn enumerations<E: TryFrom<i32>, T>(
        &mut self,
        field: &str,
        numbers: &[i32],
        read: impl Fn(E) -> Option<T>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for (i, number) in numbers.iter().enumerate() {
            match E::try_from(*number).ok().and_then(&read) {
                Some(value) => values.push(value),
                None => self.wrong(format!("{field}[{i}]"), format!("{number} is not a value of this enumeration")),
            }
        }
        values
    }

    /// A text of a filter; `None` if it is empty.
    pub(crate) fn text_filter(&mut self, field: &str, text: String) -> Option<TextFilter> {
        self.0.text(field, &text, TextFilter::MAX_BYTES);
        Some(text).filter(|text| !text.is_empty()).map(TextFilter::new)
    }

    /// How many entries a page has at most.
    pub(crate) fn page_size(&mut self, page_size: Option<u32>) -> usize {
        let size = page_size.map_or(DEFAULT_PAGE, |size| usize::try_from(size).unwrap_or(usize::MAX));
        if size == 0 {
            self.wrong("page_size", format!("must be at least 1, or absent: then it is {DEFAULT_PAGE}"));
        }
        size.min(LARGEST_PAGE)
    }

    /// A value of an enumeration.
    pub(crate) fn enumeration<E: TryFrom<i32>>(&mut self, field: &str, number: i32) -> Option<E> {
        let value = E::try_from(number).ok();
        if value.is_none() {
            self.wrong(field, format!("{number} is not a value of this enumeration"));
        }
        value
    }

    /// An action.
    pub(crate) fn action(&mut self, field: impl Display, action: Option<v1::Action>) -> Action {
        let v1::Action { r#type, target, params, description } = action.unwrap_or_default();
        Action { r#type, target, params: self.object(format_args!("{field}.params"), params), description }
    }

    /// A proposal.
    pub(crate) fn proposal(
        &mut self,
        actor: Option<v1::Actor>,
        action: Option<v1::Action>,
        context: Option<v1::ProposalContext>,
        trace_id: String,
    ) -> Proposal {
        let v1::ProposalContext { session_id, metadata } = context.unwrap_or_default();
        Proposal {
            actor: read_actor(actor),
            action: self.action("action", action),
            session_id,
            metadata: self.object("context.metadata", metadata),
            trace_id,
        }
    }

    /// A report of a result.
    ///
    /// What the daemon sets in a result is ignored, so that a caller can send back what it read.
    pub(crate) fn report(&mut self, result: Option<v1::ActionResult>) -> Report {
        let result = result.unwrap_or_default();
        let status = result_status(result.status()).unwrap_or_else(|| {
            self.wrong("result.status", "must be success, failed, skipped or rolled_back");
            ResultStatus::Failed
        });
        Report {
            status,
            data: result.data.and_then(|data| self.value("result.data", data)),
            error: result.error,
            started_at: result.started_at.and_then(|at| self.timestamp("result.started_at", at)),
            completed_at: result.completed_at.and_then(|at| self.timestamp("result.completed_at", at)),
        }
    }

    /// A point in time.
    pub(crate) fn timestamp(&mut self, field: &str, at: prost_types::Timestamp) -> Option<Timestamp> {
        let moment = Timestamp::new(at.seconds, at.nanos).ok();
        if moment.is_none() {
            self.wrong(field, "must be a time between the years -9999 and 9999");
        }
        moment
    }

    /// A duration to wait.
    pub(crate) fn wait(&mut self, field: &str, wait: Option<prost_types::Duration>) -> Duration {
        let Some(prost_types::Duration { seconds, nanos }) = wait else { return Duration::ZERO };
        // prost's own conversion negates negative numbers, which panics for the smallest ones.
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

    /// A value without NaN and infinities, up to the allowed depth, so that reading it is bounded.
    fn value(&mut self, field: impl Display, value: prost_types::Value) -> Option<Value> {
        let mut path = field.to_string();
        match to_json(value, self.0.limits().depth, &mut path) {
            Ok(value) => Some(value),
            Err(why) => {
                self.wrong(path, why);
                None
            }
        }
    }
}

/// The declared actor.
pub(crate) fn read_actor(actor: Option<v1::Actor>) -> Actor {
    let v1::Actor { id, r#type } = actor.unwrap_or_default();
    Actor { id, r#type }
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

/// The state that a filter names.
pub(crate) fn question_status(state: v1::ApprovalState) -> Option<QuestionStatus> {
    match state {
        v1::ApprovalState::Unspecified => None,
        v1::ApprovalState::Pending => Some(QuestionStatus::Pending),
        v1::ApprovalState::Approved => Some(QuestionStatus::Approved),
        v1::ApprovalState::Denied => Some(QuestionStatus::Denied),
        v1::ApprovalState::Expired => Some(QuestionStatus::Expired),
        v1::ApprovalState::Cancelled => Some(QuestionStatus::Cancelled),
    }
}

/// `path` is the current position. After a failure it names the place of the failure.
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

/// Converts whole numbers to integers, so that the record has `150` and not `150.0`. Refuses numbers that a double may
/// have rounded.
fn number_to_json(number: f64) -> Result<Number, String> {
    if number.fract() == 0.0 {
        #[expect(clippy::cast_precision_loss, reason = "2^53 - 1 is exact in a double")]
        if number.abs() > MAX_WHOLE_NUMBER as f64 {
            return Err(inexact(number));
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole and within +-2^53, so it is exact")]
        return Ok(Number::from(number as i64));
    }
    Number::from_f64(number).ok_or_else(|| format!("{number} is not a JSON number: send it as text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        Reader::new(JsonLimits { bytes: 1000, depth: 4 })
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

    fn wrong(reader: Reader) -> Vec<String> {
        let error = reader.finish(()).unwrap_err();
        error.violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn whole_numbers_are_integers() {
        let mut reader = reader();
        let read = reader.action("action", Some(action(params("count", value(Kind::NumberValue(150.0))))));
        assert_eq!(read.params["count"].to_string(), "150");
        assert!(reader.finish(()).is_ok());
    }

    #[test]
    fn numbers_that_json_does_not_have_or_that_were_rounded_are_named_with_their_path() {
        for number in [f64::NAN, f64::INFINITY, 9_007_199_254_740_992.0, -1e300] {
            let mut reader = reader();
            let list = prost_types::ListValue { values: vec![value(Kind::NumberValue(number))] };
            reader.action("action", Some(action(params("scores", value(Kind::ListValue(list))))));
            assert_eq!(wrong(reader), ["action.params.scores[0]"], "{number}");
        }
    }

    #[test]
    fn reading_ends_where_parameters_are_nested_too_deep() {
        let mut nested = value(Kind::BoolValue(true));
        for _ in 0..5 {
            nested = value(Kind::StructValue(params("a", nested)));
        }
        let mut deep = reader();
        deep.action("action", Some(action(params("a", nested))));
        assert_eq!(wrong(deep), ["action.params.a.a.a.a"]);
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
}
