//! `aegis completions`: prints a script that completes `aegis` commands in a shell.

use clap_complete::Shell;

use super::exit::Exit;
use super::failure::Failure;
use super::out::Out;

const EXAMPLES: &str = "\
Examples:
  aegis completions bash > ~/.local/share/bash-completion/completions/aegis
  aegis completions zsh > \"${fpath[1]}/_aegis\"
  aegis completions fish > ~/.config/fish/completions/aegis.fish";

/// Print a script that completes `aegis` commands in a shell
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Write the script for this shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub(super) fn run(args: &Args, command: &mut clap::Command) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "aegis", &mut script);
    let mut out = Out::stdout();
    out.data(String::from_utf8_lossy(&script))?;
    out.flush()?;
    Ok(Exit::Done)
}
