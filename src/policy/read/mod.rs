//! Reads the values of one file into rules: strictly, and with every mistake reported at its place.
//!
//! Reading does not stop at the first error, so one look at the messages is enough to correct a file. The result is
//! used only if nothing was reported.

mod conditions;
mod document;
mod fields;
mod limit;
mod pattern;
mod rule;
mod sets;
mod shape;

pub(super) use document::{Document, MAX_RULES, MAX_SECRETS, document};
pub(super) use fields::Reader;
pub(super) use limit::MAX_LIMITS;
pub(super) use pattern::{MAX_PATTERN, Patterns};
pub(super) use rule::{MAX_NAME, MAX_REASON, timeout_text};
pub(super) use sets::{MAX_SET_NAME, sets};

#[cfg(test)]
mod tests;
