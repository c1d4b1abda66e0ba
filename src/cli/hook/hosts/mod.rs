//! The coding agents that have hooks: how each one's input reads, how it wants its answer, and what it does if the hook
//! fails. One file each.

mod claude_code;
mod codex;
mod copilot;
mod cursor;
mod gemini;
mod host;
mod opencode;

pub(in crate::cli) use self::host::Host;

/// All of them.
pub(in crate::cli) const HOSTS: [&Host; 6] =
    [&claude_code::HOST, &codex::HOST, &cursor::HOST, &gemini::HOST, &copilot::HOST, &opencode::HOST];

/// The host of this name.
pub(in crate::cli) fn host(name: &str) -> Option<&'static Host> {
    HOSTS.into_iter().find(|host| host.name == name)
}
