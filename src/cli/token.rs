//! `aegis token`: creates, lists and revokes tokens.

use std::time::Duration;

use super::connect::{self, Door, Remote, RemoteArgs};
use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, ListFormat, Out};
use super::table::{Cell, Column, Table};
use super::{say, times, wire};
use crate::domain::visible;
use crate::proto::v1::{CreateTokenRequest, ListTokensRequest, RevokeTokenRequest, Role, Token};

const EXAMPLES: &str = "\
Examples:
  aegis token create --role agent --actor agent-7 --name agent-7 --expires 30d
  aegis token create --role reviewer --name ada > ada.token
  aegis token list
  aegis token revoke ada
  aegis token revoke tok_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e

Tokens of one name are one subject. To replace a token, create another of the same name, give it out, and revoke the \
old one by its id. Nobody can review what the same subject proposed.";

/// Create, list and revoke tokens
///
/// A token is shown once, when it is created. The daemon keeps its hash only. Callers send it as `authorization: Bearer
/// TOKEN`; this program reads it from `AEGIS_TOKEN`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Create a token and print it. It cannot be shown again
    Create(CreateArgs),
    /// List the tokens that are not revoked
    List(ListArgs),
    /// Revoke a token. Calls with it are refused from then on, and its open streams end
    Revoke(RevokeArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct CreateArgs {
    /// Give its holder this role. May be given several times
    #[arg(long = "role", value_name = "ROLE", value_enum, required = true)]
    roles: Vec<RoleArg>,

    /// Name its holder; the record calls them `token:NAME`
    #[arg(long, value_name = "NAME")]
    name: String,

    /// Let its holder propose as this actor only
    #[arg(long, value_name = "ID")]
    actor: Option<String>,

    /// Let it expire after this long, for example 30d [default: until it is revoked]
    #[arg(long, value_name = "DURATION", value_parser = times::duration)]
    expires: Option<Duration>,

    /// Write the token alone to stdout, or JSON
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Clone, Debug, clap::Args)]
struct ListArgs {
    /// Print the list in this format
    #[arg(long, value_enum, default_value = "table")]
    format: ListFormat,

    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Clone, Debug, clap::Args)]
struct RevokeArgs {
    /// Revoke the token with this id, with an id that begins so, or of this holder, as `aegis token list` shows them.
    /// It must be the only one
    #[arg(value_name = "TOKEN_ID|NAME")]
    token: String,

    /// Print the answer in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// A role, as the command line writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum RoleArg {
    /// Proposes actions and reports their results
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
        actor_id: args.actor.clone().unwrap_or_default(),
        lifetime: args.expires.map(wire::to_duration),
        ..CreateTokenRequest::default()
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
        let (mut tokens, mut request) = (Vec::new(), ListTokensRequest::default());
        loop {
            let page = client.list_tokens(connect::call(request.clone())).await?.into_inner();
            tokens.extend(page.tokens);
            if page.next_page_token.is_empty() {
                return Ok::<_, Failure>(tokens);
            }
            request.page_token = page.next_page_token;
        }
    })??;
    let mut out = Out::stdout();
    match args.format {
        format @ (ListFormat::Json | ListFormat::Jsonl) => {
            let tokens: Vec<_> = tokens.iter().map(json).collect();
            out.json_list(format == ListFormat::Jsonl, &tokens)?;
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
    let revoked = connect::block_on(async {
        let mut client = Remote::open(Door::Person, &args.remote).await?.administration();
        // A table shortens an id that does not fit.
        let request = RevokeTokenRequest { token: args.token.trim_end_matches(['…', '.']).to_owned() };
        Ok::<_, Failure>(client.revoke_token(connect::call(request)).await?.into_inner())
    })??;
    let unrecorded = revoked.unrecorded;
    let revoked = revoked.token.unwrap_or_default();
    let mut out = Out::stdout();
    match args.format {
        Format::Table => out.line(format!("{} of {} is revoked.", revoked.token_id, visible(&revoked.subject)))?,
        Format::Json => out.json(&json(&revoked).with("unrecorded", unrecorded))?,
    }
    out.flush()?;
    if unrecorded {
        say::warning(
            "the revocation is in force, and not on the record yet, which cannot be written now. The daemon records it \
             as soon as it can. If the daemon ends before, the token works again: revoke it again",
        );
    }
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
            Cell::new(&token.actor_id),
            Cell::new(expires(token)),
            Cell::new(&token.created_by),
        ]);
    }
    table
}

fn json(token: &Token) -> Object {
    Object::default()
        .with("token_id", token.token_id.as_str())
        .with("subject", token.subject.as_str())
        .with("roles", roles(token))
        .with("actor_id", wire::present(&token.actor_id))
        .with("created_at", wire::time(token.created_at.as_ref()))
        .with("created_by", token.created_by.as_str())
        .with("expires_at", wire::time(token.expires_at.as_ref()))
        .with("expired", token.expired)
}
