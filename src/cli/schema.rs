//! `aegis schema`: prints the JSON Schema of policies.

use super::exit::Exit;
use super::failure::Failure;
use super::out::Out;
use crate::policy::schema;

const EXAMPLES: &str = "\
Examples:
  aegis schema > policy.schema.json
  At the top of a policy, for editors with the YAML language server:
    # yaml-language-server: $schema=policy.schema.json";

/// Print the JSON Schema of policies, for editors
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {}

/// Runs the command.
pub(super) fn run(_: &Args) -> Result<Exit, Failure> {
    let mut out = Out::stdout();
    out.json(&schema())?;
    out.flush()?;
    Ok(Exit::Done)
}
