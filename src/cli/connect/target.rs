//! Finds the daemon, and says why it was sought at that address.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;

use super::address::Address;
use super::credential::{Tls, Token};
use super::remote_args::RemoteArgs;
use crate::cli::data_dir::DataDir;
use crate::cli::environment::Environment;
use crate::cli::failure::{Failure, because};

/// The address of the daemon's main listener if nothing else is set.
const DEFAULT_MAIN_LISTENER: &str = "http://127.0.0.1:50051";

/// The listener of the daemon that a command uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Door {
    /// The main listener, where a caller may be an anonymous agent.
    Agent,
    /// The data directory's socket, where the daemon's own user is reviewer, auditor and admin.
    Person,
}

/// Why this address was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Flag,
    Variable,
    Socket(DataDir),
    Announced(PathBuf),
    Default(Option<DataDir>),
}

/// The address of a daemon, and what to show it.
pub(super) struct Target {
    pub(super) address: Address,
    pub(super) source: Source,
    pub(super) token: Option<Token>,
    pub(super) tls: Tls,
}

impl Target {
    /// Finds the daemon. Reads files of the data directory; connects to nothing.
    pub(super) fn find(door: Door, args: &RemoteArgs, environment: &Environment) -> Result<Self, Failure> {
        let data_dir = DataDir::find(args.data_dir.as_deref(), environment);
        // A flag wins over every variable: AEGIS_ENDPOINT counts only if neither flag is given.
        let variable = environment.variable("AEGIS_ENDPOINT").filter(|_| args.data_dir.is_none());
        let (address, source) = match (&args.endpoint, variable, door) {
            (Some(endpoint), _, _) => (Address::read(endpoint, "--endpoint")?, Source::Flag),
            (None, Some(endpoint), _) => {
                (Address::read(&endpoint.to_string_lossy(), "AEGIS_ENDPOINT")?, Source::Variable)
            }
            (None, None, Door::Person) => {
                let data_dir = data_dir.clone()?;
                (Address::Socket(data_dir.socket()), Source::Socket(data_dir))
            }
            (None, None, Door::Agent) => main_listener(data_dir.as_ref().ok(), args.data_dir.is_some())?,
        };
        let tls = Tls::find(args, environment);
        let token = Token::given(environment).or_else(|| match (&data_dir, door) {
            (Ok(data_dir), Door::Person) => Token::found(data_dir, &address, &tls, environment.uid),
            _ => None,
        });
        Ok(Self { address, source, token, tls })
    }
}

/// The main listener: as the daemon announced it, else the default. A data directory that was named must belong to a
/// daemon, because the default could be another daemon.
fn main_listener(data_dir: Option<&DataDir>, is_named: bool) -> Result<(Address, Source), Failure> {
    let default = |data_dir: Option<&DataDir>| {
        Ok((Address::read(DEFAULT_MAIN_LISTENER, "the default")?, Source::Default(data_dir.cloned())))
    };
    let Some(data_dir) = data_dir else { return default(None) };
    // Another process can listen on the port in place of the daemon, but not on a socket in the daemon's directory.
    let socket = data_dir.agent_socket();
    if fs::metadata(&socket).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        return Ok((Address::Socket(socket), Source::Socket(data_dir.clone())));
    }
    let file = data_dir.endpoint();
    match fs::read_to_string(&file) {
        Ok(url) => Ok((Address::read(url.trim(), &file.display().to_string())?, Source::Announced(file))),
        Err(error) if is_named => Err(not_a_data_dir(data_dir, &error)),
        // An agent of another user cannot read the daemon's directory, and need not.
        Err(_) => default(Some(data_dir)),
    }
}

fn not_a_data_dir(data_dir: &DataDir, error: &io::Error) -> Failure {
    let dir = data_dir.path().display();
    if error.kind() != io::ErrorKind::NotFound {
        return Failure::new(format!("--data-dir: cannot look into {dir}: {}", because(error)))
            .hint("name the daemon with --endpoint instead");
    }
    let why = if data_dir.path().is_dir() { "no daemon has started there yet" } else { "there is no such directory" };
    Failure::new(format!("--data-dir: {dir}: {why}"))
        .hint(format!("start one with `aegis serve --data-dir {dir}`, or name another with --endpoint"))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("what --endpoint says"),
            Self::Variable => f.write_str("what AEGIS_ENDPOINT says"),
            Self::Socket(dir) => write!(f, "the socket of the data directory {}", dir.path().display()),
            Self::Announced(file) => write!(f, "what the daemon wrote to {} when it last started", file.display()),
            Self::Default(Some(dir)) => {
                write!(f, "the default: the data directory {} does not name another", dir.path().display())
            }
            Self::Default(None) => f.write_str("the default"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    use super::*;

    const TOKEN: &str = "aegis_secret";

    fn args(endpoint: Option<&str>, data_dir: &Path) -> RemoteArgs {
        RemoteArgs { endpoint: endpoint.map(Into::into), data_dir: Some(data_dir.into()), ..RemoteArgs::default() }
    }

    fn user() -> Environment {
        Environment::of_user(rustix::process::geteuid().as_raw())
    }

    /// A user who does not own the files of the tests.
    fn stranger() -> Environment {
        Environment::of_user(user().uid + 1)
    }

    /// Sets the data directory in a variable.
    fn at(environment: &Environment, data_dir: &Path) -> Environment {
        environment.clone().with("AEGIS_DATA_DIR", data_dir.to_str().unwrap())
    }

    fn find(door: Door, args: &RemoteArgs, environment: &Environment) -> (String, Option<String>) {
        let target = Target::find(door, args, environment).unwrap();
        (target.address.to_string(), target.token.map(|Token(token)| token))
    }

    /// A data directory as a daemon leaves it: socket, credential and the main listener's URL.
    fn daemon_was_here() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        UnixListener::bind(dir.path().join("aegis.sock")).unwrap();
        fs::write(dir.path().join("credential"), "found\n").unwrap();
        fs::write(dir.path().join("endpoint"), "http://127.0.0.1:4711\n").unwrap();
        dir
    }

    #[test]
    fn a_person_finds_the_socket_and_needs_no_token() {
        let dir = daemon_was_here();
        let socket = format!("unix:{}/aegis.sock", dir.path().display());
        assert_eq!(find(Door::Person, &args(None, dir.path()), &user()), (socket, None));
    }

    #[test]
    fn an_agent_finds_the_main_listener_and_is_anonymous() {
        let dir = daemon_was_here();
        assert_eq!(find(Door::Agent, &args(None, dir.path()), &stranger()), ("http://127.0.0.1:4711".into(), None));
        let socket = dir.path().join("agent.sock");
        UnixListener::bind(&socket).unwrap();
        let found = find(Door::Agent, &args(None, dir.path()), &stranger());
        assert_eq!(found, (format!("unix:{}", socket.display()), None), "the daemon's own socket is preferred");
        let empty = tempfile::tempdir().unwrap();
        let found = find(Door::Agent, &RemoteArgs::default(), &at(&user(), empty.path()));
        assert_eq!(found, (DEFAULT_MAIN_LISTENER.into(), None));
    }

    #[test]
    fn a_flag_wins_over_variables_and_they_win_over_what_is_found() {
        let dir = daemon_was_here();
        let environment = at(&user(), dir.path()).with("AEGIS_ENDPOINT", "http://b:2");
        for (door, found) in [
            (Door::Agent, "http://127.0.0.1:4711".to_owned()),
            (Door::Person, format!("unix:{}/aegis.sock", dir.path().display())),
        ] {
            assert_eq!(find(door, &args(Some("http://a:1"), dir.path()), &environment).0, "http://a:1");
            assert_eq!(find(door, &args(None, dir.path()), &environment).0, found, "--data-dir is a flag too");
            assert_eq!(find(door, &RemoteArgs::default(), &environment).0, "http://b:2");
        }
    }

    #[test]
    fn a_named_data_directory_must_belong_to_a_daemon() {
        let empty = tempfile::tempdir().unwrap();
        let nowhere = empty.path().join("nowhere");
        for (dir, says) in [(&nowhere, "there is no such directory"), (&empty.path().into(), "no daemon has started")] {
            let failure = Target::find(Door::Agent, &args(None, dir), &user()).err().unwrap().to_string();
            assert!(failure.contains(says) && failure.contains(dir.to_str().unwrap()), "{failure}");
        }
    }

    #[test]
    fn a_found_credential_goes_to_its_own_socket_or_a_named_authority_only() {
        let dir = daemon_was_here();
        let credential = |door, endpoint: Option<&str>| find(door, &args(endpoint, dir.path()), &stranger()).1;
        let socket = format!("unix:{}/aegis.sock", dir.path().display());
        assert_eq!(credential(Door::Person, None).as_deref(), Some("found"));
        assert_eq!(credential(Door::Person, Some(&socket)).as_deref(), Some("found"));
        let elsewhere =
            ["http://127.0.0.1:50051", "http://localhost:50051", "unix:/tmp/other.sock", "https://example.com:1"];
        for elsewhere in elsewhere {
            assert_eq!(credential(Door::Person, Some(elsewhere)), None, "{elsewhere}");
        }
        // Over TLS to a daemon of a named authority.
        let vouched = |door| {
            let args = RemoteArgs { tls_ca: Some("ca.pem".into()), ..args(Some("https://example.com:1"), dir.path()) };
            find(door, &args, &stranger()).1
        };
        assert_eq!(vouched(Door::Person).as_deref(), Some("found"));
        assert_eq!(vouched(Door::Agent), None);
        assert_eq!(credential(Door::Agent, None), None);
        assert_eq!(credential(Door::Agent, Some(&socket)), None);
    }

    #[test]
    fn a_given_token_is_used_for_every_listener() {
        let dir = daemon_was_here();
        let environment = stranger().with("AEGIS_TOKEN", &format!("{TOKEN}\n"));
        for door in [Door::Agent, Door::Person] {
            for endpoint in [None, Some("https://example.com:1")] {
                assert_eq!(find(door, &args(endpoint, dir.path()), &environment).1.as_deref(), Some(TOKEN));
            }
        }
    }
}
