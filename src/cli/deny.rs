//! `aegis deny`: denies a proposed action.

use super::exit::Exit;
use super::failure::Failure;
use super::vote::{self, Vote, VoteArgs};

const EXAMPLES: &str = "\
Examples:
  aegis deny apr_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e --reason \"not on a Friday\"
  aegis deny apr_0197

The agent is told the reason.";

/// Deny an action that an agent proposed
///
/// The command prints the question to stderr and answers exactly that question. The record takes your name from your
/// credential. An approval ends once: a second reviewer is told who was first, and gets exit code 1.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    vote: VoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    vote::run(Vote::Deny, &args.vote)
}
