//! The stream of the record, kept open like that of the approvals: it goes on where it broke.

use std::time::Duration;

use tokio::sync::mpsc;

use super::desk::Tail;
use crate::cli::connect::Remote;
use crate::cli::failure::Failure;
use crate::cli::status::is_worth_resuming;
use crate::proto::v1::stream_audit_response::Event;
use crate::proto::v1::{AuditView, StreamAuditRequest};

/// How many rows the stream begins with.
const FIRST: u64 = 200;

/// Sends what the record says. Ends when nobody listens any more, or when the stream cannot be had.
pub(super) async fn follow(remote: Remote, tail: mpsc::Sender<Tail>) {
    let mut request = StreamAuditRequest {
        view: AuditView::Rows as i32,
        limit: Some(FIRST),
        follow: true,
        ..StreamAuditRequest::default()
    };
    let mut pause = Duration::from_millis(250);
    loop {
        let status = match remote.audit().stream_audit(request.clone()).await {
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(message)) => {
                            pause = Duration::from_millis(250);
                            if !message.cursor.is_empty() {
                                request.resume_after = message.cursor;
                            }
                            let said = match message.event {
                                Some(Event::Row(row)) => Tail::Row(row),
                                Some(Event::CaughtUp(_)) => Tail::CaughtUp,
                                Some(Event::Record(_) | Event::Heartbeat(_) | Event::Left(_)) | None => continue,
                            };
                            if tail.send(said).await.is_err() {
                                return;
                            }
                        }
                        Ok(None) => break None,
                        Err(status) => break Some(status),
                    }
                }
            }
            Err(status) => Some(status),
        };
        let said = match status {
            Some(status) if !is_worth_resuming(&status) => {
                let _ = tail.send(Tail::Refused(Failure::from(status).to_string())).await;
                return;
            }
            Some(status) => Failure::from(status).to_string(),
            None => "the daemon ended the stream".to_owned(),
        };
        if tail.send(Tail::Lost(said)).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}
