//! `aegis version`: the version of this program.

use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, Out};

/// Print the version
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
        Format::Json => out.json(&Object::default().with("version", version))?,
    }
    out.flush()?;
    Ok(Exit::Done)
}
