//! `aegis console`: prints the address of the console, which signs a person in.

use super::connect::{self, RemoteArgs, Rest};
use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, Out};
use super::say;

const EXAMPLES: &str = "\
Examples:
  aegis console
  AEGIS_TOKEN=$(cat ada.token) aegis console --endpoint https://aegis.example:50051

The address has a code that works once, within a minute. It signs the browser in with your own token and its roles. It \
is printed and not opened, because other users of the machine could read it from the browser's command line.";

/// Print the address of the console, which signs you in
///
/// The console is the page for reviewers, auditors and admins: what waits for an answer, the record, figures and the
/// policy.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Print the address under this URL, for a browser that reaches the daemon another way than this program
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Print the address alone, or JSON
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let (base, code) = connect::block_on(async {
        let rest = Rest::open(&args.remote).await?;
        let Some(base) = args.url.as_deref().or(rest.url()).map(str::to_owned) else {
            return Err(Failure::usage("no browser can connect to a unix socket")
                .hint("let the daemon listen on an address (aegis serve --listen), or name its URL with --url"));
        };
        Ok((base, rest.post("/api/v1/sign-in-codes").await?))
    })??;
    let (Some(secret), Some(expires_at)) = (code["code"].as_str(), code["expires_at"].as_str()) else {
        return Err(Failure::new("the daemon's answer has no code: is it another version of Aegis?"));
    };
    // A browser sends no server what is behind the `#`.
    let url = format!("{}/console/#code={secret}", base.trim_end_matches('/'));
    let mut out = Out::stdout();
    match args.format {
        Format::Table => out.line(&url)?,
        Format::Json => out.json(&Object::default().with("url", url.as_str()).with("expires_at", expires_at))?,
    }
    out.flush()?;
    say::note("open it within a minute: it works once");
    Ok(Exit::Done)
}
