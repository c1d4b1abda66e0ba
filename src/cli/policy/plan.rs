//! `aegis policy plan`: what would change if a candidate had decided what is on the record.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::replay::{Plan, Recorded};
use crate::audit::evidence::{EntryLine, Invalid, Trust, read_bundle};
use crate::audit::record::{Event, Record};
use crate::cli::audit::evidence::{self, Progress};
use crate::cli::connect::{self, Door, Remote, RemoteArgs};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::out::{Format, Out};
use crate::cli::{policy_files, times};
use crate::domain::{How, Timestamp};
use crate::policy::Policy;

const EXAMPLES: &str = "\
Examples:
  aegis policy plan candidate.yaml --since 7d
  aegis policy plan base.yaml production.yaml --from audit.tar
  aegis policy plan candidate.yaml --format json | jq .newly_allowed

Each recorded decision is decided again by the candidate, at its own time, for its own actor. What was recorded masked \
is gone: an answer that depends on it is counted as unknown, never guessed. The exit code is 0 if nothing changes, 3 \
if an answer changes, and 1 if the candidate or the record cannot be read.";

/// Show what a candidate policy would change for recorded decisions
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Decide by these files as layers, lowest first; `-` is stdin
    #[arg(value_name = "CANDIDATE", required = true)]
    candidate: Vec<PathBuf>,

    /// Replay decisions from this moment on: 7d, 24h, 2026-11-20T09:00:00Z [default: all]
    #[arg(long, value_name = "WHEN", value_parser = times::moment_arg)]
    since: Option<Timestamp>,

    /// Read the record from this bundle of `aegis audit export`, and verify it [default: from the daemon]
    #[arg(long, value_name = "BUNDLE")]
    from: Option<PathBuf>,

    /// Print the plan in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let candidate = policy_files::load(&args.candidate)?;
    let plan = match &args.from {
        Some(bundle) => from_bundle(args, &candidate, bundle)?,
        None => connect::block_on(from_daemon(args, &candidate))??,
    };
    let mut out = Out::stdout();
    match args.format {
        Format::Table => out.text(plan.text())?,
        Format::Json => out.json(&plan.json())?,
    }
    out.flush()?;
    Ok(if plan.changes_anything() { Exit::Denied } else { Exit::Done })
}

fn from_bundle(args: &Args, candidate: &Policy, bundle: &Path) -> Result<Plan, Failure> {
    let file = File::open(bundle).map_err(|error| Failure::file("read", bundle, &error))?;
    let (mut plan, mut unreadable) = (Plan::default(), None);
    let mut progress = Progress::new("replayed");
    let read = read_bundle(
        BufReader::with_capacity(1 << 20, file),
        Trust::default(),
        |done, of| progress.tell(done, of),
        |entry| {
            if unreadable.is_none() {
                unreadable = replay(args, candidate, entry, &mut plan).err();
            }
        },
    );
    drop(progress);
    match read {
        Ok(_) => unreadable.map_or(Ok(plan), Err),
        Err(Invalid::Wrong(wrong)) => Err(Failure::new(format!("{} does not hold: {wrong}", bundle.display()))),
        Err(Invalid::Io(error)) => Err(Failure::file("read", bundle, &error)),
    }
}

async fn from_daemon(args: &Args, candidate: &Policy) -> Result<Plan, Failure> {
    let remote = Remote::open(Door::Person, &args.remote).await?;
    let (_, checkpoint) = evidence::checkpoint(&remote).await?;
    let size = checkpoint.checkpoint.size;
    let mut stream = evidence::records(&remote, None).await?;
    let (mut plan, mut done) = (Plan::default(), 0);
    let mut progress = Progress::new("replayed");
    while done < size {
        let Some(record) = evidence::next(&mut stream).await? else { break };
        let (entry, _) = evidence::entry(&record)?;
        replay(args, candidate, &entry, &mut plan)?;
        done += 1;
        progress.tell(done, size);
    }
    Ok(plan)
}

/// Decides again what a record says, if it is that of a decision.
fn replay(args: &Args, candidate: &Policy, entry: &EntryLine<'_>, plan: &mut Plan) -> Result<(), Failure> {
    let EntryLine::Whole { payload, .. } = entry else {
        // What was redacted may have been a decision, an approval or a result.
        plan.redacted += 1;
        return Ok(());
    };
    let record: Record =
        serde_json::from_slice(payload).map_err(|error| Failure::new(format!("a record cannot be read: {error}")))?;
    let Event::Decision(decision) = record.event else { return Ok(()) };
    if args.since.is_some_and(|since| record.time < since) {
        return Ok(());
    }
    let proposer = decision.identity;
    let authenticated = proposer.how != How::Anonymous;
    let recorded = Recorded {
        decision_id: decision.decision_id.to_string(),
        time: record.time,
        declared_actor: decision.actor.id,
        authenticated_actor: authenticated.then(|| proposer.actor.unwrap_or(proposer.subject)),
        action: decision.action,
        masked: decision.masked,
        approval: decision.approval,
        matched_rule: decision.matched_rule,
        is_limited: decision.halted || !decision.limits.is_empty(),
    };
    plan.add(candidate, recorded);
    Ok(())
}
