//! What a command can do.

/// One thing that a command would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Runs a program or a builtin.
    Run {
        /// The name, or the path of a program that is not in a directory of the system.
        name: String,
        /// The words of the command, as far as they are known.
        argv: Vec<String>,
        /// Whether every word is known: no variable, substitution or glob.
        is_exact: bool,
        /// The programs that start it, outermost first: `sudo`, `bash -c`.
        via: Vec<String>,
        /// The directories that it may run in.
        directories: Vec<String>,
    },
    /// Opens a file by a redirection.
    File {
        /// What for.
        access: Access,
        /// The path, not resolved yet.
        path: String,
        /// The directories that it may be relative to.
        directories: Vec<String>,
    },
    /// Opens a connection by a redirection: `/dev/tcp/HOST/PORT`.
    Connect(String),
    /// Sets a variable that changes what later commands run.
    Variable {
        /// The name.
        name: String,
        /// The value, as far as it is known.
        value: String,
    },
    /// Runs something that is not known before it runs.
    Unknown {
        /// The part of the command.
        text: String,
        /// Why it is not known.
        why: String,
    },
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}
