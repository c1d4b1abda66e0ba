//! `aegis serve`: runs the daemon. [`args`] makes its configuration, [`stop`] says when it ends.

mod args;
mod stop;

pub(super) use self::args::ServeArgs;
use self::stop::Stop;
use super::data_dir::DataDir;
use super::environment::Environment;
use super::exit::Exit;
use super::failure::Failure;
use super::out::Out;
use crate::daemon::{self, Listening, telemetry};

/// Runs the daemon until it is told to stop.
pub(super) fn run(args: &ServeArgs) -> Result<Exit, Failure> {
    let data_dir = DataDir::find(args.data_dir.as_deref(), &Environment::of_process())?;
    let config = args.config(data_dir.path());
    // One thread answers calls. The slow part is the disk, which has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("the daemon cannot start: {error}")))?;
    runtime.block_on(async {
        let stop = Stop::catch(args.ends_with_parent)?;
        let telemetry = telemetry::init(args.log_format).map_err(|error| Failure::usage(error.to_string()))?;
        let served = daemon::run(config, stop.requested(), |listening| announce(args, &data_dir, listening)).await;
        // The shutdown of telemetry blocks until the last traces are sent on this runtime.
        let _ = tokio::task::spawn_blocking(|| telemetry.shutdown()).await;
        served.map_err(|error| Failure::new(error.to_string()))
    })?;
    Ok(Exit::Done)
}

/// Prints the addresses of the daemon to stdout. `listening on URL` comes first, one on a line, for programs to read.
fn announce(args: &ServeArgs, data_dir: &DataDir, listening: &Listening) {
    let policy = match args.policy.as_slice() {
        [] => "built-in starter policy".to_owned(),
        files => files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" + "),
    };
    let revision = listening.revision.to_string();
    let mut text = String::new();
    for endpoint in &listening.endpoints {
        text.extend(["listening on ", endpoint, "\n"]);
    }
    text.extend([
        format!("policy       {policy}: {} rules, revision {}\n", listening.rules, &revision[..12]),
        format!("data         {}\n", data_dir.path().display()),
        listening.admin.map(|address| format!("metrics      http://{address}/metrics\n")).unwrap_or_default(),
        "try          aegis propose bulk_update crm --params '{\"count\":150}' --wait 60s\n".to_owned(),
        "             aegis review      (in another terminal)\n".to_owned(),
    ]);
    let mut out = Out::stdout();
    // The daemon runs even if nobody reads its addresses.
    let _ = out.text(text).and_then(|()| out.flush());
}
