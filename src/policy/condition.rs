//! Conditions, and the three answers there are: holds, does not hold, cannot be told.
//!
//! | condition | holds when | cannot be told when |
//! | --- | --- | --- |
//! | `time_after`, `time_before`, `weekdays` | the clock says so ([`window`](super::window)) | never |
//! | `param_eq`, `param_in` | the value equals (one of) the expected | never |
//! | `param_gt`, `_gte`, `_lt`, `_lte` | number against number, text against text by code point | anything else is compared |
//! | `param_contains` | a text has the text, a list the element, a mapping the key | anything else is searched |
//! | `param_matches` | the pattern is found in a text, or in the JSON text of a number | it is anything else |
//! | `param_exists` | the parameter is there and not null, or (`false`) is not | never |
//!
//! A parameter that is missing or null fulfils none of them but `param_exists: false`. Any of them cannot be told where the value
//! was masked and is gone, or where the name is both a literal key and a path and the two lead to different values. Patterns are
//! those of the `regex` crate, which is linear in the value: unanchored, `$` only at the very end, `&&` in a set an intersection,
//! `\d` and `\w` as Unicode has them, no look-around and no back-references.
//!
//! `all`, `any` and `not` are Kleene's. Which way a doubt falls is not decided here but once per rule ([`rule`](super::rule)).

use std::cmp::Ordering;
use std::fmt;

use regex::Regex;
use serde_json::{Map, Value};

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

/// What one mapping of a policy says: every condition in it must hold.
pub type Group = Vec<Condition>;

/// What a parameter is tested for.
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
    Matches(Regex),
    /// It is there, or is not.
    Exists(bool),
}

/// What conditions are held against.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) params: &'a Map<String, Value>,
    pub(super) masked: &'a [ParamPath],
    pub(super) now: Timestamp,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth<'p> {
    True,
    False,
    Unknown(Doubt<'p>),
}

/// A condition that cannot be told, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt<'p> {
    /// The condition, for example `param_gt`.
    pub condition: &'static str,
    /// The parameter it is about.
    pub path: &'p ParamPath,
    /// Why it cannot be told.
    pub why: Why,
}

/// Why a condition cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The value is of a type that the test is not made for.
    Type {
        /// What the test is made for.
        wanted: &'static str,
        /// What the value is.
        found: &'static str,
    },
    /// The name is a literal key and a path, and they lead to different values.
    Conflict,
    /// The value was masked and is gone.
    Masked,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type { wanted, found } => write!(f, "it needs {wanted} and the value is {found}"),
            Self::Conflict => f.write_str("the name is both a key and a path, with different values"),
            Self::Masked => f.write_str("the value was masked and is no longer known"),
        }
    }
}

impl fmt::Display for Doubt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` on `{}` cannot be evaluated ({})", self.condition, self.path, self.why)
    }
}

impl<'p> Truth<'p> {
    pub(super) fn of(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }

    fn negate(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            doubt @ Self::Unknown(_) => doubt,
        }
    }

    /// Kleene's conjunction; of several doubts the first is kept.
    pub(super) fn all(truths: impl Iterator<Item = Truth<'p>>) -> Self {
        let mut so_far = Self::True;
        for truth in truths {
            match truth {
                Self::False => return Self::False,
                Self::Unknown(_) if so_far == Self::True => so_far = truth,
                _ => {}
            }
        }
        so_far
    }

    fn any(truths: impl Iterator<Item = Truth<'p>>) -> Self {
        Self::all(truths.map(Self::negate)).negate()
    }
}

impl Condition {
    /// Whether this holds. The depth of the recursion is that of the policy, which is bounded.
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
        let doubt = |why| Truth::Unknown(Doubt { condition: self.name(), path, why });
        if facts.masked.iter().any(|masked| value::overlap(masked, path)) {
            return doubt(Why::Masked);
        }
        match (value::find(facts.params, path), self) {
            (Found::Conflict(one, other), Self::Exists(wanted)) if !one.is_null() && !other.is_null() => {
                Truth::of(*wanted)
            }
            (Found::Conflict(..), _) => doubt(Why::Conflict),
            (Found::Missing, test) => Truth::of(matches!(test, Self::Exists(false))),
            (Found::Value(value), test) => match test.holds(value) {
                Ok(holds) => Truth::of(holds),
                Err(wanted) => doubt(Why::Type { wanted, found: value::kind(value) }),
            },
        }
    }

    /// Whether a value passes, or what it would have to be to be tested at all.
    fn holds(&self, value: &Value) -> Result<bool, &'static str> {
        let order = |expected: &Value| value::compare(value, expected).ok_or(value::kind(expected));
        match self {
            Self::Eq(expected) => Ok(value::equal(value, expected)),
            Self::In(expected) => Ok(expected.iter().any(|expected| value::equal(value, expected))),
            Self::Gt(expected) => order(expected).map(Ordering::is_gt),
            Self::Gte(expected) => order(expected).map(Ordering::is_ge),
            Self::Lt(expected) => order(expected).map(Ordering::is_lt),
            Self::Lte(expected) => order(expected).map(Ordering::is_le),
            Self::Contains(needle) => value::contains(value, needle).ok_or(if needle.is_string() {
                "text, a list or a mapping"
            } else {
                "a list"
            }),
            Self::Matches(pattern) => {
                value::text_of(value).map(|text| pattern.is_match(&text)).ok_or("text or a number")
            }
            Self::Exists(wanted) => Ok(*wanted),
        }
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
mod tests {
    use super::*;
    use serde_json::json;

    fn truth(condition: &Condition, params: &Value, masked: &[&str]) -> String {
        let masked: Vec<ParamPath> = masked.iter().map(|path| ParamPath::new(*path)).collect();
        let now = Timestamp::UNIX_EPOCH;
        match condition.truth(&Facts { params: params.as_object().unwrap(), masked: &masked, now }) {
            Truth::True => "holds".to_owned(),
            Truth::False => "does not hold".to_owned(),
            Truth::Unknown(doubt) => doubt.why.to_string(),
        }
    }

    fn param(path: &str, test: Test) -> Condition {
        Condition::Param(ParamPath::new(path), test)
    }

    const TYPE: &str = "it needs a number and the value is text";

    #[test]
    fn a_comparison_across_types_cannot_be_told() {
        let gt = param("n", Test::Gt(json!(100)));
        assert_eq!(truth(&gt, &json!({"n": 150}), &[]), "holds");
        assert_eq!(truth(&gt, &json!({"n": 100}), &[]), "does not hold");
        assert_eq!(truth(&gt, &json!({"n": null}), &[]), "does not hold");
        assert_eq!(truth(&gt, &json!({"n": "150"}), &[]), TYPE);
        assert_eq!(truth(&gt, &json!({"n": true}), &[]), "it needs a number and the value is a boolean");
    }

    #[test]
    fn existence_is_about_being_there_and_not_null() {
        let (there, gone) = (param("n", Test::Exists(true)), param("n", Test::Exists(false)));
        for (params, holds) in [(json!({"n": 0}), true), (json!({"n": null}), false), (json!({}), false)] {
            let answer = |holds| if holds { "holds" } else { "does not hold" };
            assert_eq!(truth(&there, &params, &[]), answer(holds), "{params}");
            assert_eq!(truth(&gone, &params, &[]), answer(!holds), "{params}");
        }
    }

    #[test]
    fn a_name_with_two_values_cannot_be_told() {
        let params = json!({"a": {"b": 1}, "a.b": 2});
        let conflict = "the name is both a key and a path, with different values";
        assert_eq!(truth(&param("a.b", Test::Eq(json!(1))), &params, &[]), conflict);
        assert_eq!(truth(&param("a.b", Test::Exists(true)), &params, &[]), "holds");
        assert_eq!(truth(&param("a.b", Test::Exists(true)), &json!({"a": {"b": 1}, "a.b": null}), &[]), conflict);
    }

    #[test]
    fn a_masked_value_cannot_be_told_nor_what_holds_it() {
        let masked = "the value was masked and is no longer known";
        for name in ["user", "user.email", "user.email.host"] {
            assert_eq!(truth(&param(name, Test::Exists(true)), &json!({}), &["user.email"]), masked, "{name}");
        }
        assert_eq!(truth(&param("user.name", Test::Exists(false)), &json!({}), &["user.email"]), "holds");
    }

    #[test]
    fn combinations_are_those_of_kleene() {
        let params = json!({"t": 1, "u": "text"});
        let yes = || param("t", Test::Gt(json!(0)));
        let no = || param("t", Test::Gt(json!(1)));
        let doubt = || param("u", Test::Gt(json!(1)));
        let of = |condition: Condition| truth(&condition, &params, &[]);
        assert_eq!(of(Condition::All(vec![vec![doubt()], vec![no()]])), "does not hold");
        assert_eq!(of(Condition::All(vec![vec![doubt(), yes()]])), TYPE);
        assert_eq!(of(Condition::Any(vec![vec![doubt()], vec![yes()]])), "holds");
        assert_eq!(of(Condition::Any(vec![vec![doubt()], vec![no()]])), TYPE);
        assert_eq!(of(Condition::Not(vec![doubt()])), TYPE);
        assert_eq!(of(Condition::Not(vec![no()])), "holds");
    }

    #[test]
    fn patterns_search_texts_and_numbers() {
        let pattern = |pattern: &str| param("s", Test::Matches(Regex::new(pattern).unwrap()));
        assert_eq!(truth(&pattern("^\\w+$"), &json!({"s": 123_456}), &[]), "holds");
        assert_eq!(truth(&pattern("^5$"), &json!({"s": 5.0}), &[]), "holds");
        assert_eq!(truth(&pattern("^prod$"), &json!({"s": "prod\n"}), &[]), "does not hold");
        assert_eq!(
            truth(&pattern("True"), &json!({"s": true}), &[]),
            "it needs text or a number and the value is a boolean"
        );
        assert_eq!(
            truth(&pattern("."), &json!({"s": ["a"]}), &[]),
            "it needs text or a number and the value is a list"
        );
    }
}
