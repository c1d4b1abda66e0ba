//! `StreamAudit`: existing rows or records, then new ones as they come.
//!
//! Each stream reads the record from its own position, at the pace of its client. It has no buffer that can overflow,
//! so a slow client loses nothing and delays nobody.

use std::sync::Arc;

use super::request::Reader;
use super::response;
use super::sending::{frame, frame_after};
use crate::audit::Order;
use crate::audit::follow::{
    Batch, Followed, Follower, History, LogMark, Selection, StatusTime, StreamCursor, Until, View,
};
use crate::domain::{CallError, DecisionId, JsonLimits};
use crate::governance::{GovernanceError, Governor};
use crate::proto::v1;
use crate::proto::v1::stream_audit_response::Event;
use crate::server::streams::{HEARTBEAT, Over, Place, Sink};

/// The state of one client's stream.
pub(crate) struct Feed {
    governor: Arc<Governor>,
    view: View,
    /// The decision whose records are wanted.
    records_of: Option<DecisionId>,
    limit: Option<u64>,
    order: Order,
    follow: bool,
    /// The sequence number to continue after.
    resume_after: Option<u64>,
    log: LogMark,
}

impl Feed {
    /// Reads a request, and finds its position in the log.
    pub(crate) async fn open(
        governor: &Arc<Governor>,
        limits: JsonLimits,
        request: v1::StreamAuditRequest,
    ) -> Result<Self, CallError> {
        let v1::StreamAuditRequest { filter, view, limit, newest_first, follow, resume_after } = request;
        let mut reader = Reader::new(limits);
        let filter = reader.audit_filter(filter);
        let records = match v1::AuditView::try_from(view) {
            Ok(v1::AuditView::Unspecified | v1::AuditView::Rows) => false,
            Ok(v1::AuditView::Records) => true,
            Err(_) => {
                reader.wrong("view", "is not a view");
                false
            }
        };
        let resumes = !resume_after.is_empty();
        if records && !filter.names_a_decision_or_nothing() {
            reader.wrong("filter", "must be empty with AUDIT_VIEW_RECORDS, except for decision_id");
        }
        if records && filter.decision_id().is_some() && (follow || resumes) {
            reader.wrong("filter.decision_id", "cannot be combined with follow or resume_after in AUDIT_VIEW_RECORDS");
        }
        if newest_first && resumes {
            reader.wrong("newest_first", "cannot be combined with resume_after");
        }
        let filter = reader.finish(filter)?;
        let records_of = filter.decision_id().filter(|_| records);
        let cursor: Option<StreamCursor> =
            if resumes { Some(resume_after.parse().map_err(GovernanceError::Cursor)?) } else { None };
        let (log, resume_after) = governor
            .store()
            .look(move |reader| {
                let position = cursor.map(|cursor| reader.resume(cursor)).transpose()?;
                Ok((reader.log_mark()?, position))
            })
            .await
            .map_err(|error| CallError::from(&error))?;
        let resume_after = resume_after.transpose().map_err(GovernanceError::Cursor)?;
        let view = if records { View::Records } else { View::Rows(filter.settled(governor).await?) };
        let order = if newest_first { Order::NewestFirst } else { Order::OldestFirst };
        Ok(Self { governor: Arc::clone(governor), view, records_of, limit, order, follow, resume_after, log })
    }

    /// Fills the stream until it ends.
    pub(crate) async fn run(self, sink: &Sink) -> Result<(), Over> {
        let position = match self.resume_after {
            Some(after) => after,
            None => self.history(sink).await?,
        };
        let resumes = self.resume_after.is_some();
        if !resumes && !self.follow {
            return Ok(());
        }
        let store = self.governor.store();
        let mut follower = Follower::after(store, Until::Committed, position, self.view.clone(), self.time());
        if resumes {
            let until = follower.end();
            while follower.position() < until {
                let place = sink.batch().await?;
                let Some(batch) = follower.ready().await? else { break };
                self.send(place, batch)?;
            }
            if !self.follow {
                return Ok(());
            }
            self.mark(sink, follower.position(), Event::CaughtUp(v1::CaughtUp { count: 0 })).await?;
        }
        loop {
            let next = tokio::select! {
                () = sink.closed() => return Err(Over::ClientGone),
                next = tokio::time::timeout(HEARTBEAT, follower.has_more()) => next,
            };
            if let Ok(more) = next {
                more?;
                let place = sink.batch().await?;
                if let Some(batch) = follower.ready().await? {
                    self.send(place, batch)?;
                }
            } else {
                let sent_at = Some(response::timestamp(self.governor.now()));
                self.mark(sink, follower.position(), Event::Heartbeat(v1::Heartbeat { sent_at })).await?;
            }
        }
    }

    /// Sends the existing records, and returns where they end.
    async fn history(&self, sink: &Sink) -> Result<u64, Over> {
        let selection = match self.records_of {
            Some(decision_id) => Selection::RecordsOf(decision_id),
            None => Selection::Newest(self.view.clone(), self.limit),
        };
        let mut history = History::begin(self.governor.store(), selection, self.order, self.time()).await?;
        let mut count = 0;
        loop {
            let place = sink.batch().await?;
            let Some(batch) = history.next().await? else { break };
            count += batch.items.len() as u64;
            self.send(place, batch)?;
        }
        if self.follow {
            self.mark(sink, history.end(), Event::CaughtUp(v1::CaughtUp { count })).await?;
        }
        Ok(history.end())
    }

    fn send(&self, place: Place, mut batch: Batch) -> Result<(), Over> {
        let mut messages = Vec::new();
        for (sequence, item) in std::mem::take(&mut batch.items) {
            let event = match item {
                Followed::Record(record) => Event::Record(response::audit_record(record)),
                Followed::Row(row) => {
                    let result = row.state.action_result(self.governor.now(), self.governor.unreported_after());
                    Event::Row(Box::new(response::audit_row(*row, result)))
                }
                Followed::Left { row, decision_id } => {
                    Event::Left(v1::RowLeft { number: row, decision_id: decision_id.to_string() })
                }
                // A view of records shows retirements. A view of rows has no message for them.
                Followed::Gap { .. } => continue,
            };
            // What comes newest first cannot be resumed.
            let cursor = (sequence > 0).then(|| self.log.cursor(sequence, batch.leaf(sequence)).to_string());
            frame_after(&mut messages, &message(sequence, cursor.unwrap_or_default(), event));
        }
        place.send(messages)
    }

    /// Sends a message about the stream itself, at this position.
    async fn mark(&self, sink: &Sink, position: u64, event: Event) -> Result<(), Over> {
        let cursor = self.governor.store().look(move |reader| reader.cursor_after(position)).await?;
        sink.send(frame(&message(position, cursor.to_string(), event))).await
    }

    fn time(&self) -> StatusTime {
        self.governor.status_time()
    }
}

fn message(sequence: u64, cursor: String, event: Event) -> v1::StreamAuditResponse {
    v1::StreamAuditResponse { sequence, cursor, event: Some(event) }
}
