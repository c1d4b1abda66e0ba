//! `aegis review`: watch what waits, and answer it, in one place.
//!
//! On a terminal a live screen; without one, lines on stdout and commands on stdin. Both are fed by [`feed`], which
//! keeps the stream of approvals open, and see the same [`board`]. The board, and what a key means ([`desk`]), are
//! plain state, and [`draw`] makes a picture of it: only [`screen`] and [`lines`] touch a terminal or a pipe, and only
//! [`calls`] and [`tail`] ask the daemon.

mod board;
mod calls;
mod desk;
mod draw;
mod feed;
mod help;
mod lines;
mod screen;
mod tail;

use std::io::IsTerminal as _;

use super::connect::{self, Door, Remote, RemoteArgs};
use super::exit::Exit;
use super::failure::Failure;
use super::pending::FilterArgs;
use super::times::ZoneArgs;

const EXAMPLES: &str = "\
Examples:
  aegis review
  aegis review --min-risk high
  Without a terminal, commands come from stdin; numbers are those of the list:
    printf 'a 1 looks fine\\nd 2 not on a Friday\\n' | aegis review

Keys:
";

const NOTES: &str = "
The most urgent question comes first: the highest risk, then the least time left. The cursor moves by keys and the \
mouse alone. A question that ends stays in place as ended until the cursor leaves it.

Commands without a terminal: `a ID-or-number [reason]`, `d ID-or-number [reason]`, `r`, `q`. The exit code is 1 if \
an answer was refused.";

fn after_help() -> String {
    format!("{EXAMPLES}{}{NOTES}", help::text())
}

/// Watch pending approvals and answer them
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = after_help())]
pub(super) struct Args {
    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    zone: ZoneArgs,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    connect::block_on(async {
        let remote = Remote::open(Door::Person, &args.remote).await?;
        let feed = feed::open(&remote, args.filter.message()).await?;
        let zone = args.zone.shown(std::io::stdout().is_terminal());
        if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
            screen::run(&remote, feed, zone).await
        } else {
            lines::run(&remote, feed, zone).await
        }
    })?
}
