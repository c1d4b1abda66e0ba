//! The three answers of a condition: it holds, it does not hold, or it is unknown and why.
//!
//! `all`, `any` and `not` combine them by Kleene's three-valued logic: an unknown part leaves the whole unknown,
//! unless the other parts decide alone. What an unknown condition means for the answer is decided once, over whole
//! rules ([`verdict`](super::verdict)).

use std::fmt;

use crate::domain::ParamPath;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth<'p> {
    True,
    False,
    Unknown(Doubt<'p>),
}

/// A condition that is unknown, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt<'p> {
    /// The condition, for example `param_gt`.
    pub condition: &'static str,
    /// The parameter it is about; `None` if it is about the target.
    pub path: Option<&'p ParamPath>,
    /// Why it is unknown.
    pub why: Why,
}

/// Why a condition is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The test is not made for the type of the value.
    Type {
        /// What the test is made for.
        wanted: &'static str,
        /// What the value is.
        found: &'static str,
    },
    /// The value has another type than the expected one but reads the same: `"5"` and 5.
    Alike {
        /// What the value is.
        found: &'static str,
    },
    /// The value does not pass, but something inside it does.
    Inside {
        /// What the value is.
        found: &'static str,
    },
    /// The path leads through something without keys: a list, or text that may be JSON.
    Path {
        /// What it leads through.
        found: &'static str,
    },
    /// The name is a literal key and a path, and they lead to different values.
    Conflict,
    /// The value was masked and is no longer known.
    Masked,
    /// The condition compares with the caller, whose name is not proved.
    Unauthenticated,
    /// The caller claims another name than the one that it proved, and they give different answers.
    TwoNames,
    /// The value does not have the shape that a schema describes.
    Shape,
    /// The target has no one reading as a path or URL.
    Target {
        /// What keeps it from having one.
        because: &'static str,
    },
    /// The target is another path if its escapes are undone.
    Escapes,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type { wanted, found } => write!(f, "it needs {wanted} and the value is {found}"),
            Self::Alike { found } => write!(f, "the value is {found} that reads the same"),
            Self::Inside { found } => write!(f, "the value is {found} and something inside of it fits"),
            Self::Path { found } => write!(f, "the path leads through {found}"),
            Self::Conflict => f.write_str("the name is both a key and a path, with different values"),
            Self::Masked => f.write_str("the value was masked and is no longer known"),
            Self::Unauthenticated => f.write_str("the caller is not authenticated, so its name is only a claim"),
            Self::TwoNames => f.write_str("the caller claims another name than its own"),
            Self::Shape => f.write_str("the value does not fit the schema"),
            Self::Target { because } => write!(f, "the target has no normal form: {because}"),
            Self::Escapes => f.write_str("the target is another path if its escapes are undone"),
        }
    }
}

impl fmt::Display for Doubt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path {
            Some(path) => write!(f, "`{}` on `{path}` is unknown ({})", self.condition, self.why),
            None => write!(f, "`{}` is unknown ({})", self.condition, self.why),
        }
    }
}

impl<'p> Truth<'p> {
    pub(super) fn of(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }

    pub(super) fn negate(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            doubt @ Self::Unknown(_) => doubt,
        }
    }

    /// Kleene's conjunction of two.
    pub(super) fn both(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::False => Self::False,
            Self::True => other(),
            doubt @ Self::Unknown(_) => match other() {
                Self::False => Self::False,
                _ => doubt,
            },
        }
    }

    /// Kleene's conjunction. Of several unknown conditions, it keeps the first.
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

    /// Kleene's disjunction. Of several unknown conditions, it keeps the first.
    pub(super) fn any(truths: impl Iterator<Item = Truth<'p>>) -> Self {
        Self::all(truths.map(Self::negate)).negate()
    }
}
