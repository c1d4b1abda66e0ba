//! The stream of approvals: server-sent events, from which a client that comes back misses nothing.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse as _;
use axum::response::sse::{Event, Sse};
use futures_util::StreamExt as _;
use serde::Serialize;

use super::api::Api;
use super::approvals::Approval;
use super::call::{Answer, Call};
use super::filter::filtered;
use crate::approvals::{Ended, Lagged, Pending, QueueEvent};
use crate::audit::follow::{Followed, Follower, LogMark, StreamCursor, Until, View};
use crate::audit::row;
use crate::audit::{DecisionRecord, Reader, RowFilter};
use crate::domain::CallError;
use crate::governance::Governor;
use crate::server::problem::{self, Problem};
use crate::server::streams::{Buffered, HEARTBEAT, Over, Sink, stopping};

/// The most records that a stream reads to say what ended while its client was away.
const MISSED: u64 = 10_000;

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
    // A stream has begun, so its status is sent already: an event says why it ends.
    let events = events.map(|said| Ok::<_, std::convert::Infallible>(said.map_or_else(ended, |said| said.event)));
    Ok(Sse::new(events).into_response())
}

fn ended(error: CallError) -> Event {
    let problem = serde_json::to_string(&problem::document(error)).unwrap_or_default();
    Event::default().event("problem").data(problem)
}

/// An event, and the bytes of its document.
struct Said {
    event: Event,
    bytes: usize,
}

impl Buffered for Said {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// One client's stream.
struct Watch<'a> {
    governor: &'a Governor,
    filter: &'a RowFilter,
    sink: &'a Sink<Said>,
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
        while let Some(batch) = follower.ready().await? {
            for (_, item) in batch.items {
                let Followed::Row(row) = item else { continue };
                if row.ending_kind().is_some() && self.filter.matches_decision(&row.decision, row.time) {
                    self.say("ended", &Approval::recorded(&row)?).await?;
                }
            }
        }
        Ok(())
    }

    async fn run(&self) -> Result<(), Over> {
        loop {
            let (snapshot, mut watcher) = self.governor.queue().watch();
            let mut count = 0;
            for pending in snapshot {
                count += u64::from(self.show("pending", &pending, &pending.open_state()).await?);
            }
            self.say("snapshot_complete", &serde_json::json!({"count": count})).await?;
            loop {
                let change = tokio::select! {
                    () = self.sink.closed() => return Err(Over::ClientGone),
                    change = tokio::time::timeout(HEARTBEAT, watcher.next()) => change,
                };
                match change {
                    Err(_) => self.sink.send(Said { event: Event::default().comment(""), bytes: 0 }).await?,
                    Ok(Some(Ok(QueueEvent::Added(pending)))) => {
                        self.show("pending", &pending, &pending.open_state()).await?;
                    }
                    Ok(Some(Ok(QueueEvent::Changed(pending)))) => {
                        // It is shown already. If a large one cannot be read now, only who waits goes unsaid.
                        if pending.may_match(self.filter)
                            && let Ok(decision) = self.governor.asked(&pending).await
                        {
                            self.show_read("pending", &pending, &pending.open_state(), &decision).await?;
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

    /// Sends a question, if it matches. A large one is read from the disk.
    async fn show(&self, name: &str, pending: &Pending, state: &row::ApprovalState) -> Result<bool, Over> {
        if !pending.may_match(self.filter) {
            return Ok(false);
        }
        let decision = self.governor.asked(pending).await?;
        self.show_read(name, pending, state, &decision).await
    }

    async fn show_read(
        &self,
        name: &str,
        pending: &Pending,
        state: &row::ApprovalState,
        decision: &DecisionRecord,
    ) -> Result<bool, Over> {
        let matches = self.filter.matches_decision(decision, pending.requested_at);
        if matches {
            let approval = Approval::of(decision, state, pending.requested_at);
            self.say(name, &approval.with_presence(self.governor, pending.approval_id)).await?;
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
        let decision = match self.governor.asked(pending).await {
            Ok(decision) if !self.filter.matches_decision(&decision, pending.requested_at) => return Ok(()),
            Ok(decision) => decision,
            Err(_) => Arc::clone(pending.decision.head()),
        };
        self.say("ended", &Approval::of(&decision, &ended.approval, pending.requested_at)).await
    }

    /// Says that changes were lost, and how many if that is known.
    async fn lagged(&self, missed: Option<u64>) -> Result<(), Over> {
        self.say("lagged", &serde_json::json!({"missed": missed})).await
    }

    async fn say(&self, name: &str, document: &impl Serialize) -> Result<(), Over> {
        let text = serde_json::to_string(document).map_err(|error| CallError::internal(error.to_string()))?;
        // What is on the record up to here is told, or is in the snapshot that a new stream begins with.
        let place = *self.governor.store().committed().borrow();
        let leaf = self.governor.store().look(move |reader| reader.leaf_after(place)).await;
        let bytes = text.len();
        let event = Event::default().event(name).data(text);
        // If the store cannot be read, the client keeps the place before.
        let event = match leaf {
            Ok(leaf) => event.id(self.log.cursor(place, leaf).to_string()),
            Err(_) => event,
        };
        self.sink.send(Said { event, bytes }).await
    }
}
