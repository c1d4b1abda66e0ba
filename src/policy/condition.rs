//! Conditions. A condition holds, does not hold, or is unknown for the parameters that were sent.
//!
//! | condition | holds when |
//! | --- | --- |
//! | `time_after`, `time_before`, `weekdays` | the clock says so ([`window`](super::window)) |
//! | `param_eq`, `param_in` | the value equals (one of) the expected |
//! | `param_gt`, `_gte`, `_lt`, `_lte` | number against number, text against text by code point |
//! | `param_contains` | a text has the text, a list the element, a mapping the key |
//! | `param_matches` | the [`Pattern`] is found in a text, or in the JSON text of a number |
//! | `param_exists` | the parameter is there and not null, or (`false`) is not |
//!
//! A parameter that is missing or null satisfies only `param_exists: false`. These are unknown:
//!
//! - a comparison of anything but two numbers or two texts;
//! - equality with a value that reads the same (`"5"` and 5), or of a scalar with a list or mapping that holds it;
//! - `param_contains` of a text, if only a text inside a list or mapping contains it, or if the value is a number or a
//!   boolean;
//! - `param_contains` of anything else, if the value is a scalar;
//! - `param_matches`, if only a text inside a list or mapping matches, or if the value is a boolean;
//! - every test of a value that was masked and is no longer known;
//! - every test with a path that leads through anything but a mapping or null;
//! - every test with a name that is both a literal key and a path, with different values.
//!
//! Everything else is certain.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value};

use super::lenient;
use super::pattern::Pattern;
use super::truth::{Doubt, Truth, Why};
use super::value::{self, Found};
use super::window::{Weekdays, Window, Zone};
use crate::domain::{ParamPath, Timestamp};

/// A compiled condition.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The time of day is in the window.
    Time(Window, Zone),
    /// The day is one of these.
    Weekdays(Weekdays, Zone),
    /// A parameter passes the test.
    Param(ParamPath, Test),
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
    /// It contains this.
    Contains(Value),
    /// The pattern is found in it.
    Matches(Pattern),
    /// It is there, or is not.
    Exists(bool),
}

/// The facts that conditions are tested against.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) params: &'a Map<String, Value>,
    pub(super) masked: &'a [ParamPath],
    pub(super) now: Timestamp,
}

impl Condition {
    /// Whether this holds. The recursion is as deep as the policy, whose depth is bounded.
    pub(super) fn truth<'p>(&'p self, facts: &Facts<'_>) -> Truth<'p> {
        match self {
            Self::Time(window, zone) => Truth::of(zone.in_window(*window, facts.now)),
            Self::Weekdays(days, zone) => Truth::of(zone.on_weekdays(*days, facts.now)),
            Self::Param(path, test) => test.truth(path, facts),
            Self::All(groups) => Truth::all(groups.iter().map(|group| Self::group(group, facts))),
            Self::Any(groups) => Truth::any(groups.iter().map(|group| Self::group(group, facts))),
            Self::Not(group) => Self::group(group, facts).negate(),
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
            Self::Contains(_) => "param_contains",
            Self::Matches(_) => "param_matches",
            Self::Exists(_) => "param_exists",
        }
    }

    fn truth<'p>(&'p self, path: &'p ParamPath, facts: &Facts<'_>) -> Truth<'p> {
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
            Err(why) => Truth::Unknown(Doubt { condition: self.name(), path, why }),
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
            Self::Contains(needle) => contains(value, needle),
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
        }
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
            Self::In(expected) => {
                f.write_str(" [")?;
                for (i, expected) in expected.iter().enumerate() {
                    write!(f, "{}{expected}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Matches(pattern) => write!(f, " {pattern}"),
            Self::Exists(wanted) => write!(f, " {wanted}"),
        }
    }
}

#[cfg(test)]
mod tests;
