//! `aegis hook install` and `uninstall`: edit an agent's settings, and nothing else in them.

mod plugin;
mod settings;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::settings::{Edit, Style};
use super::hosts::{Host, host};
use crate::cli::connect::RemoteArgs;
use crate::cli::environment::Environment;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::object::Object;
use crate::cli::out::{Format, Out};
use crate::cli::{files, say, times};

/// How much later than the hook's own deadline the host's timeout comes.
const MARGIN: Duration = Duration::from_mins(1);

const EXAMPLES: &str = "\
Examples:
  aegis hook install claude-code
  aegis hook install codex --project --deadline 2m
  aegis hook install gemini --settings ./settings.json
  aegis hook uninstall claude-code

The same command again changes nothing. Everything else in the file stays as it is, comments included.";

/// Which settings to edit.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The agent
    #[arg(value_name = "AGENT", value_parser = ["claude-code", "codex", "cursor", "gemini", "copilot", "opencode"])]
    agent: String,

    /// Edit the settings of the project in the working directory
    #[arg(long, conflicts_with = "user")]
    project: bool,

    /// Edit the settings of this user, which is the default
    #[arg(long)]
    user: bool,

    /// Edit this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["project", "user"])]
    settings: Option<PathBuf>,

    /// Let the hook wait this long for a reviewer. The agent's own timeout is set one minute later
    #[arg(long, value_name = "DURATION", value_parser = times::duration, default_value = "5m")]
    deadline: Duration,

    /// Print the answer in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Whose settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Scope {
    User,
    Project,
}

/// The file with an agent's hooks, below the home directory or the project.
pub(in crate::cli) fn settings_of(agent: &str, scope: Scope) -> &'static str {
    match (agent, scope) {
        ("codex", _) => ".codex/hooks.json",
        ("cursor", _) => ".cursor/hooks.json",
        ("gemini", _) => ".gemini/settings.json",
        ("copilot", Scope::User) => ".copilot/hooks/aegis.json",
        ("copilot", Scope::Project) => ".github/hooks/aegis.json",
        ("opencode", Scope::User) => ".config/opencode/plugins/aegis.js",
        ("opencode", Scope::Project) => ".opencode/plugins/aegis.js",
        _ => ".claude/settings.json",
    }
}

/// Adds the hook.
pub(super) fn install(args: &Args) -> Result<Exit, Failure> {
    let (host, path) = find(args)?;
    let before = read(&path)?;
    let seconds = (args.deadline + MARGIN).as_secs();
    let after = if host.name == "opencode" {
        Some(plugin::text(&words(host, args)?, seconds))
    } else {
        settings::install(before.as_deref().unwrap_or_default(), &edit(host, args, seconds)?)
            .map_err(|why| wrong(&path, &why))?
    };
    let changed = after.filter(|after| before.as_ref() != Some(after));
    if let Some(after) = &changed {
        write(&path, after)?;
    }
    let mut out = Out::stdout();
    match (args.format, &changed) {
        (Format::Json, changed) => out.json(&outcome(host, &path, changed.is_some()))?,
        (Format::Table, Some(_)) => {
            out.line(format_args!("Installed the hook of {} in {}", host.name, path.display()))?;
        }
        (Format::Table, None) => {
            out.line(format_args!("Already installed: the hook of {} in {}", host.name, path.display()))?;
        }
    }
    out.flush()?;
    say::note(format_args!(
        "It runs before and after every tool call, and waits up to {}s for a reviewer.\n{}Try it: aegis doctor {}",
        args.deadline.as_secs(),
        note(host.name),
        host.name
    ));
    Ok(Exit::Done)
}

/// Removes the hook.
pub(super) fn uninstall(args: &Args) -> Result<Exit, Failure> {
    let (host, path) = find(args)?;
    let before = read(&path)?;
    let is_there = match &before {
        None => false,
        Some(text) if host.name == "opencode" => {
            if !text.starts_with(plugin::MARK) {
                return Err(Failure::new(format!("{} was not written by `aegis hook install`", path.display()))
                    .hint("remove it yourself if it is not needed"));
            }
            fs::remove_file(&path).map_err(|error| Failure::file("remove", &path, &error))?;
            true
        }
        Some(text) => match settings::uninstall(text, host.name).map_err(|why| wrong(&path, &why))? {
            Some(after) => {
                write(&path, &after)?;
                true
            }
            None => false,
        },
    };
    let mut out = Out::stdout();
    match (args.format, is_there) {
        (Format::Json, is_there) => out.json(&outcome(host, &path, is_there))?,
        (Format::Table, true) => out.line(format_args!("Removed the hook of {} from {}", host.name, path.display()))?,
        (Format::Table, false) => out.line(format_args!("There is no hook of Aegis in {}", path.display()))?,
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// What became of the settings, for a program.
fn outcome(host: &Host, path: &Path, has_changed: bool) -> Object {
    Object::default().with("agent", host.name).with("settings", path.display().to_string()).with("changed", has_changed)
}

fn find(args: &Args) -> Result<(&'static Host, PathBuf), Failure> {
    let host = host(&args.agent).ok_or_else(|| Failure::usage(format!("there is no agent `{}`", args.agent)))?;
    if let Some(path) = &args.settings {
        return Ok((host, resolved(path)));
    }
    let root = if args.project {
        std::env::current_dir().map_err(|error| Failure::new(format!("there is no working directory: {error}")))?
    } else {
        let environment = Environment::of_process();
        let home = environment.variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        home.ok_or_else(|| Failure::usage("HOME is not set").hint("name the file with --settings FILE"))?
    };
    let scope = if args.project { Scope::Project } else { Scope::User };
    Ok((host, resolved(&root.join(settings_of(host.name, scope)))))
}

/// The file itself: settings are often links into a directory of dotfiles.
fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file("read", path, &error)),
    }
}

/// Replaces the file as a whole, and keeps its mode.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
        fs::create_dir_all(parent).map_err(|error| files::cannot_write(path, &error))?;
    }
    let (mut file, part) = files::create_part(path)?;
    let mode = fs::metadata(path).map(|metadata| metadata.permissions());
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| mode.map_or(Ok(()), |mode| file.set_permissions(mode)))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&part, path));
    written.map_err(|error| files::cannot_write(path, &error))
}

fn wrong(path: &Path, why: &str) -> Failure {
    Failure::new(format!("{}: {why}", path.display()))
        .hint("it is not changed; correct it, or name another with --settings")
}

/// The words of the hook's command.
fn words(host: &Host, args: &Args) -> Result<Vec<String>, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(format!("the path of this program is not known: {error}")))?;
    let mut words = vec![program.to_string_lossy().into_owned(), "hook".to_owned(), host.name.to_owned()];
    words.extend(["--deadline".to_owned(), format!("{}s", args.deadline.as_secs())]);
    let absolute = |path: &Path| std::path::absolute(path).map(|path| path.to_string_lossy().into_owned());
    if let Some(endpoint) = &args.remote.endpoint {
        words.extend(["--endpoint".to_owned(), endpoint.clone()]);
    }
    if let Some(dir) = &args.remote.data_dir {
        let dir = absolute(dir).map_err(|error| Failure::file("find", dir, &error))?;
        words.extend(["--data-dir".to_owned(), dir]);
    }
    Ok(words)
}

/// What to write for a host.
fn edit(host: &Host, args: &Args, seconds: u64) -> Result<Edit, Failure> {
    let quoted: Vec<String> = words(host, args)?.iter().map(|word| quote(word)).collect();
    // A program that is missing, crashes or is killed has another code than 2, which most hosts ignore.
    let command = format!("{} || exit 2", quoted.join(" "));
    let (style, events): (_, &[&str]) = match host.name {
        "cursor" => (Style::Cursor, &["preToolUse", "postToolUse", "postToolUseFailure"]),
        "copilot" => (Style::Copilot, &["preToolUse", "postToolUse"]),
        "gemini" => (Style::Gemini, &["BeforeTool", "AfterTool"]),
        "codex" => (Style::Codex, &["PreToolUse", "PostToolUse"]),
        _ => (Style::ClaudeCode, &["PreToolUse", "PostToolUse", "PostToolUseFailure"]),
    };
    Ok(Edit { host: host.name, style, events, command, seconds })
}

/// Quotes a word for a shell.
fn quote(word: &str) -> String {
    if !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@%+".contains(c)) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What a user of the host must know.
fn note(host: &str) -> &'static str {
    match host {
        "codex" => "Codex skips the hook until you trust it: start codex and accept it under /hooks.\n",
        "opencode" => "opencode loads the plugin when it starts next.\n",
        "cursor" => "Cursor also fires the older before… events: do not register both.\n",
        _ => "",
    }
}
