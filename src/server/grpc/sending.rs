//! How streams of messages are sent. tonic frames only messages that it encodes itself, and keeps a buffer of the size
//! of the largest one for each stream as long as that lasts. A stream of this daemon sends bytes that are counted until
//! the transport has them, so it has a body of its own.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes};
use futures_util::{StreamExt as _, stream};
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame};
use prost::Message;
use tonic::body::Body;
use tonic::{Response, Status};

use crate::server::streams::Messages;

/// gRPC's prefix of a message: a flag, and the length of the message.
const PREFIX_BYTES: usize = 5;
/// At most so much longer is a message than the JSON that it shows: a list of small numbers.
const TIMES_JSON: usize = 6;
/// What a message has beside that.
const FRAME_BYTES: usize = 2 << 10;

/// What tonic is given in the place of the messages.
pub(super) type Unpolled<T> = stream::Empty<Result<T, Status>>;

/// The messages, on their way past tonic.
#[derive(Clone)]
struct Passing(Arc<Mutex<Option<Messages>>>);

/// The response that sends these messages.
pub(super) fn sending<T>(messages: Messages) -> Response<Unpolled<T>> {
    let mut response = Response::new(stream::empty());
    response.extensions_mut().insert(Passing(Arc::new(Mutex::new(Some(messages)))));
    response
}

/// The answer with the messages of its stream, if it is one.
pub(crate) fn with_messages(mut answer: http::Response<Body>) -> http::Response<Body> {
    let passing = answer.extensions_mut().remove::<Passing>();
    match passing.and_then(|Passing(messages)| messages.lock().unwrap_or_else(PoisonError::into_inner).take()) {
        Some(messages) => answer.map(|_| Body::new(Framed(Some(messages)))),
        None => answer,
    }
}

/// A message as it is sent. Several make up a batch.
pub(super) fn frame(message: &impl Message) -> Vec<u8> {
    let mut framed = Vec::new();
    frame_after(&mut framed, message);
    framed
}

/// Adds a message to a batch.
pub(super) fn frame_after(batch: &mut Vec<u8>, message: &impl Message) {
    let length = message.encoded_len();
    batch.reserve(PREFIX_BYTES + length);
    batch.put_u8(0);
    // A message that does not fit this length would not fit the memory of the daemon.
    batch.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    batch.put(message.encode_to_vec().as_slice());
}

/// How many bytes a message has at most that shows so many bytes of JSON.
pub(super) fn framed_bytes(json: usize) -> usize {
    json.saturating_mul(TIMES_JSON).saturating_add(FRAME_BYTES)
}

/// The body of a stream: its messages, and its status.
struct Framed(Option<Messages>);

impl HttpBody for Framed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(messages) = &mut self.0 else { return Poll::Ready(None) };
        let status = match std::task::ready!(messages.poll_next_unpin(cx)) {
            Some(Ok(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(Err(broken)) => Status::from(broken.error),
            None => Status::ok(""),
        };
        self.0 = None;
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }
}
