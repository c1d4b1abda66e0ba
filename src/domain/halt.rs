//! [`HaltScope`]: whom a halt is about.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whom a halt is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HaltScope {
    /// Everybody.
    All,
    /// Whoever has this actor id, declared or proved.
    Actor(String),
    /// The identity of this name.
    Subject(String),
    /// Whoever proposes in this session.
    Session(String),
}

impl HaltScope {
    /// The kind of the scope: `actor`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Actor(_) => "actor",
            Self::Subject(_) => "subject",
            Self::Session(_) => "session",
        }
    }

    /// The name of the actor, the subject or the session; empty for everybody.
    pub fn name(&self) -> &str {
        match self {
            Self::All => "",
            Self::Actor(name) | Self::Subject(name) | Self::Session(name) => name,
        }
    }
}

impl fmt::Display for HaltScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("everybody"),
            other => write!(f, "{} {}", other.kind(), other.name()),
        }
    }
}
