//! A vote that waits for its reason: on one question, on those that were marked, or on all of a session.
//!
//! What is voted on is fixed when the prompt opens. What comes later is not in it, and what ends meanwhile is left out.

use crate::cli::vote::Vote;
use crate::proto::v1::Approval;

/// A vote that waits for its reason, and for Enter.
#[derive(Debug, PartialEq)]
pub(in crate::cli::review) struct Prompt {
    pub(in crate::cli::review) ask: Ask,
    pub(in crate::cli::review) vote: Vote,
    pub(in crate::cli::review) reason: String,
    /// Whether the reason is complete and only `y` is missing. One question needs no `y`.
    pub(in crate::cli::review) is_confirming: bool,
}

/// What is voted on.
#[derive(Debug, PartialEq)]
pub(in crate::cli::review) enum Ask {
    /// The question under the cursor.
    One,
    /// Those that were marked, each of which was shown in full.
    Marked(Vec<Approval>),
    /// All that wait of one session.
    Session(String, Vec<Approval>),
}

impl Ask {
    /// The questions, where they are several.
    pub(in crate::cli::review) fn several(&self) -> Option<&[Approval]> {
        match self {
            Self::One => None,
            Self::Marked(questions) | Self::Session(_, questions) => Some(questions),
        }
    }
}
