//! `aegis init`: a policy to begin with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use super::exit::Exit;
use super::failure::Failure;
use super::out::Out;
use super::say;
use crate::policy::STARTER;

const EXAMPLES: &str = "\
Examples:
  aegis init
  aegis init -o policies/crm.yaml";

/// Write a policy to begin with
///
/// Reading is allowed, single changes and bulk operations need a reviewer, deleting is blocked. An existing file is left
/// alone.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Where to
    #[arg(short, long, value_name = "FILE", default_value = "policy.yaml")]
    output: PathBuf,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let path = &args.output;
    // Looking first and writing then would overwrite what came between.
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(format!("File already exists: {}", path.display()))
            .hint("it is left as it is; name another with -o FILE"),
        _ => Failure::file("write", path, &error),
    })?;
    file.write_all(STARTER.as_bytes()).map_err(|error| Failure::file("write", path, &error))?;

    let mut out = Out::stdout();
    out.line(format_args!("Created {}", path.display()))?;
    out.flush()?;
    let file = path.display();
    say::note(format_args!(
        "Edit the rules to match what your agents do, then:\n  aegis validate {file}\n  aegis serve {file}"
    ));
    Ok(Exit::Done)
}
