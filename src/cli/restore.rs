//! `aegis restore`: makes a data directory from a backup.
//!
//! The record has its name only when it is whole, checked, and says that it was restored. So an attempt that is
//! interrupted leaves nothing that a daemon would serve.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::audit::evidence::Progress;
use super::backup::check_key;
use super::connect;
use super::data_dir::DataDir;
use super::environment::Environment;
use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, Out};
use super::{files, say};
use crate::audit::backup::{About, BackupError, BackupReader, Checker, restore};
use crate::audit::{Options, Standalone};
use crate::domain::{Clock as _, SystemClock};
use crate::governance::{Ended, after_restore};

const EXAMPLES: &str = "\
Examples:
  aegis restore /backup/aegis-2026-11-29.backup --data-dir /var/lib/aegis
  aegis serve policy.yaml --data-dir /var/lib/aegis

A backup shows the past. So every token that was made is revoked, every open question ends, and the record says that it \
was restored. What was recorded after the backup is lost. A witness that saw more than the backup has keeps the daemon \
from starting.";

/// The name of a record that is not whole yet, without its extension.
const UNFINISHED: &str = "restoring";

/// Make a data directory from a backup
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Restore this backup; `-` is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Make this data directory. It must not hold a record [env: `AEGIS_DATA_DIR`] [default: `$XDG_STATE_HOME/aegis`]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Restore a record whose tables do not fit its log. The log itself is always checked
    #[arg(long)]
    skip_check: bool,

    /// Print the answer in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let environment = Environment::of_process();
    let dir = DataDir::find(args.data_dir.as_deref(), &environment)?;
    refuse_a_record(&dir)?;
    let source: Box<dyn Read> = if args.file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(&args.file).map_err(|error| Failure::file("read", &args.file, &error))?)
    };
    let cannot = |error: BackupError| Failure::new(format!("cannot restore {}: {error}", args.file.display()));
    let (about, mut reader) = BackupReader::open(BufReader::with_capacity(1 << 20, source)).map_err(cannot)?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir.path());
    made.map_err(|error| Failure::file("write", dir.path(), &error))?;
    dir.check_owner(&environment)?;

    let record = dir.path().join(UNFINISHED).with_extension("redb");
    forget(&record);
    let restored: Result<Ended, Failure> = (|| {
        let mut progress = Progress::new("restored");
        let checker = Checker::new(&about);
        let keys = restore(&mut reader, checker, &record, |records| progress.tell(records, about.last_sequence));
        let keys = keys.map_err(cannot)?;
        drop(progress);
        check_keys(&about, &keys).map_err(|why| cannot(BackupError::Wrong(why)))?;
        let ended = settle(&record, &about, args.skip_check)?;
        for (name, content) in keys {
            write_key(&dir.path().join(name), &content)?;
        }
        // The record was closed in good order, and gets a new journal.
        let _ = fs::remove_file(record.with_extension("journal"));
        let _ = fs::remove_file(record.with_extension("reserve"));
        let named = fs::rename(&record, dir.record()).and_then(|()| files::sync_parent(&dir.record()));
        named.map_err(|error| Failure::file("write", &dir.record(), &error))?;
        Ok(ended)
    })();
    if restored.is_err() {
        forget(&record);
    }
    tell(args.format, &dir, &about, restored?)
}

fn tell(format: Format, dir: &DataDir, about: &About, ended: Ended) -> Result<Exit, Failure> {
    let mut out = Out::stdout();
    if format == Format::Json {
        let object = Object::default()
            .with("data_dir", dir.path().display().to_string())
            .with("records", about.last_sequence)
            .with("backed_up_at", about.made_at.to_string())
            .with("tokens_revoked", ended.tokens)
            .with("questions_ended", ended.questions)
            .with("confirmations_ended", ended.confirmations);
        out.json(&object)?;
        out.flush()?;
        return Ok(Exit::Done);
    }
    out.line(format_args!(
        "{}: {} records up to {} are restored. {} tokens are revoked, {} questions and {} confirmations have ended.",
        dir.path().display(),
        about.last_sequence,
        about.made_at,
        ended.tokens,
        ended.questions,
        ended.confirmations,
    ))?;
    out.flush()?;
    say::note("what was recorded after the backup is not in this record, and the record says so");
    Ok(Exit::Done)
}

fn refuse_a_record(dir: &DataDir) -> Result<(), Failure> {
    let names = ["record.redb", "record.journal"].into_iter().chain(DataDir::KEYS);
    for name in names {
        let path = dir.path().join(name);
        if path.symlink_metadata().is_ok() {
            return Err(Failure::new(format!("{} holds a record already: there is a {name}", dir.path().display()))
                .hint("restore to another directory, or move what is there away and keep it"));
        }
    }
    Ok(())
}

/// Removes what is left of an attempt that did not end.
fn forget(record: &Path) {
    for extension in ["redb", "journal", "reserve"] {
        // Usually there is none.
        let _ = fs::remove_file(record.with_extension(extension));
    }
}

/// Whether the files are the keys of the data directory.
fn check_keys(about: &About, keys: &[(String, Vec<u8>)]) -> Result<(), String> {
    for wanted in DataDir::KEYS {
        let count = keys.iter().filter(|(name, _)| name == wanted).count();
        if count != 1 {
            return Err(format!("it has {count} files `{wanted}`, and should have one"));
        }
    }
    if let Some((name, _)) = keys.iter().find(|(name, _)| !DataDir::KEYS.contains(&name.as_str())) {
        return Err(format!("it has a file {name:?}, which is none of a data directory"));
    }
    let log_key = keys.iter().find(|(name, _)| name == DataDir::LOG_KEY).map_or(&[][..], |(_, content)| content);
    check_key(about, log_key).map_err(|why| format!("its log-key: {why}"))
}

/// Checks the whole record, and ends in it what must not go on.
fn settle(record: &Path, about: &About, skip_check: bool) -> Result<Ended, Failure> {
    let store = Standalone::open(record, Options::default()).map_err(|error| Failure::new(error.to_string()))?;
    if !skip_check {
        let checked = store.read().and_then(|reader| reader.check());
        checked.map_err(|error| {
            Failure::new(format!("the tables of the backup do not fit its log: {error}"))
                .hint("try another backup. If there is none, --skip-check restores this one as it is")
        })?;
    }
    let ended = connect::block_on(after_restore(&store, SystemClock::start().now(), about))?;
    store.shutdown();
    ended.map_err(|error| Failure::new(format!("cannot record the restore: {error}")))
}

fn write_key(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let written = files::create_secret(path).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.map_err(|error| Failure::file("write", path, &error))
}
