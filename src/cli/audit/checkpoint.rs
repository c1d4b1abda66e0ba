//! `aegis audit checkpoint`: the size and root of the log, signed, to be kept somewhere else.

use std::path::PathBuf;

use super::evidence;
use crate::audit::checkpoint::SignedCheckpoint;
use crate::cli::connect::{self, Door, Remote, RemoteArgs};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::object::Object;
use crate::cli::out::{Format, Out};
use crate::cli::wire;

const EXAMPLES: &str = "\
Examples:
  aegis audit checkpoint -o checkpoint
  aegis audit verify audit.tar --checkpoint checkpoint

With a checkpoint you can check later that the record still holds all that it held then. Keep it where the daemon's \
machine cannot change it.";

/// Print the signed checkpoint of the record: its size and its root
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Print the newest checkpoint that a witness has cosigned, with the cosignatures
    #[arg(long)]
    cosigned: bool,

    /// Write the signed note itself, or JSON with the keys of the log and its witnesses
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let (response, signed) = connect::block_on(async {
        let remote = Remote::open(Door::Person, &args.remote).await?;
        evidence::checkpoint(&remote).await
    })??;
    let signed = match (args.cosigned, response.cosigned_checkpoint.as_str()) {
        (false, _) => signed,
        (true, "") => return Err(Failure::new("no witness has cosigned a checkpoint yet")),
        (true, cosigned) => SignedCheckpoint::parse(cosigned)
            .map_err(|why| Failure::new(format!("the daemon's checkpoint cannot be read: {why}")))?,
    };
    let mut out = Out::to(args.output.as_deref())?;
    match args.format {
        Format::Table => out.data(&signed)?,
        Format::Json => {
            let keys = response.keys.iter().map(|key| key.verifier_key.clone()).collect::<Vec<_>>();
            let witnesses = response.witnesses.iter().map(|witness| {
                serde_json::json!({
                    "name": witness.name,
                    "size": witness.tree_size,
                    "updated_at": wire::time(witness.updated_at.as_ref()),
                    "error": wire::present(&witness.error),
                })
            });
            let object = Object::default()
                .with("checkpoint", signed.to_string())
                .with("origin", signed.checkpoint.origin)
                .with("size", signed.checkpoint.size)
                .with("root", signed.checkpoint.root.to_string())
                .with("keys", keys)
                .with("witnesses", witnesses.collect::<Vec<_>>());
            out.json(&object)?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}
