//! `aegis halt` and `aegis resume`: denies everything that somebody proposes, at once, until they may go on.

use super::connect::{self, Door, Remote, RemoteArgs};
use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, Out};
use super::table::{Cell, Column, Table};
use super::{say, wire};
use crate::domain::visible;
use crate::proto::v1::halt_scope::Scope;
use crate::proto::v1::{HaltRequest, HaltScope, HaltState, ListHaltsRequest, ResumeRequest};

const EXAMPLES: &str = "\
Examples:
  aegis halt --all --reason 'ticket 4711'
  aegis halt --actor agent-7
  aegis halt --subject token:agent-7
  aegis halt --list
  aegis resume --all

A proposal of whoever is halted is denied. So is what was allowed before and is not reported yet, and whoever waits is \
answered. Questions stay open, and an approval does not go through. A halt holds until `aegis resume`, also after the \
daemon was started again.";

/// Deny everything that somebody proposes, at once
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    whom: Whom,

    /// Tell the agent this reason, which goes on the record
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, conflicts_with = "list")]
    reason: String,

    /// List who is halted
    #[arg(long, conflicts_with_all = ["all", "actor", "subject", "session"])]
    list: bool,

    /// Print the answer in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Let somebody go on who is halted
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    whom: Whom,

    /// Print the answer in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Clone, Debug, clap::Args)]
#[group(multiple = false)]
struct Whom {
    /// Everybody
    #[arg(long)]
    all: bool,

    /// Whoever has this actor id, declared or proved
    #[arg(long, value_name = "ID")]
    actor: Option<String>,

    /// The identity of this name, as the record has it: token:ada, anonymous
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,

    /// Whoever proposes in this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
}

impl Whom {
    fn scope(&self) -> Result<HaltScope, Failure> {
        let Self { all, actor, subject, session } = self.clone();
        let scope = all
            .then_some(Scope::All(true))
            .or(actor.map(Scope::ActorId))
            .or(subject.map(Scope::Subject))
            .or(session.map(Scope::SessionId));
        match scope {
            Some(scope) => Ok(HaltScope { scope: Some(scope) }),
            None => Err(Failure::new("say whom: --all, --actor ID, --subject NAME or --session ID")),
        }
    }
}

/// Runs `aegis halt`.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    if args.list {
        return list(args);
    }
    let request = HaltRequest { scope: Some(args.whom.scope()?), reason: args.reason.clone() };
    let halted = connect::block_on(async {
        let mut client = Remote::open(Door::Person, &args.remote).await?.administration();
        Ok::<_, Failure>(client.halt(connect::call(request)).await?.into_inner())
    })??;
    let halt = halted.halt.unwrap_or_default();
    print_one(&halt, args.format, "halted")?;
    if halt.unrecorded {
        say::warning(
            "the halt is in force, and not on the record yet, which cannot be written now. The daemon records it as \
             soon as it can. If the daemon ends before, the halt is over: halt them again",
        );
    }
    Ok(Exit::Done)
}

/// Runs `aegis resume`.
pub(super) fn resume(args: &ResumeArgs) -> Result<Exit, Failure> {
    let request = ResumeRequest { scope: Some(args.whom.scope()?) };
    let resumed = connect::block_on(async {
        let mut client = Remote::open(Door::Person, &args.remote).await?.administration();
        Ok::<_, Failure>(client.resume(connect::call(request)).await?.into_inner())
    })??;
    print_one(&resumed.halt.unwrap_or_default(), args.format, "not halted any more")?;
    Ok(Exit::Done)
}

fn list(args: &Args) -> Result<Exit, Failure> {
    let halts = connect::block_on(async {
        let mut client = Remote::open(Door::Person, &args.remote).await?.administration();
        Ok::<_, Failure>(client.list_halts(connect::call(ListHaltsRequest {})).await?.into_inner().halts)
    })??;
    let mut out = Out::stdout();
    match args.format {
        Format::Json => out.json_list(false, &halts.iter().map(json).collect::<Vec<_>>())?,
        Format::Table if halts.is_empty() => out.line("Nobody is halted.")?,
        Format::Table => {
            let headings = ["HALTED", "NAME", "SINCE", "BY", "REASON"];
            let mut table = Table::new(&headings.map(|heading| Column::left(heading, 0)));
            for halt in &halts {
                let (kind, name) = scope(halt);
                let since = wire::moment(halt.halted_at.as_ref()).map(|at| at.to_string()).unwrap_or_default();
                table.row(vec![
                    Cell::new(kind),
                    Cell::new(name),
                    Cell::new(since),
                    Cell::new(&halt.halted_by),
                    Cell::new(&halt.reason),
                ]);
            }
            let table = table.render(out.width());
            out.text(table)?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

fn print_one(halt: &HaltState, format: Format, what: &str) -> Result<(), Failure> {
    let mut out = Out::stdout();
    match format {
        Format::Json => out.json(&json(halt))?,
        Format::Table => {
            let whom = match scope(halt) {
                ("all", _) => "Everybody".to_owned(),
                (kind, name) => format!("The {kind} {}", visible(name)),
            };
            out.line(format!("{whom} is {what}."))?;
        }
    }
    out.flush()
}

fn scope(halt: &HaltState) -> (&'static str, &str) {
    match halt.scope.as_ref().and_then(|scope| scope.scope.as_ref()) {
        Some(Scope::All(_)) => ("all", ""),
        Some(Scope::ActorId(id)) => ("actor", id),
        Some(Scope::Subject(subject)) => ("subject", subject),
        Some(Scope::SessionId(id)) => ("session", id),
        None => ("unknown", ""),
    }
}

fn json(halt: &HaltState) -> Object {
    let (kind, name) = scope(halt);
    Object::default()
        .with("scope", kind)
        .with("name", wire::present(name))
        .with("reason", wire::present(&halt.reason))
        .with("halted_by", halt.halted_by.as_str())
        .with("halted_at", wire::time(halt.halted_at.as_ref()))
        .with("unrecorded", halt.unrecorded)
}
