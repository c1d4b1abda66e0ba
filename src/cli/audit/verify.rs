//! `aegis audit verify`: checks a bundle, a receipt or a running daemon, and trusts none of them.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::evidence::{self, Progress};
use crate::audit::checkpoint::{SignedCheckpoint, WitnessLine};
use crate::audit::evidence::{Checked, Invalid, LogVerifier, Proved, Receipt, Trust, Wrong, is_receipt, verify_bundle};
use crate::audit::log::LogKey;
use crate::audit::note::VerifierKey;
use crate::audit::record::Event;
use crate::cli::connect::{self, Door, Remote, RemoteArgs};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::object::Object;
use crate::cli::out::{Format, Out};
use crate::cli::{say, times};
use crate::domain::visible;

const EXAMPLES: &str = "\
Examples:
  The local daemon:
    aegis audit verify
  A bundle, against a key and a checkpoint that were kept elsewhere:
    aegis audit verify audit.tar --key \"$(cat ~/.local/state/aegis/log-key.pub)\" --checkpoint checkpoint-of-last-month
  A receipt:
    aegis audit verify decision.tlog-proof
  Another daemon, which wants a token of an auditor:
    AEGIS_TOKEN=... aegis audit verify https://aegis.example.com:50051

Every payload is hashed again and the tree is built again. Signatures and changes of keys are followed from the \
record itself. A forged record can hold as well: only a key or a checkpoint from elsewhere can tell it \
from the real one. Give what you have with --key and --checkpoint.

Exit codes:
  0  it holds
  1  it could not be checked
  2  bad usage
  3  it was checked and is wrong; the first wrong record is named";

/// Check a bundle, a receipt or a running daemon
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Check this bundle or receipt (`-` is stdin), or the daemon at this URL: `https://HOST:PORT`, `http://HOST:PORT`,
    /// `unix:/PATH` [default: the local daemon]
    #[arg(value_name = "BUNDLE|RECEIPT|URL")]
    what: Option<String>,

    /// Check against this earlier checkpoint, or file of a witness: the log must still hold all that it held then. May
    /// be given several times
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,

    /// Check against this verifier key, which is or was the log's: the text of `log-key.pub`. May be given several
    /// times
    #[arg(long, value_name = "VKEY")]
    key: Vec<VerifierKey>,

    /// Print the result in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// What was checked and holds.
enum Holds {
    Log(Checked),
    Decision(Proved),
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut checkpoints = Vec::new();
    for path in &args.checkpoint {
        checkpoints.extend(read_checkpoints(path)?);
    }
    let trust = Trust { keys: args.key.clone(), checkpoints };
    let is_url = |what: &str| ["http://", "https://", "unix:"].iter().any(|scheme| what.starts_with(scheme));
    let verified = match &args.what {
        Some(what) if !is_url(what) => verify_file(what, trust)?,
        url => connect::block_on(verify_daemon(url.as_deref(), &args.remote, trust))??.map(Holds::Log),
    };
    let mut out = Out::stdout();
    let exit = match (&verified, args.format) {
        (Ok(holds), Format::Json) => {
            out.json(&holds.json())?;
            Exit::Done
        }
        (Ok(holds), Format::Table) => {
            out.text(holds.text())?;
            Exit::Done
        }
        (Err(wrong), format) => {
            if format == Format::Json {
                let object = Object::default().with("valid", false).with("sequence", wrong.sequence);
                out.json(&object.with("why", wrong.why.as_str()))?;
            }
            let what = args.what.as_deref().unwrap_or("the daemon's record");
            say::error(format_args!("{what} does not hold: {}", visible(&wrong.to_string())));
            Exit::Denied
        }
    };
    out.flush()?;
    if verified.is_ok() && args.key.is_empty() && args.checkpoint.is_empty() {
        say::note("the log was checked against nothing from elsewhere: see --key and --checkpoint");
    }
    Ok(exit)
}

/// A checkpoint, or all those that a witness has written.
fn read_checkpoints(path: &Path) -> Result<Vec<SignedCheckpoint>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    let lines = text.lines().filter(|line| !line.is_empty());
    let read = if text.trim_start().starts_with('{') {
        lines.map(|line| WitnessLine::parse(line.as_bytes())).collect()
    } else {
        SignedCheckpoint::parse(&text).map(|checkpoint| vec![checkpoint])
    };
    read.map_err(|why| {
        Failure::new(format!("{}: {why}", path.display())).hint("`aegis audit checkpoint -o FILE` writes a checkpoint")
    })
}

fn verify_file(what: &str, trust: Trust) -> Result<Result<Holds, Wrong>, Failure> {
    let path = Path::new(what);
    let cannot = |error: &std::io::Error| Failure::file("read", path, error);
    let mut input: Box<dyn Read> = match what {
        "-" => Box::new(std::io::stdin()),
        _ => Box::new(File::open(path).map_err(|error| cannot(&error))?),
    };
    let mut beginning = Vec::new();
    input.by_ref().take(512).read_to_end(&mut beginning).map_err(|error| cannot(&error))?;
    if is_receipt(&beginning) {
        if !trust.checkpoints.is_empty() {
            return Err(Failure::usage(
                "a receipt cannot be checked against a checkpoint: it holds one decision alone",
            )
            .hint("check a bundle, or the daemon, against the checkpoint; check the receipt against --key"));
        }
        let rest = input.take(64 << 20).read_to_end(&mut beginning);
        rest.map_err(|error| cannot(&error))?;
        return Ok(match String::from_utf8(beginning) {
            Ok(text) => Receipt::parse(&text).and_then(|receipt| receipt.verify(&trust)).map(Holds::Decision),
            Err(_) => Err(Wrong { sequence: None, why: "the receipt is not text".to_owned() }),
        });
    }
    if !looks_like_a_bundle(&beginning) {
        return Err(Failure::new(format!("{what} is neither a bundle nor a receipt"))
            .hint("`aegis audit export` writes a bundle, `aegis audit receipt` a receipt"));
    }
    let mut progress = Progress::new("verified");
    let input = BufReader::with_capacity(1 << 20, beginning.as_slice().chain(input));
    match verify_bundle(input, trust, |done, of| progress.tell(done, of)) {
        Ok(checked) => Ok(Ok(Holds::Log(checked))),
        Err(Invalid::Wrong(wrong)) => Ok(Err(wrong)),
        Err(Invalid::Io(error)) => Err(cannot(&error)),
    }
}

/// Whether it begins as a tar archive does. One that is damaged is a bundle all the same, as long as anything of its
/// first header can be known.
fn looks_like_a_bundle(beginning: &[u8]) -> bool {
    const MAGIC: (usize, &[u8]) = (257, b"ustar");
    let has_magic = beginning.get(MAGIC.0..).is_some_and(|rest| rest.starts_with(MAGIC.1));
    // The first file of a bundle.
    has_magic || beginning.starts_with(b"checkpoint")
}

async fn verify_daemon(
    url: Option<&str>,
    remote: &RemoteArgs,
    trust: Trust,
) -> Result<Result<Checked, Wrong>, Failure> {
    let mut remote = remote.clone();
    if let Some(url) = url {
        if remote.endpoint.is_some() {
            return Err(Failure::usage("the daemon is named twice: leave --endpoint out"));
        }
        remote.endpoint = Some(url.to_owned());
    }
    let remote = Remote::open(Door::Person, &remote).await?;
    let (_, checkpoint) = evidence::checkpoint(&remote).await?;
    let size = checkpoint.checkpoint.size;
    let mut stream = evidence::records(&remote, None).await?;
    let mut verifier = LogVerifier::new(trust);
    let mut progress = Progress::new("verified");
    while verifier.size() < size {
        let Some(record) = evidence::next(&mut stream).await? else { break };
        let (entry, leaf) = evidence::entry(&record)?;
        if let Err(wrong) = verifier.push(&entry, Some(leaf)) {
            return Ok(Err(wrong));
        }
        progress.tell(verifier.size(), size);
    }
    Ok(verifier.finish(&checkpoint))
}

fn key_names(keys: &[LogKey]) -> Vec<String> {
    keys.iter().map(|key| key.key.to_string()).collect()
}

impl Holds {
    fn json(&self) -> Object {
        match self {
            Self::Log(checked) => Object::default()
                .with("valid", true)
                .with("kind", "log")
                .with("origin", checked.checkpoint.origin.as_str())
                .with("size", checked.checkpoint.size)
                .with("root", checked.checkpoint.root.to_string())
                .with("keys", key_names(&checked.keys))
                .with("redacted", checked.redacted)
                .with("first_time", checked.times.map(|times| times::exact(times.0)))
                .with("last_time", checked.times.map(|times| times::exact(times.1))),
            Self::Decision(proved) => Object::default()
                .with("valid", true)
                .with("kind", "receipt")
                .with("origin", proved.checkpoint.origin.as_str())
                .with("size", proved.checkpoint.size)
                .with("root", proved.checkpoint.root.to_string())
                .with("keys", key_names(&proved.keys))
                .with("redacted", proved.redacted)
                .with("decision_id", proved.decision_id.to_string())
                .with("records", serde_json::to_value(&proved.records).unwrap_or_default()),
        }
    }

    fn text(&self) -> String {
        let (checkpoint, keys) = match self {
            Self::Log(checked) => (&checked.checkpoint, &checked.keys),
            Self::Decision(proved) => (&proved.checkpoint, &proved.keys),
        };
        let mut lines = match self {
            Self::Log(checked) => {
                let mut lines = vec![format!("It holds: {} records, each of them in its place.", checkpoint.size)];
                if let Some((first, last)) = checked.times {
                    lines.push(format!("  from      {first} to {last}"));
                }
                if checked.redacted > 0 {
                    lines.push(format!("  redacted  {} records, each accounted for", checked.redacted));
                }
                lines
            }
            Self::Decision(proved) => {
                let mut lines = vec![format!("It holds: {} is on the record.", proved.decision_id)];
                lines.extend(proved.records.iter().map(|record| {
                    format!("  {:<9} {} {}", record.sequence, record.time, visible(&say_event(&record.event)))
                }));
                if proved.redacted > 0 {
                    lines.push(format!("  redacted  {} records", proved.redacted));
                }
                lines
            }
        };
        lines.push(format!("  log       {}", visible(&checkpoint.origin)));
        lines.push(format!("  root      {} at size {}", checkpoint.root, checkpoint.size));
        lines.extend(
            keys.iter()
                .map(|key| format!("  key       {} from record {}", visible(&key.key.to_string()), key.sequence)),
        );
        lines.join("\n") + "\n"
    }
}

/// What a record of a decision says, in a few words.
fn say_event(event: &Event) -> String {
    match event {
        Event::Decision(decision) => format!(
            "{} by {}: {} {}",
            decision.outcome.as_str(),
            decision.matched_rule,
            decision.action.r#type,
            decision.action.target
        ),
        Event::ApprovalRequested { .. } => "approval requested".to_owned(),
        Event::ApprovalEnded { ending, .. } => format!("{} by {}", ending.kind.as_str(), ending.by),
        Event::Confirmed { .. } => "confirmed by the agent's user".to_owned(),
        Event::ConfirmationCancelled { .. } => "withdrawn".to_owned(),
        Event::ReplayDenied { reason, .. } => format!("denied when it was proposed again: {reason}"),
        Event::Result { report, .. } => format!("reported as {}", report.status.as_str()),
        Event::DecisionRedacted { by, reason, .. } => format!("redacted by {by}: {reason}"),
        _ => "another record".to_owned(),
    }
}
