//! What goes to stderr: errors, warnings and notes. Never the answer itself.

use std::fmt::Display;
use std::io::Write as _;

use super::paint;

/// Something went wrong.
pub(super) fn error(message: impl Display) {
    tell(format_args!("{}error:{:#} {message}", paint::BAD, paint::BAD));
}

/// Something is odd, though it goes on.
pub(super) fn warning(message: impl Display) {
    tell(format_args!("{}warning:{:#} {message}", paint::WAITING, paint::WAITING));
}

/// Something that a person wants to know and a program does not.
pub(super) fn note(message: impl Display) {
    tell(message);
}

/// A stderr that is closed has nobody behind it who could be told.
fn tell(message: impl Display) {
    let _ = writeln!(anstream::stderr(), "{message}");
}
