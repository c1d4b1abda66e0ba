//! The codes of warnings: a tool tells warnings apart by code, and a person looks a code up.

use std::fmt;

use serde::{Serialize, Serializer};

/// The kind of a warning about something that is legal in a policy but probably not meant.
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
    /// A glob does not mean what it seems to mean.
    OddGlob,
    /// A glob matches only the empty text.
    EmptyGlob,
    /// A path can leave the target of a rule that allows, by `..`.
    EscapableTarget,
    /// An unauthenticated agent chooses the name that the rule matches.
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
