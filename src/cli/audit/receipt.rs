//! `aegis audit receipt`: writes one decision to one file that proves itself.

use std::path::PathBuf;

use super::evidence;
use crate::audit::checkpoint::TlogProof;
use crate::audit::evidence::{Receipt, Trust};
use crate::cli::connect::{self, Door, Remote, RemoteArgs};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::object::Object;
use crate::cli::out::{Format, Out};
use crate::domain::{DecisionId, Digest};
use crate::proto::v1::get_inclusion_proof_request::Record;
use crate::proto::v1::{GetInclusionProofRequest, GetInclusionProofResponse};

const EXAMPLES: &str = "\
Examples:
  aegis audit receipt dec_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e -o decision.tlog-proof
  aegis audit verify decision.tlog-proof

A receipt holds the records of the decision (proposal and answer, approval, result) and those that name the keys of \
the log, each as a c2sp.org/tlog-proof. It stays valid whatever happens to the record.";

/// Write a receipt, one file that proves one decision
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Prove this decision
    #[arg(value_name = "DECISION_ID")]
    decision_id: DecisionId,

    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Write the receipt itself, or JSON with the receipt and what it proves
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let receipt = connect::block_on(async {
        let remote = Remote::open(Door::Person, &args.remote).await?;
        fetch(&remote, args.decision_id).await
    })??;
    // A receipt that does not hold must not be written.
    let proved = receipt
        .verify(&Trust::default())
        .map_err(|wrong| Failure::new(format!("the daemon's answer does not prove the decision: {wrong}")))?;
    let mut out = Out::to(args.output.as_deref())?;
    match args.format {
        Format::Table => out.data(&receipt)?,
        Format::Json => {
            let object = Object::default()
                .with("decision_id", proved.decision_id.to_string())
                .with("origin", proved.checkpoint.origin)
                .with("size", proved.checkpoint.size)
                .with("root", proved.checkpoint.root.to_string())
                .with("redacted", proved.redacted)
                .with("receipt", receipt.to_string());
            out.json(&object)?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// The records of the decision and their proofs, as the daemon says.
pub(super) async fn fetch(remote: &Remote, decision_id: DecisionId) -> Result<Receipt, Failure> {
    // First the records, then the checkpoint: what was durable before is in it.
    let mut records = Vec::new();
    let mut stream = evidence::records(remote, Some(decision_id.to_string())).await?;
    while let Some(record) = evidence::next(&mut stream).await? {
        records.push(record);
    }
    if records.is_empty() {
        return Err(Failure::new(format!("there is no decision {decision_id} on the record")));
    }
    let last = records.iter().map(|record| record.sequence).max().unwrap_or_default();
    let (mut response, mut checkpoint) = evidence::checkpoint(remote).await?;
    // With `--durability relaxed`, what was just recorded is signed a moment later.
    let mut patience = 20;
    while checkpoint.checkpoint.size < last && patience > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        (response, checkpoint) = evidence::checkpoint(remote).await?;
        patience -= 1;
    }
    if checkpoint.checkpoint.size < last {
        return Err(Failure::new("the decision is not durable yet, so it cannot be proved: try again"));
    }
    let own = records.iter().map(|record| record.sequence);
    let mut sequences: Vec<u64> = own.chain(response.keys.iter().map(|key| key.sequence)).collect();
    sequences.sort_unstable();
    let tree_size = checkpoint.checkpoint.size;
    let mut proofs = Vec::with_capacity(sequences.len());
    for sequence in sequences {
        let proved = prove(remote, sequence, tree_size).await?;
        let cannot = || Failure::new(format!("the daemon's proof of record {sequence} cannot be read"));
        let record = proved.record.ok_or_else(cannot)?;
        let (entry, _) = evidence::entry(&record)?;
        let mut extra = Vec::new();
        entry.write(&mut extra);
        let hashes = proved.hashes.into_iter().map(|hash| hash.try_into().map(Digest)).collect::<Result<_, _>>();
        let (index, hashes) = (proved.leaf_index, hashes.map_err(|_| cannot())?);
        proofs.push(TlogProof { extra: Some(extra), index, hashes, checkpoint: checkpoint.clone() });
    }
    Ok(Receipt { proofs })
}

/// The record with this number, and the proof that it is in the tree of this size.
async fn prove(remote: &Remote, sequence: u64, tree_size: u64) -> Result<GetInclusionProofResponse, Failure> {
    let request = GetInclusionProofRequest { record: Some(Record::Sequence(sequence)), tree_size: Some(tree_size) };
    Ok(remote.audit().get_inclusion_proof(connect::call(request)).await?.into_inner())
}
