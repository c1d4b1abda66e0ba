//! Answers that nobody reads: what is held of them is bounded, for one connection and for all callers of one kind.
//!
//! HTTP/2 lets a caller leave as many answers as it has calls with the daemon. So an answer is written out at once, and
//! its bytes are counted until the connection has taken them. Where there is no room, the caller hears that instead.
//! Server streams have bounds of their own.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;

use super::receive::{Kind, Room, UNREAD_OF_CONNECTION};
use crate::domain::{CallError, Defence, ErrorCode};

/// Bytes of answers that all callers of one kind may leave.
const UNREAD_OF_KIND: usize = 16 << 20;
/// What an answer takes beside its bytes: its stream and their bookkeeping.
const ANSWER_BYTES: usize = 1 << 10;

/// The room for unread answers of one daemon.
#[derive(Debug)]
pub(crate) struct Answers {
    of_kind: [Arc<Semaphore>; Kind::COUNT],
}

impl Answers {
    pub(crate) fn new() -> Self {
        Self { of_kind: std::array::from_fn(|_| Arc::new(Semaphore::new(UNREAD_OF_KIND))) }
    }

    /// The same answer, whole, which takes its room until it is sent.
    pub(super) async fn keep(
        &self,
        kind: Kind,
        room: &Room,
        answer: Response<Body>,
    ) -> Result<Response<Body>, CallError> {
        if !Defence::UnreadAnswers.on() {
            return Ok(answer);
        }
        let (parts, mut body) = answer.into_parts();
        let (mut data, mut trailers) = (Vec::new(), None);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|status| CallError::internal(status.message()))?;
            match frame.into_data() {
                Ok(bytes) => data.push(bytes),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        let bytes = match data.len() {
            1 => data.swap_remove(0),
            _ => data.concat().into(),
        };
        let taken = if bytes.is_empty() { None } else { Some(self.take(kind, room, bytes.len())?) };
        let bytes = taken.map(|permits| Bytes::from_owner(Kept { bytes, _permits: permits }));
        Ok(Response::from_parts(parts, Body::new(Whole { bytes, trailers })))
    }

    fn take(&self, kind: Kind, room: &Room, bytes: usize) -> Result<[OwnedSemaphorePermit; 2], CallError> {
        let take = |from: &Arc<Semaphore>, all: usize| {
            let count = u32::try_from((bytes + ANSWER_BYTES).min(all)).unwrap_or(u32::MAX);
            Arc::clone(from).try_acquire_many_owned(count).map_err(|_| {
                let message = "as many bytes of answers are unread as this daemon keeps: read them first";
                CallError::new(ErrorCode::TooManyBytes, message)
            })
        };
        Ok([take(&room.unread, UNREAD_OF_CONNECTION)?, take(&self.of_kind[kind as usize], UNREAD_OF_KIND)?])
    }
}

/// Bytes and the room that they take. The connection drops them when it has written them.
struct Kept {
    bytes: Bytes,
    _permits: [OwnedSemaphorePermit; 2],
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// An answer that is written out.
struct Whole {
    bytes: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(bytes) = self.bytes.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none() && self.trailers.is_none()
    }
}
