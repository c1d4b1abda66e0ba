//! An action, its proposer, and the digest that binds a decision to exactly that action.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::canonical::{ParamsError, canonical_json};
use super::defence::Defence;

/// The action that an agent proposes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// The type of action, for example `bulk_update`. The daemon refuses an empty one; `simulate` accepts it.
    pub r#type: String,
    /// The target, for example `crm`. May be empty.
    #[serde(default)]
    pub target: String,
    /// The parameters. Keys are sorted, so that their order cannot change a decision.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// The agent's description for a reviewer. No rule reads it.
    #[serde(default)]
    pub description: String,
}

/// The proposer, as declared by the caller. The authenticated identity is [`Identity`](super::Identity).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The declared id, for example `agent-7`.
    #[serde(default)]
    pub id: String,
    /// The declared kind, for example `ai-agent`.
    #[serde(default)]
    pub r#type: String,
}

/// Everything that a caller sends to propose an action.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proposal {
    /// The proposer, as declared.
    pub actor: Actor,
    /// The action.
    pub action: Action,
    /// The agent's session, or empty.
    pub session_id: String,
    /// Labels that the caller chose. They go on the record.
    pub metadata: Map<String, Value>,
    /// W3C trace id of the caller (32 lower-case hex digits), or empty.
    pub trace_id: String,
}

impl Proposal {
    /// The canonical JSON of the action with its actor and its session: see [`canonical_action`].
    pub fn canonical(&self) -> Result<Vec<u8>, ParamsError> {
        canonical_action(&self.action, &self.actor.id, &self.session_id)
    }
}

/// A SHA-256 hash: an action digest, a policy revision, a leaf hash. Its text form is 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The SHA-256 of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Parses 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 64];
        hex::encode_to_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("a digest is 64 hex digits"))
    }
}

/// The salt of an action digest, so that nobody can guess a masked value from the digest. The proposer gets it; the
/// record never has it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ActionSalt(pub [u8; Self::LEN]);

impl ActionSalt {
    /// The length of a salt in bytes.
    pub const LEN: usize = 16;
}

impl fmt::Debug for ActionSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActionSalt(..)")
    }
}

/// The canonical form of an action, for comparison and for the digest. It is the RFC 8785 JSON, without the line break,
/// of
///
/// ```json
/// {"actor":{"id":"agent-7"},"description":"","params":{"count":150},
///  "session_id":"s1","target":"crm","type":"bulk_update"}
/// ```
pub fn canonical_action(action: &Action, actor_id: &str, session_id: &str) -> Result<Vec<u8>, ParamsError> {
    #[derive(Serialize)]
    struct ActorId<'a> {
        id: &'a str,
    }
    #[derive(Serialize)]
    struct Canonical<'a> {
        actor: ActorId<'a>,
        #[serde(flatten)]
        action: &'a Action,
        session_id: &'a str,
    }
    canonical_json(&Canonical { actor: ActorId { id: actor_id }, action, session_id })
}

/// The action digest: SHA-256 of the salt and the [`canonical_action`].
///
/// SDKs compute the same digest. So an agent can prove what was decided without trusting the daemon's copy.
pub fn action_digest(salt: &ActionSalt, canonical: &[u8]) -> Digest {
    let salt = if Defence::SaltedDigest.on() { salt.0.as_slice() } else { &[] };
    Digest(Sha256::new().chain_update(salt).chain_update(canonical).finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn action(params: Value) -> Action {
        let Value::Object(params) = params else { unreachable!("tests pass objects") };
        Action { r#type: "bulk_update".into(), target: "crm".into(), params, description: String::new() }
    }

    #[test]
    fn the_canonical_action_is_the_documented_bytes() {
        let canonical = canonical_action(&action(json!({"count": 150})), "agent-7", "s1").unwrap();
        let bytes = concat!(
            r#"{"actor":{"id":"agent-7"},"description":"","params":{"count":150},"#,
            r#""session_id":"s1","target":"crm","type":"bulk_update"}"#
        );
        assert_eq!(canonical, bytes.as_bytes());
    }

    #[test]
    fn an_integer_and_the_same_number_as_a_float_are_one_action() {
        let int = canonical_action(&action(json!({"count": 150})), "a", "").unwrap();
        let float = canonical_action(&action(json!({"count": 150.0})), "a", "").unwrap();
        assert_eq!(int, float);
    }

    #[test]
    fn every_part_of_the_proposal_makes_another_action() {
        let base = canonical_action(&action(json!({"count": 150})), "a", "s").unwrap();
        assert_ne!(base, canonical_action(&action(json!({"count": 151})), "a", "s").unwrap());
        assert_ne!(base, canonical_action(&action(json!({"count": 150})), "b", "s").unwrap());
        assert_ne!(base, canonical_action(&action(json!({"count": 150})), "a", "t").unwrap());
    }

    #[test]
    fn the_digest_is_of_the_salt_and_then_the_action() {
        let salt = ActionSalt([7; ActionSalt::LEN]);
        assert_eq!(
            action_digest(&salt, b"x"),
            Digest::of(b"\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07x")
        );
    }

    #[test]
    fn hex_round_trips() {
        let digest = Digest::of(b"x");
        assert_eq!(Digest::from_hex(&digest.to_string()), Some(digest));
        assert_eq!(Digest::from_hex("zz"), None);
    }
}
