//! Ids: a prefix for the kind, and a `UUIDv7`, so that ids sort by the time of their creation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Timestamp;

/// The text is not an id of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a valid id: expected `{prefix}` followed by a UUID, for example \
     {prefix}0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e"
)]
pub struct IdError {
    text: String,
    prefix: &'static str,
}

/// Creates a `UUIDv7` (RFC 9562, section 5.7) from a time and ten random bytes.
fn uuid_v7(now: Timestamp, random: [u8; 10]) -> Uuid {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The prefix of this kind of id.
            pub const PREFIX: &'static str = $prefix;

            /// A new id for this time.
            pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
                Self(uuid_v7(now, random))
            }

            /// The sixteen bytes of the UUID, which are the key in the store.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The id with these sixteen bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0.as_hyphenated())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .filter(|rest| rest.len() == 36)
                    .and_then(|rest| Uuid::try_parse(rest).ok())
                    .map(Self)
                    .ok_or_else(|| IdError { text: text.chars().take(80).collect(), prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// The id of a decision.
    DecisionId,
    "dec_"
);
id!(
    /// The id of an approval.
    ApprovalId,
    "apr_"
);
id!(
    /// The id of a record of the audit log.
    RecordId,
    "aud_"
);
id!(
    /// The id of a token, to list and revoke the token without its secret.
    TokenId,
    "tok_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_prefix_and_a_version_7_uuid() {
        let id = DecisionId::new(Timestamp::UNIX_EPOCH, [0xff; 10]);
        let text = id.to_string();
        assert!(text.starts_with("dec_00000000-0000-7fff-"), "{text}");
        assert_eq!(text.parse(), Ok(id));
    }

    #[test]
    fn ids_of_one_kind_are_not_read_as_another() {
        let id = ApprovalId::new(Timestamp::UNIX_EPOCH, [1; 10]).to_string();
        assert!(id.parse::<DecisionId>().unwrap_err().to_string().contains("dec_"));
        assert!("dec_zz".parse::<DecisionId>().is_err());
    }
}
