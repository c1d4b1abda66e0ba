//! `aegis audit`: reads the record, as rows (one per decision, with its approval and result) or as raw records, and
//! proves it.

mod checkpoint;
pub(super) mod evidence;
mod export;
mod life;
mod receipt;
mod record;
mod redact;
mod rotate_key;
pub(super) mod row;
mod sheet;
mod show;
mod verify;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use tonic::Status;

use self::sheet::{Layout, Sheet};
use super::connect::{Door, Remote, RemoteArgs};
use super::exit::Exit;
use super::failure::Failure;
use super::out::Out;
use super::status::is_worth_resuming;
use super::times::{Moment, Zone, ZoneArgs};
use super::{connect, say, times, wire, words};
use crate::domain::{DecisionId, RecordId};
use crate::proto::v1::stream_audit_response::Event;
use crate::proto::v1::{self, AuditFilter, AuditView, StreamAuditRequest};

/// How many rows a table shows without `--limit`.
const TABLE_LIMIT: u64 = 50;
/// How many rows `--tail` begins with without `--limit`.
const TAIL_LIMIT: u64 = 10;

const EXAMPLES: &str = "\
Examples:
  aegis audit
  aegis audit --risk-level high --status success --since 24h
  aegis audit --session a1b2c3d4 --format json | jq '.[].action_type'
  aegis audit --format jsonl -o audit.jsonl
  aegis audit --action-type 'write_*' --min-risk high
  aegis audit --tail
  aegis audit show dec_0197a9e0-5c3f
  aegis audit export --with-proof -o audit.tar
  aegis audit verify audit.tar --checkpoint checkpoint-of-last-month

Rows come newest first, with --tail as they happen. A row comes again when its approval or its result does; when it no \
longer matches the filter, JSON Lines have an object with `\"left\": true` instead. Each line of JSON Lines has a \
`cursor`: --resume-after goes on from there, with the same filter. In CSV, \
control characters are written out, and an apostrophe stands before text that a spreadsheet would run as a formula. \
JSON is exact.

A terminal gets as many columns as it has room for, and times in its own zone; anything else gets every column, and UTC.";

/// Read the record, prove it, or check it
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Show at most this many rows, the newest; 0 is all [default: 50 in a table, else all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// Show the oldest rows first
    #[arg(long, conflicts_with_all = ["tail", "records"])]
    oldest_first: bool,

    /// Show the newest rows (10, or `--limit`), then every row that matches as it is recorded
    #[arg(long, visible_alias = "follow")]
    tail: bool,

    /// Go on after this `cursor` of an earlier run, in the order of the log
    #[arg(long, value_name = "CURSOR", default_value = "", hide_default_value = true,
        conflicts_with_all = ["limit", "oldest_first"])]
    resume_after: String,

    /// Show raw records of the log instead of rows, oldest first: all, or those of one `--decision`
    #[arg(
        long,
        conflicts_with_all = [
            "session", "action_type", "target", "risk_level", "min_risk", "approval", "outcome", "status", "actor",
            "subject", "approver", "rule", "since", "until", "audit_ref",
        ]
    )]
    records: bool,

    /// Print rows or records in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Layout,

    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    zone: ZoneArgs,

    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    Checkpoint(checkpoint::Args),
    Export(export::Args),
    Receipt(receipt::Args),
    Show(show::Args),
    Verify(verify::Args),
    Redact(redact::Args),
    RotateKey(rotate_key::Args),
}

/// Which rows. Every filter must match; of one that is given several times, one value must. Texts match exactly.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Which rows")]
struct FilterArgs {
    /// Show this session only
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    session: String,

    /// Show actions whose type matches this glob only, for example `write_*`
    #[arg(long, value_name = "GLOB", default_value = "", hide_default_value = true)]
    action_type: String,

    /// Show actions whose target matches this glob only
    #[arg(long, value_name = "GLOB", default_value = "", hide_default_value = true)]
    target: String,

    /// Show this risk level only. Can be given several times
    #[arg(long, value_name = "LEVEL", value_parser = words::risk_arg(), ignore_case = true)]
    risk_level: Vec<v1::RiskLevel>,

    /// Show this risk level and above
    #[arg(long, value_name = "LEVEL", value_parser = words::risk_arg(), ignore_case = true)]
    min_risk: Option<v1::RiskLevel>,

    /// Show rows for which the policy demanded this. Can be given several times
    #[arg(long, value_name = "MODE", value_parser = words::approval_arg(), ignore_case = true)]
    approval: Vec<v1::ApprovalMode>,

    /// Show this outcome only, as it stands now. Can be given several times
    #[arg(long, value_name = "OUTCOME", value_parser = words::outcome_arg(), ignore_case = true)]
    outcome: Vec<v1::Outcome>,

    /// Show this result only. Can be given several times
    #[arg(long, value_name = "STATUS", value_parser = words::result_arg(), ignore_case = true)]
    status: Vec<v1::ResultStatus>,

    /// Show this declared actor only
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    actor: String,

    /// Show this authenticated proposer only
    #[arg(long, value_name = "SUBJECT", default_value = "", hide_default_value = true)]
    subject: String,

    /// Show rows on which this reviewer voted
    #[arg(long, value_name = "SUBJECT", default_value = "", hide_default_value = true)]
    approver: String,

    /// Show this decision only
    #[arg(long, value_name = "ID")]
    decision: Option<DecisionId>,

    /// Show the decision that this record is about
    #[arg(long, value_name = "ID")]
    audit_ref: Option<RecordId>,

    /// Show rows that this rule decided
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    rule: String,

    /// Show rows from this moment on: `2026-11-20T09:00:00Z`, `2026-11-20 09:00` or `2026-11-20` (in the zone that
    /// times are shown in), or how long ago, `15m`
    #[arg(long, value_name = "WHEN", value_parser = times::open_moment_arg)]
    since: Option<Moment>,

    /// Show rows up to this moment, written as for --since
    #[arg(long, value_name = "WHEN", value_parser = times::open_moment_arg)]
    until: Option<Moment>,
}

impl FilterArgs {
    fn message(&self, zone: &Zone) -> Result<AuditFilter, Failure> {
        fn numbers<T: Copy + Into<i32>>(values: &[T]) -> Vec<i32> {
            values.iter().map(|value| (*value).into()).collect()
        }
        let moment = |moment: Option<Moment>| {
            let read =
                moment.map(|moment| zone.read(moment).ok_or_else(|| Failure::usage("that moment is out of range")));
            Ok::<_, Failure>(read.transpose()?.map(wire::to_moment))
        };
        let Self { session, action_type, target, actor, subject, approver, rule, .. } = self.clone();
        Ok(AuditFilter {
            session_id: session,
            action_type,
            target,
            risk_levels: numbers(&self.risk_level),
            min_risk_level: self.min_risk.unwrap_or_default() as i32,
            approval_modes: numbers(&self.approval),
            outcomes: numbers(&self.outcome),
            result_statuses: numbers(&self.status),
            actor_id: actor,
            subject,
            approver,
            audit_ref: self.audit_ref.map(|id| id.to_string()).unwrap_or_default(),
            decision_id: self.decision.map(|id| id.to_string()).unwrap_or_default(),
            matched_rule: rule,
            since: moment(self.since)?,
            until: moment(self.until)?,
        })
    }
}

impl Args {
    /// How many rows, and whether somebody asked for just that many.
    fn limit(&self) -> (u64, bool) {
        match (self.limit, self.tail, self.format) {
            (Some(limit), ..) => (limit, true),
            _ if !self.resume_after.is_empty() => (0, false),
            (None, true, _) => (TAIL_LIMIT, false),
            (None, false, Layout::Table) => (TABLE_LIMIT, false),
            (None, false, _) => (0, false),
        }
    }

    fn request(&self, zone: &Zone) -> Result<StreamAuditRequest, Failure> {
        let (limit, was_asked) = self.limit();
        let resumes = !self.resume_after.is_empty();
        // One more than is shown tells whether there is more.
        let one_more = u64::from(!was_asked && !self.tail);
        let view = if self.records { AuditView::Records } else { AuditView::Rows };
        let is_filtered = !self.records || self.filter.decision.is_some();
        Ok(StreamAuditRequest {
            filter: is_filtered.then(|| self.filter.message(zone)).transpose()?,
            view: view as i32,
            limit: (limit > 0).then(|| limit.saturating_add(one_more)),
            newest_first: !(self.tail || self.records || self.oldest_first || resumes),
            follow: self.tail,
            resume_after: self.resume_after.clone(),
        })
    }
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Some(Command::Checkpoint(args)) => return checkpoint::run(args),
        Some(Command::Export(args)) => return export::run(args),
        Some(Command::Receipt(args)) => return receipt::run(args),
        Some(Command::Show(args)) => return show::run(args),
        Some(Command::Verify(args)) => return verify::run(args),
        Some(Command::Redact(args)) => return redact::run(args),
        Some(Command::RotateKey(args)) => return rotate_key::run(args),
        None => {}
    }
    if args.tail && args.format == Layout::Json {
        return Err(Failure::usage("--tail never ends, so it cannot be one JSON document").hint("use --format jsonl"));
    }
    connect::block_on(read(args))??;
    Ok(Exit::Done)
}

async fn read(args: &Args) -> Result<(), Failure> {
    // First the daemon, then the file: what cannot be read must not empty the export of yesterday.
    let remote = Remote::open(Door::Person, &args.remote).await?;
    let zone = args.zone.shown(args.output.is_none() && std::io::stdout().is_terminal());
    let mut request = args.request(&zone)?;
    let mut stream = remote.audit().stream_audit(request.clone()).await?.into_inner();
    let out = Out::to(args.output.as_deref())?;
    let mut sheet = Sheet::begin(out, args.format, args.records, args.tail, zone)?;
    let (limit, was_asked) = args.limit();
    let mut shown = 0;
    let mut pause = Duration::from_millis(200);
    loop {
        match stream.message().await {
            Ok(Some(message)) => {
                pause = Duration::from_millis(200);
                if !message.cursor.is_empty() {
                    request.resume_after.clone_from(&message.cursor);
                }
                if !args.tail && !was_asked && limit > 0 && shown == limit && is_entry(message.event.as_ref()) {
                    say_there_is_more(args, limit);
                    break;
                }
                match message.event {
                    Some(Event::Row(row)) => sheet.row(&row, &message.cursor)?,
                    Some(Event::Record(record)) => sheet.record(&record, &message.cursor)?,
                    Some(Event::Left(left)) => sheet.left(&left, &message.cursor)?,
                    Some(Event::CaughtUp(_)) => sheet.flush()?,
                    Some(Event::Heartbeat(_)) | None => continue,
                }
                shown += 1;
            }
            Ok(None) if !args.tail => break,
            Err(status) if !args.tail || !is_worth_resuming(&status) => return Err(status.into()),
            ended => {
                say_interrupted(ended.err());
                stream = reopen(&remote, &request, &mut pause).await?;
            }
        }
    }
    sheet.end()
}

fn is_entry(event: Option<&Event>) -> bool {
    matches!(event, Some(Event::Row(_) | Event::Record(_)))
}

fn say_there_is_more(args: &Args, limit: u64) {
    let which = if args.oldest_first || args.records { "" } else { "newest " };
    say::note(format_args!("these are the {which}{limit}; there is more: --limit N for so many, --limit 0 for all"));
}

fn say_interrupted(status: Option<Status>) {
    match status {
        Some(status) => say::warning(format_args!("{}; continuing where it broke off", Failure::from(status))),
        None => say::warning("the daemon ended the stream; continuing where it broke off"),
    }
}

/// Opens the stream again after what it sent last, for as long as it takes.
async fn reopen(
    remote: &Remote,
    request: &StreamAuditRequest,
    pause: &mut Duration,
) -> Result<tonic::Streaming<v1::StreamAuditResponse>, Failure> {
    loop {
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(Duration::from_secs(5));
        match remote.audit().stream_audit(request.clone()).await {
            Ok(stream) => return Ok(stream.into_inner()),
            Err(status) if is_worth_resuming(&status) => {}
            Err(status) => return Err(status.into()),
        }
    }
}

/// A row as JSON, for tests.
#[cfg(test)]
pub(super) fn row_json(row: &v1::AuditRow) -> serde_json::Value {
    serde_json::to_value(row::object(row)).expect("a row is JSON")
}
