//! `aegis backup`: writes everything that a restore needs to one file.
//!
//! A running daemon sends its record over its own socket; without one, the record is read from the data directory. The
//! keys are read from the data directory in both cases. Every frame is checked before it is written.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};

use tonic::Streaming;

use super::audit::evidence::Progress;
use super::connect::{self, Remote};
use super::data_dir::DataDir;
use super::environment::Environment;
use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, Out};
use super::{files, say};
use crate::audit::backup::{About, BackupError, BackupReader, BackupWriter, Checker, Chunks, Frame};
use crate::audit::note::SigningKey;
use crate::audit::{Options, Store};
use crate::domain::{Clock as _, SystemClock};
use crate::proto::v1::{StreamBackupRequest, StreamBackupResponse};

const EXAMPLES: &str = "\
Examples:
  aegis backup -o /backup/aegis-$(date +%F).backup
  kubectl exec POD -c aegis -- /aegis backup -o - > aegis.backup
  aegis restore aegis.backup --data-dir /var/lib/aegis

The file has the record and both secret keys: keep it as you keep a key. It is made while the daemon runs, and calls go \
on. Without a running daemon, it is made from the data directory.";

/// Back up the record and its keys, while the daemon runs or not
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Write the backup to this file, with mode 0600; `-` is stdout
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Back up this data directory [env: `AEGIS_DATA_DIR`] [default: `$XDG_STATE_HOME/aegis`]
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
    let to_stdout = args.output.as_os_str() == "-";
    if to_stdout && io::stdout().is_terminal() {
        return Err(Failure::usage("a backup has secret keys, and does not go to a terminal: name a file with -o"));
    }
    if to_stdout && args.format == Format::Json {
        return Err(Failure::usage("the backup itself goes to stdout: name a file with -o for an answer in JSON"));
    }
    let source = Source::open(&dir)?;
    let about = if to_stdout {
        copy(source, &dir, io::stdout().lock()).map(|(about, _)| about)
    } else {
        to_file(source, &dir, &args.output)
    }?;
    if args.format == Format::Json {
        let object = Object::default()
            .with("backup", args.output.display().to_string())
            .with("records", about.last_sequence)
            .with("backed_up_at", about.made_at.to_string());
        let mut out = Out::stdout();
        out.json(&object)?;
        out.flush()?;
        return Ok(Exit::Done);
    }
    say::note(format_args!(
        "{}: {} records up to {}, and the keys, checked as they were written",
        if to_stdout { Path::new("stdout") } else { &args.output }.display(),
        about.last_sequence,
        about.made_at,
    ));
    Ok(Exit::Done)
}

fn to_file(source: Source, dir: &DataDir, path: &Path) -> Result<About, Failure> {
    let (file, part) = files::create_secret_part(path)?;
    let written = copy(source, dir, file).and_then(|(about, file)| {
        let named = file.sync_all().and_then(|()| fs::rename(&part, path)).and_then(|()| files::sync_parent(path));
        named.map(|()| about).map_err(|error| Failure::file("write", path, &error))
    });
    if written.is_err() {
        // It is of no use, and takes space.
        let _ = fs::remove_file(&part);
    }
    written
}

/// Copies a backup, adds the keys, and checks everything that passes.
fn copy<W: Write>(source: Source, dir: &DataDir, out: W) -> Result<(About, W), Failure> {
    let cannot = |error: BackupError| Failure::new(format!("cannot back up {}: {error}", dir.path().display()));
    let (about, mut reader) = BackupReader::open(source).map_err(cannot)?;
    let mut checker = Checker::new(&about);
    let out = BufWriter::with_capacity(1 << 20, out);
    let mut writer = BackupWriter::begin(out, &about).map_err(|error| Failure::output(&error))?;
    let mut progress = Progress::new("backed up");
    while let Some(frame) = reader.next_frame().map_err(cannot)? {
        // The source has no files.
        if let Frame::Entries(entries) = frame {
            checker.take(&entries).map_err(cannot)?;
            writer.entries(&entries).map_err(|error| Failure::output(&error))?;
            progress.tell(checker.records(), about.last_sequence);
        }
    }
    checker.finish().map_err(cannot)?;
    drop(progress);
    for (name, content) in keys(dir, &about)? {
        writer.file(name, &content).map_err(|error| Failure::output(&error))?;
    }
    let (out, _) = writer.finish().map_err(|error| Failure::output(&error))?;
    let out = out.into_inner().map_err(|error| Failure::output(error.error()))?;
    Ok((about, out))
}

/// The secret files of the data directory, after the record was read.
fn keys(dir: &DataDir, about: &About) -> Result<Vec<(&'static str, Vec<u8>)>, Failure> {
    let mut keys = Vec::new();
    for name in DataDir::KEYS {
        let path = dir.path().join(name);
        let mut content = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(64 << 10).read_to_end(&mut content));
        read.map_err(|error| Failure::file("read", &path, &error))?;
        keys.push((name, content));
    }
    check_key(about, keys.iter().find(|(name, _)| *name == DataDir::LOG_KEY).map_or(&[], |(_, content)| content))
        .map_err(|why| Failure::new(format!("{}: {why}", dir.path().join(DataDir::LOG_KEY).display())))?;
    Ok(keys)
}

/// Whether this is the private key that signs the log of a backup.
pub(super) fn check_key(about: &About, content: &[u8]) -> Result<(), String> {
    let key = std::str::from_utf8(content).map_err(|_| "it is no key".to_owned())?;
    let key = SigningKey::from_text(key).map_err(|error| error.to_string())?;
    let key = key.verifier().to_string();
    if about.key.is_empty() || about.key == key {
        return Ok(());
    }
    Err(format!("it is {key}, and the record is signed by {}. If the key was just replaced, run it again", about.key))
}

/// Where the bytes of the record come from: a backup without keys.
enum Source {
    /// A running daemon.
    Daemon { runtime: tokio::runtime::Runtime, stream: Box<Streaming<StreamBackupResponse>>, rest: Rest },
    /// The data directory, which no daemon uses.
    Store { chunks: Chunks, rest: Rest, _store: Closing },
}

/// The part of a chunk that is not read yet.
#[derive(Default)]
struct Rest {
    chunk: Vec<u8>,
    at: usize,
}

/// Closes the store in good order.
struct Closing(Store);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

impl Source {
    fn open(dir: &DataDir) -> Result<Self, Failure> {
        let runtime = connect::runtime()?;
        let stream = runtime.block_on(async {
            let Some(remote) = Remote::open_if_running(dir).await? else { return Ok(None) };
            let stream = remote.administration().stream_backup(StreamBackupRequest {}).await?;
            Ok::<_, Failure>(Some(stream.into_inner()))
        })?;
        if let Some(stream) = stream {
            return Ok(Self::Daemon { runtime, stream: Box::new(stream), rest: Rest::default() });
        }
        let store = Store::open(&dir.existing_record()?, Options::default())
            .map_err(|error| Failure::new(error.to_string()))?;
        let chunks = runtime
            .block_on(store.back_up(SystemClock::start().now()))
            .map_err(|error| Failure::new(error.to_string()))?;
        Ok(Self::Store { chunks, rest: Rest::default(), _store: Closing(store) })
    }
}

impl Read for Source {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let (next, rest) = match self {
            Self::Daemon { runtime, stream, rest } if rest.is_empty() => {
                let next = runtime.block_on(stream.message());
                let next = next.map_err(|status| io::Error::other(Failure::from(status)))?;
                (next.map(|message| message.chunk), rest)
            }
            Self::Store { chunks, rest, .. } if rest.is_empty() => {
                (chunks.blocking_recv().transpose().map_err(io::Error::other)?, rest)
            }
            Self::Daemon { rest, .. } | Self::Store { rest, .. } => (None, rest),
        };
        if let Some(chunk) = next {
            *rest = Rest { chunk, at: 0 };
        }
        Ok(rest.take(bytes))
    }
}

impl Rest {
    fn is_empty(&self) -> bool {
        self.at >= self.chunk.len()
    }

    fn take(&mut self, bytes: &mut [u8]) -> usize {
        let rest = &self.chunk[self.at..];
        let some = rest.len().min(bytes.len());
        bytes[..some].copy_from_slice(&rest[..some]);
        self.at += some;
        some
    }
}
