//! The stream of approvals: server-sent events, from which a client that comes back misses nothing.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::StatusCode;
use serde::Serialize;

use super::api::Api;
use super::approvals::Approval;
use super::call::{Answer, Call, with_type};
use super::filter::filtered;
use crate::approvals::{Ended, Lagged, Pending, QueueEvent};
use crate::audit::follow::{Followed, Follower, LogMark, StreamCursor, Until, View};
use crate::audit::row;
use crate::audit::{DecisionRecord, Reader, RowFilter};
use crate::domain::CallError;
use crate::governance::Governor;
use crate::server::problem::{self, Problem};
use crate::server::streams::{HEARTBEAT, Over, Place, Sink, stopping};

/// The most records that a stream reads to say what ended while its client was away.
const MISSED: u64 = 10_000;
/// What an event has beside the JSON of its question.
const EVENT_BYTES: usize = 2 << 10;
/// An event of no kind, which clients pass over.
const NOTHING: &[u8] = b":\n\n";

filtered! {
    /// Which approvals. Every filter that is given must match; of several values, one must.
    ApprovalQuery {}
}

/// Stream approvals
///
/// Server-sent events: a `pending` for each pending approval, then `snapshot_complete`, then every change: `pending`
/// for a new approval, `ended` for one that ended. After `lagged` a new snapshot follows. With `Last-Event-ID` the
/// stream first says what ended meanwhile. A stream that breaks off ends with `problem`.
#[utoipa::path(
    get, path = "/api/v1/approvals/stream", tag = "approvals", operation_id = "streamApprovals", params(ApprovalQuery),
    responses(
        (status = 200, description = "The events", body = String, content_type = "text/event-stream"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn stream(State(api): State<Api>, call: Call) -> Answer {
    let mut query: ApprovalQuery = call.query()?;
    let filter = query.filter(api.governor.now(), api.limits)?;
    if filter.approver.is_some() {
        let why = "nobody has voted on a pending approval: list ended ones";
        return Err(CallError::invalid_field("approver", why).into());
    }
    let last = call.header("last-event-id").map(str::parse::<StreamCursor>).transpose();
    let last = last.map_err(|why| CallError::invalid_field("Last-Event-ID", why.to_string()))?;
    let governor = Arc::clone(&api.governor);
    let standing = call.standing()?.clone();
    let log = governor.store().look(Reader::log_mark).await?;
    let events = api.streams.open(standing, |sink| async move {
        let watcher = Watch { governor: &governor, filter: &filter, sink: &sink, log };
        if let Some(last) = last {
            watcher.missed(last).await?;
        }
        watcher.run().await
    })?;
    // A stream has begun, so its status is sent already: an event says why it ends. In the middle of another event,
    // nothing can be said.
    let events = events.map(|part| match part {
        Err(broken) if broken.is_cut => Err(broken.error),
        Err(broken) => event("problem", None, &problem::document(broken.error)).map(Bytes::from),
        Ok(part) => Ok(part),
    });
    Ok(with_type(StatusCode::OK, "text/event-stream", Body::from_stream(events)))
}

/// An event of server-sent events, whose data is this document.
fn event(name: &str, id: Option<&str>, document: &impl Serialize) -> Result<Vec<u8>, CallError> {
    let mut text = format!("event: {name}\n");
    if let Some(id) = id {
        text.extend(["id: ", id, "\n"]);
    }
    text.push_str("data: ");
    let mut text = text.into_bytes();
    // JSON has no end of line outside a text, and writes it out in one.
    serde_json::to_writer(&mut text, document).map_err(|error| CallError::internal(error.to_string()))?;
    text.extend_from_slice(b"\n\n");
    Ok(text)
}

/// One client's stream.
struct Watch<'a> {
    governor: &'a Governor,
    filter: &'a RowFilter,
    sink: &'a Sink,
    log: LogMark,
}

impl Watch<'_> {
    /// Says which approvals ended after this place of the log.
    async fn missed(&self, last: StreamCursor) -> Result<(), Over> {
        let store = self.governor.store();
        let Ok(last) = store.look(move |reader| reader.resume(last)).await? else { return self.lagged(None).await };
        let time = self.governor.status_time();
        let mut follower = Follower::after(store, Until::Committed, last, View::Rows(RowFilter::default()), time);
        if follower.end().saturating_sub(last) > MISSED {
            return self.lagged(None).await;
        }
        loop {
            let (place, mut events) = (self.sink.batch().await?, Vec::new());
            let Some(batch) = follower.ready().await? else { return Ok(()) };
            let id = self.here().await;
            for (_, item) in batch.items {
                let Followed::Row(row) = item else { continue };
                if row.ending_kind().is_some() && self.filter.matches_decision(&row.decision, row.time) {
                    events.extend(event("ended", id.as_deref(), &Approval::recorded(&row)?)?);
                }
            }
            place.send(events)?;
        }
    }

    async fn run(&self) -> Result<(), Over> {
        loop {
            let (snapshot, mut watcher) = self.governor.queue().watch();
            let mut count = 0;
            for pending in snapshot {
                count += u64::from(self.show(&pending).await?);
            }
            self.say("snapshot_complete", &serde_json::json!({"count": count})).await?;
            loop {
                let change = tokio::select! {
                    () = self.sink.closed() => return Err(Over::ClientGone),
                    change = tokio::time::timeout(HEARTBEAT, watcher.next()) => change,
                };
                match change {
                    Err(_) => self.sink.send(NOTHING).await?,
                    Ok(Some(Ok(QueueEvent::Added(pending)))) => {
                        self.show(&pending).await?;
                    }
                    Ok(Some(Ok(QueueEvent::Changed(pending)))) => {
                        // It is shown already. If a large one cannot be read now, only who waits goes unsaid.
                        if pending.may_match(self.filter) {
                            let place = self.place(&pending).await?;
                            if let Ok(decision) = self.governor.asked(&pending).await {
                                self.show_read(place, &pending, &pending.open_state(), &decision).await?;
                            }
                        }
                    }
                    Ok(Some(Ok(QueueEvent::Ended(ended)))) => {
                        self.show_ended(&ended).await?;
                    }
                    Ok(Some(Err(Lagged(missed)))) => {
                        self.lagged(Some(missed)).await?;
                        break;
                    }
                    Ok(None) => return Err(stopping()),
                }
            }
        }
    }

    /// Room for an event about this question.
    async fn place(&self, pending: &Pending) -> Result<Place, Over> {
        let bytes = pending.bytes + EVENT_BYTES;
        match pending.decision.whole() {
            Some(_) => self.sink.place(bytes).await,
            None => self.sink.place_for_large(bytes).await,
        }
    }

    /// Sends a question, if it matches. A large one is read from the disk, once there is room for it.
    async fn show(&self, pending: &Pending) -> Result<bool, Over> {
        if !pending.may_match(self.filter) {
            return Ok(false);
        }
        let place = self.place(pending).await?;
        let decision = self.governor.asked(pending).await?;
        self.show_read(place, pending, &pending.open_state(), &decision).await
    }

    async fn show_read(
        &self,
        place: Place,
        pending: &Pending,
        state: &row::ApprovalState,
        decision: &DecisionRecord,
    ) -> Result<bool, Over> {
        let matches = self.filter.matches_decision(decision, pending.requested_at);
        if matches {
            let approval = Approval::of(decision, state, pending.requested_at);
            let approval = approval.with_presence(self.governor, pending.approval_id);
            place.send(event("pending", self.here().await.as_deref(), &approval)?)?;
        }
        Ok(matches)
    }

    /// Sends a question that has ended, if it may match. If the store cannot be read, it has only the head of a large
    /// one: a denial that is not on the record yet is told all the same.
    async fn show_ended(&self, ended: &Ended) -> Result<(), Over> {
        let pending = &ended.pending;
        if !pending.may_match(self.filter) {
            return Ok(());
        }
        let place = self.place(pending).await?;
        let decision = match self.governor.asked(pending).await {
            Ok(decision) if !self.filter.matches_decision(&decision, pending.requested_at) => return Ok(()),
            Ok(decision) => decision,
            Err(_) => Arc::clone(pending.decision.head()),
        };
        let approval = Approval::of(&decision, &ended.approval, pending.requested_at);
        place.send(event("ended", self.here().await.as_deref(), &approval)?)
    }

    /// Says that changes were lost, and how many if that is known.
    async fn lagged(&self, missed: Option<u64>) -> Result<(), Over> {
        self.say("lagged", &serde_json::json!({"missed": missed})).await
    }

    /// Sends a small event.
    async fn say(&self, name: &str, document: &impl Serialize) -> Result<(), Over> {
        self.sink.send(event(name, self.here().await.as_deref(), document)?).await
    }

    /// The place of the log to which everything is told, or is in the snapshot that a new stream begins with. `None` if
    /// the store cannot be read: the client keeps the place before.
    async fn here(&self) -> Option<String> {
        let place = *self.governor.store().committed().borrow();
        let leaf = self.governor.store().look(move |reader| reader.leaf_after(place)).await;
        leaf.ok().map(|leaf| self.log.cursor(place, leaf).to_string())
    }
}
