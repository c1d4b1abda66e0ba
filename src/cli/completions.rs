//! `aegis completions`: what a shell needs to complete `aegis …`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use super::exit::Exit;
use super::failure::Failure;
use super::out::Out;

const EXAMPLES: &str = "\
Examples:
  aegis completions bash > ~/.local/share/bash-completion/completions/aegis
  aegis completions zsh > \"${fpath[1]}/_aegis\"
  aegis completions fish > ~/.config/fish/completions/aegis.fish";

/// Print what a shell needs to complete `aegis` commands
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "aegis", &mut script);
    let mut out = Out::stdout();
    out.text(String::from_utf8_lossy(&script))?;
    out.flush()?;
    Ok(Exit::Done)
}
