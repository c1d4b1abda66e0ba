//! `aegis mcp`: a proxy between an MCP client and an MCP server, which asks the daemon about every tool call. Neither
//! of the two is changed.
//!
//! It reads and writes JSON-RPC by itself instead of with the types of an MCP library. A library would drop members
//! that it does not know; but what is passed on must be what was checked, and a definition must be pinned whole.
//!
//! - `wrap`: the process: starts the server, and perhaps a daemon (`own_daemon`), and ends them.
//! - `message`, `pipe`, `link`, `upstream`: JSON-RPC, its pipes, its requests, the server's process.
//! - `route`: where each message goes. `answering`: what happens to a request. `proxy`: what both know.
//! - `govern`: the talk with the daemon. `questions`: equal calls share one.
//! - `catalogue`, `pins`: the tools, and how they were first seen. `arguments`: what two parsers read differently.
//! - `peers`, `progress`, `report`, `tell`: who talks, how far a call is, how it ended, what the model reads.

mod answering;
mod arguments;
mod catalogue;
mod govern;
mod link;
mod message;
mod own_daemon;
mod peers;
mod pins;
mod pipe;
mod progress;
mod proxy;
mod questions;
mod report;
mod route;
mod tell;
mod upstream;
mod wrap;

use clap::Subcommand;

use super::exit::Exit;
use super::failure::Failure;

/// Govern the tools of MCP servers
///
/// A proxy stands between the MCP client of an agent and an MCP server. Every tool call is proposed to the daemon
/// before the server gets it. Neither the agent nor the server is changed.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    Wrap(Box<wrap::Args>),
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.what {
        What::Wrap(args) => wrap::run(args),
    }
}
