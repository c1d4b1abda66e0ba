//! `aegis audit receipt`: writes one decision to one file that proves itself.

use std::path::PathBuf;

use super::evidence;
use crate::audit::checkpoint::TlogProof;
use crate::audit::evidence::{Receipt, Trust};
use crate::cli::connect::{self, Door, Remote, RemoteArgs};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::out::Out;
use crate::domain::{DecisionId, Digest};
use crate::proto::v1::{AuditRecord, GetInclusionProofRequest};

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

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let receipt = connect::block_on(fetch(args))??;
    // A receipt that does not hold must not be written.
    receipt
        .verify(&Trust::default())
        .map_err(|wrong| Failure::new(format!("the daemon's answer does not prove the decision: {wrong}")))?;
    let mut out = Out::to(args.output.as_deref())?;
    out.data(&receipt)?;
    out.flush()?;
    Ok(Exit::Done)
}

async fn fetch(args: &Args) -> Result<Receipt, Failure> {
    let remote = Remote::open(Door::Person, &args.remote).await?;
    // First the records, then the checkpoint: what was durable before is in it.
    let mut records = Vec::new();
    let mut stream = evidence::records(&remote, Some(args.decision_id.to_string())).await?;
    while let Some(record) = evidence::next(&mut stream).await? {
        records.push(record);
    }
    if records.is_empty() {
        return Err(Failure::new(format!("there is no decision {} on the record", args.decision_id)));
    }
    let last = records.iter().map(|record| record.sequence).max().unwrap_or_default();
    let (mut response, mut checkpoint) = evidence::checkpoint(&remote).await?;
    // With `--durability relaxed`, what was just recorded is signed a moment later.
    let mut patience = 20;
    while checkpoint.checkpoint.size < last && patience > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        (response, checkpoint) = evidence::checkpoint(&remote).await?;
        patience -= 1;
    }
    if checkpoint.checkpoint.size < last {
        return Err(Failure::new("the decision is not durable yet, so it cannot be proved: try again"));
    }
    for key in &response.keys {
        records.push(one(&remote, key.sequence).await?);
    }
    records.sort_by_key(|record| record.sequence);
    let tree_size = checkpoint.checkpoint.size;
    let mut proofs = Vec::with_capacity(records.len());
    for record in &records {
        let (entry, _) = evidence::entry(record)?;
        let mut extra = Vec::new();
        entry.write(&mut extra);
        let index = record.sequence.saturating_sub(1);
        let request = GetInclusionProofRequest { leaf_index: index, tree_size };
        let proof = remote.audit().get_inclusion_proof(connect::call(request)).await?.into_inner();
        let hashes = proof.hashes.into_iter().map(|hash| hash.try_into().map(Digest)).collect::<Result<_, _>>();
        let hashes = hashes.map_err(|_| Failure::new("the daemon's proof cannot be read"))?;
        proofs.push(TlogProof { extra: Some(extra), index, hashes, checkpoint: checkpoint.clone() });
    }
    Ok(Receipt { proofs })
}

/// The record with this number.
async fn one(remote: &Remote, sequence: u64) -> Result<AuditRecord, Failure> {
    let request = crate::proto::v1::StreamAuditRequest {
        view: crate::proto::v1::AuditView::Records.into(),
        resume_after: Some(sequence.saturating_sub(1)),
        ..Default::default()
    };
    let mut stream = remote.audit().stream_audit(request).await?.into_inner();
    let record = evidence::next(&mut stream).await?.filter(|record| record.sequence == sequence);
    record.ok_or_else(|| Failure::new(format!("the daemon does not show record {sequence}")))
}
