//! `aegis evaluate`: a dry run against the daemon. Nobody is asked and nothing is recorded.

use super::action_args::ActionArgs;
use super::connect::{self, Door, Remote, RemoteArgs};
use super::exit::Exit;
use super::explain::{self, TriedCondition, TriedRule};
use super::fail_on::FailOn;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, Out};
use super::{paint, times, wire, words};
use crate::domain::{Timestamp, visible};
use crate::proto::v1;

const EXAMPLES: &str = "\
Examples:
  aegis evaluate bulk_update crm --params '{\"count\": 150}'
  aegis evaluate delete crm --fail-on block
  Explain it, and ask about Sunday night. Both need the auditor or admin role:
    aegis evaluate deploy prod --explain --at 2026-11-22T23:00:00Z --endpoint unix:$HOME/.local/state/aegis/aegis.sock

`aegis simulate` asks a policy file instead of a daemon.";

/// Show what the daemon would answer
///
/// A dry run: nobody is asked and nothing is recorded.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    action: ActionArgs,

    /// Evaluate time conditions at this moment, for example 2026-11-20T09:00:00Z [default: now]
    #[arg(long, value_name = "WHEN", value_parser = times::point)]
    at: Option<Timestamp>,

    /// Explain the answer: the rules tried, their conditions, the values seen
    #[arg(long)]
    explain: bool,

    /// End with exit code 3 if the answer is this strict
    #[arg(long, value_enum)]
    fail_on: Option<FailOn>,

    /// Print the answer in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let item = v1::EvaluateItem { actor: Some(args.action.actor()), action: Some(args.action.action()?) };
    let request = v1::EvaluateRequest { items: vec![item], at: args.at.map(wire::to_moment), explain: args.explain };
    let response = connect::block_on(evaluate(args, request))??;
    let evaluation =
        response.evaluations.first().ok_or_else(|| Failure::new("the daemon answered without an evaluation"))?;

    let mut out = Out::stdout();
    match args.format {
        Format::Json => out.json(&json(evaluation, &response.policy_revision))?,
        Format::Table => {
            out.line(line(evaluation))?;
            if args.explain {
                out.text(explain::text(&trace(evaluation), u64::from(evaluation.rules_left_out)))?;
            }
        }
    }
    out.flush()?;
    let hit = args.fail_on.is_some_and(|fail_on| fail_on.hits(&words::approval(evaluation.approval_mode)));
    Ok(if hit { Exit::Denied } else { Exit::Done })
}

async fn evaluate(args: &Args, request: v1::EvaluateRequest) -> Result<v1::EvaluateResponse, Failure> {
    let remote = Remote::open(Door::Agent, &args.remote).await?;
    let response = remote.governance().evaluate(connect::call(request)).await.map_err(|status| {
        let refused = status.code() == tonic::Code::PermissionDenied && (args.explain || args.at.is_some());
        let failure = Failure::from(status);
        match connect::reviewers_socket(&args.remote) {
            Some(socket) if refused => failure.hint(format!(
                "--explain and --at need the auditor or admin role: try --endpoint unix:{}",
                socket.display()
            )),
            _ => failure,
        }
    })?;
    Ok(response.into_inner())
}

fn line(evaluation: &v1::Evaluation) -> String {
    let outcome = words::outcome(evaluation.outcome);
    let style = paint::of(&outcome);
    format!(
        "{style}{outcome}{style:#}  risk={}  approval={}  rule={}  {}",
        words::risk(evaluation.risk_level),
        words::approval(evaluation.approval_mode),
        visible(&evaluation.matched_rule),
        visible(&evaluation.reason),
    )
}

fn trace(evaluation: &v1::Evaluation) -> Vec<TriedRule> {
    let condition = |condition: &v1::ConditionTrace| TriedCondition {
        text: condition.condition.clone(),
        result: words::condition(condition.result),
        seen: condition.seen.clone(),
        reason: condition.reason.clone(),
    };
    let rule = |rule: &v1::RuleTrace| TriedRule {
        name: rule.rule.clone(),
        matched: rule.matched,
        reason: rule.reason.clone(),
        conditions: rule.conditions.iter().map(condition).collect(),
    };
    evaluation.trace.iter().map(rule).collect()
}

fn json(evaluation: &v1::Evaluation, revision: &str) -> Object {
    Object::default()
        .with("outcome", words::outcome(evaluation.outcome))
        .with("reason", evaluation.reason.as_str())
        .with("risk_level", words::risk(evaluation.risk_level))
        .with("risk_score", evaluation.risk_score)
        .with("approval", words::approval(evaluation.approval_mode))
        .with("matched_rule", evaluation.matched_rule.as_str())
        .with("constraints", wire::from_struct(evaluation.constraints.as_ref()))
        .with("policy_revision", revision)
        .with("trace", trace(evaluation).iter().map(explain::json).collect::<Vec<_>>())
        .with("rules_left_out", evaluation.rules_left_out)
}
