//! `aegis pending`: lists the approvals that wait for a reviewer.

use super::approval;
use super::connect::{self, Door, Remote, RemoteArgs, Transport};
use super::exit::Exit;
use super::failure::Failure;
use super::out::{ListFormat, Out};
use super::words;
use crate::domain::Timestamp;
use crate::proto::v1::approval_service_client::ApprovalServiceClient;
use crate::proto::v1::{self, Approval, ApprovalFilter, ListApprovalsRequest};

const EXAMPLES: &str = "\
Examples:
  aegis pending
  aegis pending --min-risk high --format json | jq -r '.[].approval_id'

Answer with `aegis approve ID` or `aegis deny ID`, or watch and answer in one place with `aegis review`.";

/// List pending approvals, oldest first
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    filter: FilterArgs,

    /// Print the list in this format
    #[arg(long, value_enum, default_value = "table")]
    format: ListFormat,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Which approvals.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct FilterArgs {
    /// Show this session only
    #[arg(long, value_name = "ID")]
    session: Option<String>,

    /// Show actions whose type matches this glob only, for example `write_*`
    #[arg(long, value_name = "GLOB")]
    action_type: Option<String>,

    /// Show actions whose target matches this glob only
    #[arg(long, value_name = "GLOB")]
    target: Option<String>,

    /// Show this declared actor only
    #[arg(long, value_name = "ID")]
    actor: Option<String>,

    /// Show this risk level and above
    #[arg(long, value_name = "LEVEL", value_parser = words::risk_arg(), ignore_case = true)]
    min_risk: Option<v1::RiskLevel>,
}

impl FilterArgs {
    /// The filter as a message.
    pub(super) fn message(&self) -> ApprovalFilter {
        let Self { session, action_type, target, actor, min_risk } = self.clone();
        ApprovalFilter {
            session_id: session.unwrap_or_default(),
            action_type: action_type.unwrap_or_default(),
            target: target.unwrap_or_default(),
            actor_id: actor.unwrap_or_default(),
            min_risk_level: min_risk.unwrap_or_default() as i32,
            ..ApprovalFilter::default()
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let approvals = connect::block_on(list(args))??;
    let mut out = Out::stdout();
    match args.format {
        format @ (ListFormat::Json | ListFormat::Jsonl) => {
            let approvals: Vec<_> = approvals.iter().map(approval::json).collect();
            out.json_list(format == ListFormat::Jsonl, &approvals)?;
        }
        ListFormat::Table if approvals.is_empty() => out.line("Nothing waits for a reviewer.")?,
        ListFormat::Table => {
            let table = approval::table(&approvals, Timestamp::now()).render(out.width());
            out.text(table)?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

async fn list(args: &Args) -> Result<Vec<Approval>, Failure> {
    let mut client = Remote::open(Door::Person, &args.remote).await?.approvals();
    all(&mut client, Some(args.filter.message())).await
}

/// Everything that is pending, page by page.
pub(super) async fn all(
    client: &mut ApprovalServiceClient<Transport>,
    filter: Option<ApprovalFilter>,
) -> Result<Vec<Approval>, Failure> {
    let mut request = ListApprovalsRequest { filter, page_size: Some(1_000), ..ListApprovalsRequest::default() };
    let mut approvals = Vec::new();
    loop {
        let page = client.list_approvals(connect::call(request.clone())).await?.into_inner();
        approvals.extend(page.approvals);
        if page.next_page_token.is_empty() {
            return Ok(approvals);
        }
        request.page_token = page.next_page_token;
    }
}
