//! What is hashed of a record, and how its value begins: drawn in the [module documentation](crate::audit).

use sha2::{Digest as _, Sha256};

use crate::domain::Digest;

/// What the leaf data's hash begins with, so that it is the hash of nothing else.
pub const LEAF_DOMAIN: &[u8; 16] = b"aegis/record/v1\0";
/// How long a leaf hash is.
pub const LEAF_HASH_LEN: usize = 32;
/// How long a salt is.
pub const SALT_LEN: usize = 16;
/// What stands before the payload in the value of a record.
pub(crate) const HEADER_LEN: usize = LEAF_HASH_LEN + SALT_LEN;

/// The leaf hash of a record: RFC 6962's `SHA-256(0x00 ‖ leaf data)`, over
/// `leaf data = SHA-256("aegis/record/v1\0" ‖ salt ‖ payload)`.
pub fn leaf_hash(salt: &[u8; SALT_LEN], payload: &[u8]) -> Digest {
    let data = Sha256::new().chain_update(LEAF_DOMAIN).chain_update(salt).chain_update(payload).finalize();
    Digest(Sha256::new().chain_update([0]).chain_update(data).finalize().into())
}

/// What stands where something was taken away.
pub const REDACTED: &str = "[redacted]";
/// How long the value of a redacted record is.
pub(crate) const REDACTED_LEN: usize = 2 * LEAF_HASH_LEN;

/// What the leaf hash of a record is made from.
pub fn leaf_data(salt: &[u8], payload: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update(LEAF_DOMAIN).chain_update(salt).chain_update(payload).finalize().into())
}

/// The leaf data of a redacted record's value; `None` where the value is whole.
pub(crate) fn leaf_data_of_redacted(value: &[u8]) -> Option<Digest> {
    // A payload is an object with at least a version in it: a whole record is longer.
    let data = (value.len() == REDACTED_LEN).then(|| value.last_chunk::<LEAF_HASH_LEN>())??;
    Some(Digest(*data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaf_hash_is_the_documented_one() {
        let mut data = b"aegis/record/v1\0".to_vec();
        data.extend([5; 16]);
        data.extend(b"{}");
        let mut leaf = vec![0];
        leaf.extend(Digest::of(&data).0);
        assert_eq!(leaf_hash(&[5; 16], b"{}"), Digest::of(&leaf));
    }
}
