//! Policies from files, for the commands that need no daemon.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::say;
use crate::policy::{Diagnostic, LoadErrors, MAX_SOURCE_BYTES, Policy, Source};

/// The text of these files, lowest layer first. `-` is stdin.
pub(super) fn read<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Result<Vec<Source>, Failure> {
    paths.into_iter().map(|path| read_one(path)).collect()
}

/// Loads the policy of these files and prints its warnings, or everything that is wrong with it.
pub(super) fn load<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Result<Policy, Failure> {
    let policy = Policy::load(&read(paths)?).map_err(|errors| invalid(&errors))?;
    warn(policy.warnings());
    Ok(policy)
}

fn read_one(path: &Path) -> Result<Source, Failure> {
    let (name, input): (_, io::Result<Box<dyn Read>>) = if path == Path::new("-") {
        ("<stdin>".to_owned(), Ok(Box::new(io::stdin())))
    } else {
        (path.display().to_string(), File::open(path).map(|file| Box::new(file) as _))
    };
    let mut bytes = Vec::new();
    // One byte over the limit is enough: the loader then reports that the text is too long.
    input
        .and_then(|input| input.take(MAX_SOURCE_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::file("read", Path::new(&name), &error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes()[..error.utf8_error().valid_up_to()].to_vec();
        let before = String::from_utf8(valid).unwrap_or_default();
        let (line, column) =
            (before.split('\n').count(), before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1);
        Failure::new(format!("{name}:{line}:{column}: not UTF-8: a policy is UTF-8 text"))
    })?;
    Ok(Source { name, text })
}

/// Prints every warning with its place.
pub(super) fn warn(warnings: &[Diagnostic]) {
    for warning in warnings {
        say::warning(warning);
    }
}

/// Prints every error with its place, and returns the failure that ends the command.
pub(super) fn invalid(errors: &LoadErrors) -> Failure {
    for error in errors.diagnostics() {
        say::note(error);
    }
    let count = errors.diagnostics().len();
    Failure::new(format!("Policy validation failed: {count} error{}", if count == 1 { "" } else { "s" }))
}
