//! `aegis healthcheck`: does the daemon serve? For exec probes, which have no curl and no credential.

use std::time::Duration;

use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::connect::{self, Remote, RemoteArgs};
use super::exit::Exit;
use super::failure::Failure;
use super::out::Out;
use super::{paint, times};

const EXAMPLES: &str = "\
Examples:
  aegis healthcheck
  aegis healthcheck --endpoint unix:/run/aegis/agent.sock --service aegis.v1.GovernanceService
  In a Kubernetes manifest:
    readinessProbe: { exec: { command: [aegis, healthcheck, --endpoint, 'unix:/run/aegis/agent.sock'] } }

Exit code: 0 it serves, 1 it does not or cannot be reached.";

/// Say whether the daemon serves
///
/// Asks the standard gRPC health service, over TCP or a unix socket. Needs and sends no credential.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Which service to ask for, for example `aegis.v1.GovernanceService` [default: the daemon as a whole]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    service: String,

    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", value_parser = times::duration, default_value = "5s")]
    timeout: Duration,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let answer = connect::block_on(async { tokio::time::timeout(args.timeout, check(args)).await })?;
    let status = answer.map_err(|_| Failure::new(format!("no answer within {:?}", args.timeout)))??;
    let word = ServingStatus::try_from(status).unwrap_or_default().as_str_name();
    let mut out = Out::stdout();
    let style = paint::of(word);
    out.line(format_args!("{style}{word}{style:#}"))?;
    out.flush()?;
    Ok(if status == ServingStatus::Serving as i32 { Exit::Done } else { Exit::Failed })
}

async fn check(args: &Args) -> Result<i32, Failure> {
    let channel = Remote::open_without_credential(&args.remote).await?;
    let request = Request::new(HealthCheckRequest { service: args.service.clone() });
    match HealthClient::new(channel).check(request).await {
        Ok(answer) => Ok(answer.into_inner().status),
        Err(status) if status.code() == Code::NotFound => {
            Err(Failure::new(format!("the daemon has no service `{}`", args.service)))
        }
        Err(status) => Err(status.into()),
    }
}
