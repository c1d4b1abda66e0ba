//! `aegis version`: which aegis this is.

use super::exit::Exit;
use super::failure::Failure;
use super::out::Out;

/// Show the version
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {}

/// Runs the command.
pub(super) fn run(_: &Args) -> Result<Exit, Failure> {
    let mut out = Out::stdout();
    out.line(concat!("aegis ", env!("CARGO_PKG_VERSION")))?;
    out.flush()?;
    Ok(Exit::Done)
}
