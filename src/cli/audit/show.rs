//! `aegis audit show`: the whole life of one decision, and its proof.

use super::life::{self, Life};
use super::receipt;
use crate::audit::evidence::Trust;
use crate::cli::connect::{self, Door, Remote, RemoteArgs};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::out::{Format, Out};
use crate::cli::times::ZoneArgs;
use crate::domain::{IdPrefix, visible};
use crate::proto::v1::{GetDecisionRequest, ListDecisionsRequest};

const EXAMPLES: &str = "\
Examples:
  aegis audit show 12
  aegis audit show dec_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e
  aegis audit show apr_0197a9e0-5c3f
  aegis audit show aud_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e --format json

The command checks that the records of the decision are in the signed log. `aegis audit --records --decision ID` prints \
them, and `aegis audit receipt ID` writes the proof to a file that can be verified anywhere.";

/// Show one decision: what was asked, by which rule, who answered, what came of it, when, and the proof
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Show this decision: its number in `aegis audit`, its id, that of its approval or of one of its records, or how
    /// one begins (8 characters or more after `dec_`, `apr_` or `aud_`)
    #[arg(value_name = "ID", value_parser = named)]
    id: Named,

    /// Print it in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    zone: ZoneArgs,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// How a decision is named.
#[derive(Clone, Debug, PartialEq)]
enum Named {
    /// The number of its row.
    Row(u64),
    /// An id, or how one begins.
    Id(String),
}

/// Reads a number, an id, or how one begins: also as a table cuts it.
fn named(text: &str) -> Result<Named, String> {
    if let Ok(number) = text.parse() {
        return Ok(Named::Row(number));
    }
    let id = text.trim_end_matches(['…', '.']);
    match id.parse::<IdPrefix>() {
        Ok(_) => Ok(Named::Id(id.to_owned())),
        Err(error) => Err(format!("{error}; or the number of a row of `aegis audit`")),
    }
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let life = connect::block_on(fetch(args))??;
    let mut out = Out::stdout();
    match args.format {
        Format::Json => out.json(&life::json(&life))?,
        Format::Table => {
            let (width, zone) = (out.width(), args.zone.shown(out.is_terminal()));
            out.text(life::text(&life, width, &zone))?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

async fn fetch(args: &Args) -> Result<Life, Failure> {
    let remote = Remote::open(Door::Person, &args.remote).await?;
    let id = match &args.id {
        Named::Id(id) => id.clone(),
        Named::Row(number) => of_row(&remote, *number).await?,
    };
    let request = GetDecisionRequest { id };
    let decision = remote.audit().get_decision(connect::call(request)).await?.into_inner();
    let id = decision.row.as_ref().map_or("", |row| &row.decision_id);
    let id = id.parse().map_err(|_| Failure::new(format!("the daemon's decision has the id `{}`", visible(id))))?;
    // A decision is shown whether it can be proved or not, and it is said if it cannot.
    let proof = match receipt::fetch(&remote, id).await {
        Ok(receipt) => receipt.verify(&Trust::default()).map_err(|wrong| wrong.to_string()),
        Err(failure) => Err(failure.to_string()),
    };
    Ok(Life { decision, proof })
}

/// The decision of the row with this number. The newest rows are looked through first: people ask about what they have
/// just seen.
async fn of_row(remote: &Remote, number: u64) -> Result<String, Failure> {
    let nothing =
        || Failure::new(format!("there is no row {number} on the record")).hint("`aegis audit` lists the rows");
    let mut request =
        ListDecisionsRequest { newest_first: true, page_size: Some(1_000), ..ListDecisionsRequest::default() };
    loop {
        let page = remote.audit().list_decisions(connect::call(request.clone())).await?.into_inner();
        if let Some(row) = page.rows.iter().find(|row| row.number <= number) {
            return if row.number == number { Ok(row.decision_id.clone()) } else { Err(nothing()) };
        }
        if page.next_page_token.is_empty() {
            return Err(nothing());
        }
        request.page_token = page.next_page_token;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_be_cut_as_tables_cut_it() {
        for text in ["dec_0197a9e0", "apr_0197a9e0-5c…", "aud_0197a9e0..."] {
            assert!(named(text).is_ok(), "{text}");
        }
        assert_eq!(named("12"), Ok(Named::Row(12)));
        assert!(named("0197a9e0-5c3f").unwrap_err().contains("dec_"));
    }
}
