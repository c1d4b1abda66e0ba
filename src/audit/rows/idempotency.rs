//! Idempotency keys: their stored form and how long they are valid.

use crate::domain::Digest;

/// How long an idempotency key is valid.
pub const IDEMPOTENCY_WINDOW: std::time::Duration = std::time::Duration::from_hours(24);

/// The part of a hash that is the key of the `idempotency` table.
pub(crate) fn key_prefix(key: Digest) -> [u8; 16] {
    let mut prefix = [0; 16];
    prefix.copy_from_slice(&key.0[..16]);
    prefix
}

/// Whether an idempotency key that was used at this time has expired. A time in the future has not: after the clock was
/// set back, no action may run twice.
pub(crate) fn is_over(created: i64, now: i64) -> bool {
    let window = i64::try_from(IDEMPOTENCY_WINDOW.as_micros()).unwrap_or(i64::MAX);
    now.saturating_sub(created) >= window
}
