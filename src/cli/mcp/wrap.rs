//! `aegis mcp wrap -- COMMAND`: the proxy over stdio. The client starts it in the place of the server.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinSet, LocalSet};

use super::answering::Tasks;
use super::catalogue::Catalogue;
use super::govern::Governor;
use super::link::Link;
use super::message::{Fault, INTERNAL_ERROR, Outcome};
use super::own_daemon::OwnDaemon;
use super::peers::Peers;
use super::pins::Pins;
use super::pipe::{self, Closed, Outbox};
use super::proxy::{Limits, Proxy};
use super::questions::Questions;
use super::upstream::{self, Upstream};
use crate::cli::connect::{self, Door, Remote, RemoteArgs};
use crate::cli::environment::Environment;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::memory::{self, Memory};
use crate::cli::signals::Signals;
use crate::cli::{say, times};
use crate::domain::check::{NAME_BYTES, is_refused};

/// How long open calls of a client that is gone may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// Programs that start others: their names do not name a server.
const LAUNCHERS: [&str; 18] = [
    "npx", "npm", "pnpm", "yarn", "bunx", "bun", "deno", "node", "uvx", "uv", "pipx", "python", "python3", "docker",
    "podman", "sh", "bash", "env",
];

const EXAMPLES: &str = "\
Examples:
  In the settings of an MCP client, put `aegis mcp wrap` before the command of the server:
    {\"mcpServers\": {\"files\": {\"command\": \"aegis\", \"args\": [\"mcp\", \"wrap\", \"--server\", \"files\", \"--\",
      \"npx\", \"-y\", \"@modelcontextprotocol/server-filesystem\", \"/home/me/work\"]}}}
  With a daemon that ends with the proxy:
    aegis mcp wrap --policy policy.yaml --data-dir ~/.aegis-files -- mcp-server-files
  With a daemon elsewhere:
    aegis mcp wrap --endpoint unix:/run/aegis/agent.sock -- mcp-server-git

A tool call is an action: its type is the name of the tool, its target is --server, its params are the arguments. \
Rules about `mcp/resources/read`, `mcp/prompts/get`, `mcp/sampling/createMessage` and `mcp/elicitation/create` govern \
those requests; without such a rule they pass. `mcp/tools/changed` is asked about when the server changes a tool.

If a person is asked, the call is held. At the end of --hold the model is told that the question is open, and the same \
call, made again, gets the answer.

The exit code is 0 when the client has closed stdin, and that of the server (or 1) when the server ended first.";

/// Govern one MCP server over stdio
///
/// Starts the server, and passes every message between it and the client. Tool calls are proposed first: the server
/// gets only what is allowed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Name the server in actions and rules [default: the file name of COMMAND]
    #[arg(long, value_name = "NAME", value_parser = name)]
    server: Option<String>,

    /// Name the agent in actions [default: the name that the client gives]
    #[arg(long, value_name = "ID", value_parser = name)]
    actor: Option<String>,

    /// Start a daemon with this policy, which ends with the proxy. Needs --data-dir. May be given several times: the
    /// later file wins
    #[arg(long, value_name = "FILE", requires = "data_dir", conflicts_with = "endpoint")]
    policy: Vec<PathBuf>,

    /// Hold a call for a person up to this long
    #[arg(long, value_name = "DURATION", value_parser = times::duration, default_value = "50s")]
    hold: Duration,

    /// Hold a call up to this long if the client asked for its progress
    #[arg(long, value_name = "DURATION", value_parser = times::duration, default_value = "4m")]
    hold_with_progress: Duration,

    /// Tell a client that asked for progress this often that its call is held: at most 15s
    #[arg(long, value_name = "DURATION", value_parser = progress, default_value = "15s")]
    progress_every: Duration,

    /// Give the server this long to answer a request
    #[arg(long, value_name = "DURATION", value_parser = times::duration, default_value = "30m")]
    call_timeout: Duration,

    /// Limit open requests, in each direction
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    max_calls: usize,

    /// Limit the size of one message, in either direction
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1024..=1 << 30))]
    max_message_bytes: u32,

    /// Limit the result of a tool: a larger one is replaced by a sentence that says so
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    max_result_bytes: usize,

    /// Keep the pinned tools and the open questions here [default: `$XDG_STATE_HOME/aegis-mcp`]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    #[command(flatten)]
    remote: RemoteArgs,

    /// The command of the MCP server
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

fn name(text: &str) -> Result<String, String> {
    match text.chars().find(|c| is_refused(*c)) {
        Some(character) => Err(format!("a name must not have the character U+{:04X}", u32::from(character))),
        None if text.is_empty() || text.len() > NAME_BYTES => Err(format!("a name has 1 to {NAME_BYTES} bytes")),
        None => Ok(text.to_owned()),
    }
}

fn progress(text: &str) -> Result<Duration, String> {
    let every = times::duration(text)?;
    let longest = Duration::from_secs(15);
    if every.is_zero() || every > longest {
        Err("it must be more than 0s, and at most 15s".to_owned())
    } else {
        Ok(every)
    }
}

/// The name of the server: that of its program, unless that is the name of a launcher.
fn server_name(args: &Args) -> Result<String, Failure> {
    if let Some(server) = &args.server {
        return Ok(server.clone());
    }
    let program = args.command.first().map_or(Path::new(""), Path::new);
    let stem = program.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    if LAUNCHERS.contains(&stem.as_str()) {
        return Err(Failure::usage(format!("`{stem}` starts many servers: name this one with --server NAME")));
    }
    name(&stem).map_err(|why| Failure::usage(format!("the file name of COMMAND cannot name the server: {why}")))
}

/// Runs the proxy until the client or the server ends.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let server = server_name(args)?;
    let state = match (&args.state_dir, memory::state_dir(&Environment::of_process())) {
        (Some(dir), _) => dir.clone(),
        (None, Some(state)) => state.join("aegis-mcp"),
        (None, None) => {
            return Err(Failure::usage("there is no home directory to keep pinned tools in")
                .hint("name a directory with --state-dir"));
        }
    };
    let pins = Pins::open(&state, &server)?;
    let questions = Questions::new(Memory::at(state.join("questions")))?;
    connect::block_on(async {
        let (daemon, remote) = match args.remote.data_dir.as_deref().filter(|_| !args.policy.is_empty()) {
            Some(data_dir) => {
                OwnDaemon::start(&args.policy, data_dir).await.map(|(own, remote)| (Some(own), remote))?
            }
            None => (None, Remote::open(Door::Agent, &args.remote).await?),
        };
        let ended = LocalSet::new().run_until(between(args, server, pins, questions, remote)).await;
        if let Some(daemon) = daemon {
            daemon.end().await;
        }
        ended
    })?
}

/// Why the proxy ends.
enum End {
    /// The client has closed its pipe, or somebody wants the proxy to end.
    Client,
    Server,
    Fault(String),
}

async fn between(
    args: &Args,
    server: String,
    pins: Pins,
    questions: Questions,
    remote: Remote,
) -> Result<Exit, Failure> {
    let mut signals = Signals::catch().map_err(|error| Failure::new(format!("cannot catch signals: {error}")))?;
    let (mut upstream, from_server, to_server) = Upstream::start(&args.command)?;
    let waiting_bytes = args.max_message_bytes.saturating_mul(2);
    let line_bytes = args.max_message_bytes as usize;
    let mut server_lines = pipe::read(from_server, line_bytes);
    let mut client_lines = pipe::read(std::io::stdin(), line_bytes);
    let to_server = Rc::new(Link::new(Outbox::new(to_server, waiting_bytes)));
    let client = Rc::new(Link::new(Outbox::new(std::io::stdout(), waiting_bytes)));
    let proxy = Rc::new(Proxy {
        governor: Governor {
            remote,
            server,
            actor: RefCell::new(args.actor.clone().unwrap_or_else(|| Peers::default().actor())),
            questions,
            client: Rc::clone(&client),
            can_confirm: Cell::new(false),
            progress_every: args.progress_every,
        },
        catalogue: Catalogue::new(Rc::clone(&to_server), pins),
        client: Rc::clone(&client),
        server: Rc::clone(&to_server),
        peers: Peers::default(),
        limits: Limits {
            hold: args.hold,
            hold_with_progress: args.hold_with_progress,
            call_timeout: args.call_timeout,
            calls: args.max_calls,
            result_bytes: args.max_result_bytes,
        },
        has_actor: args.actor.is_some(),
        of_client: RefCell::default(),
        of_server: RefCell::default(),
    });
    let mut tasks: Tasks = JoinSet::new();
    // A pipe is closed: whose?
    let closed = || if client.is_closed() { End::Client } else { End::Server };
    let end = loop {
        tokio::select! {
            line = client_lines.recv() => match line {
                Some(line) => if proxy.from_client(line, &mut tasks).await.is_err() { break closed() },
                None => break End::Client,
            },
            line = server_lines.recv() => match line {
                Some(line) => if proxy.from_server(line, &mut tasks).await.is_err() { break closed() },
                None => break End::Server,
            },
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => match ended {
                Ok(Ok(())) => {}
                Ok(Err(Closed)) => break closed(),
                Err(error) => break End::Fault(format!("a call failed inside the proxy: {error}")),
            },
            _ = signals.next() => break End::Client,
        }
    };
    // Nothing more runs. What the server has got already may be answered.
    proxy.client_is_gone();
    to_server.close().await;
    if !matches!(end, End::Client) {
        let fault = Fault::new(INTERNAL_ERROR, "the server has ended before it answered");
        to_server.answer_all(&Outcome::fault(&fault));
    }
    let settle = async {
        loop {
            tokio::select! {
                line = server_lines.recv() => match line {
                    Some(line) => drop(proxy.from_server(line, &mut tasks).await),
                    None => break,
                },
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            }
        }
        to_server.answer_all(&Outcome::fault(&Fault::new(INTERNAL_ERROR, "the server has ended before it answered")));
        while tasks.join_next().await.is_some() {}
    };
    if tokio::time::timeout(GRACE, settle).await.is_err() {
        say::warning("open calls did not end in time");
    }
    client.close().await;
    let exit = match end {
        End::Client => Ok(Exit::Done),
        End::Server => {
            say::error("the server has ended");
            Ok(upstream::exit(upstream.ended().await))
        }
        End::Fault(why) => Err(Failure::new(why)),
    };
    upstream.end().await;
    exit
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &[&str]) -> Result<Args, clap::Error> {
        Line::try_parse_from([&["wrap"], line].concat()).map(|line| line.args)
    }

    #[test]
    fn a_server_is_named_by_its_program_and_a_launcher_names_none() {
        let named = |line: &[&str]| server_name(&args(line).unwrap());
        assert_eq!(named(&["--", "/opt/mcp-server-git", "x"]).unwrap(), "mcp-server-git");
        assert_eq!(named(&["--server", "git", "--", "npx", "y"]).unwrap(), "git");
        let failure = named(&["--", "npx", "y"]).unwrap_err().to_string();
        assert!(failure.contains("--server"), "{failure}");
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for line in [
            &["--policy", "p", "--", "x"][..],
            &["--policy", "p", "--data-dir", "d", "--endpoint", "e", "--", "x"],
            &["--progress-every", "16s", "--", "x"],
            &["--progress-every", "0s", "--", "x"],
            &["--server", "", "--", "x"],
            &["--server", "a\u{202e}b", "--", "x"],
            &["--max-message-bytes", "1", "--", "x"],
            &[],
        ] {
            assert!(args(line).is_err(), "{line:?}");
        }
        assert!(args(&["--policy", "p", "--data-dir", "d", "--", "x"]).is_ok());
    }
}
