//! `aegis audit show`: the whole life of one decision.

use std::fmt::Write as _;

use super::row;
use crate::cli::connect::{self, Door, Remote, RemoteArgs};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::masks::Masks;
use crate::cli::object::Object;
use crate::cli::out::{Format, Out};
use crate::cli::table::{Cell, Column, Table};
use crate::cli::{approval, paint, safe_json, times, wire, words};
use crate::domain::{IdPrefix, Pointer, visible};
use crate::proto::v1::{GetDecisionRequest, GetDecisionResponse, RecordReference, Vote};

const EXAMPLES: &str = "\
Examples:
  aegis audit show dec_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e
  aegis audit show apr_0197a9e0-5c3f
  aegis audit show aud_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e --format json

`aegis audit --records --decision ID` prints the records themselves, and `aegis audit receipt ID` proves them.";

/// Show one decision: what was asked, who answered, what came of it
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Show this decision: its id, that of its approval or of one of its records, or how one begins (8 characters or
    /// more after `dec_`, `apr_` or `aud_`)
    #[arg(value_name = "ID", value_parser = named)]
    id: String,

    /// Print it in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Reads an id, or how one begins: also as a table cuts it.
fn named(text: &str) -> Result<String, String> {
    let id = text.trim_end_matches(['…', '.']);
    id.parse::<IdPrefix>().map(|_| id.to_owned()).map_err(|error| error.to_string())
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let life = connect::block_on(async {
        let mut client = Remote::open(Door::Person, &args.remote).await?.audit();
        let request = GetDecisionRequest { id: args.id.clone() };
        Ok::<_, Failure>(client.get_decision(connect::call(request)).await?.into_inner())
    })??;
    let mut out = Out::stdout();
    match args.format {
        Format::Json => out.json(&json(&life))?,
        Format::Table => {
            let width = out.width();
            out.text(text(&life, width))?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// For a person: the outcome first, then the members of the row that have a value, the votes, and the records.
fn text(life: &GetDecisionResponse, width: Option<usize>) -> String {
    let row = life.row.clone().unwrap_or_default();
    let outcome = words::outcome(row.outcome);
    let (style, heading) = (paint::of(&outcome), paint::HEADING);
    let mut text = format!("{style}{outcome}{style:#} {}\n\n", visible(&row.decision_id));
    // Those of the result stand at other places than those of the action.
    let all: Vec<_> = row.masked.iter().chain(row.result.iter().flat_map(|result| &result.masked)).cloned().collect();
    let masks = Masks::new(&all);
    // Writing to a String cannot fail.
    for (name, value) in row::object(&row).members() {
        let member = [
            ("action_params", "params"),
            ("action_desc", "description"),
            ("metadata", "metadata"),
            ("result_data", "data"),
            ("result_error", "error"),
        ];
        let masked = member.into_iter().find(|(member, _)| *member == name).map(|(_, member)| Pointer::to(member));
        let shown = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(value) if value.is_empty() => continue,
            serde_json::Value::Object(value) if value.is_empty() => continue,
            serde_json::Value::Array(value) if value.is_empty() => continue,
            serde_json::Value::String(value) => {
                masked.map_or_else(|| approval::shown(value), |at| masks.text(value, &at))
            }
            value => match masked {
                Some(mut at) => masks.value(value, &mut at),
                None => approval::shown(&safe_json::compact(value)),
            },
        };
        let _ = writeln!(text, "  {name:<20}  {shown}");
    }
    if let Some(approval) = &life.approval {
        let _ = writeln!(text, "\n{heading}Approval{heading:#}\n  {}", approval_line(approval));
        for vote in &approval.votes {
            let _ = writeln!(text, "  {}", vote_line(vote));
        }
    }
    let _ = write!(text, "\n{heading}Records{heading:#}\n{}", records(&life.records).render(width));
    text
}

fn approval_line(approval: &crate::proto::v1::Approval) -> String {
    let how = if approval::is_pending(approval) { "pending".to_owned() } else { approval::ended(approval) };
    format!("{}  {how}", visible(&approval.approval_id))
}

fn vote_line(vote: &Vote) -> String {
    let by = vote.by.clone().unwrap_or_default();
    let at = wire::moment(vote.voted_at.as_ref()).map_or_else(|| "-".into(), times::to_the_second);
    let reason = if vote.reason.is_empty() { String::new() } else { format!(": {}", approval::shown(&vote.reason)) };
    format!(
        "vote      {} by {} ({}) at {at}{reason}",
        words::verdict(vote.verdict),
        visible(&by.subject),
        visible(&by.how)
    )
}

fn records(records: &[RecordReference]) -> Table {
    let mut table = Table::new(&[
        Column::right("Sequence", 8),
        Column::left("Time", 0),
        Column::left("Kind", 0),
        Column::left("Record", 0),
    ]);
    for record in records {
        let is_redacted = record.audit_ref.is_empty();
        let kind = if is_redacted { crate::audit::REDACTED } else { &record.kind };
        let at = wire::moment(record.recorded_at.as_ref()).map_or_else(String::new, times::to_the_second);
        table.row(vec![
            Cell::new(record.sequence.to_string()),
            Cell::new(at),
            Cell::new(kind),
            Cell::new(&record.audit_ref).whole(),
        ]);
    }
    table
}

fn json(life: &GetDecisionResponse) -> Object {
    let row = life.row.clone().unwrap_or_default();
    let value = |object: Object| serde_json::to_value(object).unwrap_or_default();
    let record = |record: &RecordReference| {
        serde_json::json!({
            "sequence": record.sequence,
            "audit_ref": wire::present(&record.audit_ref),
            "kind": wire::present(&record.kind),
            "recorded_at": wire::time(record.recorded_at.as_ref()),
        })
    };
    Object::default()
        .with("decision", value(row::object(&row)))
        .with("approval", life.approval.as_ref().map(|approval| value(approval::json(approval))))
        .with("records", life.records.iter().map(record).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::approval::tests::{at, example};
    use crate::proto::v1::{Approval, ApprovalState, Ending, EndingKind, Identity, Verdict};

    fn life() -> GetDecisionResponse {
        let ada = Identity { subject: "local:ada".into(), how: "unix_peer".into(), ..Identity::default() };
        let voted_at = Some(wire::to_moment(at("2026-11-20T12:05:30Z")));
        let approval = Approval {
            state: ApprovalState::Approved as i32,
            ending: Some(Ending {
                kind: EndingKind::Approved as i32,
                allows: true,
                by: Some(ada.clone()),
                ended_at: voted_at,
                ..Ending::default()
            }),
            votes: vec![Vote {
                verdict: Verdict::Approve as i32,
                by: Some(ada),
                voted_at,
                reason: "fine\u{202e}".into(),
                ..Vote::default()
            }],
            ..example()
        };
        let record = |sequence, kind: &str| RecordReference {
            sequence,
            audit_ref: format!("aud_{sequence}"),
            kind: kind.into(),
            recorded_at: voted_at,
        };
        GetDecisionResponse {
            row: Some(row::tests::example()),
            approval: Some(approval),
            records: vec![record(7, "decision"), RecordReference { sequence: 9, ..RecordReference::default() }],
        }
    }

    #[test]
    fn a_person_reads_the_outcome_the_votes_and_the_records() {
        let text = anstream::adapter::strip_str(&text(&life(), None)).to_string();
        for line in [
            "ALLOW ",
            "  session_id            a1b2c3d4e5f6",
            "  action_params         {\"count\":150}",
            "  vote      approve by local:ada (unix_peer) at 2026-11-20 12:05:30 UTC: fine\\u{202e}",
            "       7  2026-11-20 12:05:30 UTC  decision    aud_7",
            "       9  -                        [redacted]  -",
        ] {
            assert!(text.lines().any(|shown| shown.trim_end() == line.trim_end()), "{line}\n{text}");
        }
        assert!(!text.contains("result_error"), "what has no value is left out: {text}");
    }

    #[test]
    fn json_has_the_row_the_approval_and_the_records() {
        let life = life();
        let whole = serde_json::to_value(json(&life)).unwrap();
        assert_eq!(whole["decision"]["human_decision"], "approved");
        assert_eq!(whole["approval"]["votes"][0]["by"], "local:ada");
        assert_eq!(whole["records"][1]["audit_ref"], serde_json::Value::Null);
        let none = serde_json::to_value(json(&GetDecisionResponse { approval: None, ..life })).unwrap();
        assert_eq!(none["approval"], serde_json::Value::Null);
    }

    #[test]
    fn an_id_may_be_cut_as_tables_cut_it() {
        for text in ["dec_0197a9e0", "apr_0197a9e0-5c…", "aud_0197a9e0..."] {
            assert!(named(text).is_ok(), "{text}");
        }
        assert!(named("0197a9e0").unwrap_err().contains("dec_"));
    }
}
