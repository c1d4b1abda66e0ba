//! A witness of a log: the Go program of tests/interop.

use std::io::{BufRead as _, BufReader};

use aegis::audit::note::VerifierKey;

use super::programs::interop;

/// A witness of a log, until it is dropped.
pub(crate) struct Witness {
    child: std::process::Child,
    /// As `--witness` takes it.
    pub(crate) source: String,
}

impl Witness {
    pub(crate) fn start(log: &str) -> Self {
        let mut command = interop();
        let mut child = command.arg("witness").arg(log).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, source: line.trim().to_owned() }
    }

    /// What it cosigns with.
    pub(crate) fn key(&self) -> VerifierKey {
        self.source.split_once('#').unwrap().1.parse().unwrap()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
