//! Risk levels and approval modes of a rule.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The risk level of an action. Ordered: `Low < Critical`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RiskLevel {
    /// Reading, typically.
    Low = 1,
    /// A single write. The default of a rule.
    Medium = 2,
    /// Bulk operations.
    High = 3,
    /// Destructive or irreversible.
    Critical = 4,
}

impl RiskLevel {
    /// Every level, lowest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The level as policies and JSON write it: `low`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The level as audit rows and tables write it: `LOW`.
    pub const fn as_upper(self) -> &'static str {
        match self {
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }

    /// The level as a number between 0 and 1, for clients that compare scores.
    pub const fn score(self) -> f64 {
        match self {
            Self::Low => 0.2,
            Self::Medium => 0.5,
            Self::High => 0.8,
            Self::Critical => 1.0,
        }
    }
}

/// What must happen before an action may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Approval {
    /// It may run at once.
    Auto,
    /// The agent's own user confirms. This helps the user; it is no protection against the agent.
    Confirm,
    /// A reviewer decides. The default of a rule.
    Approve,
    /// It never runs.
    Block,
}

impl Approval {
    /// Every mode, from the most to the least permissive.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Confirm, Self::Approve, Self::Block];

    /// The mode as policies, JSON and audit rows write it: `auto`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Confirm => "confirm",
            Self::Approve => "approve",
            Self::Block => "block",
        }
    }
}

/// The word is not a value of this scale.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not one of {expected}")]
pub struct UnknownLevel {
    word: String,
    expected: &'static str,
}

impl FromStr for RiskLevel {
    type Err = UnknownLevel;

    /// Parses a lower-case word of a policy. Command lines and filters convert to lower case first.
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|level| level.as_str() == word)
            .ok_or_else(|| UnknownLevel { word: word.to_owned(), expected: "low, medium, high, critical" })
    }
}

impl FromStr for Approval {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == word)
            .ok_or_else(|| UnknownLevel { word: word.to_owned(), expected: "auto, confirm, approve, block" })
    }
}

impl fmt::Display for RiskLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
