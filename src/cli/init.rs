//! `aegis init`: writes a first policy.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, Out};
use super::{files, say};
use crate::policy::{CODING_AGENT, STARTER};

const EXAMPLES: &str = "\
Examples:
  aegis init
  aegis init --for coding-agent
  aegis init -o policies/crm.yaml";

/// The name of the policy if a directory is given instead of a file.
const NAME: &str = "policy.yaml";

/// Write a policy to begin with
///
/// It allows reading, asks a reviewer about single changes and bulk operations, and blocks deleting. With `--for
/// coding-agent` it is a policy for an agent that `aegis hook` governs. An existing file is not changed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Write to this file, or to `policy.yaml` in this directory. Missing directories are created
    #[arg(short, long, value_name = "FILE", default_value = NAME)]
    output: PathBuf,

    /// Write a policy for this kind of agent
    #[arg(long = "for", value_name = "KIND", value_enum, default_value = "any")]
    kind: Kind,

    /// Print the answer in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// The kind of agent that a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Any agent
    Any,
    /// A coding agent with hooks
    CodingAgent,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let path = if args.output.is_dir() { args.output.join(NAME) } else { args.output.clone() };
    if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
        fs::create_dir_all(parent).map_err(|error| files::cannot_write(&path, &error))?;
    }
    // A check before the write would miss a file that is created in between.
    let mut file = files::create_new(&path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(format!("File already exists: {}", path.display()))
            .hint("it is not changed; name another with -o FILE"),
        _ => files::cannot_write(&path, &error),
    })?;
    let policy = match args.kind {
        Kind::Any => STARTER,
        Kind::CodingAgent => CODING_AGENT,
    };
    file.write_all(policy.as_bytes()).map_err(|error| files::cannot_write(&path, &error))?;

    let mut out = Out::stdout();
    match args.format {
        Format::Table => out.line(format_args!("Created {}", path.display()))?,
        Format::Json => out.json(&Object::default().with("created", path.display().to_string()))?,
    }
    out.flush()?;
    let file = path.display();
    let next = match args.kind {
        Kind::Any => "",
        Kind::CodingAgent => "\n  aegis hook install claude-code\n  aegis doctor",
    };
    say::note(format_args!(
        "Edit the rules to match what your agents do, then:\n  aegis validate {file}\n  aegis serve {file}{next}"
    ));
    Ok(Exit::Done)
}
