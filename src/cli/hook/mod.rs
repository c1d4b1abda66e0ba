//! `aegis hook`: the hook of a coding agent. It reads what the agent is about to do, asks the daemon, and answers in
//! the agent's own form.
//!
//! Hosts run the tool if a hook fails in most ways. So everything that goes wrong here (no daemon, input that is no
//! JSON, a panic, a deadline) ends with code 2 and a sentence on stderr, which every host reads as a denial. The work
//! is done by a thread of its own; the main thread waits for it until the deadline and has the last word.
//!
//! - `hosts`: each agent's form. `tools`, `commands`, `patch`, `place`: what a call does, as actions.
//! - `shell`: what a shell command does. `ask`: the talk with the daemon. `kept`: what the next hook must know.
//! - `install`: the agents' settings.

mod action;
mod ask;
mod call;
mod commands;
mod fields;
mod hosts;
mod install;
mod kept;
mod patch;
mod place;
mod shell;
mod tools;

use std::io::Read as _;
use std::io::Write as _;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Subcommand;

use self::ask::Asked;
use self::call::{Answer, Moment, Reply};
use super::connect::{self, Door, Remote, RemoteArgs};
use super::environment::Environment;
use super::exit::Exit;
use super::failure::Failure;
use super::memory::Memory;
use super::times;

pub(super) use self::action::Action;
pub(super) use self::ask::evaluate;
pub(super) use self::hosts::{HOSTS, Host, host};
pub(super) use self::install::{Scope, settings_of};
pub(super) use self::place::real;

/// The largest input that is read. A tool that writes a file has the file in its input.
const MAX_INPUT: u64 = 16 << 20;
/// The stack of the thread that reads commands. Memory is used only as far as a command nests.
const STACK: usize = 512 << 20;
/// How long before its deadline the hook stops waiting for reviewers: time for the last calls to the daemon, at most a
/// quarter of the deadline.
const RESERVE: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  Govern every tool call of Claude Code, for all projects of this user:
    aegis hook install claude-code
  Only in this project, and with a daemon elsewhere:
    aegis hook install gemini --project --endpoint unix:/run/aegis/agent.sock
  See what a hook answers:
    echo '{\"hook_event_name\":\"PreToolUse\",\"tool_name\":\"Bash\",\"tool_input\":{\"command\":\"git push\"},\
\"cwd\":\"/tmp\",\"session_id\":\"s\"}' | aegis hook claude-code
  Try what happens if a hook fails:
    aegis doctor";

/// Govern a coding agent by its hooks
///
/// `install` adds the hook to the agent's settings. The agent then runs `aegis hook NAME` before each tool call, with
/// the call as JSON on stdin. A shell command is split into every command that it would run.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Answer a hook of Claude Code
    ClaudeCode(RunArgs),
    /// Answer a hook of Codex
    Codex(RunArgs),
    /// Answer a hook of Cursor
    Cursor(RunArgs),
    /// Answer a hook of Gemini CLI
    Gemini(RunArgs),
    /// Answer a hook of Copilot CLI
    Copilot(RunArgs),
    /// Answer the plugin of opencode
    Opencode(RunArgs),
    /// Add the hook to an agent's settings
    Install(install::Args),
    /// Remove the hook from an agent's settings
    Uninstall(install::Args),
}

/// How to answer.
#[derive(Clone, Debug, clap::Args)]
struct RunArgs {
    /// Answer after this long at the latest: it must be less than the agent's own timeout for hooks
    /// [default: 5m; 45s for gemini, 20s for cursor and copilot]
    #[arg(long, value_name = "DURATION", value_parser = times::duration)]
    deadline: Option<Duration>,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// The actions of a shell command in this directory.
pub(super) fn shell_actions(command: &str, cwd: &str, home: &str) -> Vec<Action> {
    commands::actions(command, cwd, Some(home))
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let (name, args) = match &args.what {
        What::ClaudeCode(args) => ("claude-code", args),
        What::Codex(args) => ("codex", args),
        What::Cursor(args) => ("cursor", args),
        What::Gemini(args) => ("gemini", args),
        What::Copilot(args) => ("copilot", args),
        What::Opencode(args) => ("opencode", args),
        What::Install(args) => return install::install(args),
        What::Uninstall(args) => return install::uninstall(args),
    };
    let host = host(name).ok_or_else(|| Failure::new(format!("there is no host `{name}`")))?;
    Ok(say(&reply(host, args)))
}

/// The reply, whatever happens.
fn reply(host: &'static Host, args: &RunArgs) -> Reply {
    let patience = args.deadline.unwrap_or(host.deadline);
    let deadline = Instant::now() + patience.saturating_sub(RESERVE.min(patience / 4));
    let (sender, answered) = mpsc::channel();
    let args = args.clone();
    let work = move || {
        let reply = work(host, &args, deadline).unwrap_or_else(|why| Reply::fault(&why));
        // The main thread may have given up.
        let _ = sender.send(reply);
    };
    if let Err(error) = std::thread::Builder::new().stack_size(STACK).spawn(work) {
        return Reply::fault(&format!("the hook cannot start: {error}"));
    }
    answered.recv_timeout(patience).unwrap_or_else(|error| match error {
        mpsc::RecvTimeoutError::Timeout => Reply::fault(&format!("there was no answer within {patience:?}")),
        mpsc::RecvTimeoutError::Disconnected => Reply::fault("the hook failed"),
    })
}

fn work(host: &'static Host, args: &RunArgs, deadline: Instant) -> Result<Reply, String> {
    let mut input = String::new();
    let read = std::io::stdin().take(MAX_INPUT + 1).read_to_string(&mut input);
    read.map_err(|error| format!("stdin cannot be read: {error}"))?;
    if input.len() as u64 > MAX_INPUT {
        return Err(format!("the input is longer than {MAX_INPUT} bytes"));
    }
    let call = (host.read)(&ask::parse(&input)?)?;
    if call.moment == Moment::Other {
        return Ok((host.answer)(&call, &Answer::Nothing));
    }
    let environment = Environment::of_process();
    let memory = Memory::of(&environment, "aegis-hooks");
    let home = environment.variable("HOME").map(|home| home.to_string_lossy().into_owned());
    let asked = async {
        let remote = Remote::open(Door::Agent, &args.remote).await?;
        let asked = Asked { remote, host, call: &call, memory: memory.as_ref(), deadline };
        if call.moment != Moment::Before {
            asked.report().await?;
            return Ok(Answer::Nothing);
        }
        asked.decide(call.actions(home.as_deref()).map_err(Failure::new)?).await
    };
    match connect::block_on(asked).and_then(|answer| answer) {
        Ok(answer) => Ok((host.answer)(&call, &answer)),
        // The tool has run. Its result is missing on the record, which says `unknown` then.
        Err(failure) if call.moment != Moment::Before => {
            super::say::warning(format_args!("the result is not reported: {failure}"));
            Ok((host.answer)(&call, &Answer::Nothing))
        }
        Err(failure) => Err(failure.to_string()),
    }
}

/// Prints the reply. A host that cannot be told is told by the exit code.
fn say(reply: &Reply) -> Exit {
    let mut stdout = std::io::stdout().lock();
    let told = stdout.write_all(reply.stdout.as_bytes()).and_then(|()| stdout.flush());
    if !reply.stderr.is_empty() {
        super::say::note(&reply.stderr);
    }
    Exit::Command(if told.is_err() { 2 } else { reply.code })
}
