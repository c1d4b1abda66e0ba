//! `aegis propose`: asks whether an action may run, waits for whoever has to answer, and, like `sudo`, runs it.

mod command;
mod decision;

use std::ffi::OsString;
use std::time::{Duration, Instant};

use tonic::Status;

pub(super) use self::decision::may_run;
use super::action_args::{self, ActionArgs};
use super::connect::{self, Door, Remote, RemoteArgs};
use super::exit::Exit;
use super::failure::{Failure, because};
use super::out::Format;
use super::proposing::{PATIENCE, answered, is, patiently, random_key, wait};
use super::signals::{Caught, Signals};
use super::status::is_connection_lost;
use super::{say, times, wire};
use crate::domain::visible;
use crate::proto::v1::{self, Decision, Outcome};

const EXAMPLES: &str = "\
Examples:
  Ask, and do not wait for a reviewer:
    aegis propose bulk_update crm --params '{\"count\": 150}'
  Wait up to a minute for a reviewer's answer:
    aegis propose bulk_update crm --params '{\"count\": 150}' --wait 60s
  Run a command only if it is allowed, and put its result on the record:
    aegis propose deploy prod --wait 10m -- ./deploy.sh prod

The output begins with ALLOW, DENY, ESCALATE or REQUIRE_CONFIRMATION. The exit code is 0 for ALLOW, 3 for DENY, 4 if \
somebody still has to answer, and 1 or 2 if the daemon could not be asked.

With `-- COMMAND` the decision goes to stderr. Stdout is the command's, and so is the exit code once it has run. The \
command finds AEGIS_DECISION_ID and AEGIS_CONSTRAINTS (JSON) in its environment, and is passed the signals that \
aegis gets.";

/// Ask whether an action may run
///
/// The daemon evaluates the policy, puts the decision on the record and answers. Without a token the proposal is
/// anonymous.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    action: ActionArgs,

    /// Name the session, which is one run of an agent. `aegis audit --session` shows what it did
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    session: String,

    /// Put labels on the record: a JSON object or `@FILE`
    #[arg(long, value_name = "JSON|@FILE")]
    metadata: Option<String>,

    /// Use this key for the proposal. The same key again returns the answer of the first proposal [default: a random
    /// key]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    /// Confirm an earlier `REQUIRE_CONFIRMATION` with its token, once the agent's user has agreed
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    confirmation_token: String,

    /// Wait for a reviewer up to this long: `90s`, `5m`, `1h30m` [default: do not wait]
    #[arg(long, value_name = "DURATION", value_parser = times::duration)]
    #[arg(default_value = "0s", hide_default_value = true)]
    wait: Duration,

    /// Print the decision in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    /// Run this command if, and only if, the answer is ALLOW
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let request = request(args)?;
    connect::block_on(propose(args, request))?
}

fn request(args: &Args) -> Result<v1::ProposeRequest, Failure> {
    let metadata = match &args.metadata {
        Some(text) => {
            let object = action_args::object("--metadata", text)?;
            Some(wire::to_struct(object, "metadata").map_err(Failure::usage)?)
        }
        None => None,
    };
    let idempotency_key = match &args.idempotency_key {
        Some(key) => key.clone(),
        None => random_key()?,
    };
    Ok(v1::ProposeRequest {
        actor: Some(args.action.actor()),
        action: Some(args.action.action()?),
        context: Some(v1::ProposalContext { session_id: args.session.clone(), metadata }),
        idempotency_key,
        // `AwaitDecision` does the waiting, because the command first has to print who is asked.
        wait: None,
        confirmation_token: args.confirmation_token.clone(),
    })
}

async fn propose(args: &Args, request: v1::ProposeRequest) -> Result<Exit, Failure> {
    let deadline = Instant::now() + args.wait;
    let remote = Remote::open(Door::Agent, &args.remote).await?;
    let patience = deadline.max(Instant::now() + PATIENCE);
    let answer = patiently(patience, async || remote.governance().propose(connect::call(request.clone())).await);
    let lost = |failure: Failure| failure.hint(way_back(&request));
    let mut decision = answered(answer.await.map_err(|status| unanswered(status, lost))?.decision)?;

    let mut signals = None;
    if is(&decision, Outcome::Escalate) && !args.wait.is_zero() {
        // Before the user is told that we wait: from then on, an interrupt withdraws the proposal.
        let mut caught = catch_signals()?;
        say_who_is_asked(&decision, args.wait);
        decision = tokio::select! {
            waited = wait(&remote, decision.clone(), deadline) => waited.map_err(lost)?,
            signal = caught.next() => return give_up(args, &remote, &decision, signal).await,
        };
        signals = Some(caught);
    }
    decision::print(&decision, args.format, !args.command.is_empty())?;
    if may_run(&decision) && !args.command.is_empty() {
        let mut signals = signals.map_or_else(catch_signals, Ok)?;
        return command::run(&remote, &decision, &args.command, &mut signals).await;
    }
    say_what_is_missing(args, &request, &decision);
    Ok(decision::exit(&decision))
}

fn catch_signals() -> Result<Signals, Failure> {
    Signals::catch().map_err(|error| Failure::new(format!("cannot catch signals: {}", because(&error))))
}

/// The wait was interrupted. A random key is known to nobody, so nobody could come back for the answer: the proposal
/// is withdrawn.
async fn give_up(
    args: &Args,
    remote: &Remote,
    decision: &Decision,
    Caught { signal, .. }: Caught,
) -> Result<Exit, Failure> {
    let exit = Exit::Command(128 + u8::try_from(signal.as_raw()).unwrap_or_default());
    if args.idempotency_key.is_some() {
        say::note("interrupted; the question stays open");
        return Ok(exit);
    }
    let request = v1::CancelProposalRequest {
        decision_id: decision.decision_id.clone(),
        reason: "the proposer stopped waiting".into(),
    };
    let mut governance = remote.governance();
    let cancelled = tokio::time::timeout(PATIENCE, governance.cancel_proposal(connect::call(request))).await;
    match cancelled {
        Ok(Ok(_)) => say::note("interrupted; the proposal is withdrawn"),
        Ok(Err(status)) => say::warning(format_args!("the proposal could not be withdrawn: {}", Failure::from(status))),
        Err(_) => say::warning("the proposal could not be withdrawn: the daemon does not answer"),
    }
    Ok(exit)
}

fn say_who_is_asked(decision: &Decision, wait: Duration) {
    let approval = visible(&decision.approval_id);
    say::note(format_args!("waiting up to {}s for a reviewer to answer {approval}", wait.as_secs()));
    say::note(format_args!("  approve it elsewhere: aegis approve {approval}   or see all that waits: aegis review"));
}

/// How to get an answer that is still open, or that was lost on the way.
fn way_back(request: &v1::ProposeRequest) -> String {
    let key = visible(&request.idempotency_key);
    format!("for the answer, propose the same again with --idempotency-key {key} (and --wait)")
}

/// A proposal with a lost answer may be on the record. A refused one is not.
fn unanswered(status: Status, lost: impl Fn(Failure) -> Failure) -> Failure {
    if is_connection_lost(&status) { lost(status.into()) } else { status.into() }
}

/// Prints what somebody has to do before this can continue, if anything.
fn say_what_is_missing(args: &Args, request: &v1::ProposeRequest, decision: &Decision) {
    if is(decision, Outcome::Escalate) {
        say::note(format_args!("a reviewer still has to answer: aegis approve {}", visible(&decision.approval_id)));
        say::note(format_args!("  {}", way_back(request)));
    } else if is(decision, Outcome::RequireConfirmation) {
        say::note(format_args!(
            "the agent's user still has to confirm; then propose the same again with\n  --confirmation-token {}",
            visible(&decision.confirmation_token)
        ));
    }
    if !args.command.is_empty() {
        say::note("the command was not run");
    }
}
