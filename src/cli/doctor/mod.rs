//! `aegis doctor`: from an agent's seat, tries what would undo its governance.
//!
//! It runs as the agent would, asks the daemon by dry run, breaks each hook on purpose in a process of its own, and
//! says which way it falls. It changes nothing.

mod check;
mod faults;
mod probes;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use self::check::{Check, State};
use super::connect::{self, RemoteArgs};
use super::data_dir::DataDir;
use super::environment::Environment;
use super::exit::Exit;
use super::failure::Failure;
use super::hook::{self, HOSTS, Host};
use super::object::Object;
use super::out::{Format, Out};
use super::paint;
use crate::domain::visible;

const EXAMPLES: &str = "\
Examples:
  aegis doctor
  aegis doctor claude-code --policy /etc/aegis/policy.yaml
  aegis doctor --format json

Run it as the user that the agent runs as. The exit code is 1 if anything is open.";

const OWN_USER: &str = "\
To give the daemon a user of its own (as root; on macOS use `sysadminctl` instead of `useradd`):
  useradd --system --home-dir /var/lib/aegis --create-home --shell /usr/sbin/nologin aegis
  install -d -o root -g aegis -m 0750 /etc/aegis
  install -d -o aegis -g aegis -m 0755 /run/aegis
  install -o root -g aegis -m 0640 policy.yaml /etc/aegis/policy.yaml
  setpriv --reuid aegis --regid aegis --init-groups \\
    aegis serve /etc/aegis/policy.yaml --data-dir /var/lib/aegis --uds /run/aegis/agent.sock
Then, as yourself: aegis hook install AGENT --endpoint unix:/run/aegis/agent.sock
Review with: sudo -u aegis aegis review --data-dir /var/lib/aegis";

/// Try what an agent could do to its own governance
///
/// It asks the daemon by dry run about commands and files that would undo the governance of a coding agent, and breaks
/// each hook on purpose to see which way it falls. It changes nothing.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Look at this agent's hook only [default: all]
    #[arg(value_name = "AGENT", value_parser = ["claude-code", "codex", "cursor", "gemini", "copilot", "opencode"])]
    agent: Option<String>,

    /// The policy that the daemon has in force: a file that the agent must not write
    #[arg(long, value_name = "FILE", default_value = "policy.yaml")]
    policy: PathBuf,

    /// Print the answer in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let environment = Environment::of_process();
    let home = environment.variable("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let data_dir = DataDir::find(args.remote.data_dir.as_deref(), &environment).ok();
    let mut checks = vec![user(args, data_dir.as_ref(), environment.uid)];

    let place = probes::Place {
        home: &home.to_string_lossy(),
        data_dir: &data_dir.as_ref().map_or_else(|| "/var/lib/aegis".into(), |dir| dir.path().to_string_lossy()),
        policy: &args.policy.to_string_lossy(),
    };
    let evaluated = connect::block_on(probes::try_all(&args.remote, &place))?;
    match evaluated {
        Ok(found) => checks.extend(found),
        Err(failure) => checks.push(Check {
            area: "policy",
            what: "a dry run".to_owned(),
            state: State::Unknown,
            says: failure.to_string(),
        }),
    }
    let hosts: Vec<&'static Host> =
        HOSTS.into_iter().filter(|host| args.agent.as_deref().is_none_or(|agent| agent == host.name)).collect();
    checks.extend(hosts.iter().map(|host| installed(host, &home)));
    checks.extend(faults::break_all(&hosts)?);
    print(args, &checks)?;
    let is_open = checks.iter().any(|check| check.state == State::Open);
    Ok(if is_open { Exit::Failed } else { Exit::Done })
}

/// Whether the agent runs as the daemon's own user. Then nothing else here holds against a hostile agent.
fn user(args: &Args, data_dir: Option<&DataDir>, uid: u32) -> Check {
    let socket = args.remote.endpoint.as_deref().and_then(|endpoint| endpoint.strip_prefix("unix:"));
    let file = socket.map(PathBuf::from).or_else(|| data_dir.map(|dir| dir.path().to_owned()));
    let owner = file.as_deref().map(|file| (file, fs::metadata(file).map(|metadata| metadata.uid())));
    let (state, says) = match owner {
        Some((file, Ok(owner))) if owner == uid => (
            State::Open,
            format!(
                "this user owns {}: an agent that runs as this user is reviewer and admin, whatever the policy says",
                file.display()
            ),
        ),
        _ if uid == 0 => (State::Open, "this user is root: an agent that runs as root is everybody".to_owned()),
        Some((file, Ok(owner))) => (State::Closed, format!("{} belongs to user {owner}", file.display())),
        Some((file, Err(_))) => (State::Unknown, format!("{} cannot be seen from here", file.display())),
        None => (State::Unknown, "no data directory is known".to_owned()),
    };
    Check { area: "user", what: "the daemon has a user of its own".to_owned(), state, says }
}

/// Whether a hook is in the settings.
fn installed(host: &Host, home: &Path) -> Check {
    let places = [
        home.join(hook::settings_of(host.name, hook::Scope::User)),
        hook::settings_of(host.name, hook::Scope::Project).into(),
    ];
    let has =
        |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains("hook") && text.contains(host.name));
    let (state, says) = match places.iter().find(|path| has(path)) {
        Some(path) => (State::Closed, format!("in {}", path.display())),
        None => (State::Unknown, format!("not found; `aegis hook install {}` adds it", host.name)),
    };
    Check { area: "hook", what: format!("{}: is installed", host.name), state, says }
}

fn print(args: &Args, checks: &[Check]) -> Result<(), Failure> {
    let mut out = Out::stdout();
    match args.format {
        Format::Json => {
            let check = |check: &Check| {
                Object::default()
                    .with("area", check.area)
                    .with("what", check.what.as_str())
                    .with("state", check.state.word())
                    .with("says", check.says.as_str())
            };
            out.json(&checks.iter().map(check).collect::<Vec<_>>())?;
        }
        Format::Table => {
            for check in checks {
                let style = match check.state {
                    State::Closed => paint::GOOD,
                    State::Asks | State::Unknown => paint::WAITING,
                    State::Open => paint::BAD,
                };
                let word = check.state.word();
                let (what, says) = (visible(&check.what), visible(&check.says));
                out.line(format_args!("{style}{word:<8}{style:#}{:<7} {what}: {says}", check.area))?;
            }
            if checks.iter().any(|check| check.area == "user" && check.state == State::Open) {
                out.line(format_args!("\n{OWN_USER}"))?;
            }
        }
    }
    out.flush()
}
