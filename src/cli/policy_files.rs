//! Policies from files, for the commands that need no daemon.

use std::fs;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::say;
use crate::policy::{Diagnostic, LoadErrors, Policy, Source};

/// A policy file and what is put on top of it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PolicyArgs {
    /// The policy
    #[arg(value_name = "POLICY")]
    policy: PathBuf,

    /// Another file on top of it; may be given several times, the last one wins
    #[arg(long, value_name = "FILE")]
    layer: Vec<PathBuf>,
}

impl PolicyArgs {
    /// The text of the files, lowest first.
    pub(super) fn read(&self) -> Result<Vec<Source>, Failure> {
        std::iter::once(&self.policy).chain(&self.layer).map(|path| read(path)).collect()
    }

    /// The policy, with its warnings said; or everything that is wrong with it.
    pub(super) fn load(&self) -> Result<Policy, Failure> {
        let policy = Policy::load(&self.read()?).map_err(|errors| invalid(&errors))?;
        warn(policy.warnings());
        Ok(policy)
    }
}

fn read(path: &Path) -> Result<Source, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes()[..error.utf8_error().valid_up_to()].to_vec();
        let before = String::from_utf8(valid).unwrap_or_default();
        let (line, column) =
            (before.split('\n').count(), before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1);
        Failure::new(format!("{}:{line}:{column}: not UTF-8: a policy is UTF-8 text", path.display()))
    })?;
    Ok(Source { name: path.display().to_string(), text })
}

/// What is odd, each with its place.
pub(super) fn warn(warnings: &[Diagnostic]) {
    for warning in warnings {
        say::warning(warning);
    }
}

/// Says every error, each with its place, and gives the sentence that ends the command.
pub(super) fn invalid(errors: &LoadErrors) -> Failure {
    for error in errors.diagnostics() {
        say::note(error);
    }
    let count = errors.diagnostics().len();
    Failure::new(format!("Policy validation failed: {count} error{}", if count == 1 { "" } else { "s" }))
}
