//! Checks of a request. An interface (gRPC, HTTP) parses a request; this module checks the result before anything uses
//! it.
//!
//! Only [`Checked::new`] can create a [`Checked`] value, and governance accepts nothing else. So no interface can
//! forget a check, and a new interface gets all of them.

use std::fmt::Display;
use std::ops::Deref;
use std::time::Duration;

use serde_json::{Map, Value};

use super::defence::Defence;
use super::error::{CallError, Violation};
use super::{Action, Actor, MAX_WHOLE_NUMBER, Proposal, Report, ResultStatus};

/// The longest id, name or key, in bytes.
pub const NAME_BYTES: usize = 256;
/// The longest action type, in bytes.
const TYPE_BYTES: usize = 1024;
/// The longest target, in bytes.
const TARGET_BYTES: usize = 8192;
/// The longest free text (a description, a reason, an error), in bytes.
pub const TEXT_BYTES: usize = 16 * 1024;
/// The longest time that one call may wait for a reviewer.
pub const MAX_WAIT: Duration = Duration::from_hours(1);

/// The limits for the JSON of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonLimits {
    /// The JSON of parameters, metadata or result data, in bytes.
    pub bytes: usize,
    /// The largest nesting depth.
    pub depth: usize,
}

impl Default for JsonLimits {
    fn default() -> Self {
        Self { bytes: 1 << 20, depth: 32 }
    }
}

/// A checked value. Only [`Checked::new`] creates one.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked<T>(T);

impl<T: Check> Checked<T> {
    /// Checks the value. Returns all violations at once, with those that the interface found while parsing.
    pub fn new(value: T, limits: JsonLimits, found: Vec<Violation>) -> Result<Self, CallError> {
        Self::check_at("", value, limits, found)
    }

    /// The same for a value that is the field `field` of the request: the paths of its violations begin there.
    pub fn below(field: &str, value: T, limits: JsonLimits, found: Vec<Violation>) -> Result<Self, CallError> {
        Self::check_at(&format!("{field}."), value, limits, found)
    }

    fn check_at(at: &str, value: T, limits: JsonLimits, found: Vec<Violation>) -> Result<Self, CallError> {
        let mut checker = Checker { limits, violations: found };
        value.check(at, &mut checker);
        checker.finish(Self(value))
    }
}

impl<T> Checked<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Checked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A type that can check its own values.
pub trait Check {
    /// Reports all violations. `at` is the path before its own fields: empty, or `items[3].`.
    fn check(&self, at: &str, checker: &mut Checker);
}

impl<T: Check> Check for Vec<T> {
    fn check(&self, at: &str, checker: &mut Checker) {
        for (i, item) in self.iter().enumerate() {
            item.check(&format!("{at}items[{i}]."), checker);
        }
    }
}

/// Collects violations. Builds the path of a field only if the field is wrong.
#[derive(Debug)]
pub struct Checker {
    limits: JsonLimits,
    violations: Vec<Violation>,
}

impl Checker {
    /// A checker without violations.
    pub fn new(limits: JsonLimits) -> Self {
        Self { limits, violations: Vec::new() }
    }

    /// The limits for JSON.
    pub fn limits(&self) -> JsonLimits {
        self.limits
    }

    /// Reports that a field is wrong.
    pub fn wrong(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.violations.push(Violation::new(field, description));
    }

    /// Returns the value if there is no violation.
    pub fn finish<T>(self, value: T) -> Result<T, CallError> {
        if self.violations.is_empty() { Ok(value) } else { Err(CallError::invalid(self.violations)) }
    }

    /// The violations.
    pub fn into_violations(self) -> Vec<Violation> {
        self.violations
    }

    /// Checks a text of at most this many bytes.
    pub fn text(&mut self, field: impl Display, text: &str, bytes: usize) {
        if text.len() > bytes {
            self.wrong(field.to_string(), format!("{} bytes long; at most {bytes}", text.len()));
        }
    }

    /// Checks a name: bounded, and without characters that hide or reorder text for a reviewer.
    pub fn name(&mut self, field: impl Display, name: &str, bytes: usize) {
        if name.len() > bytes {
            self.text(field, name, bytes);
        } else if let Some((at, character)) = name.char_indices().find(|(_, character)| is_refused(*character))
            && Defence::HiddenCharacters.on()
        {
            let code = u32::from(character);
            let why =
                format!("has U+{code:04X} at byte {at}: control, line-breaking and invisible characters are refused");
            self.wrong(field.to_string(), why);
        }
    }

    /// Checks an object: its size, its depth, and that every reader represents its whole numbers exactly.
    pub fn object(&mut self, field: impl Display, object: &Map<String, Value>) {
        let mut path = field.to_string();
        if let Err(why) = exact_object(object, self.limits.depth, &mut path) {
            self.wrong(path, why);
        }
        self.size(field, object);
    }

    /// Checks a value: its size, its depth, and that every reader represents its whole numbers exactly.
    pub fn value(&mut self, field: impl Display, value: &Value) {
        let mut path = field.to_string();
        if let Err(why) = exact(value, self.limits.depth, &mut path) {
            self.wrong(path, why);
        }
        self.size(field, value);
    }

    fn size(&mut self, field: impl Display, json: &impl serde::Serialize) {
        let (bytes, limit) = (json_bytes(json), self.limits.bytes);
        if bytes > limit && Defence::ParamsSize.on() {
            self.wrong(field.to_string(), format!("{bytes} bytes of JSON; at most {limit} (--max-params-bytes)"));
        }
    }
}

impl Check for Action {
    fn check(&self, at: &str, checker: &mut Checker) {
        let kind = format_args!("{at}type");
        if self.r#type.is_empty() {
            checker.wrong(kind.to_string(), "must not be empty");
        }
        if self.r#type == self.r#type.trim() {
            checker.name(kind, &self.r#type, TYPE_BYTES);
        } else {
            checker.wrong(kind.to_string(), "begins or ends with white space");
        }
        checker.name(format_args!("{at}target"), &self.target, TARGET_BYTES);
        checker.object(format_args!("{at}params"), &self.params);
        checker.text(format_args!("{at}description"), &self.description, TEXT_BYTES);
    }
}

impl Check for Actor {
    fn check(&self, at: &str, checker: &mut Checker) {
        checker.name(format_args!("{at}id"), &self.id, NAME_BYTES);
        checker.name(format_args!("{at}type"), &self.r#type, NAME_BYTES);
    }
}

impl Check for Proposal {
    fn check(&self, at: &str, checker: &mut Checker) {
        self.actor.check(&format!("{at}actor."), checker);
        self.action.check(&format!("{at}action."), checker);
        checker.name(format_args!("{at}context.session_id"), &self.session_id, NAME_BYTES);
        checker.object(format_args!("{at}context.metadata"), &self.metadata);
    }
}

impl Check for Report {
    fn check(&self, at: &str, checker: &mut Checker) {
        match self.status {
            ResultStatus::Success | ResultStatus::Failed | ResultStatus::Skipped | ResultStatus::RolledBack => {}
            ResultStatus::Blocked | ResultStatus::Denied | ResultStatus::Unknown => checker.wrong(
                format!("{at}status"),
                format!("an agent reports success, failed, skipped or rolled_back, not {}", self.status.as_str()),
            ),
        }
        if let Some(data) = &self.data {
            checker.value(format_args!("{at}data"), data);
        }
        checker.text(format_args!("{at}error"), &self.error, TEXT_BYTES);
    }
}

/// Whether the character hides or reorders text: control characters (Cc), line and paragraph separators, bidirectional
/// controls, zero-width space, word joiner, byte order mark, tag characters. Joiners, variation selectors and soft
/// hyphens occur in file names, so they are allowed and shown.
pub fn is_refused(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}' | '\u{2029}' // line and paragraph separator
                | '\u{61c}' | '\u{200e}' | '\u{200f}' // bidirectional marks
                | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // bidirectional controls
                | '\u{200b}' | '\u{2060}' | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}' // tags
        )
}

/// `path` is the current position. After a failure it names the place of the failure.
fn exact(value: &Value, depth: usize, path: &mut String) -> Result<(), String> {
    if depth == 0 {
        return Err("nested deeper than allowed (--max-params-depth)".to_owned());
    }
    match value {
        Value::Number(number) => exact_number(number),
        Value::Array(items) => {
            let length = path.len();
            for (i, item) in items.iter().enumerate() {
                if !matches!(item, Value::Null | Value::Bool(_) | Value::String(_)) {
                    path.extend(["[", &i.to_string(), "]"]);
                    exact(item, depth - 1, path)?;
                    path.truncate(length);
                }
            }
            Ok(())
        }
        Value::Object(object) => exact_object(object, depth, path),
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

fn exact_object(object: &Map<String, Value>, depth: usize, path: &mut String) -> Result<(), String> {
    if depth == 0 {
        return Err("nested deeper than allowed (--max-params-depth)".to_owned());
    }
    let length = path.len();
    for (key, item) in object {
        if !matches!(item, Value::Null | Value::Bool(_) | Value::String(_)) {
            path.push('.');
            path.extend(key.chars().take(64));
            exact(item, depth - 1, path)?;
            path.truncate(length);
        }
    }
    Ok(())
}

/// Refuses whole numbers that a reader with doubles would round.
#[expect(clippy::cast_precision_loss, reason = "2^53 - 1 is exact in a double")]
fn exact_number(number: &serde_json::Number) -> Result<(), String> {
    let exact = match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(number), _, _) => number.unsigned_abs() <= MAX_WHOLE_NUMBER,
        (None, None, Some(number)) => number.fract() != 0.0 || number.abs() <= MAX_WHOLE_NUMBER as f64,
        (None, _, _) => false,
    };
    if exact { Ok(()) } else { Err(inexact(number)) }
}

/// The violation for a whole number that is too large.
pub fn inexact(number: impl Display) -> String {
    format!("{number} is beyond +-{MAX_WHOLE_NUMBER} (2^53 - 1), where JSON readers round: send it as text")
}

/// The length of the value's JSON in bytes.
fn json_bytes(value: &impl serde::Serialize) -> usize {
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
    use serde_json::json;

    use super::*;

    const LIMITS: JsonLimits = JsonLimits { bytes: 1000, depth: 4 };

    fn proposal(params: Value) -> Proposal {
        let Value::Object(params) = params else { unreachable!("tests pass objects") };
        Proposal { action: Action { r#type: "read".into(), params, ..Action::default() }, ..Proposal::default() }
    }

    fn wrong(proposal: Proposal) -> Vec<String> {
        match Checked::new(proposal, LIMITS, Vec::new()) {
            Ok(_) => Vec::new(),
            Err(error) => error.violations.into_iter().map(|violation| violation.field).collect(),
        }
    }

    #[test]
    fn a_proposal_needs_a_type_and_nothing_else() {
        assert_eq!(wrong(proposal(json!({}))), Vec::<String>::new());
        assert_eq!(wrong(Proposal::default()), ["action.type"]);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let long = Proposal {
            actor: Actor { id: "x".repeat(300), r#type: String::new() },
            action: Action { target: "x".repeat(10_000), ..Action::default() },
            ..Proposal::default()
        };
        assert_eq!(wrong(long), ["actor.id", "action.type", "action.target"]);
    }

    #[test]
    fn whole_numbers_that_a_reader_would_round_are_refused_with_their_path() {
        let largest = json!({"a": [MAX_WHOLE_NUMBER, -9_007_199_254_740_991_i64, 1.5, 1e-3]});
        assert_eq!(wrong(proposal(largest)), Vec::<String>::new());
        for number in [json!(MAX_WHOLE_NUMBER + 1), json!(i64::MIN), json!(u64::MAX), json!(1e300), json!(-9.1e15)] {
            assert_eq!(wrong(proposal(json!({"a": {"b": [0, number]}}))), ["action.params.a.b[1]"], "{number}");
        }
    }

    #[test]
    fn deep_and_large_parameters_are_refused() {
        assert_eq!(wrong(proposal(json!({"a": {"a": {"a": {}}}}))), Vec::<String>::new());
        assert_eq!(wrong(proposal(json!({"a": {"a": {"a": {"a": {}}}}}))), ["action.params.a.a.a.a"]);
        assert_eq!(wrong(proposal(json!({"a": "x".repeat(2000)}))), ["action.params"]);
    }

    #[test]
    fn characters_that_hide_or_reorder_are_refused_in_names_and_shown_elsewhere() {
        let typed = |text: &str| Proposal {
            action: Action { r#type: text.to_owned(), ..Action::default() },
            ..Proposal::default()
        };
        for text in ["a\0", "a\nb", "a\u{202e}b", "\u{feff}a", "a\u{200b}", "a\u{2060}b", "a\u{e0041}", "a\u{2028}b"] {
            assert_eq!(wrong(typed(text)), ["action.type"], "{text:?}");
        }
        for text in [" a", "a ", "a\u{3000}"] {
            assert_eq!(wrong(typed(text)), ["action.type"], "{text:?}");
        }
        for text in ["a b", "caf\u{e9}", "a\u{200d}b", "a\u{ad}b", "\u{2764}\u{fe0f}"] {
            assert_eq!(wrong(typed(text)), Vec::<String>::new(), "{text:?}");
        }
        let described = Proposal {
            action: Action { description: "a\n\u{202e}b".into(), r#type: "a".into(), ..Action::default() },
            ..Proposal::default()
        };
        assert_eq!(wrong(described), Vec::<String>::new());
    }

    #[test]
    fn an_agent_cannot_report_what_only_the_daemon_settles() {
        let report = |status| Report { status, data: None, error: String::new(), started_at: None, completed_at: None };
        for status in [ResultStatus::Blocked, ResultStatus::Denied, ResultStatus::Unknown] {
            let error = Checked::new(report(status), LIMITS, Vec::new()).unwrap_err();
            assert_eq!(error.violations[0].field, "status");
        }
        assert!(Checked::new(report(ResultStatus::RolledBack), LIMITS, Vec::new()).is_ok());
    }

    #[test]
    fn what_the_door_found_is_reported_with_the_rest() {
        let found = vec![Violation::new("wait", "must not be negative")];
        let error = Checked::new(Proposal::default(), LIMITS, found).unwrap_err();
        assert_eq!(error.violations.len(), 2);
        assert!(Checked::new(proposal(json!({})), LIMITS, vec![Violation::new("wait", "")]).is_err());
    }
}
