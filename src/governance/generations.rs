//! Generations of the policy. Each is read, compiled, checked as a whole and recorded before it comes into force.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::domain::{Digest, Timestamp};
use crate::policy::{Diagnostic, LoadErrors, MAX_SOURCE_BYTES, Policy, STARTER, Source};
use crate::watcher::read_bounded;

/// The source of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// The built-in starter policy.
    Starter,
    /// Files, lowest first.
    Files(Vec<PathBuf>),
}

/// A policy in force.
#[derive(Debug)]
pub struct Generation {
    /// The policy.
    pub policy: Arc<Policy>,
    /// When it came into force.
    pub loaded_at: Timestamp,
    /// The comment of the last update that put it in force; empty if there was none.
    pub comment: String,
}

impl Generation {
    /// A policy that comes into force now, without a comment.
    pub fn new(policy: Policy, now: Timestamp) -> Self {
        Self { policy: Arc::new(policy), loaded_at: now, comment: String::new() }
    }
}

/// A changed policy that was refused.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// When.
    pub at: Timestamp,
    /// The revision that stays in force.
    pub kept: Digest,
    /// What is wrong.
    pub findings: Arc<Vec<Diagnostic>>,
}

/// The content of `WatchPolicy` messages.
#[derive(Clone, Debug)]
pub struct PolicyState {
    /// The policy in force.
    pub current: Arc<Generation>,
    /// The last change, if it was refused.
    pub rejected: Option<Rejection>,
}

/// The policy in force and its source. Every change is written to the store first: see [`Governor`](super::Governor).
pub struct Generations {
    source: PolicySource,
    current: ArcSwap<Generation>,
    state: watch::Sender<PolicyState>,
    /// The findings that were reported last. So one broken file gives one record, however many events it causes.
    reported: Mutex<Option<Digest>>,
}

impl Generations {
    /// Starts with this generation.
    pub fn new(source: PolicySource, first: Generation) -> Self {
        let first = Arc::new(first);
        Self {
            source,
            state: watch::Sender::new(PolicyState { current: Arc::clone(&first), rejected: None }),
            current: ArcSwap::new(first),
            reported: Mutex::default(),
        }
    }

    /// The policy in force.
    pub fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// The source of the policy.
    pub fn source(&self) -> &PolicySource {
        &self.source
    }

    /// The policy in force, with notifications of changes.
    pub fn state(&self) -> watch::Receiver<PolicyState> {
        self.state.subscribe()
    }

    /// Brings a generation into force. Call it only after the generation is on the record.
    pub fn install(&self, next: Generation) -> Arc<Generation> {
        let next = Arc::new(next);
        self.current.store(Arc::clone(&next));
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.state.send_replace(PolicyState { current: Arc::clone(&next), rejected: None });
        next
    }

    /// Reports a refused change. Returns false if the same refusal was reported before.
    pub fn reject(&self, at: Timestamp, findings: Vec<Diagnostic>) -> bool {
        let text: Vec<String> = findings.iter().map(ToString::to_string).collect();
        let digest = Digest::of(text.join("\n").as_bytes());
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if *reported == Some(digest) {
            return false;
        }
        *reported = Some(digest);
        let kept = self.current().policy.revision();
        self.state.send_modify(|state| {
            state.rejected = Some(Rejection { at, kept, findings: Arc::new(findings) });
        });
        true
    }

    /// The refusal could not be recorded, so the next check of the files reports it again.
    pub fn forget_report(&self) {
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The files match the policy in force again. Clears an earlier refusal, and returns true if there was one.
    pub fn clear_rejection(&self) -> bool {
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.state.send_if_modified(|state| state.rejected.take().is_some())
    }
}

impl PolicySource {
    /// Reads and compiles the policy.
    pub fn load(&self) -> Result<Policy, LoadErrors> {
        Policy::load(&self.read()?)
    }

    /// Reads the layers, each up to the longest allowed policy.
    pub fn read(&self) -> Result<Vec<Source>, LoadErrors> {
        let files = match self {
            Self::Starter => {
                return Ok(vec![Source { name: "<built-in starter policy>".to_owned(), text: STARTER.to_owned() }]);
            }
            Self::Files(files) => files,
        };
        let mut sources = Vec::with_capacity(files.len());
        let mut findings = Vec::new();
        for file in files {
            match read_text(file) {
                Ok(text) => sources.push(Source { name: file.display().to_string(), text }),
                Err(error) => findings.push(Diagnostic::for_file(file.display().to_string(), error.to_string())),
            }
        }
        if findings.is_empty() { Ok(sources) } else { Err(LoadErrors::new(findings)) }
    }
}

/// Reads at most one byte more than allowed, so that the loader can see that the file is too long.
fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read_bounded(path, MAX_SOURCE_BYTES)?;
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not UTF-8 text"))
    })
}
