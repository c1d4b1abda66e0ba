//! The hashed data of a record and the header of its stored value. The [module documentation](crate::audit) shows both.

use sha2::{Digest as _, Sha256};

use crate::domain::Digest;

/// The prefix of the hashed data, so that the hash differs from any other use of SHA-256.
pub const LEAF_DOMAIN: &[u8; 16] = b"aegis/record/v1\0";
/// The length of a leaf hash.
pub const LEAF_HASH_LEN: usize = 32;
/// The length of a salt.
pub const SALT_LEN: usize = 16;
/// The length of the header before the payload.
pub(crate) const HEADER_LEN: usize = LEAF_HASH_LEN + SALT_LEN;

/// The leaf hash of a record: RFC 6962's `SHA-256(0x00 ‖ leaf data)`, over
/// `leaf data = SHA-256("aegis/record/v1\0" ‖ salt ‖ payload)`.
pub fn leaf_hash(salt: &[u8; SALT_LEN], payload: &[u8]) -> Digest {
    let data = Sha256::new().chain_update(LEAF_DOMAIN).chain_update(salt).chain_update(payload).finalize();
    Digest(Sha256::new().chain_update([0]).chain_update(data).finalize().into())
}

/// Replaces removed text.
pub const REDACTED: &str = "[redacted]";
/// The length of the stored value of a redacted record.
pub(crate) const REDACTED_LEN: usize = 2 * LEAF_HASH_LEN;

/// The leaf data of a record, from which its leaf hash is computed.
pub fn leaf_data(salt: &[u8], payload: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update(LEAF_DOMAIN).chain_update(salt).chain_update(payload).finalize().into())
}

/// The leaf data in the value of a redacted record; `None` if the record is whole.
pub(crate) fn leaf_data_of_redacted(value: &[u8]) -> Option<Digest> {
    // A whole record is longer, because its payload is an object with at least a version.
    let data = (value.len() == REDACTED_LEN).then(|| value.last_chunk::<LEAF_HASH_LEN>())??;
    Some(Digest(*data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaf_hash_is_computed_as_documented() {
        let mut data = b"aegis/record/v1\0".to_vec();
        data.extend([5; 16]);
        data.extend(b"{}");
        let mut leaf = vec![0];
        leaf.extend(Digest::of(&data).0);
        assert_eq!(leaf_hash(&[5; 16], b"{}"), Digest::of(&leaf));
    }
}
