//! `aegis limits`: shows what is spent of the policy's limits, and sets it back.

use super::connect::{self, Door, Remote, RemoteArgs};
use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, ListFormat, Out};
use super::table::{Cell, Column, Table};
use super::wire;
use crate::domain::visible;
use crate::proto::v1::{LimitCount, ListCountsRequest, ResetLimitRequest};

const EXAMPLES: &str = "\
Examples:
  aegis limits list
  aegis limits list payments --format json
  aegis limits reset payments
  aegis limits reset payments --count 5a0d…";

/// Show and reset what is spent of the policy's limits
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// List the counts that are not zero
    List(ListArgs),
    /// Set the counts of a limit back to nothing
    Reset(ResetArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct ListArgs {
    /// List the counts of this limit only
    #[arg(value_name = "LIMIT")]
    limit: Option<String>,

    /// Print the list in this format
    #[arg(long, value_enum, default_value = "table")]
    format: ListFormat,

    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Clone, Debug, clap::Args)]
struct ResetArgs {
    /// Reset the limit of this name: that of its rule, or its own
    #[arg(value_name = "LIMIT")]
    limit: String,

    /// Reset this count only: the `count_id` that `aegis limits list --format json` shows
    #[arg(long, value_name = "COUNT_ID")]
    count: Option<String>,

    /// Print the answer in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::List(args) => list(args),
        Command::Reset(args) => reset(args),
    }
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let counts = connect::block_on(async {
        let mut client = Remote::open(Door::Person, &args.remote).await?.administration();
        let limit = args.limit.clone().unwrap_or_default();
        let (mut counts, mut request) = (Vec::new(), ListCountsRequest { limit, ..ListCountsRequest::default() });
        loop {
            let page = client.list_counts(connect::call(request.clone())).await?.into_inner();
            counts.extend(page.counts);
            if page.next_page_token.is_empty() {
                return Ok::<_, Failure>(counts);
            }
            request.page_token = page.next_page_token;
        }
    })??;
    let mut out = Out::stdout();
    match args.format {
        format @ (ListFormat::Json | ListFormat::Jsonl) => {
            let counts: Vec<_> = counts.iter().map(json).collect();
            out.json_list(format == ListFormat::Jsonl, &counts)?;
        }
        ListFormat::Table if counts.is_empty() => out.line("Nothing is spent of any limit.")?,
        ListFormat::Table => {
            let table = table(&counts).render(out.width());
            out.text(table)?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

fn reset(args: &ResetArgs) -> Result<Exit, Failure> {
    let request = ResetLimitRequest { limit: args.limit.clone(), count_id: args.count.clone().unwrap_or_default() };
    let counts = connect::block_on(async {
        let mut client = Remote::open(Door::Person, &args.remote).await?.administration();
        Ok::<_, Failure>(client.reset_limit(connect::call(request)).await?.into_inner().counts)
    })??;
    let mut out = Out::stdout();
    match args.format {
        Format::Json => out.json(&Object::default().with("limit", args.limit.as_str()).with("counts", counts))?,
        Format::Table => {
            let counts = if counts == 1 { "1 count".to_owned() } else { format!("{counts} counts") };
            out.line(format!("{}: {counts} set back.", visible(&args.limit)))?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

fn table(counts: &[LimitCount]) -> Table {
    let headings = ["LIMIT", "FOR", "SPENT", "OF", "FREE AT"];
    let mut table = Table::new(&headings.map(|heading| Column::left(heading, 0)));
    for count in counts {
        let by: Vec<String> = sorted(count).map(|(by, of)| format!("{by} {of}")).collect();
        let free = wire::moment(count.free_at.as_ref()).map_or("reset".to_owned(), |at| at.to_string());
        let of = if count.text.is_empty() { "no such limit" } else { &count.text };
        table.row(vec![
            Cell::new(&count.limit),
            Cell::new(by.join(", ")),
            Cell::new(count.spent.to_string()),
            Cell::new(of),
            Cell::new(free),
        ]);
    }
    table
}

fn sorted(count: &LimitCount) -> impl Iterator<Item = (&String, &String)> {
    let mut by: Vec<_> = count.by.iter().collect();
    by.sort_unstable();
    by.into_iter()
}

fn json(count: &LimitCount) -> Object {
    let by: serde_json::Map<_, _> =
        sorted(count).map(|(by, of)| (by.clone(), serde_json::Value::from(of.as_str()))).collect();
    Object::default()
        .with("limit", count.limit.as_str())
        .with("count_id", count.count_id.as_str())
        .with("by", serde_json::Value::Object(by))
        .with("spent", count.spent)
        .with("max", count.max)
        .with("text", wire::present(&count.text))
        .with("free_at", wire::time(count.free_at.as_ref()))
}
