//! What warnings are called, so that a tool can tell them apart and a person can look one up.

use std::fmt;

use serde::{Serialize, Serializer};

/// The kind of a warning: something that is legal in a policy and probably not meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The policy has no rules.
    NoRules,
    /// An earlier rule matches everything that this one matches.
    HiddenRule,
    /// An unnamed rule has the automatic name of another rule.
    AutomaticName,
    /// `yes`, `no`, `on` or `off`, which is text here.
    BooleanWord,
    /// A glob means something else than it seems to.
    OddGlob,
    /// A glob that matches only what is empty.
    EmptyGlob,
    /// A target on a rule that allows, which a path can get out of by `..`.
    EscapableTarget,
    /// An agent that is not authenticated chooses the name that the rule is about.
    UnauthenticatedActor,
    /// `timeout` or `on_timeout` on a rule that asks nobody.
    UnusedTimeout,
    /// A condition that never holds.
    NeverHolds,
    /// `weekdays` beside a window over midnight: after 00:00 it is the next day.
    WeekdayAfterMidnight,
    /// `${NAME}`, which nothing fills in.
    Placeholder,
    /// A pattern means something else in other dialects.
    RegexDialect,
    /// A number in the name of a parameter is a key, never an index.
    RedactIndex,
}

impl Code {
    /// The code as it is shown: `hidden-rule`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoRules => "no-rules",
            Self::HiddenRule => "hidden-rule",
            Self::AutomaticName => "automatic-name",
            Self::BooleanWord => "boolean-word",
            Self::OddGlob => "odd-glob",
            Self::EmptyGlob => "empty-glob",
            Self::EscapableTarget => "escapable-target",
            Self::UnauthenticatedActor => "unauthenticated-actor",
            Self::UnusedTimeout => "unused-timeout",
            Self::NeverHolds => "never-holds",
            Self::WeekdayAfterMidnight => "weekday-after-midnight",
            Self::Placeholder => "placeholder",
            Self::RegexDialect => "regex-dialect",
            Self::RedactIndex => "redact-index",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
