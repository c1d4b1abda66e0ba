//! Writes errors, warnings and notes to stderr. The answer itself goes to stdout.

use std::fmt::Display;
use std::io::Write as _;

use super::paint;

/// Prints an error.
pub(super) fn error(message: impl Display) {
    tell(format_args!("{}error:{:#} {message}", paint::BAD, paint::BAD));
}

/// Prints a warning. The command continues.
pub(super) fn warning(message: impl Display) {
    tell(format_args!("{}warning:{:#} {message}", paint::WAITING, paint::WAITING));
}

/// Prints a note for people, which a program does not need.
pub(super) fn note(message: impl Display) {
    tell(message);
}

/// Ignores errors: if stderr is closed, nobody is left to tell.
fn tell(message: impl Display) {
    let _ = writeln!(anstream::stderr(), "{message}");
}
