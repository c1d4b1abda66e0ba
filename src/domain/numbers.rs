//! Which whole numbers are exact everywhere.

/// The largest whole number, up or down from 0, that every JSON reader holds exactly and tells from its neighbours:
/// 2^53 - 1, ECMAScript's `Number.MAX_SAFE_INTEGER`. Larger ones are refused wherever they come in: write them as text.
pub const MAX_WHOLE_NUMBER: u64 = (1 << 53) - 1;
