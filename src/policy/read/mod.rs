//! From the values of one file to rules: strict, and with every mistake reported at its place.
//!
//! Nothing here stops at the first error, so that one look at the messages is enough to put a file right. What comes
//! out is only used if nothing was reported.

mod conditions;
mod document;
mod fields;
mod pattern;
mod rule;

pub(super) use document::{Document, MAX_RULES, MAX_SECRETS, document};
pub(super) use fields::Reader;
pub(super) use pattern::{MAX_PATTERN, Patterns};
pub(super) use rule::{MAX_NAME, MAX_REASON, timeout_text};

#[cfg(test)]
mod tests;
