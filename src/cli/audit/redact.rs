//! `aegis audit redact`: removes the content of a decision from the record.

use crate::cli::connect::{self, Door, Remote, RemoteArgs};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::object::Object;
use crate::cli::out::{Format, Out};
use crate::domain::DecisionId;
use crate::proto::v1::RedactDecisionRequest;

const EXAMPLES: &str = "\
Example:
  aegis audit redact dec_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e --reason 'holds a customer number, ticket 4711'

Removed: actor, action, parameters, reasons and result. Kept: id, times, risk, outcome, result status and all \
hashes, so that every proof stays valid. Your reason and your name go on the record. Earlier exports and receipts \
still have the content, and so do free pages of the file until they are used again.";

/// Remove the content of a decision from the record
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Redact this decision. Its approval must have ended and its result must be reported
    #[arg(value_name = "DECISION_ID")]
    decision_id: DecisionId,

    /// Record this reason. Do not repeat what is to be removed
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// Print the answer in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let request = RedactDecisionRequest {
        decision_id: args.decision_id.to_string(),
        reason: args.reason.clone(),
        ..Default::default()
    };
    let redacted = connect::block_on(async {
        let mut client = Remote::open(Door::Person, &args.remote).await?.administration();
        Ok::<_, Failure>(client.redact_decision(connect::call(request)).await?.into_inner())
    })??;
    let mut out = Out::stdout();
    match args.format {
        Format::Json => out.json(
            &Object::default()
                .with("decision_id", args.decision_id.to_string())
                .with("sequence", redacted.sequence)
                .with("redacted_sequences", redacted.redacted_sequences),
        )?,
        Format::Table => {
            let numbers: Vec<_> = redacted.redacted_sequences.iter().map(ToString::to_string).collect();
            let (numbers, sequence) = (numbers.join(", "), redacted.sequence);
            out.line(format!("{} is redacted: records {numbers}, by record {sequence}.", args.decision_id))?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}
