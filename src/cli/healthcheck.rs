//! `aegis healthcheck`: checks whether the daemon serves. For exec probes, which have no curl and no credential.

use std::time::Duration;

use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::connect::{self, Remote, RemoteArgs};
use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, Out};
use super::{paint, times};

const EXAMPLES: &str = "\
Examples:
  aegis healthcheck
  aegis healthcheck --endpoint unix:/run/aegis/agent.sock --service aegis.v1.GovernanceService
  In a Kubernetes manifest:
    readinessProbe: { exec: { command: [aegis, healthcheck, --endpoint, 'unix:/run/aegis/agent.sock'] } }

The exit code is 0 if it serves, 1 if it does not or cannot be reached.";

/// Check whether the daemon serves
///
/// It asks the standard gRPC health service over TCP or a unix socket, and sends no credential.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Ask about this service, for example `aegis.v1.GovernanceService` [default: the daemon as a whole]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    service: String,

    /// Wait up to this long for the answer
    #[arg(long, value_name = "DURATION", value_parser = times::duration, default_value = "5s")]
    timeout: Duration,

    /// Print the answer in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let answer = connect::block_on(async { tokio::time::timeout(args.timeout, check(args)).await })?;
    let status = answer.map_err(|_| Failure::new(format!("no answer within {:?}", args.timeout)))??;
    let word = ServingStatus::try_from(status).unwrap_or_default().as_str_name();
    let serves = status == ServingStatus::Serving as i32;
    let mut out = Out::stdout();
    let style = paint::of(word);
    match args.format {
        Format::Table => out.line(format_args!("{style}{word}{style:#}"))?,
        Format::Json => {
            let service = args.service.as_str();
            out.json(&Object::default().with("service", service).with("status", word).with("serves", serves))?;
        }
    }
    out.flush()?;
    Ok(if serves { Exit::Done } else { Exit::Failed })
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
