//! Conditions. A condition holds, does not hold, or is unknown for the parameters that were sent.
//!
//! | condition | holds when |
//! | --- | --- |
//! | `time_after`, `time_before`, `weekdays` | the clock says so ([`window`](super::window)) |
//! | `param_eq`, `param_in` | the value equals (one of) the expected |
//! | `param_gt`, `_gte`, `_lt`, `_lte` | number against number, text against text by code point |
//! | `param_not_in` | the value equals none of the expected |
//! | `param_contains` | a text has the text, a list the element, a mapping the key |
//! | `param_starts`, `param_ends` | a text begins, ends with the text |
//! | `param_len` | the length is in the range: characters of a text, elements of a list, keys of a mapping |
//! | `param_matches` | the [`Pattern`] is found in a text, or in the JSON text of a number |
//! | `param_exists` | the parameter is there and not null, or (`false`) is not |
//! | `param_schema` | the value fits the [`Shape`]; otherwise it is unknown |
//!
//! In an expected value, [`CALLER`] stands for the name of whoever proposes.
//!
//! A parameter that is missing or null satisfies only `param_exists: false`. These are unknown:
//!
//! - a comparison of anything but two numbers or two texts;
//! - equality with a value that reads the same (`"5"` and 5), or of a scalar with a list or mapping that holds it;
//! - `param_contains`, `param_starts` and `param_ends` of a text, if only a text inside a list or mapping fits, or if
//!   the value is a number or a boolean;
//! - `param_contains` of anything else, if the value is a scalar;
//! - `param_len` of a number or boolean, and of a list or mapping if something that it wraps has another answer;
//! - a comparison with the caller, if the caller's name is not proved and the rule needs it, or if there are two names;
//! - `param_matches`, if only a text inside a list or mapping matches, or if the value is a boolean;
//! - every test of a value that was masked and is no longer known;
//! - every test with a path that leads through anything but a mapping or null;
//! - every test with a name that is both a literal key and a path, with different values;
//! - `param_schema`, if the value does not fit.
//!
//! Everything else is certain.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value};

use super::lenient;
use super::pattern::Pattern;
use super::shape::Shape;
use super::truth::{Doubt, Truth, Why};
use super::value::{self, Found};
use super::window::{Weekdays, Window, Zone};
use crate::domain::{ParamPath, Timestamp};

/// Stands for the name of whoever proposes, in an expected value.
pub(super) const CALLER: &str = "${actor.id}";

/// A compiled condition.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The time of day is in the window.
    Time(Window, Zone),
    /// The day is one of these.
    Weekdays(Weekdays, Zone),
    /// A parameter passes the test.
    Param(ParamPath, Test),
    /// A parameter passes the test, in which [`CALLER`] stands for the caller's name.
    Caller(ParamPath, Test),
    /// Every one of these groups holds.
    All(Vec<Group>),
    /// One of these groups holds.
    Any(Vec<Group>),
    /// This group does not hold.
    Not(Group),
}

/// The conditions of one mapping of a policy: all of them must hold.
pub type Group = Vec<Condition>;

/// How a parameter is tested.
#[derive(Clone, Debug)]
pub enum Test {
    /// It equals this.
    Eq(Value),
    /// It equals one of these.
    In(Vec<Value>),
    /// It is greater than this.
    Gt(Value),
    /// It is at least this.
    Gte(Value),
    /// It is less than this.
    Lt(Value),
    /// It is at most this.
    Lte(Value),
    /// It equals none of these.
    NotIn(Vec<Value>),
    /// It contains this.
    Contains(Value),
    /// It begins with this text.
    Starts(String),
    /// It ends with this text.
    Ends(String),
    /// Its length is in this range.
    Len(Length),
    /// The pattern is found in it.
    Matches(Pattern),
    /// It is there, or is not.
    Exists(bool),
    /// It fits this schema.
    Schema(Box<Shape>),
}

/// A range of lengths, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// The least length.
    pub min: u64,
    /// The greatest length; `None` for any.
    pub max: Option<u64>,
}

/// The names of whoever proposes.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) authenticated: Option<&'a str>,
    /// The claimed name, where a claim is enough.
    pub(super) declared: Option<&'a str>,
}

/// The facts that conditions are tested against.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) params: &'a Map<String, Value>,
    pub(super) masked: &'a [ParamPath],
    pub(super) now: Timestamp,
    pub(super) names: Names<'a>,
}

impl Condition {
    /// Whether this holds. The recursion is as deep as the policy, whose depth is bounded.
    pub(super) fn truth<'p>(&'p self, facts: &Facts<'_>) -> Truth<'p> {
        match self {
            Self::Time(window, zone) => Truth::of(zone.in_window(*window, facts.now)),
            Self::Weekdays(days, zone) => Truth::of(zone.on_weekdays(*days, facts.now)),
            Self::Param(path, test) => test.truth(path, facts),
            Self::Caller(path, test) => test.truth_for_caller(path, facts),
            Self::All(groups) => Truth::all(groups.iter().map(|group| Self::group(group, facts))),
            Self::Any(groups) => Truth::any(groups.iter().map(|group| Self::group(group, facts))),
            Self::Not(group) => Self::group(group, facts).negate(),
        }
    }

    /// Its key in the group, with the parameter that it is about: `param_gt.count`.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Time(window, _) => window.key().to_owned(),
            Self::Weekdays(..) => "weekdays".to_owned(),
            Self::Param(path, test) | Self::Caller(path, test) => format!("{}.{path}", test.name()),
            Self::All(_) => "all".to_owned(),
            Self::Any(_) => "any".to_owned(),
            Self::Not(_) => "not".to_owned(),
        }
    }

    /// Whether every condition of a group holds.
    pub(super) fn group<'p>(group: &'p [Self], facts: &Facts<'_>) -> Truth<'p> {
        Truth::all(group.iter().map(|condition| condition.truth(facts)))
    }
}

impl Test {
    /// The key that a policy writes for this test.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Eq(_) => "param_eq",
            Self::In(_) => "param_in",
            Self::Gt(_) => "param_gt",
            Self::Gte(_) => "param_gte",
            Self::Lt(_) => "param_lt",
            Self::Lte(_) => "param_lte",
            Self::NotIn(_) => "param_not_in",
            Self::Contains(_) => "param_contains",
            Self::Starts(_) => "param_starts",
            Self::Ends(_) => "param_ends",
            Self::Len(_) => "param_len",
            Self::Matches(_) => "param_matches",
            Self::Exists(_) => "param_exists",
            Self::Schema(_) => "param_schema",
        }
    }

    fn truth<'p>(&self, path: &'p ParamPath, facts: &Facts<'_>) -> Truth<'p> {
        let passes = if facts.masked.iter().any(|masked| value::overlap(masked, path)) {
            Err(Why::Masked)
        } else {
            match (value::find(facts.params, path), self) {
                (Found::Missing, test) => Ok(matches!(test, Self::Exists(false))),
                (Found::Value(value), test) => test.passes(value),
                // It exists, whichever of the two values is meant.
                (Found::Conflict(one, other), Self::Exists(wanted)) if !one.is_null() && !other.is_null() => {
                    Ok(*wanted)
                }
                (Found::Blocked(Some(_), _), Self::Exists(wanted)) => Ok(*wanted),
                (Found::Conflict(..), _) => Err(Why::Conflict),
                (Found::Blocked(_, by), _) => Err(Why::Path { found: value::kind(by) }),
            }
        };
        match passes {
            Ok(holds) => Truth::of(holds),
            Err(why) => self.unknown(path, why),
        }
    }

    /// The answer with the caller's name in place of [`CALLER`]. If a claimed name counts beside a proved one, both
    /// must give the same answer.
    fn truth_for_caller<'p>(&self, path: &'p ParamPath, facts: &Facts<'_>) -> Truth<'p> {
        let with = |name: &str| self.with_caller(name).truth(path, facts);
        match (facts.names.authenticated, facts.names.declared) {
            (Some(name), None) | (None, Some(name)) => with(name),
            (Some(proved), Some(claimed)) if proved == claimed => with(proved),
            (Some(proved), Some(claimed)) => match (with(proved), with(claimed)) {
                (one, other) if one == other => one,
                _ => self.unknown(path, Why::TwoNames),
            },
            (None, None) => self.unknown(path, Why::Unauthenticated),
        }
    }

    fn unknown<'p>(&self, path: &'p ParamPath, why: Why) -> Truth<'p> {
        Truth::Unknown(Doubt { condition: self.name(), path: Some(path), why })
    }

    /// The same test with this name in place of [`CALLER`].
    fn with_caller(&self, name: &str) -> Self {
        let text = |text: &String| if text == CALLER { name.to_owned() } else { text.clone() };
        let value = |value: &Value| if value == CALLER { Value::from(name) } else { value.clone() };
        let values = |values: &Vec<Value>| values.iter().map(value).collect();
        match self {
            Self::Eq(expected) => Self::Eq(value(expected)),
            Self::In(expected) => Self::In(values(expected)),
            Self::NotIn(expected) => Self::NotIn(values(expected)),
            Self::Contains(needle) => Self::Contains(value(needle)),
            Self::Starts(start) => Self::Starts(text(start)),
            Self::Ends(end) => Self::Ends(text(end)),
            other => other.clone(),
        }
    }

    /// Whether [`CALLER`] stands in it.
    pub(super) fn names_caller(&self) -> bool {
        match self {
            Self::Eq(value) | Self::Contains(value) => value == CALLER,
            Self::In(values) | Self::NotIn(values) => values.iter().any(|value| value == CALLER),
            Self::Starts(text) | Self::Ends(text) => text == CALLER,
            _ => false,
        }
    }

    /// Whether a value passes, or why that is unknown.
    fn passes(&self, value: &Value) -> Result<bool, Why> {
        let found = value::kind(value);
        let order = |expected: &Value| {
            value::compare(value, expected).ok_or(Why::Type { wanted: value::kind(expected), found })
        };
        match self {
            Self::Eq(expected) => equals(value, expected),
            Self::In(expected) => is_one_of(value, expected),
            Self::Gt(expected) => order(expected).map(Ordering::is_gt),
            Self::Gte(expected) => order(expected).map(Ordering::is_ge),
            Self::Lt(expected) => order(expected).map(Ordering::is_lt),
            Self::Lte(expected) => order(expected).map(Ordering::is_le),
            Self::NotIn(expected) => is_one_of(value, expected).map(|is_one| !is_one),
            Self::Contains(needle) => contains(value, needle),
            Self::Starts(start) => text_passes(value, |text| text.starts_with(start.as_str())),
            Self::Ends(end) => text_passes(value, |text| text.ends_with(end.as_str())),
            Self::Len(length) => length.passes(value),
            Self::Matches(pattern) => match value {
                Value::String(text) => Ok(pattern.is_match(text)),
                Value::Number(number) => Ok(pattern.is_match(&value::number_text(number))),
                Value::Array(_) | Value::Object(_) if lenient::holds_text(value, |text| pattern.is_match(text)) => {
                    Err(Why::Inside { found })
                }
                Value::Array(_) | Value::Object(_) => Ok(false),
                _ => Err(Why::Type { wanted: "text or a number", found }),
            },
            Self::Exists(wanted) => Ok(*wanted),
            Self::Schema(shape) => {
                if shape.fits(value) {
                    Ok(true)
                } else {
                    Err(Why::Shape)
                }
            }
        }
    }
}

impl Length {
    fn has(self, length: usize) -> bool {
        let length = length as u64;
        length >= self.min && self.max.is_none_or(|max| length <= max)
    }

    /// Whether a value is this long. A list or mapping that wraps another one, or only one value, is as long as a
    /// lenient reader takes it: if that changes the answer, it is unknown.
    fn passes(self, value: &Value) -> Result<bool, Why> {
        let found = value::kind(value);
        let passes = self.has(length(value).ok_or(Why::Type { wanted: "text, a list or a mapping", found })?);
        let differs = |inner: &Value| length(inner).is_some_and(|length| self.has(length) != passes);
        let is_lone = match value {
            Value::Array(items) => items.len() == 1,
            Value::Object(map) => map.len() == 1,
            _ => return Ok(passes),
        };
        let is_unsure = lenient::inside(value, &|inner| (is_lone || !inner.is_string()) && differs(inner));
        if is_unsure { Err(Why::Inside { found }) } else { Ok(passes) }
    }
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.chars().count()),
        Value::Array(items) => Some(items.len()),
        Value::Object(map) => Some(map.len()),
        _ => None,
    }
}

/// Whether a text passes. A list or mapping with such a text inside is unknown.
fn text_passes(value: &Value, passes: impl Fn(&str) -> bool) -> Result<bool, Why> {
    let found = value::kind(value);
    match value {
        Value::String(text) => Ok(passes(text)),
        Value::Array(_) | Value::Object(_) if lenient::holds_text(value, &passes) => Err(Why::Inside { found }),
        Value::Array(_) | Value::Object(_) => Ok(false),
        _ => Err(Why::Type { wanted: "text", found }),
    }
}

fn equals(value: &Value, expected: &Value) -> Result<bool, Why> {
    let found = value::kind(value);
    if value::equal(value, expected) {
        Ok(true)
    } else if lenient::reads_alike(value, expected) {
        Err(Why::Alike { found })
    } else if lenient::holds(value, expected) || lenient::holds(expected, value) {
        Err(Why::Inside { found })
    } else {
        Ok(false)
    }
}

/// One value that is certainly equal is enough, even if others are unknown.
fn is_one_of(value: &Value, expected: &[Value]) -> Result<bool, Why> {
    let mut unknown = None;
    for expected in expected {
        match equals(value, expected) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(why) => unknown = unknown.or(Some(why)),
        }
    }
    unknown.map_or(Ok(false), Err)
}

fn contains(value: &Value, needle: &Value) -> Result<bool, Why> {
    let found = value::kind(value);
    let has = match (value, needle) {
        (Value::String(text), Value::String(needle)) => return Ok(text.contains(needle.as_str())),
        (Value::Array(items), needle) => items.iter().any(|item| value::equal(item, needle)),
        (Value::Object(map), Value::String(key)) => map.contains_key(key),
        (Value::Object(_), _) => false,
        (_, Value::String(_)) => return Err(Why::Type { wanted: "text, a list or a mapping", found }),
        _ => return Err(Why::Type { wanted: "a list", found }),
    };
    if has {
        return Ok(true);
    }
    match needle {
        Value::String(needle) if lenient::holds_text(value, |text| text.contains(needle.as_str())) => {
            Err(Why::Inside { found })
        }
        _ => Ok(false),
    }
}

/// The test as an explanation shows it: `param_gt 100`.
impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Eq(expected)
            | Self::Gt(expected)
            | Self::Gte(expected)
            | Self::Lt(expected)
            | Self::Lte(expected)
            | Self::Contains(expected) => write!(f, " {expected}"),
            Self::In(expected) | Self::NotIn(expected) => {
                f.write_str(" [")?;
                for (i, expected) in expected.iter().enumerate() {
                    write!(f, "{}{expected}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Matches(pattern) => write!(f, " {pattern}"),
            Self::Starts(text) | Self::Ends(text) => write!(f, " {}", Value::from(text.as_str())),
            Self::Len(length) => write!(f, " {length}"),
            Self::Exists(wanted) => write!(f, " {wanted}"),
            Self::Schema(shape) => write!(f, " {}", shape.source()),
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (min, Some(max)) if min == max => write!(f, "{min}"),
            (min, Some(max)) => write!(f, "{min} to {max}"),
            (min, None) => write!(f, "at least {min}"),
        }
    }
}

#[cfg(test)]
mod tests;
