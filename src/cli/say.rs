//! Writes errors, warnings and notes to stderr. The answer itself goes to stdout.

use std::fmt::Display;
use std::io::Write as _;

use super::paint;

/// Says that something went wrong.
pub(super) fn error(message: impl Display) {
    tell(format_args!("{}error:{:#} {message}", paint::BAD, paint::BAD));
}

/// Says that something is odd; the command goes on.
pub(super) fn warning(message: impl Display) {
    tell(format_args!("{}warning:{:#} {message}", paint::WAITING, paint::WAITING));
}

/// Says what a person wants to know and a program does not.
pub(super) fn note(message: impl Display) {
    tell(message);
}

/// An error here is ignored: where stderr is closed, nobody is left to tell.
fn tell(message: impl Display) {
    let _ = writeln!(anstream::stderr(), "{message}");
}
