//! What the commands about evidence share: reading the log from a daemon, and showing progress.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use tonic::Streaming;

use crate::audit::SALT_LEN;
use crate::audit::checkpoint::SignedCheckpoint;
use crate::audit::evidence::EntryLine;
use crate::cli::connect::{self, Remote};
use crate::cli::failure::Failure;
use crate::domain::Digest;
use crate::proto::v1::stream_audit_response::Event;
use crate::proto::v1::{self, AuditRecord, AuditView, GetCheckpointRequest, GetCheckpointResponse, StreamAuditRequest};

/// A checkpoint from the daemon, as the daemon sends it and as it is read.
pub(in crate::cli) async fn checkpoint(remote: &Remote) -> Result<(GetCheckpointResponse, SignedCheckpoint), Failure> {
    let response = remote.audit().get_checkpoint(connect::call(GetCheckpointRequest {})).await?.into_inner();
    let signed = SignedCheckpoint::parse(&response.checkpoint)
        .map_err(|why| Failure::new(format!("the daemon's checkpoint cannot be read: {why}")))?;
    Ok((response, signed))
}

/// Every record, from the first, or those of one decision.
pub(in crate::cli) async fn records(
    remote: &Remote,
    decision_id: Option<String>,
) -> Result<Streaming<v1::StreamAuditResponse>, Failure> {
    let filter = decision_id.map(|decision_id| v1::AuditFilter { decision_id, ..v1::AuditFilter::default() });
    let request = StreamAuditRequest { filter, view: AuditView::Records.into(), ..StreamAuditRequest::default() };
    Ok(remote.audit().stream_audit(request).await?.into_inner())
}

/// The next record of a stream.
pub(in crate::cli) async fn next(
    stream: &mut Streaming<v1::StreamAuditResponse>,
) -> Result<Option<AuditRecord>, Failure> {
    while let Some(message) = stream.message().await? {
        if let Some(Event::Record(record)) = message.event {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// A record as evidence, and the leaf hash that the daemon says it has.
pub(in crate::cli) fn entry(record: &AuditRecord) -> Result<(EntryLine<'_>, Digest), Failure> {
    let wrong = || Failure::new(format!("the daemon's record {} cannot be read", record.sequence));
    let digest = |bytes: &[u8]| bytes.try_into().map(Digest).map_err(|_| wrong());
    let leaf = digest(&record.leaf_hash)?;
    if record.payload.is_empty() {
        return Ok((EntryLine::Redacted { leaf_data: digest(&record.leaf_data)? }, leaf));
    }
    let salt: [u8; SALT_LEN] = record.salt.as_slice().try_into().map_err(|_| wrong())?;
    Ok((EntryLine::Whole { salt, payload: record.payload.as_bytes() }, leaf))
}

/// Says on stderr how far something is, where a person looks on.
pub(in crate::cli) struct Progress {
    doing: &'static str,
    shown: Option<Instant>,
    is_watched: bool,
}

impl Progress {
    const EVERY: Duration = Duration::from_millis(200);

    pub(in crate::cli) fn new(doing: &'static str) -> Self {
        Self { doing, shown: None, is_watched: std::io::stderr().is_terminal() }
    }

    /// So many of so many records are done.
    pub(in crate::cli) fn tell(&mut self, done: u64, of: u64) {
        if self.is_watched && self.shown.is_none_or(|shown| shown.elapsed() >= Self::EVERY) {
            eprint!("\r{} {done} of {of} records", self.doing);
            self.shown = Some(Instant::now());
        }
    }

    /// Wipes the line.
    pub(in crate::cli) fn end(&mut self) {
        if self.shown.take().is_some() {
            eprint!("\r{:60}\r", "");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
