//! `aegis token`: who may call, by tokens that are made, listed and revoked.

use std::time::Duration;

use super::connect::{self, Door, Remote, RemoteArgs};
use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, ListFormat, Out};
use super::table::{Cell, Column, Table};
use super::{say, times, wire};
use crate::proto::v1::{CreateTokenRequest, ListTokensRequest, RevokeTokenRequest, Role, Token};

const EXAMPLES: &str = "\
Examples:
  aegis token create --role agent --actor agent-7 --name agent-7 --expires 30d
  aegis token create --role reviewer --name ada > ada.token
  aegis token list
  aegis token revoke tok_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e

Tokens of one name are one subject: to replace a token, create another of the same name, hand it out, and revoke the old \
one. Nobody reviews what the same subject proposed.";

/// Make, list and revoke tokens
///
/// A token is shown once, when it is made; the daemon keeps its hash. Callers send it as `authorization: Bearer TOKEN`; this
/// command line takes one from `AEGIS_TOKEN`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Make a token and print it: it cannot be shown again
    Create(CreateArgs),
    /// List the tokens that are not revoked
    List(ListArgs),
    /// Revoke a token: it opens nothing from then on, and what it opened ends
    Revoke(RevokeArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct CreateArgs {
    /// What its holder may do; may be given several times
    #[arg(long = "role", value_name = "ROLE", value_enum, required = true)]
    roles: Vec<RoleArg>,

    /// Who will hold it: the record calls them `token:NAME`
    #[arg(long, value_name = "NAME")]
    name: String,

    /// The one actor that its holder may propose as
    #[arg(long, value_name = "ID")]
    actor: Option<String>,

    /// How long it works, for example 30d [default: until it is revoked]
    #[arg(long, value_name = "DURATION", value_parser = times::duration)]
    expires: Option<Duration>,

    /// How to write the answer: the token alone goes to stdout, unless it is JSON
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Clone, Debug, clap::Args)]
struct ListArgs {
    /// How to write the list
    #[arg(long, value_enum, default_value = "table")]
    format: ListFormat,

    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Clone, Debug, clap::Args)]
struct RevokeArgs {
    /// The token's id, as `aegis token list` shows it
    #[arg(value_name = "TOKEN_ID")]
    token_id: String,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// A role, as the command line writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum RoleArg {
    /// Proposes actions and reports what came of them
    Agent,
    /// Sees pending approvals and decides them
    Reviewer,
    /// Reads the record
    Auditor,
    /// Reads and changes the policy, makes and revokes tokens
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Agent => Self::Agent,
            RoleArg::Reviewer => Self::Reviewer,
            RoleArg::Auditor => Self::Auditor,
            RoleArg::Admin => Self::Admin,
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Create(args) => create(args),
        Command::List(args) => list(args),
        Command::Revoke(args) => revoke(args),
    }
}

fn create(args: &CreateArgs) -> Result<Exit, Failure> {
    let request = CreateTokenRequest {
        name: args.name.clone(),
        roles: args.roles.iter().map(|role| Role::from(*role).into()).collect(),
        actor: args.actor.clone().unwrap_or_default(),
        lifetime: args.expires.map(wire::to_duration),
    };
    let made = connect::block_on(async {
        let mut client = Remote::open(Door::Person, &args.remote).await?.administration();
        Ok::<_, Failure>(client.create_token(connect::call(request)).await?.into_inner())
    })??;
    let token = made.token.unwrap_or_default();
    let mut out = Out::stdout();
    match args.format {
        Format::Json => out.json(&json(&token).with("token", made.secret))?,
        Format::Table => out.line(made.secret)?,
    }
    out.flush()?;
    say::note(format_args!("{} for {}: this is the only time that it is shown", token.token_id, token.subject));
    Ok(Exit::Done)
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let tokens = connect::block_on(async {
        let mut client = Remote::open(Door::Person, &args.remote).await?.administration();
        Ok::<_, Failure>(client.list_tokens(connect::call(ListTokensRequest {})).await?.into_inner().tokens)
    })??;
    let mut out = Out::stdout();
    match args.format {
        ListFormat::Json => out.json(&tokens.iter().map(json).collect::<Vec<_>>())?,
        ListFormat::Jsonl => {
            for token in &tokens {
                out.jsonl(&json(token))?;
            }
        }
        ListFormat::Table if tokens.is_empty() => {
            out.line("There are no tokens. Make one with `aegis token create`.")?;
        }
        ListFormat::Table => {
            let table = table(&tokens).render(out.width());
            out.text(table)?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

fn revoke(args: &RevokeArgs) -> Result<Exit, Failure> {
    let request = RevokeTokenRequest { token_id: args.token_id.clone() };
    let revoked = connect::block_on(async {
        let mut client = Remote::open(Door::Person, &args.remote).await?.administration();
        Ok::<_, Failure>(client.revoke_token(connect::call(request)).await?.into_inner().token)
    })??;
    let revoked = revoked.unwrap_or_default();
    let mut out = Out::stdout();
    out.line(format!("{} of {} is revoked.", revoked.token_id, crate::domain::visible(&revoked.subject)))?;
    out.flush()?;
    Ok(Exit::Done)
}

fn roles(token: &Token) -> Vec<String> {
    token.roles().map(|role| role.as_str_name().trim_start_matches("ROLE_").to_lowercase()).collect()
}

fn expires(token: &Token) -> String {
    match wire::moment(token.expires_at.as_ref()) {
        None => "never".to_owned(),
        Some(at) if token.expired => format!("expired {at}"),
        Some(at) => at.to_string(),
    }
}

fn table(tokens: &[Token]) -> Table {
    let headings = ["TOKEN", "HELD BY", "ROLES", "ACTOR", "EXPIRES", "MADE BY"];
    let mut table = Table::new(&headings.map(|heading| Column::left(heading, 0)));
    for token in tokens {
        table.row(vec![
            Cell::new(&token.token_id).whole(),
            Cell::new(&token.subject),
            Cell::new(roles(token).join(", ")),
            Cell::new(&token.actor),
            Cell::new(expires(token)),
            Cell::new(&token.created_by),
        ]);
    }
    table
}

fn json(token: &Token) -> Object {
    let moment = |at: Option<&prost_types::Timestamp>| wire::moment(at).map(|at| at.to_string());
    Object::default()
        .with("token_id", token.token_id.as_str())
        .with("subject", token.subject.as_str())
        .with("roles", roles(token))
        .with("actor", wire::present(&token.actor))
        .with("created_at", moment(token.created_at.as_ref()))
        .with("created_by", token.created_by.as_str())
        .with("expires_at", moment(token.expires_at.as_ref()))
        .with("expired", token.expired)
}
