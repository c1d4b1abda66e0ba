//! The `aegis` binary: the daemon and the command line in one.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use aegis::cli::Cli;
use clap::Parser as _;

// musl's own allocator costs two thirds of the throughput.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Bad usage ends here, with exit code 2; so do --help and --version, with 0.
    let cli = Cli::parse();
    #[cfg(feature = "adversary")]
    match aegis::domain::Defence::off() {
        Ok(off) => eprintln!("THIS BUILD IS FOR TESTS. Defences that are off: {off:?}"),
        Err(name) => {
            eprintln!("error: AEGIS_WITHOUT: there is no defence `{name}`");
            return ExitCode::from(2);
        }
    }
    let exit = cli.run().unwrap_or_else(|failure| {
        failure.report();
        failure.exit()
    });
    exit.into()
}
