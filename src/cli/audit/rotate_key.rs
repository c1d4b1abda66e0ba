//! `aegis audit rotate-key`: replaces the key that signs the record.

use crate::cli::connect::{self, Door, Remote, RemoteArgs};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::object::Object;
use crate::cli::out::{Format, Out};
use crate::proto::v1::RotateLogKeyRequest;

/// Replace the key that signs the record
///
/// Both keys sign a statement on the record, then the old key is destroyed. Who knows the old verifier key can follow
/// the record to the new one. Old checkpoints and receipts stay valid.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Write the new verifier key itself, or JSON
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let rotated = connect::block_on(async {
        let mut client = Remote::open(Door::Person, &args.remote).await?.administration();
        Ok::<_, Failure>(client.rotate_log_key(connect::call(RotateLogKeyRequest::default())).await?.into_inner())
    })??;
    let mut out = Out::stdout();
    match args.format {
        Format::Json => out.json(
            &Object::default()
                .with("old_key", rotated.old_verifier_key)
                .with("new_key", rotated.new_verifier_key)
                .with("sequence", rotated.sequence),
        )?,
        Format::Table => out.line(rotated.new_verifier_key)?,
    }
    out.flush()?;
    Ok(Exit::Done)
}
