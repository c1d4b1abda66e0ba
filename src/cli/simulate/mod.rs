//! `aegis simulate`: tries actions against a policy file, without a daemon.

mod case;
mod tried;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use self::case::Case;
use self::tried::{Tally, Tried};
use super::action_args;
use super::exit::Exit;
use super::fail_on::FailOn;
use super::failure::Failure;
use super::out::{ListFormat, Out};
use super::{explain, policy_files, safe_json, times};
use crate::domain::{Action, Timestamp};
use crate::policy::Policy;

const EXAMPLES: &str = "\
Examples:
  aegis simulate policy.yaml read:crm delete:db
  aegis simulate policy.yaml bulk_update:crm --params '{\"count\": 150}' --explain
  aegis simulate base.yaml --layer production.yaml deploy:prod --at 2026-11-22T23:00:00Z --fail-on approve
  aegis simulate policy.yaml --cases cases.jsonl

A case is a line of JSON, and so is its answer:
  {\"id\": 1, \"now\": \"2026-11-20T09:00Z\", \"actor\": \"a7\", \"action\": {\"type\": \"read\", \"target\": \"crm\"}}
  {\"id\": 1, \"risk_level\": \"LOW\", \"approval\": \"auto\", \"matched_rule\": \"read_auto\", \"is_allowed\": true, …}
Only `action.type` is required. `actor` may be {\"id\", \"type\"}. With `\"authenticated\": true` it counts as \
authenticated.

The exit code is 0, 3 for an answer that --fail-on looks for, and 1 if the policy or a case cannot be read.";

/// Try actions against a policy without a daemon
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Ask this policy; `-` is stdin
    #[arg(value_name = "POLICY")]
    policy: PathBuf,

    /// Add another file on top of the policy. May be given several times; the last one wins
    #[arg(long, value_name = "FILE")]
    layer: Vec<PathBuf>,

    /// Try these actions; without a colon the target is `*`
    #[arg(value_name = "TYPE:TARGET", required_unless_present = "cases", conflicts_with = "cases")]
    actions: Vec<String>,

    /// Give every action these parameters: a JSON object, `@FILE`, or `@-` for stdin
    #[arg(long, value_name = "JSON|@FILE", conflicts_with = "cases")]
    params: Option<String>,

    /// Propose as this actor
    #[arg(long, value_name = "ID", conflicts_with = "cases")]
    actor: Option<String>,

    /// Treat the actor as authenticated
    #[arg(long, requires = "actor")]
    authenticated: bool,

    /// Evaluate time conditions at this moment, for example 2026-11-20T09:00:00Z. A case may have a moment of its own
    /// [default: now]
    #[arg(long, value_name = "WHEN", value_parser = times::point)]
    at: Option<Timestamp>,

    /// Try the cases of this file, one JSON object a line; `-` is stdin
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,

    /// Explain each answer: the rules tried, their conditions, the values seen
    #[arg(long)]
    explain: bool,

    /// End with exit code 3 if an answer is this strict
    #[arg(long, value_enum)]
    fail_on: Option<FailOn>,

    /// Print the answers in this format [default: table; jsonl for cases]
    #[arg(long, value_enum)]
    format: Option<ListFormat>,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let given = if args.cases.is_none() { actions(args)? } else { Vec::new() };
    let policy = policy_files::load(std::iter::once(&args.policy).chain(&args.layer))?;
    let default = if args.cases.is_some() { ListFormat::Jsonl } else { ListFormat::Table };
    let mut report = Report::begin(args, args.format.unwrap_or(default));
    match &args.cases {
        None => given.into_iter().try_for_each(|case| report.answer(&policy, &case))?,
        Some(path) => {
            let now = args.at.unwrap_or_else(Timestamp::now);
            let name = path.display().to_string();
            if let Err(failure) = cases(open(path)?, &name, now, |case| report.answer(&policy, &case)) {
                // The answers before the bad line are still printed.
                report.end()?;
                return Err(failure);
            }
        }
    }
    let hit = report.hit;
    report.end()?;
    Ok(if hit { Exit::Denied } else { Exit::Done })
}

/// The actions of the command line, as cases.
fn actions(args: &Args) -> Result<Vec<Case>, Failure> {
    let params = match &args.params {
        Some(text) => action_args::object("--params", text)?,
        None => serde_json::Map::new(),
    };
    let now = args.at.unwrap_or_else(Timestamp::now);
    let case = |text: &String| {
        let (kind, target) = text.split_once(':').unwrap_or((text, "*"));
        let action = Action { r#type: kind.into(), target: target.into(), params: params.clone(), ..Action::default() };
        let actor = args.actor.clone().unwrap_or_default();
        Case { id: format!("{kind}:{target}").into(), now, actor, authenticated: args.authenticated, action }
    };
    Ok(args.actions.iter().map(case).collect())
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).map_err(|error| Failure::file("read", path, &error))?;
    Ok(Box::new(BufReader::new(file)))
}

/// Reads cases line by line. Skips empty lines, and stops at a bad one with its place.
fn cases(
    reader: impl BufRead,
    name: &str,
    now: Timestamp,
    mut each: impl FnMut(Case) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for (number, line) in (1..).zip(reader.lines()) {
        let line = line.map_err(|error| Failure::new(format!("{name}:{number}: cannot be read: {error}")))?;
        if !line.trim().is_empty() {
            each(case::read(&line, now).map_err(|wrong| Failure::new(format!("{name}:{number}:{wrong}")))?)?;
        }
    }
    Ok(())
}

/// Prints the answers and counts them.
struct Report<'a> {
    args: &'a Args,
    format: ListFormat,
    out: Out,
    tally: Tally,
    /// Whether any answer was one that `--fail-on` looks for.
    hit: bool,
}

impl<'a> Report<'a> {
    fn begin(args: &'a Args, format: ListFormat) -> Self {
        Self { args, format, out: Out::stdout(), tally: Tally::default(), hit: false }
    }

    fn answer(&mut self, policy: &Policy, case: &Case) -> Result<(), Failure> {
        let question = case.question();
        let explanation = self.args.explain.then(|| policy.explain(&question));
        let tried = Tried::new(case, &policy.evaluate(&question), explanation.as_ref());
        self.tally.count(tried.approval);
        self.hit |= self.args.fail_on.is_some_and(|fail_on| fail_on.hits(tried.approval.as_str()));
        match self.format {
            ListFormat::Table => {
                self.out.line(tried.line(self.tally.total()))?;
                match &tried.trace {
                    Some((rules, left_out)) => self.out.text(explain::text(rules, *left_out)),
                    None => Ok(()),
                }
            }
            ListFormat::Jsonl => self.out.jsonl(&tried.json()),
            ListFormat::Json => {
                let lead = if self.tally.total() == 1 { "[\n" } else { ",\n" };
                let element = safe_json::pretty(&tried.json()).replace('\n', "\n  ");
                self.out.data(format_args!("{lead}  {element}"))
            }
        }
    }

    fn end(mut self) -> Result<(), Failure> {
        match self.format {
            ListFormat::Table => self.out.text(format_args!("\n{}", self.tally))?,
            ListFormat::Json => self.out.data(if self.tally.total() == 0 { "[]\n" } else { "\n]\n" })?,
            ListFormat::Jsonl => {}
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_case_is_refused_with_its_line() {
        let lines = "{\"action\":{\"type\":\"read\"}}\n\n{\"action\":{}}\n";
        let mut seen = 0;
        let failure = cases(lines.as_bytes(), "cases.jsonl", Timestamp::UNIX_EPOCH, |_| {
            seen += 1;
            Ok(())
        });
        let message = failure.unwrap_err().to_string();
        assert_eq!(seen, 1);
        assert!(message.starts_with("cases.jsonl:3:12: missing field `type`"), "{message}");
    }
}
