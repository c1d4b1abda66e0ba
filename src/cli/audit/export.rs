//! `aegis audit export`: writes the whole record to one file that proves itself.

use std::collections::BTreeMap;
use std::io::BufWriter;
use std::path::PathBuf;

use tonic::Code;

use super::evidence::{self, Progress};
use crate::audit::evidence::{BundleWriter, Checked, Trust};
use crate::cli::connect::{self, Door, Remote, RemoteArgs};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::object::Object;
use crate::cli::out::{Format, Out};
use crate::cli::{files, say};
use crate::domain::{Digest, canonical_json};
use crate::proto::v1::GetPolicyRequest;

const EXAMPLES: &str = "\
Examples:
  aegis audit export --with-proof -o audit.tar
  aegis audit verify audit.tar

A bundle is a tar archive in the layout of c2sp.org/tlog-tiles. It holds the signed checkpoint, every record with \
its salt, every hash and, for an admin, every policy that was in force. It can be checked without the daemon and on \
any machine.";

/// Write the record to a bundle that can be verified anywhere
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Include the proofs. A bundle always does, so this may be left out
    #[arg(long)]
    with_proof: bool,

    /// Write the bundle to this file
    #[arg(short, long, value_name = "BUNDLE")]
    output: PathBuf,

    /// Print the answer in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let checked = connect::block_on(export(args))??;
    let (path, checkpoint) = (args.output.display(), &checked.checkpoint);
    let (size, origin) = (checkpoint.size, &checkpoint.origin);
    match args.format {
        Format::Table => say::note(format_args!("{path}: {size} records of {origin}, checked as they were written")),
        Format::Json => {
            let object = Object::default()
                .with("bundle", path.to_string())
                .with("origin", origin.as_str())
                .with("size", size)
                .with("root", checkpoint.root.to_string())
                .with("redacted", checked.redacted);
            let mut out = Out::stdout();
            out.json(&object)?;
            out.flush()?;
        }
    }
    Ok(Exit::Done)
}

async fn export(args: &Args) -> Result<Checked, Failure> {
    let remote = Remote::open(Door::Person, &args.remote).await?;
    let (_, checkpoint) = evidence::checkpoint(&remote).await?;
    let with_policies = may_read_policies(&remote).await?;
    if !with_policies {
        say::note("the bundle has no policies: only an admin may read them");
    }
    let mut stream = evidence::records(&remote, None).await?;
    let (file, part) = files::create_part(&args.output)?;
    let cannot =
        |error: &dyn std::fmt::Display| Failure::new(format!("cannot export to {}: {error}", args.output.display()));
    let size = checkpoint.checkpoint.size;
    let mut writer = BundleWriter::begin(BufWriter::new(file), checkpoint, Trust::default(), with_policies)
        .map_err(|error| cannot(&error))?;
    let mut progress = Progress::new("exported");
    while writer.left() > 0 {
        let Some(record) = evidence::next(&mut stream).await? else {
            return Err(cannot(&format_args!("the daemon's record ends {} records early", writer.left())));
        };
        let (entry, leaf) = evidence::entry(&record)?;
        writer.push(&entry, Some(leaf)).map_err(|error| cannot(&error))?;
        progress.tell(size - writer.left(), size);
    }
    drop(progress);
    let mut policies = BTreeMap::new();
    for revision in writer.revisions().collect::<Vec<_>>() {
        policies.insert(revision, policy(&remote, revision).await?);
    }
    let (checked, out) = writer.finish(&policies).map_err(|error| cannot(&error))?;
    let file = out.into_inner().map_err(|error| cannot(&error))?;
    file.sync_all()
        .and_then(|()| std::fs::rename(&part, &args.output))
        .map_err(|error| Failure::file("write", &args.output, &error))?;
    Ok(checked)
}

async fn may_read_policies(remote: &Remote) -> Result<bool, Failure> {
    match remote.policy().get_policy(connect::call(GetPolicyRequest::default())).await {
        Ok(_) => Ok(true),
        Err(status) if status.code() == Code::PermissionDenied => Ok(false),
        Err(status) => Err(status.into()),
    }
}

/// A policy as it decided: merged, as the canonical JSON that its revision is the hash of.
async fn policy(remote: &Remote, revision: Digest) -> Result<Vec<u8>, Failure> {
    let request = GetPolicyRequest { revision: revision.to_string() };
    let policy = remote.policy().get_policy(connect::call(request)).await?.into_inner().policy.unwrap_or_default();
    let merged: serde_json::Value = serde_json::from_str(&policy.merged_json).unwrap_or_default();
    let json = canonical_json(&merged).map_err(|error| Failure::new(format!("the policy {revision}: {error}")))?;
    if Digest::of(&json) == revision {
        Ok(json)
    } else {
        Err(Failure::new(format!("the policy that the daemon keeps as {revision} does not hash to that")))
    }
}
