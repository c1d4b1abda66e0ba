//! [`Limit`]: how often, or how much, something may happen in a time. A policy only says which limits an action comes
//! under and what it would spend. The daemon counts, because a policy has no memory.
//!
//! Amounts are whole numbers of millionths, so adding them is exact: splitting an amount into many gains nothing, and
//! what is smaller than a millionth counts as one.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Number, Value};

use super::value;
use crate::domain::{Approval, ParamPath, ResultStatus, RiskLevel, Walk};

/// An amount in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(u64);

impl Quantity {
    /// How many parts one has.
    const PARTS: u64 = 1_000_000;
    /// The digits of those parts.
    const DIGITS: usize = 6;
    /// One.
    pub const ONE: Self = Self(Self::PARTS);
    /// The largest amount that a limit may have: 10^12.
    pub const LARGEST: Self = Self(1_000_000_000_000 * Self::PARTS);

    /// This many millionths.
    pub const fn of_millionths(millionths: u64) -> Self {
        Self(millionths)
    }

    /// The millionths.
    pub const fn millionths(self) -> u64 {
        self.0
    }

    /// The amount of a number, rounded up. `None` if it is negative, not finite, or more than [`Self::LARGEST`].
    pub fn of(number: &Number) -> Option<Self> {
        let millionths = match number.as_u64() {
            Some(whole) => whole.checked_mul(Self::PARTS)?,
            None => Self::of_float(number.as_f64()?)?,
        };
        Some(Self(millionths)).filter(|amount| *amount <= Self::LARGEST)
    }

    fn of_float(number: f64) -> Option<u64> {
        // The comparison is false for NaN.
        if !(0.0..=1e12).contains(&number) {
            return None;
        }
        // The shortest decimal text that reads as this number, which is what its author wrote: 0.1 is a tenth.
        let text = format!("{}", number.abs());
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let (kept, rest) = fraction.split_at_checked(Self::DIGITS).unwrap_or((fraction, ""));
        let parts: u64 = format!("{kept:0<width$}", width = Self::DIGITS).parse().ok()?;
        let up = u64::from(rest.bytes().any(|digit| digit != b'0'));
        whole.parse::<u64>().ok()?.checked_mul(Self::PARTS)?.checked_add(parts)?.checked_add(up)
    }

    /// The amount as a number, as exact as such a number is.
    #[expect(clippy::cast_precision_loss, reason = "it is shown, and never compared")]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / Self::PARTS as f64
    }

    /// Whether there is no fraction.
    pub(super) fn is_whole(self) -> bool {
        self.0.is_multiple_of(Self::PARTS)
    }

    /// As JSON writes the number.
    pub(super) fn to_json(self) -> Value {
        if self.is_whole() {
            return Value::from(self.0 / Self::PARTS);
        }
        self.to_string().parse::<f64>().map_or(Value::Null, Value::from)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, parts) = (self.0 / Self::PARTS, self.0 % Self::PARTS);
        if parts == 0 {
            return write!(f, "{whole}");
        }
        let parts = format!("{parts:0width$}", width = Self::DIGITS);
        write!(f, "{whole}.{}", parts.trim_end_matches('0'))
    }
}

/// What has a count of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// Each actor: by its authenticated name, or by its declared name if it is not authenticated.
    Actor,
    /// Each subject: the identity that the credential proves.
    Subject,
    /// Each session of a subject.
    Session,
    /// Each type of action.
    Type,
    /// Each target.
    Target,
    /// Each rule that decides.
    Rule,
    /// Each action: type, target, parameters and actor together.
    Action,
}

impl By {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Actor, Self::Subject, Self::Session, Self::Type, Self::Target, Self::Rule, Self::Action];

    /// The word as policies write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Subject => "subject",
            Self::Session => "session",
            Self::Type => "type",
            Self::Target => "target",
            Self::Rule => "rule",
            Self::Action => "action",
        }
    }
}

impl std::str::FromStr for By {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|by| by.as_str() == word).ok_or(())
    }
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Each action that is allowed.
    Actions,
    /// This parameter of each action that is allowed.
    Sum(ParamPath),
    /// Reports of failures in a row: a report of a success begins again.
    Failures,
}

/// How often, or how much, something may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The name of its rule, or its own if it stands alone.
    pub name: String,
    /// Whether it stands on a rule.
    pub is_of_rule: bool,
    /// The most that may be spent.
    pub max: Quantity,
    /// The time in which it may be spent, which slides; `None` means until somebody resets it.
    pub per: Option<Duration>,
    /// What has a count of its own, in order and each once; nothing means one count for all.
    pub by: Vec<By>,
    /// What is counted.
    pub counted: Counted,
    /// What must happen before an action may run that would exceed it.
    pub approval: Approval,
    /// How dangerous such an action is; `None` means as before.
    pub risk_level: Option<RiskLevel>,
    /// The reported results that give back what the action spent.
    pub release_on: Vec<ResultStatus>,
}

impl Limit {
    /// What an action with these parameters would spend. `None` if that is no amount: it counts as exceeding.
    pub(super) fn amount(&self, params: &Map<String, Value>, masked: &[ParamPath]) -> Option<Quantity> {
        let Counted::Sum(path) = &self.counted else { return Some(Quantity::ONE) };
        if masked.iter().any(|masked| value::overlap(masked, path)) {
            return None;
        }
        let nested = match path.walk(params) {
            Walk::Value(value) => Some(value),
            Walk::Missing => None,
            Walk::Blocked(_) => return None,
        };
        let amount = |value: &Value| value.as_number().and_then(Quantity::of);
        match (path.literal(params), nested) {
            // Two readings with different amounts are no amount.
            (Some(one), Some(other)) => amount(one).filter(|one| amount(other) == Some(*one)),
            (Some(value), None) | (None, Some(value)) => amount(value),
            (None, None) => None,
        }
    }

    /// What it permits, for people: `3 per 1h by target`.
    pub fn text(&self) -> String {
        let what = match &self.counted {
            Counted::Actions => self.max.to_string(),
            Counted::Sum(path) => format!("{} of `{path}`", self.max),
            Counted::Failures => format!("{} failures in a row", self.max),
        };
        let per = self.per.map(|per| format!(" per {}", per_text(per))).unwrap_or_default();
        let by: Vec<&str> = self.by.iter().map(|by| by.as_str()).collect();
        let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
        what + &per + &by
    }
}

/// A period as a policy writes it, in the largest unit that divides it.
pub(super) fn per_text(per: Duration) -> String {
    match per.as_secs() {
        seconds if seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn amount(value: &Value) -> Option<String> {
        value.as_number().and_then(Quantity::of).map(|amount| amount.to_string())
    }

    #[test]
    fn an_amount_is_exact_to_a_millionth_and_rounds_up() {
        for (value, expected) in [
            (json!(0), "0"),
            (json!(3), "3"),
            (json!(-0.0), "0"),
            (json!(0.1), "0.1"),
            (json!(1.5), "1.5"),
            (json!(0.000_000_1), "0.000001"),
            (json!(1e-300), "0.000001"),
            (json!(12.345_678_9), "12.345679"),
            (json!(1e12), "1000000000000"),
        ] {
            assert_eq!(amount(&value).as_deref(), Some(expected), "{value}");
        }
        for value in [json!(-1), json!(-1e-9), json!(1e13), json!(1e308), json!(u64::MAX), json!(i64::MIN), json!("5")]
        {
            assert_eq!(amount(&value), None, "{value}");
        }
        let tenth = Quantity::of(json!(0.1).as_number().unwrap()).unwrap();
        assert_eq!(tenth.millionths() * 3, Quantity::of(json!(0.3).as_number().unwrap()).unwrap().millionths());
    }
}
