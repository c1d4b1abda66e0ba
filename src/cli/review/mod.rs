//! `aegis review`: watch what waits, and answer it, in one place.
//!
//! On a terminal a live list; without one, lines on stdout and commands on stdin. Both are fed by [`feed`], which keeps
//! the stream of approvals open, and see the same [`board`]. The board, and what a key means ([`desk`]), are plain
//! state: only [`screen`] and [`lines`] touch a terminal or a pipe.

mod board;
mod desk;
mod feed;
mod lines;
mod picture;
mod screen;

use std::io::IsTerminal as _;

use super::connect::{self, Door, Remote, RemoteArgs};
use super::exit::Exit;
use super::failure::Failure;
use super::pending::FilterArgs;

const EXAMPLES: &str = "\
Examples:
  aegis review
  aegis review --min-risk high
  Without a terminal, commands come from stdin; numbers are those of the list:
    printf 'a 1 looks fine\\nd 2 not on a Friday\\n' | aegis review

Keys:
  up, down, j, k, PageUp, PageDown, Home, End   move, or scroll what is open
  Enter     open everything about the question, and close it
  a, d      approve or deny it; both ask for a reason. Enter sends, Esc goes back
  r         load the list again
  q, Esc    close, quit

The cursor moves by keys alone. A question that ends stays in place as ended until the cursor leaves it.

Commands without a terminal: `a ID-or-number [reason]`, `d ID-or-number [reason]`, `r`, `q`. The exit code is 1 if \
an answer was refused.";

/// Watch pending approvals and answer them
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    connect::block_on(async {
        let remote = Remote::open(Door::Person, &args.remote).await?;
        let feed = feed::open(&remote, args.filter.message()).await?;
        if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
            screen::run(&remote, feed).await
        } else {
            lines::run(&remote, feed).await
        }
    })?
}
