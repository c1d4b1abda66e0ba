//! The range of whole numbers that every JSON reader represents exactly.

/// The largest absolute value of a whole number that every JSON reader represents exactly: 2^53 - 1, ECMAScript's
/// `Number.MAX_SAFE_INTEGER`. Larger numbers are refused: send them as text.
pub const MAX_WHOLE_NUMBER: u64 = (1 << 53) - 1;
