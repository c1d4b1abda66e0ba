//! Finding the daemon, and deciding which credential may be sent to it.
//!
//! Commands of a person (`approve`, `audit`, `policy`, …) connect to `--endpoint`, else to `aegis.sock` in
//! `--data-dir`, else to `AEGIS_ENDPOINT`, else to `aegis.sock` in the default data directory. The peers of that
//! socket need no token. Commands of an agent (`propose`, `evaluate`) use the same order. In a data directory they
//! connect to `agent.sock`, else to the URL that the daemon wrote to `endpoint`, else to `http://127.0.0.1:50051`.
//!
//! `AEGIS_TOKEN` is sent over TLS, unix sockets and loopback. A credential that was only *found* in the data directory
//! is sent to two places: to a daemon that `--tls-ca` verifies, and over the socket next to it. A stranger's endpoint
//! could keep it. Commands of an agent never send a found credential.

mod address;
mod credential;
mod remote_args;
mod rest;
mod target;
mod unreachable;

use std::time::{Duration, Instant};

use tonic::Request;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use self::address::Address;
use self::credential::Bearer;
pub(super) use self::remote_args::RemoteArgs;
pub(super) use self::rest::Rest;
pub(super) use self::target::Door;
use self::target::Target;
pub(super) use self::unreachable::root_cause;
use super::data_dir::DataDir;
use super::environment::Environment;
use super::failure::Failure;
use super::say;
use crate::proto::v1::admin_service_client::AdminServiceClient;
use crate::proto::v1::approval_service_client::ApprovalServiceClient;
use crate::proto::v1::audit_service_client::AuditServiceClient;
use crate::proto::v1::governance_service_client::GovernanceServiceClient;
use crate::proto::v1::policy_service_client::PolicyServiceClient;

/// The timeout of a call that waits for nobody.
const CALL: Duration = Duration::from_secs(30);
/// The timeout of one attempt to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a command tries again while nobody listens. A daemon takes about this long to start.
const STARTING: Duration = Duration::from_secs(2);
/// The largest message that is accepted from the daemon: more than its own limits allow, less than memory.
const LARGEST_MESSAGE: usize = 64 << 20;

/// The transport of every call.
pub(super) type Transport = InterceptedService<Channel, Bearer>;

/// A connection to a daemon. It reconnects by itself.
#[derive(Clone)]
pub(super) struct Remote {
    channel: Channel,
    bearer: Bearer,
}

impl Remote {
    /// Finds the daemon and connects. Waits for a daemon that is starting.
    pub(super) async fn open(door: Door, args: &RemoteArgs) -> Result<Self, Failure> {
        connect(&Target::find(door, args, &Environment::of_process())?, STARTING).await
    }

    /// Connects to the agents' socket of this data directory, without a credential.
    pub(super) async fn open_agents_socket(data_dir: &std::path::Path) -> Result<Self, Failure> {
        let args = RemoteArgs { data_dir: Some(data_dir.to_owned()), ..RemoteArgs::default() };
        let target = Target::find(Door::Agent, &args, &Environment::of_process())?;
        connect(&Target { token: None, ..target }, STARTING).await
    }

    /// Connects to the daemon that runs on this data directory, over its socket. `None` if none runs.
    pub(super) async fn open_if_running(dir: &DataDir) -> Result<Option<Self>, Failure> {
        let args = RemoteArgs { data_dir: Some(dir.path().to_owned()), ..RemoteArgs::default() };
        let target = Target::find(Door::Person, &args, &Environment::of_process())?;
        let bearer = Bearer::new(target.token.as_ref(), &target.address)?;
        match endpoint(&target)?.connect().await {
            Ok(channel) => Ok(Some(Self { channel, bearer })),
            Err(error) if unreachable::nobody_listens(&error) => Ok(None),
            Err(error) => Err(unreachable::failure(&target, &error)),
        }
    }

    /// Connects to the main listener without a credential. Does not try again.
    pub(super) async fn open_without_credential(args: &RemoteArgs) -> Result<Channel, Failure> {
        let target = Target::find(Door::Agent, args, &Environment::of_process())?;
        Ok(connect(&Target { token: None, ..target }, Duration::ZERO).await?.channel)
    }

    /// The service for agents.
    pub(super) fn governance(&self) -> GovernanceServiceClient<Transport> {
        GovernanceServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// The service for reviewers.
    pub(super) fn approvals(&self) -> ApprovalServiceClient<Transport> {
        ApprovalServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// The service for auditors.
    pub(super) fn audit(&self) -> AuditServiceClient<Transport> {
        AuditServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// The service for admins: tokens, redaction, keys.
    pub(super) fn administration(&self) -> AdminServiceClient<Transport> {
        AdminServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// The service for the policy.
    pub(super) fn policy(&self) -> PolicyServiceClient<Transport> {
        PolicyServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(LARGEST_MESSAGE)
    }
}

/// Opens a connection. Tries again for this long while nobody listens there.
async fn connect(target: &Target, patience: Duration) -> Result<Remote, Failure> {
    let bearer = Bearer::new(target.token.as_ref(), &target.address)?;
    let endpoint = endpoint(target)?;
    let give_up = Instant::now() + patience;
    let mut pause = Duration::from_millis(50);
    let mut is_first = true;
    loop {
        match endpoint.connect().await {
            Ok(channel) => return Ok(Remote { channel, bearer }),
            Err(error) if unreachable::nobody_listens(&error) && Instant::now() + pause < give_up => {
                if std::mem::take(&mut is_first) {
                    let seconds = patience.as_secs();
                    say::note(format_args!("no daemon at {} yet: trying for {seconds}s", target.address));
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(500));
            }
            Err(error) => return Err(unreachable::failure(target, &error)),
        }
    }
}

fn endpoint(target: &Target) -> Result<Endpoint, Failure> {
    let address = &target.address;
    let endpoint = match address {
        Address::Plaintext { url, .. } => Endpoint::from_shared(url.clone()),
        Address::Tls { url } => {
            let tls = target.tls.config()?;
            Endpoint::from_shared(url.clone()).and_then(|endpoint| endpoint.tls_config(tls))
        }
        Address::Socket(path) => match path.to_str() {
            Some(path) => Endpoint::from_shared(format!("unix:{path}")),
            None => return Err(Failure::usage(format!("the path of {address} is not UTF-8"))),
        },
    };
    let endpoint =
        endpoint.map_err(|error| Failure::usage(format!("{address} is not an endpoint: {}", root_cause(&error))))?;
    Ok(endpoint
        .connect_timeout(CONNECT)
        // Detects a daemon that is gone while a call waits for a person.
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10)))
}

/// A request that waits for nobody, with its deadline.
pub(super) fn call<T>(message: T) -> Request<T> {
    waiting_call(message, Duration::ZERO)
}

/// A request that waits for a person. Its deadline is a little later than the wait.
pub(super) fn waiting_call<T>(message: T, wait: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL + wait);
    request
}

/// Runs the future of a remote command. One thread is enough to wait for one daemon.
pub(super) fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    Ok(runtime()?.block_on(future))
}

/// What runs futures, for a command that waits for several one after the other.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(format!("cannot start: {error}")))
}

/// The reviewers' socket of this data directory, for advice.
pub(super) fn reviewers_socket(args: &RemoteArgs) -> Option<std::path::PathBuf> {
    DataDir::find(args.data_dir.as_deref(), &Environment::of_process()).ok().map(|dir| dir.socket())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_to_connect_says_where_why_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        for (door, endpoint, says) in [
            (Door::Person, None, "the socket of the data directory"),
            (Door::Agent, Some("http://127.0.0.1:1"), "what --endpoint says"),
        ] {
            let args = RemoteArgs {
                endpoint: endpoint.map(str::to_owned),
                data_dir: Some(dir.path().into()),
                ..RemoteArgs::default()
            };
            let target = Target::find(door, &args, &Environment::of_user(1)).unwrap();
            let failure = block_on(connect(&target, Duration::ZERO)).unwrap().err().unwrap().to_string();
            assert!(failure.contains(&target.address.to_string()) && failure.contains(says), "{failure}");
            assert!(failure.contains("aegis serve") && !failure.contains("os error"), "{failure}");
        }
    }

    #[tokio::test]
    async fn a_command_waits_for_a_daemon_that_is_starting() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("late.sock");
        let args = RemoteArgs { endpoint: Some(format!("unix:{}", socket.display())), ..RemoteArgs::default() };
        let target = Target::find(Door::Agent, &args, &Environment::of_user(1)).unwrap();
        let late = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let listener = tokio::net::UnixListener::bind(&socket).unwrap();
            listener.accept().await.unwrap()
        };
        let (connected, _held) = tokio::join!(connect(&target, Duration::from_mins(1)), late);
        assert!(connected.is_ok());
    }
}
