//! The command line: one file per command, thin. Each reads its arguments, asks the policy or a daemon, and prints.
//!
//! Stdout is the answer, stderr is everything else. Text of an agent is made visible before a terminal gets it.
//! Commands share `exit` (exit codes), `environment` (variables), `failure` and `status` (errors as sentences),
//! `connect` and `data_dir` (finding the daemon), `out`, `files`, `table`, `safe_json`, `blanks` and `paint`
//! (printing), `memory` (files of the agent's user), `wire` and `words` (the API's messages as JSON and as words).

mod action_args;
mod approval;
mod blanks;
mod connect;
mod data_dir;
mod environment;
mod exit;
mod explain;
mod fail_on;
mod failure;
mod files;
mod masks;
mod memory;
mod object;
mod out;
mod paint;
mod proposing;
mod safe_json;
mod say;
mod signals;
mod status;
mod table;
mod times;
mod vote;
mod wire;
mod words;

mod approve;
mod audit;
mod backup;
mod compact;
mod completions;
mod console;
mod deny;
mod doctor;
mod evaluate;
mod halt;
mod healthcheck;
mod hook;
mod init;
mod limits;
mod lint;
mod mcp;
#[cfg(test)]
mod newer;
mod pending;
mod policy;
mod policy_files;
mod propose;
mod restore;
mod review;
mod schema;
mod serve;
mod simulate;
mod stats;
mod test;
mod token;
mod validate;
mod version;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use exit::Exit;
pub use failure::Failure;

const ABOUT: &str = "`sudo` for AI agents: a policy decides, people approve, everything is on the record";

const START: &str = "\
Start here:
  aegis init                       write a policy to begin with
  aegis serve policy.yaml          run the daemon beside an agent
  aegis propose bulk_update crm --params '{\"count\": 150}' --wait 60s
  aegis review                     answer what agents ask, in another terminal
  aegis audit                      see what happened
  aegis hook install claude-code   govern a coding agent by its hooks
  aegis mcp wrap -- SERVER         govern the tools of an MCP server

";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "aegis", version, about = ABOUT, after_help = after_help(), max_term_width = 100)]
pub struct Cli {
    /// Print without colours; `NO_COLOR` does the same
    #[arg(long, global = true, display_order = 1000)]
    no_color: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Validate(validate::Args),
    Lint(lint::Args),
    Schema(schema::Args),
    Simulate(Box<simulate::Args>),
    Test(test::Args),
    Serve(Box<serve::ServeArgs>),
    Propose(Box<propose::Args>),
    Evaluate(Box<evaluate::Args>),
    Pending(pending::Args),
    Approve(approve::Args),
    Deny(deny::Args),
    Review(review::Args),
    Console(console::Args),
    Audit(Box<audit::Args>),
    Stats(stats::Args),
    Policy(policy::Args),
    Token(token::Args),
    Limits(limits::Args),
    Halt(halt::Args),
    Resume(halt::ResumeArgs),
    Backup(backup::Args),
    Restore(restore::Args),
    Compact(compact::Args),
    Hook(Box<hook::Args>),
    Mcp(Box<mcp::Args>),
    Doctor(Box<doctor::Args>),
    Healthcheck(healthcheck::Args),
    Version(version::Args),
    Completions(completions::Args),
}

/// The text below the list of commands.
fn after_help() -> String {
    format!("{START}{}\n\n{}", Exit::HELP, environment::HELP)
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> Result<Exit, Failure> {
        if self.no_color {
            anstream::ColorChoice::Never.write_global();
        }
        match self.command.as_ref() {
            None => help(),
            Some(Command::Init(args)) => init::run(args),
            Some(Command::Validate(args)) => validate::run(args),
            Some(Command::Lint(args)) => lint::run(args),
            Some(Command::Schema(args)) => schema::run(args),
            Some(Command::Simulate(args)) => simulate::run(args),
            Some(Command::Test(args)) => test::run(args),
            Some(Command::Serve(args)) => serve::run(args),
            Some(Command::Propose(args)) => propose::run(args),
            Some(Command::Evaluate(args)) => evaluate::run(args),
            Some(Command::Pending(args)) => pending::run(args),
            Some(Command::Approve(args)) => approve::run(args),
            Some(Command::Deny(args)) => deny::run(args),
            Some(Command::Review(args)) => review::run(args),
            Some(Command::Console(args)) => console::run(args),
            Some(Command::Audit(args)) => audit::run(args),
            Some(Command::Stats(args)) => stats::run(args),
            Some(Command::Policy(args)) => policy::run(args),
            Some(Command::Token(args)) => token::run(args),
            Some(Command::Limits(args)) => limits::run(args),
            Some(Command::Halt(args)) => halt::run(args),
            Some(Command::Resume(args)) => halt::resume(args),
            Some(Command::Backup(args)) => backup::run(args),
            Some(Command::Restore(args)) => restore::run(args),
            Some(Command::Compact(args)) => compact::run(args),
            Some(Command::Hook(args)) => hook::run(args),
            Some(Command::Mcp(args)) => mcp::run(args),
            Some(Command::Doctor(args)) => doctor::run(args),
            Some(Command::Healthcheck(args)) => healthcheck::run(args),
            Some(Command::Version(args)) => version::run(args),
            Some(Command::Completions(args)) => completions::run(args, &mut Self::command()),
        }
    }
}

/// `aegis` alone prints its help.
fn help() -> Result<Exit, Failure> {
    let mut out = out::Out::stdout();
    out.text(Cli::command().render_help().ansi())?;
    out.flush()?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_answers_in_json_if_asked() {
        fn check(command: &clap::Command, others: &[&str]) {
            let is_leaf = !command.has_subcommands();
            let has_format = command.get_arguments().any(|argument| {
                let formats = argument.get_possible_values();
                argument.get_id() == "format" && formats.iter().any(|format| format.matches("json", false))
            });
            let name = command.get_name();
            assert!(!is_leaf || has_format || others.contains(&name), "`{name}` has no --format json");
            command.get_subcommands().for_each(|command| check(command, others));
        }
        // A service, a proxy, a screen, a schema, a script, and hooks, which answer in the form of their agent.
        let others = ["serve", "wrap", "review", "schema", "completions"];
        let hooks = ["claude-code", "codex", "cursor", "gemini", "copilot", "opencode"];
        check(&Cli::command(), &[&others[..], &hooks].concat());
    }

    #[test]
    fn every_command_says_what_it_does() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "`{}` has no description", command.get_name());
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                let described = argument.get_help().is_some();
                assert!(described, "`{}` of `{}` is not described", argument.get_id(), command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
