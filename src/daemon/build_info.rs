//! From what this program was built.

/// The commit, or `unknown`.
pub(crate) const COMMIT: &str = env!("BUILD_COMMIT");

/// The target, as the compiler names it: `x86_64-unknown-linux-gnu`.
pub(crate) const TARGET: &str = env!("BUILD_TARGET");
