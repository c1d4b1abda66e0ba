//! `aegis version`: the version of this program.

use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, Out};
use crate::daemon::build_info::{COMMIT, TARGET};

/// Print the version, and in JSON the commit and the target of the build
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Print the version in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let mut out = Out::stdout();
    match args.format {
        Format::Table => out.line(format_args!("aegis {version}"))?,
        Format::Json => {
            out.json(&Object::default().with("version", version).with("commit", COMMIT).with("target", TARGET))?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}
