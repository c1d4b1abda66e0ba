//! `aegis approve`: say yes to what an agent asks.

use super::answer::{self, AnswerArgs, Verdict};
use super::exit::Exit;
use super::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  aegis approve apr_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e --reason \"checked with sales\"

The policy in force is asked once more: if it blocks the action by now, the approval ends denied and the exit code is 3.";

/// Say yes to what an agent asks
///
/// Shows the question on stderr, then answers exactly that. Who answers is known from the credential, never from the
/// command line. An approval ends once: whoever comes second is told who was first, with exit code 1.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    answer: AnswerArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    answer::run(Verdict::Approve, &args.answer)
}
