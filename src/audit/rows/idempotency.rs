//! Idempotency keys: how they are kept, and for how long.

use crate::domain::Digest;

/// How long an idempotency key is honoured.
pub const IDEMPOTENCY_WINDOW: std::time::Duration = std::time::Duration::from_hours(24);

/// What the key of the `idempotency` table keeps of a hash.
pub(crate) fn key_prefix(key: Digest) -> [u8; 16] {
    let mut prefix = [0; 16];
    prefix.copy_from_slice(&key.0[..16]);
    prefix
}

/// Whether an idempotency key that was used then is not honoured any more. One from the future is: a clock that was put
/// back must not make anything happen twice.
pub(crate) fn is_over(created: i64, now: i64) -> bool {
    let window = i64::try_from(IDEMPOTENCY_WINDOW.as_micros()).unwrap_or(i64::MAX);
    now.saturating_sub(created) >= window
}
