//! What a hook keeps for a later one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A decision to report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Allowed {
    pub(super) decision_id: String,
    /// Where the agent's user had to confirm: the token, and the action that it confirms.
    pub(super) confirmation: Option<Confirmation>,
}

/// A question that was open when its hook stopped waiting.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) key: String,
    /// What the reviewer reads. The model may word it differently the next time, and the key is for these words.
    pub(super) description: String,
}

/// What a second proposal needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Confirmation {
    pub(super) token: String,
    pub(super) kind: String,
    pub(super) target: String,
    pub(super) params: Map<String, Value>,
    pub(super) description: String,
}
