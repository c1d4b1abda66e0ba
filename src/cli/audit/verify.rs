//! `aegis audit verify`: checks a bundle, a receipt or a running daemon, and believes none of them.

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
use crate::cli::say;
use crate::domain::visible;

const EXAMPLES: &str = "\
Examples:
  aegis audit verify audit.tar
  aegis audit verify audit.tar --key \"$(cat log-key.pub)\" --checkpoint checkpoint-of-last-month
  aegis audit verify decision.tlog-proof
  aegis audit verify http://127.0.0.1:50051

Every payload is hashed again, the tree is built anew, and signatures and changes of keys are followed from the record itself. \
That the record is the one that it should be, and not one that somebody made anew, only a key or a checkpoint can tell that \
came another way: give what you have with --key and --checkpoint.

Exit codes:
  0  it holds
  1  it could not be checked
  2  bad usage
  3  it was checked and is wrong; the first record that is wrong is named";

/// Check a bundle, a receipt or a running daemon
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A bundle, a receipt, `-` for either on stdin, or the daemon: `https://HOST:PORT`, `http://HOST:PORT`, `unix:/PATH`
    #[arg(value_name = "BUNDLE|RECEIPT|URL")]
    what: String,

    /// A checkpoint that was seen before, or the file of a witness: the log must still contain what it says. May be given
    /// several times
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,

    /// A verifier key that is known to be the log's, or that was: `log-key.pub`. May be given several times
    #[arg(long, value_name = "VKEY")]
    key: Vec<VerifierKey>,

    /// How to write the answer
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
    let is_url = ["http://", "https://", "unix:"].iter().any(|scheme| args.what.starts_with(scheme));
    let verified = if is_url {
        connect::block_on(verify_daemon(args, trust))??.map(Holds::Log)
    } else {
        verify_file(args, trust)?
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
            say::error(format_args!("{} does not hold: {}", args.what, visible(&wrong.to_string())));
            Exit::Denied
        }
    };
    out.flush()?;
    if verified.is_ok() && args.key.is_empty() && args.checkpoint.is_empty() {
        say::note("nothing was given that the log could be held against: see --key and --checkpoint");
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

fn verify_file(args: &Args, trust: Trust) -> Result<Result<Holds, Wrong>, Failure> {
    let path = Path::new(&args.what);
    let cannot = |error: &std::io::Error| Failure::file("read", path, error);
    let mut input: Box<dyn Read> = match &*args.what {
        "-" => Box::new(std::io::stdin()),
        _ => Box::new(File::open(path).map_err(|error| cannot(&error))?),
    };
    let mut beginning = Vec::new();
    input.by_ref().take(512).read_to_end(&mut beginning).map_err(|error| cannot(&error))?;
    if is_receipt(&beginning) {
        if !trust.checkpoints.is_empty() {
            return Err(Failure::usage("a receipt cannot be held against a checkpoint: it holds one decision alone")
                .hint("verify a bundle, or the daemon, against the checkpoint; hold the receipt against --key"));
        }
        let rest = input.take(64 << 20).read_to_end(&mut beginning);
        rest.map_err(|error| cannot(&error))?;
        return Ok(match String::from_utf8(beginning) {
            Ok(text) => Receipt::parse(&text).and_then(|receipt| receipt.verify(&trust)).map(Holds::Decision),
            Err(_) => Err(Wrong { sequence: None, why: "the receipt is not text".to_owned() }),
        });
    }
    let mut progress = Progress::new("verified");
    let input = BufReader::with_capacity(1 << 20, beginning.as_slice().chain(input));
    match verify_bundle(input, trust, |done, of| progress.tell(done, of)) {
        Ok(checked) => Ok(Ok(Holds::Log(checked))),
        Err(Invalid::Wrong(wrong)) => Ok(Err(wrong)),
        Err(Invalid::Io(error)) => Err(cannot(&error)),
    }
}

async fn verify_daemon(args: &Args, trust: Trust) -> Result<Result<Checked, Wrong>, Failure> {
    if args.remote.endpoint.is_some() {
        return Err(Failure::usage("the daemon is named twice: leave --endpoint out"));
    }
    let remote = RemoteArgs { endpoint: Some(args.what.clone()), ..args.remote.clone() };
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
                .with("first_time", checked.times.map(|times| times.0.to_string()))
                .with("last_time", checked.times.map(|times| times.1.to_string())),
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
