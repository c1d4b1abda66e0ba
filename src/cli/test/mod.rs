//! `aegis test`: runs suites that say how policies answer, without a daemon.
//!
//! `suite` reads a suite, `run` asks the policy, `report` prints the results.

mod find;
mod junit;
mod report;
mod run;
mod suite;

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use self::run::Results;
use super::exit::Exit;
use super::failure::Failure;
use super::out::Out;
use super::{connect, say};
use crate::policy::MAX_SOURCE_BYTES;
use crate::watcher::FileWatcher;

const EXAMPLES: &str = "\
Examples:
  aegis test
  aegis test policies/ --coverage
  aegis test policy_test.yaml --watch
  aegis test --format junit > results.xml

A suite is a YAML file, for example policy_test.yaml:
  policy: [base.yaml, production.yaml]      # layers, lowest first, beside this file
  now: 2026-11-27T10:00:00Z                 # the clock of every test without its own
  actors:
    ci: { id: ci, authenticated: true }
  actions:
    read: { type: read_contact, target: crm }
    wipe: { type: delete_all, target: crm }
  tests:
    - name: reads run alone
      action: read
      expect: { outcome: ALLOW, rule: reads }
    - name: what ci may do                  # what is not named is expected to be DENY
      actor: ci
      actions: [read, wipe]
      expect: { read: ALLOW }

The exit code is 0 if every test passes, 3 if one fails, and 1 if a suite or its policy cannot be read.";

/// Run the tests of policies
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Run these suites; of a directory, every file whose name ends in `_test.yaml` or `_test.yml` [default: .]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// List the rules that no test is decided by, and the conditions that always or never hold
    #[arg(long)]
    coverage: bool,

    /// Run again whenever a suite or a policy changes, until interrupted
    #[arg(long)]
    watch: bool,

    /// Print the results in this format
    #[arg(long, value_enum, default_value = "tree")]
    format: TestFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum TestFormat {
    /// For people
    Tree,
    /// One JSON document
    Json,
    /// `JUnit` XML, for CI
    Junit,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    if args.watch { connect::block_on(watch(args))? } else { once(args, &find::suites(&args.paths)?) }
}

/// Runs the suites once and prints the results.
fn once(args: &Args, suites: &[PathBuf]) -> Result<Exit, Failure> {
    let results = Results::of(suites)?;
    let mut out = Out::stdout();
    match args.format {
        TestFormat::Tree => out.text(report::tree(&results, args.coverage))?,
        TestFormat::Json => out.json(&report::json(&results, args.coverage))?,
        TestFormat::Junit => out.data(junit::xml(&results)?)?,
    }
    out.flush()?;
    Ok(if results.failed() == 0 { Exit::Done } else { Exit::Denied })
}

/// Runs the suites, and again after each change of a suite or of a policy.
async fn watch(args: &Args) -> Result<Exit, Failure> {
    let never = CancellationToken::new();
    let mut watcher = FileWatcher::new(find::watched(&find::suites(&args.paths)?), MAX_SOURCE_BYTES);
    while let Some(change) = watcher.changed(&never).await {
        // A suite or a layer may be new.
        let suites = find::suites(&args.paths)?;
        watcher.accept(change);
        watcher.replace(find::watched(&suites));
        // What cannot be read now can be read after the next change.
        if let Err(failure) = once(args, &suites) {
            failure.report();
        }
        say::note("Waiting for a change. Interrupt to end.");
    }
    Ok(Exit::Done)
}
