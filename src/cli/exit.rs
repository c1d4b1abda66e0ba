//! The exit codes of commands.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done; `propose`: ALLOW |
//! | 1 | the request failed or was refused; the policy is not valid; `healthcheck`: it does not serve; `doctor`: open |
//! | 2 | bad usage: the command line is wrong; `hook`: a fault, which every host reads as a denial |
//! | 3 | DENY; `--fail-on`: such an answer; `approve`: denied now; `test`, `lint`, `audit verify`: something is wrong |
//! | 4 | a person still has to answer: a reviewer, or the agent's own user |
//! | 128 + N | signal N interrupted `propose` while it waited |
//!
//! `propose … -- COMMAND` ends with the code of the command once it has run: 126 if it cannot be started, 127 if it is
//! not found, 128 + N if signal N ended it. Code 2 never means something that a daemon said.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; `propose`: ALLOW.
    Done,
    /// The request failed or was refused.
    Failed,
    /// The command line is wrong.
    Usage,
    /// DENY, what `--fail-on` watches for, a test that fails, a finding, or evidence that is wrong.
    Denied,
    /// A person still has to answer.
    Unanswered,
    /// The code of the command after `--`, or the code for a command that could not be started.
    Command(u8),
}

impl Exit {
    /// The part of `aegis --help` about exit codes.
    pub(super) const HELP: &str = "\
Exit codes:
  0  done (propose: ALLOW)
  1  the request failed or was refused; the policy is not valid; doctor: something is open
  2  bad usage; hook: a fault, which the agent reads as a denial
  3  DENY, or what --fail-on watches for; test: a test fails; lint: a finding; audit verify: the evidence is wrong
  4  a person still has to answer
  `propose … -- COMMAND` ends with the command's own code once it has run.";

    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Denied => 3,
            Self::Unanswered => 4,
            Self::Command(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
