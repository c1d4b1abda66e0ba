//! The core types that every floor shares.
//!
//! No protobuf, no I/O, no async. Callers pass in time and random bytes (see [`clock`] and [`ids`]).

mod action;
mod canonical;
pub mod check;
pub mod clock;
mod content;
mod decision;
mod defence;
mod error;
mod halt;
mod host;
mod id_prefix;
mod identity;
pub mod ids;
pub mod json;
mod levels;
mod mask;
mod numbers;
pub mod opaque;
pub mod page;
mod paths;
mod text;
pub mod times;

pub use action::{Action, ActionSalt, Actor, Digest, Proposal, action_digest, canonical_action};
pub(crate) use canonical::Canonical;
pub use canonical::{ParamsError, canonical_json, json_len};
pub use check::{Check, Checked, Checker, JsonLimits};
pub use clock::{Clock, SystemClock, Timestamp};
pub use content::content_len;
pub use decision::{
    ActionResult, Decision, DecisionCode, Ending, EndingKind, Outcome, QuestionState, QuestionStatus, Report,
    ResultStatus, Verdict,
};
pub use defence::Defence;
pub use error::{CallError, ErrorCode, Finding, Violation};
pub use halt::HaltScope;
pub use host::is_loopback;
pub use id_prefix::{IdKind, IdPrefix, IdPrefixError};
pub use identity::{Caller, ConnectionId, How, Identity, Peer, Role, Roles};
pub use ids::{ApprovalId, DecisionId, IdError, RecordId, TokenId};
pub use levels::{Approval, RiskLevel, UnknownLevel};
pub(crate) use mask::placeholder;
pub use mask::{Mark, Marks, Masked, MaskedText, Pointer, Stretch};
pub use numbers::MAX_WHOLE_NUMBER;
pub use paths::{ParamPath, Walk};
pub use text::{nfc, visible};
