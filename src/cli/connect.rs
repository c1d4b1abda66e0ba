//! Finding the daemon, and deciding which credential may be sent to it.
//!
//! Where, for what a person does (`approve`, `audit`, `policy`, …): `--endpoint`, else `AEGIS_ENDPOINT`, else
//! `aegis.sock` in the data directory, whose peers need no token. Where, for what an agent does (`propose`, `evaluate`):
//! `--endpoint`, else `AEGIS_ENDPOINT`, else `agent.sock` in the data directory, which nobody else can put in the daemon's
//! place, else the URL that the daemon wrote to `endpoint` there, else `http://127.0.0.1:50051`.
//!
//! With what: `AEGIS_TOKEN` is sent wherever it is given. A credential that was merely *found* in the data directory is
//! sent only over TLS, or over the socket that stands beside it by who is not the daemon's own user: a program must not hand
//! out by itself what a stranger's endpoint could keep. What an agent does is never given a credential by itself.

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use super::data_dir::DataDir;
use super::environment::Environment;
use super::failure::{Failure, because};
use super::say;
use crate::proto::v1::admin_service_client::AdminServiceClient;
use crate::proto::v1::approval_service_client::ApprovalServiceClient;
use crate::proto::v1::audit_service_client::AuditServiceClient;
use crate::proto::v1::governance_service_client::GovernanceServiceClient;
use crate::proto::v1::policy_service_client::PolicyServiceClient;

/// Where the daemon's main listener is when nobody says otherwise.
pub(super) const DEFAULT_MAIN_LISTENER: &str = "http://127.0.0.1:50051";

/// How long a call may take that waits for nobody.
const CALL: Duration = Duration::from_secs(30);
/// How long to try to reach the daemon.
const CONNECT: Duration = Duration::from_secs(5);
/// The largest message that is taken from the daemon: more than it sends by its own limits, less than memory.
const LARGEST_MESSAGE: usize = 64 << 20;

/// Where to find the daemon.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct RemoteArgs {
    /// The daemon: `https://HOST:PORT`, `http://HOST:PORT` or `unix:/PATH` [env: `AEGIS_ENDPOINT`]
    ///
    /// Without it the local daemon is found by its data directory. A token is taken from the variable `AEGIS_TOKEN` only:
    /// other users of the machine can see command lines.
    #[arg(long, value_name = "URL")]
    pub(super) endpoint: Option<String>,

    /// The daemon's data directory [env: `AEGIS_DATA_DIR`] [default: `$XDG_STATE_HOME/aegis`]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,

    /// Whose certificates to believe at an `https://` endpoint (PEM) [env: `AEGIS_TLS_CA`]
    #[arg(long, value_name = "FILE")]
    pub(super) tls_ca: Option<PathBuf>,

    /// The certificate to show there (PEM) [env: `AEGIS_TLS_CERT`]
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,

    /// The key of that certificate (PEM) [env: `AEGIS_TLS_KEY`]
    #[arg(long, value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,
}

/// Which of the daemon's doors a command knocks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// The main listener, where one may be an anonymous agent.
    Agent,
    /// The data directory's socket, where the daemon's own user is reviewer, auditor and admin.
    Person,
}

/// A daemon's address, as gRPC can use it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Plaintext { url: String, host: String },
    Tls { url: String },
    Socket(PathBuf),
}

/// Why this address and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Because {
    Flag,
    Variable,
    Socket(DataDir),
    Announced(PathBuf),
    Default(Option<DataDir>),
}

/// A secret that proves who calls. Not `Debug`: it must not reach a log.
#[derive(Clone, PartialEq, Eq)]
struct Token(String);

/// A daemon that was found, and what to show it.
pub(super) struct Target {
    address: Address,
    because: Because,
    token: Option<Token>,
    tls: Tls,
}

impl Target {
    /// Finds the daemon. Reads files of the data directory; talks to nobody.
    pub(super) fn find(door: Door, args: &RemoteArgs, environment: &Environment) -> Result<Self, Failure> {
        let data_dir = DataDir::find(args.data_dir.as_deref(), environment);
        let (address, because) = match (&args.endpoint, environment.variable("AEGIS_ENDPOINT"), door) {
            (Some(endpoint), _, _) => (Address::read(endpoint, "--endpoint")?, Because::Flag),
            (None, Some(endpoint), _) => {
                (Address::read(&endpoint.to_string_lossy(), "AEGIS_ENDPOINT")?, Because::Variable)
            }
            (None, None, Door::Person) => {
                let data_dir = data_dir.clone()?;
                (Address::Socket(data_dir.socket()), Because::Socket(data_dir))
            }
            (None, None, Door::Agent) => main_listener(data_dir.as_ref().ok())?,
        };
        let token = match environment.variable("AEGIS_TOKEN") {
            Some(token) => Some(Token(token.to_string_lossy().trim().to_owned())),
            None => match (&data_dir, door) {
                (Ok(data_dir), Door::Person) => found_credential(data_dir, &address, environment.uid),
                _ => None,
            },
        };
        Ok(Self { address, because, token, tls: Tls::find(args, environment) })
    }

    /// Opens a connection.
    pub(super) async fn connect(self) -> Result<Remote, Failure> {
        let bearer = self.bearer()?;
        if let (Address::Plaintext { host, .. }, true) = (&self.address, bearer.0.is_some())
            && !is_loopback(host)
        {
            say::warning(format_args!("AEGIS_TOKEN travels unencrypted to {host}: everybody on the way can read it"));
        }
        let endpoint = match &self.address {
            Address::Plaintext { url, .. } => Endpoint::from_shared(url.clone()),
            Address::Tls { url } => {
                let tls = self.tls.config(url)?;
                Endpoint::from_shared(url.clone()).and_then(|endpoint| endpoint.tls_config(tls))
            }
            Address::Socket(path) => match path.to_str() {
                Some(path) => Endpoint::from_shared(format!("unix:{path}")),
                None => return Err(Failure::usage(format!("the path of {self} is not UTF-8"))),
            },
        };
        let channel = endpoint
            .map_err(|error| Failure::usage(format!("{self} is not an endpoint: {error}")))?
            .connect_timeout(CONNECT)
            // A daemon that vanished without a word is noticed while a call waits for a person.
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .connect()
            .await
            .map_err(|error| self.unreachable(&error))?;
        Ok(Remote { channel, bearer })
    }

    fn bearer(&self) -> Result<Bearer, Failure> {
        let Some(Token(token)) = &self.token else { return Ok(Bearer(None)) };
        let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>().map_err(|_| {
            Failure::usage("the token holds characters that no token has")
                .hint("is AEGIS_TOKEN the token itself, and not a file of several lines?")
        })?;
        Ok(Bearer(Some(value)))
    }

    fn unreachable(&self, error: &tonic::transport::Error) -> Failure {
        let kind = io_error(error).map(io::Error::kind);
        let failure = Failure::new(format!("cannot reach the daemon at {self}: {}", root_cause(error)))
            .hint(format!("that endpoint is {}", self.because));
        match kind {
            Some(io::ErrorKind::PermissionDenied) => {
                failure.hint("only the user that the daemon runs as may open it; others use --endpoint and AEGIS_TOKEN")
            }
            _ if matches!(self.address, Address::Tls { .. }) => failure.hint(
                "is that the daemon, does --tls-ca name who signed its certificate, and does it ask for one (--tls-cert)?",
            ),
            _ => failure.hint("is the daemon running? Start one with `aegis serve`, or name another with --endpoint"),
        }
    }
}

/// What to believe of a daemon that speaks TLS, and what to show it.
#[derive(Clone, Debug, Default)]
struct Tls {
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Tls {
    fn find(args: &RemoteArgs, environment: &Environment) -> Self {
        let of = |flag: &Option<PathBuf>, name| flag.clone().or_else(|| environment.variable(name).map(PathBuf::from));
        Self {
            ca: of(&args.tls_ca, "AEGIS_TLS_CA"),
            certificate: of(&args.tls_cert, "AEGIS_TLS_CERT"),
            key: of(&args.tls_key, "AEGIS_TLS_KEY"),
        }
    }

    fn config(&self, url: &str) -> Result<ClientTlsConfig, Failure> {
        let read = |path: &PathBuf| fs::read(path).map_err(|error| Failure::file("read", path, &error));
        let Some(ca) = &self.ca else {
            return Err(Failure::usage(format!("{url}: TLS needs --tls-ca (or AEGIS_TLS_CA)"))
                .hint("the file holds the certificate of the authority that signed the daemon's, in PEM"));
        };
        let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?));
        match (&self.certificate, &self.key) {
            (None, None) => Ok(config),
            (Some(certificate), Some(key)) => Ok(config.identity(Identity::from_pem(read(certificate)?, read(key)?))),
            _ => Err(Failure::usage("--tls-cert and --tls-key go together (and AEGIS_TLS_CERT with AEGIS_TLS_KEY)")),
        }
    }
}

impl Address {
    fn read(text: &str, from: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::usage(format!("{from}: `{text}` is not an endpoint: {why}"))
                .hint("write https://HOST:PORT, http://HOST:PORT or unix:/PATH, for example http://127.0.0.1:50051")
        };
        if let Some(rest) = text.strip_prefix("unix:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return if path.is_empty() { Err(wrong("it has no path")) } else { Ok(Self::Socket(path.into())) };
        }
        let uri: http::Uri = text.parse().map_err(|_| wrong("it is no URL"))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it has no host"));
        match uri.scheme_str() {
            Some("http") => Ok(Self::Plaintext { host: host?.to_owned(), url: text.to_owned() }),
            Some("https") => host.map(|_| Self::Tls { url: text.to_owned() }),
            Some(other) => Err(wrong(&format!("it begins with `{other}:`"))),
            None => Err(wrong("it does not begin with http:// or unix:")),
        }
    }
}

/// The main listener: its socket in the data directory, else as the daemon announced it, else where it is by default.
fn main_listener(data_dir: Option<&DataDir>) -> Result<(Address, Because), Failure> {
    let default = |data_dir: Option<&DataDir>| {
        Ok((Address::read(DEFAULT_MAIN_LISTENER, "the default")?, Because::Default(data_dir.cloned())))
    };
    let Some(data_dir) = data_dir else { return default(None) };
    let socket = data_dir.agent_socket();
    if fs::metadata(&socket).is_ok_and(|found| found.file_type().is_socket()) {
        return Ok((Address::Socket(socket), Because::Socket(data_dir.clone())));
    }
    let file = data_dir.endpoint();
    match fs::read_to_string(&file) {
        Ok(url) => Ok((Address::read(url.trim(), &file.display().to_string())?, Because::Announced(file))),
        // An agent of another user cannot look into the daemon's directory, and need not.
        Err(_) => default(Some(data_dir)),
    }
}

/// The bootstrap credential, where it may be sent and is of use: over TLS, or over the socket beside it by who is not the
/// daemon's own user. (The daemon's own user is known by the kernel's word, and the record should say so.)
fn found_credential(data_dir: &DataDir, address: &Address, uid: u32) -> Option<Token> {
    let socket = data_dir.socket();
    match address {
        // The other end has proved to be whom --tls-ca vouches for.
        Address::Tls { .. } => {}
        Address::Socket(path) if *path == socket && fs::metadata(&socket).ok()?.uid() != uid => {}
        Address::Socket(_) | Address::Plaintext { .. } => return None,
    }
    let token = fs::read_to_string(data_dir.credential()).ok()?;
    Some(Token(token.trim().to_owned())).filter(|Token(token)| !token.is_empty())
}

/// Whether what is sent there stays on this machine.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn io_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e io::Error> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// The innermost reason: what a person can do something about.
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    match io_error(error).and_then(io::Error::raw_os_error) {
        Some(code) => because(&io::Error::from_raw_os_error(code)),
        None => std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error).to_string(),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Plaintext { url, .. } | Address::Tls { url } => f.write_str(url),
            Address::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Because {
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

/// Puts the token on every call.
#[derive(Clone)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// How every call travels.
pub(super) type Transport = InterceptedService<Channel, Bearer>;

/// A connection to a daemon. It reconnects by itself.
#[derive(Clone)]
pub(super) struct Remote {
    channel: Channel,
    bearer: Bearer,
}

impl Remote {
    /// Finds the daemon and connects.
    pub(super) async fn open(door: Door, args: &RemoteArgs) -> Result<Self, Failure> {
        Target::find(door, args, &Environment::of_process())?.connect().await
    }

    /// Connects to the main listener without showing anything.
    pub(super) async fn open_without_credential(args: &RemoteArgs) -> Result<Channel, Failure> {
        let target = Target::find(Door::Agent, args, &Environment::of_process())?;
        Ok(Target { token: None, ..target }.connect().await?.channel)
    }

    /// What an agent calls.
    pub(super) fn governance(&self) -> GovernanceServiceClient<Transport> {
        GovernanceServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// What a reviewer calls.
    pub(super) fn approvals(&self) -> ApprovalServiceClient<Transport> {
        ApprovalServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// What an auditor calls.
    pub(super) fn audit(&self) -> AuditServiceClient<Transport> {
        AuditServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// What an admin calls about who may call.
    pub(super) fn administration(&self) -> AdminServiceClient<Transport> {
        AdminServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// What an admin calls.
    pub(super) fn policy(&self) -> PolicyServiceClient<Transport> {
        PolicyServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(LARGEST_MESSAGE)
    }
}

/// A request that waits for nobody, with its deadline.
pub(super) fn call<T>(message: T) -> Request<T> {
    waiting_call(message, Duration::ZERO)
}

/// A request that may take as long as it waits for a person, and a little more.
pub(super) fn waiting_call<T>(message: T, wait: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL + wait);
    request
}

/// Runs what a remote command does. One thread is enough for a command that waits for one daemon.
pub(super) fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    Ok(runtime.block_on(future))
}

/// Whether a path is the reviewers' socket of this data directory: named in advice.
pub(super) fn reviewers_socket(args: &RemoteArgs) -> Option<PathBuf> {
    DataDir::find(args.data_dir.as_deref(), &Environment::of_process()).ok().map(|dir: DataDir| dir.socket())
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

    /// A user other than the one who owns what the tests make.
    fn stranger() -> Environment {
        Environment::of_user(user().uid + 1)
    }

    fn find(door: Door, args: &RemoteArgs, environment: &Environment) -> (String, Option<String>) {
        let target = Target::find(door, args, environment).unwrap();
        (target.to_string(), target.token.map(|Token(token)| token))
    }

    fn error(endpoint: &str) -> String {
        let args = args(Some(endpoint), Path::new("/nowhere"));
        Target::find(Door::Agent, &args, &user()).err().map(|failure| failure.to_string()).unwrap_or_default()
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
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(find(Door::Agent, &args(None, empty.path()), &user()), (DEFAULT_MAIN_LISTENER.into(), None));
    }

    #[test]
    fn an_agent_of_the_daemon_s_own_user_prefers_the_socket_that_nobody_else_can_bind() {
        let dir = daemon_was_here();
        let socket = dir.path().join("agent.sock");
        UnixListener::bind(&socket).unwrap();
        let preferred = format!("unix:{}", socket.display());
        assert_eq!(find(Door::Agent, &args(None, dir.path()), &user()), (preferred, None));
        assert_eq!(find(Door::Agent, &args(Some("http://a:1"), dir.path()), &user()).0, "http://a:1");
        fs::remove_file(&socket).unwrap();
        fs::write(&socket, "no socket").unwrap();
        assert_eq!(find(Door::Agent, &args(None, dir.path()), &user()).0, "http://127.0.0.1:4711");
    }

    #[test]
    fn the_flag_wins_over_the_variable_and_the_variable_over_what_is_found() {
        let dir = daemon_was_here();
        let environment = user().with("AEGIS_ENDPOINT", "http://b:2");
        for door in [Door::Agent, Door::Person] {
            assert_eq!(find(door, &args(Some("http://a:1"), dir.path()), &environment).0, "http://a:1");
            assert_eq!(find(door, &args(None, dir.path()), &environment).0, "http://b:2");
        }
    }

    #[test]
    fn a_found_credential_goes_over_the_socket_beside_it_and_nowhere_else() {
        let dir = daemon_was_here();
        let credential = |door, endpoint: Option<&str>| find(door, &args(endpoint, dir.path()), &stranger()).1;
        let socket = format!("unix:{}/aegis.sock", dir.path().display());
        assert_eq!(credential(Door::Person, None).as_deref(), Some("found"));
        assert_eq!(credential(Door::Person, Some(&socket)).as_deref(), Some("found"));
        for elsewhere in ["http://127.0.0.1:50051", "http://localhost:50051", "unix:/tmp/other.sock"] {
            assert_eq!(credential(Door::Person, Some(elsewhere)), None, "{elsewhere}");
        }
        assert_eq!(credential(Door::Person, Some("https://example.com:1")).as_deref(), Some("found"));
        assert_eq!(credential(Door::Agent, Some("https://example.com:1")), None);
        assert_eq!(credential(Door::Agent, None), None);
        assert_eq!(credential(Door::Agent, Some(&socket)), None);
    }

    #[test]
    fn a_given_token_is_sent_wherever_it_is_given() {
        let dir = daemon_was_here();
        let environment = stranger().with("AEGIS_TOKEN", &format!("{TOKEN}\n"));
        for door in [Door::Agent, Door::Person] {
            for endpoint in [None, Some("http://example.com:1")] {
                assert_eq!(find(door, &args(endpoint, dir.path()), &environment).1.as_deref(), Some(TOKEN));
            }
        }
    }

    #[test]
    fn a_token_of_several_lines_is_refused_without_showing_it() {
        let environment = user().with("AEGIS_TOKEN", "one\ntwo");
        let target = Target::find(Door::Agent, &args(None, Path::new("/nowhere")), &environment).unwrap();
        let failure = target.bearer().err().unwrap().to_string();
        assert!(failure.contains("AEGIS_TOKEN") && !failure.contains("one"), "{failure}");
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_what_would_be_right() {
        for (endpoint, says) in [
            ("127.0.0.1:50051", "does not begin with http://"),
            ("localhost", "does not begin with http://"),
            ("ftp://a:1", "begins with `ftp:`"),
            ("unix:", "has no path"),
            ("http://", "is no URL"),
            ("a b", "is no URL"),
        ] {
            let message = error(endpoint);
            assert!(message.contains(says) && message.contains("http://"), "{endpoint}: {message}");
        }
        assert_eq!(error("unix:relative.sock"), "");
        assert_eq!(error("unix:///tmp/a.sock"), "");
    }

    #[test]
    fn loopback_is_this_machine_only() {
        for host in ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["0.0.0.0", "10.0.0.1", "example.com", "localhost.example.com", "[::]"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn who_cannot_connect_is_told_where_why_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        for (door, endpoint, says) in [
            (Door::Person, None, "the socket of the data directory"),
            (Door::Agent, Some("http://127.0.0.1:1"), "what --endpoint says"),
        ] {
            let target = Target::find(door, &args(endpoint, dir.path()), &user()).unwrap();
            let address = target.to_string();
            let failure = block_on(target.connect()).unwrap().err().unwrap().to_string();
            assert!(failure.contains(&address) && failure.contains(says), "{failure}");
            assert!(failure.contains("aegis serve") && !failure.contains("os error"), "{failure}");
        }
    }
}
