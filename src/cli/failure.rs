//! Why a command failed: a sentence for people, and its exit code.

use std::fmt;
use std::io;
use std::path::Path;

use super::exit::Exit;

/// Why a command failed.
#[derive(Clone, Debug)]
pub struct Failure {
    message: String,
    hints: Vec<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Said(Exit),
    /// The reader of the output has closed it (`| head`). That is no error, and nobody is left to tell.
    BrokenPipe,
}

impl Failure {
    /// The request failed or was refused.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), kind: Kind::Said(Exit::Failed) }
    }

    /// The command line is wrong.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Said(Exit::Usage), ..Self::new(message) }
    }

    /// A file cannot be used: `doing` is "read" or "write".
    pub(super) fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::new(format!("cannot {doing} {}: {}", path.display(), because(error)))
    }

    /// The answer cannot be written.
    pub(super) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { message: String::new(), hints: Vec::new(), kind: Kind::BrokenPipe },
            _ => Self::new(format!("cannot write the output: {}", because(error))),
        }
    }

    /// Adds a line of advice.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The exit code.
    pub const fn exit(&self) -> Exit {
        match self.kind {
            Kind::Said(exit) => exit,
            Kind::BrokenPipe => Exit::Done,
        }
    }

    /// Prints it to stderr.
    pub fn report(&self) {
        if self.kind != Kind::BrokenPipe {
            super::say::error(self);
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for hint in &self.hints {
            write!(f, "\n  {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// The system's message without its number: `Connection refused`, not `Connection refused (os error 111)`.
pub(super) fn because(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_error() {
        let failure = Failure::output(&io::ErrorKind::BrokenPipe.into());
        assert_eq!(failure.exit(), Exit::Done);
        assert_eq!(Failure::output(&io::ErrorKind::StorageFull.into()).exit(), Exit::Failed);
    }

    #[test]
    fn hints_follow_the_sentence() {
        let failure = Failure::usage("no").hint("do this");
        assert_eq!((failure.to_string().as_str(), failure.exit()), ("no\n  do this", Exit::Usage));
    }
}
