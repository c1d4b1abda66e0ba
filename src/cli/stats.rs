//! `aegis stats`: prints totals of the whole record.

use super::connect::{self, Door, Remote, RemoteArgs};
use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, Out};
use super::paint;
use super::table::{Cell, Column, Table};
use crate::proto::v1::{Count, GetStatsRequest, GetStatsResponse};

const EXAMPLES: &str = "\
Examples:
  aegis stats
  aegis stats --top 20 --format json | jq .top_rules";

/// Print totals of the whole record
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// List this many action types and rules
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    top: u32,

    /// Print the totals in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let stats = connect::block_on(async {
        let mut client = Remote::open(Door::Person, &args.remote).await?.audit();
        Ok::<_, Failure>(client.get_stats(connect::call(GetStatsRequest { top: Some(args.top) })).await?.into_inner())
    })??;
    let mut out = Out::stdout();
    match args.format {
        Format::Json => out.json(&json(&stats))?,
        Format::Table => out.text(text(&stats))?,
    }
    out.flush()?;
    Ok(Exit::Done)
}

fn text(stats: &GetStatsResponse) -> String {
    let totals =
        format!("{} decisions, {} records, {} pending\n", stats.decisions, stats.records, stats.pending_approvals);
    let tables = [
        ("By risk level", &stats.by_risk_level),
        ("By outcome", &stats.by_outcome),
        ("By result", &stats.by_result_status),
        ("Commonest actions", &stats.top_action_types),
        ("Commonest rules", &stats.top_rules),
    ];
    let style = paint::HEADING;
    let tables = tables.into_iter().filter(|(_, counts)| !counts.is_empty());
    tables.fold(totals, |text, (heading, counts)| format!("{text}\n{style}{heading}{style:#}\n{}", table(counts)))
}

fn table(counts: &[Count]) -> String {
    let mut table = Table::new(&[Column::right("", 0), Column::left("", 0)]);
    for count in counts {
        table.row(vec![Cell::new(count.count.to_string()), Cell::word(&count.name)]);
    }
    // The heading above is enough.
    table.render(None).lines().skip(1).fold(String::new(), |text, line| text + "  " + line + "\n")
}

fn json(stats: &GetStatsResponse) -> Object {
    let by_name = |counts: &[Count]| -> serde_json::Map<_, _> {
        counts.iter().map(|count| (count.name.clone(), count.count.into())).collect()
    };
    let ranked = |counts: &[Count]| -> Vec<_> {
        counts.iter().map(|count| serde_json::json!({"name": count.name, "count": count.count})).collect()
    };
    Object::default()
        .with("decisions", stats.decisions)
        .with("records", stats.records)
        .with("pending_approvals", stats.pending_approvals)
        .with("by_risk_level", by_name(&stats.by_risk_level))
        .with("by_outcome", by_name(&stats.by_outcome))
        .with("by_result_status", by_name(&stats.by_result_status))
        .with("top_action_types", ranked(&stats.top_action_types))
        .with("top_rules", ranked(&stats.top_rules))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, u64)]) -> Vec<Count> {
        counts.iter().map(|(name, count)| Count { name: (*name).into(), count: *count }).collect()
    }

    #[test]
    fn totals_are_printed_under_headings_in_columns() {
        let stats = GetStatsResponse {
            decisions: 12,
            records: 30,
            pending_approvals: 1,
            by_risk_level: counts(&[("LOW", 10), ("CRITICAL", 2)]),
            top_action_types: counts(&[("read\u{1b}[2J", 10)]),
            ..GetStatsResponse::default()
        };
        let shown = anstream::adapter::strip_str(&text(&stats)).to_string();
        assert_eq!(
            shown,
            "12 decisions, 30 records, 1 pending\n\nBy risk level\n  10  LOW\n   2  CRITICAL\n\n\
             Commonest actions\n  10  read\\u{1b}[2J\n"
        );
        let json = serde_json::to_value(json(&stats)).unwrap();
        assert_eq!((&json["by_risk_level"]["LOW"], &json["top_action_types"][0]["count"]), (&10.into(), &10.into()));
    }
}
