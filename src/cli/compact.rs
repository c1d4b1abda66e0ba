//! `aegis compact`: gives the space that redaction and retention freed back to the file system.

use std::path::PathBuf;

use super::data_dir::DataDir;
use super::environment::Environment;
use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, Out};
use crate::audit::{Compacted, Options, Store};

const EXAMPLES: &str = "\
Examples:
  aegis compact --data-dir /var/lib/aegis

Stop the daemon first. `--retain` and redaction make what is in the file shorter, and the file keeps its size. This \
command writes a new file and puts it in the place of the old one, so it needs space for both. It can be interrupted: \
nothing is lost.";

/// Give free space of the record back to the file system, while no daemon runs
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Compact the record of this data directory [env: `AEGIS_DATA_DIR`] [default: `$XDG_STATE_HOME/aegis`]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Print the answer in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let environment = Environment::of_process();
    let dir = DataDir::find(args.data_dir.as_deref(), &environment)?;
    dir.check_owner(&environment)?;
    let record = dir.existing_record()?;
    let Compacted { before, after } =
        Store::compact(&record, Options::default()).map_err(|error| Failure::new(error.to_string()))?;
    let mut out = Out::stdout();
    match args.format {
        Format::Table => {
            out.line(format_args!("{}: {} before, {} now", record.display(), size(before), size(after)))?;
        }
        Format::Json => {
            let object = Object::default().with("record", record.display().to_string());
            out.json(&object.with("bytes_before", before).with("bytes_after", after))?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// A number of bytes, for people.
fn size(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_in_mebibytes() {
        assert_eq!(size(0), "0.0 MiB");
        assert_eq!(size((5 << 20) + (1 << 19)), "5.5 MiB");
        assert_eq!(size(3 << 40), "3145728.0 MiB");
    }
}
