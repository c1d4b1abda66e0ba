//! Receiving: a request arrives whole before anything is done with it, in bounded time, and what is held meanwhile is
//! bounded.
//!
//! The gate holds the body of every call, so no protocol gets around this. Bytes are counted as they arrive, for the
//! connection and for all callers of one kind, and given back with the body. Callers without a credential cannot take
//! the room of those with one, nor anybody the room of the socket in the data directory. A call whose message has not
//! arrived costs what the daemon holds for it, too.
//!
//! A message that has arrived is weighed before it is decoded: what it will take in memory is bounded as well, for all
//! callers of one kind, until it is answered or waits for a person ([`Load`]).
//!
//! Health and reflection need no credential. Calls to them are few: over a connection that proved nothing, and of all
//! such connections together.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;

use super::access;
use super::standing::Standing;
use super::weigh::{self, MAX_VALUES, TooHeavy};
use crate::auth::{Connection, Listener};
use crate::domain::{CallError, Defence, ErrorCode};

/// What a call costs while it waits for its message, beside its headers: its stream, its task and their bookkeeping.
const CALL_BYTES: usize = 1 << 10;
/// Bytes of answers that one connection may leave unread.
pub(super) const UNREAD_OF_CONNECTION: usize = 8 << 20;
/// How large a message to health or reflection may be, or all messages of one stream to it.
const OPEN_MESSAGE_BYTES: usize = 64 << 10;
/// Calls to health and reflection at once, over all connections that proved nothing.
const OPEN_CALLS: usize = 1024;
/// Of those, calls to reflection: each holds a few answers of the size of the API's description.
const REFLECTION_CALLS: usize = 32;
/// The memory that one decoded message may take, for each byte that a message may have.
const WEIGHT: usize = 8;
/// The memory that all decoded messages of callers of one kind may take until they are answered; at least one message.
const LOAD_BYTES: usize = 48 << 20;
/// A message that takes less is not counted: what it takes, a call takes anyway.
const LIGHT: usize = 4 << 10;
/// gRPC's prefix of a message: a flag and its length.
const PREFIX_BYTES: usize = 5;

/// What bounds requests while they arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiveLimits {
    /// One message, in bytes.
    pub(crate) message_bytes: usize,
    /// All requests that callers of one kind are sending, in bytes.
    pub(crate) bytes: usize,
    /// How long a request may take to arrive.
    pub(crate) timeout: Duration,
}

impl ReceiveLimits {
    /// Room for at least one message.
    fn at_least_one(self, bytes: usize) -> usize {
        bytes.max(self.message_bytes.saturating_add(PREFIX_BYTES + 64 * CALL_BYTES)).min(Semaphore::MAX_PERMITS)
    }

    /// The memory that one message may take when it is decoded.
    fn weight(self) -> usize {
        self.message_bytes.saturating_mul(WEIGHT).min(Semaphore::MAX_PERMITS)
    }

    /// The room of one connection: half of what there is.
    pub(crate) fn per_connection(self) -> usize {
        self.at_least_one(self.bytes / 2)
    }
}

/// The room of one connection.
#[derive(Debug)]
pub(crate) struct Room {
    bytes: Arc<Semaphore>,
    open_calls: Arc<Semaphore>,
    /// Bytes of answers that the caller has not read.
    pub(super) unread: Arc<Semaphore>,
}

impl Room {
    /// For so many bytes that are arriving, and so many calls that need no credential.
    pub(crate) fn new(bytes: usize, open_calls: usize) -> Self {
        Self {
            bytes: Arc::new(Semaphore::new(bytes)),
            open_calls: Arc::new(Semaphore::new(open_calls)),
            unread: Arc::new(Semaphore::new(UNREAD_OF_CONNECTION)),
        }
    }
}

/// Who shares a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Callers of health and reflection who proved nothing.
    Open,
    /// Callers without a credential.
    Anonymous,
    /// Callers with one.
    Known,
    /// The daemon's own user.
    Private,
}

impl Kind {
    /// How many kinds there are.
    pub(super) const COUNT: usize = 4;

    /// The kind of the caller of this request.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let connection = request.extensions().get::<Arc<Connection>>();
        if connection.is_some_and(|connection| connection.listener == Listener::Private) {
            return Self::Private;
        }
        match request.extensions().get::<Standing>() {
            Some(standing) if standing.caller.identity.is_authenticated() => Self::Known,
            Some(_) => Self::Anonymous,
            None if connection.is_some_and(|connection| connection.is_proved()) => Self::Known,
            None => Self::Open,
        }
    }
}

/// How a request is to arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As one message of gRPC.
    Message,
    /// As messages that come while the call goes on.
    Messages,
    /// As whatever else.
    Bytes,
}

/// Receives the requests of one daemon.
#[derive(Debug)]
pub(crate) struct Receiver {
    limits: ReceiveLimits,
    rooms: [Arc<Semaphore>; Kind::COUNT],
    loads: [Arc<Semaphore>; Kind::COUNT],
    open_calls: Arc<Semaphore>,
    reflection_calls: Arc<Semaphore>,
}

/// The bytes of a request that has arrived.
#[derive(Clone, Debug)]
struct Whole(Bytes);

/// How many bytes this request has; nothing where messages come while the call goes on.
pub(super) fn bytes<B>(request: &Request<B>) -> usize {
    request.extensions().get::<Whole>().map_or(0, |Whole(bytes)| bytes.len())
}

/// The memory of a decoded message. It is given back when the call is answered, or before the call waits for a person.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Load {
    /// Gives it back.
    pub(crate) fn release(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Receiver {
    pub(crate) fn new(limits: ReceiveLimits) -> Self {
        let of_each = |size: usize| std::array::from_fn(|_| Arc::new(Semaphore::new(size)));
        Self {
            limits,
            rooms: of_each(limits.at_least_one(limits.bytes)),
            loads: of_each(limits.weight().max(LOAD_BYTES)),
            open_calls: Arc::new(Semaphore::new(OPEN_CALLS)),
            reflection_calls: Arc::new(Semaphore::new(REFLECTION_CALLS)),
        }
    }

    /// A place for a call to health or reflection, where the caller has proved nothing: held until it is answered.
    pub(crate) fn place<B>(&self, request: &Request<B>) -> Result<Option<Place>, CallError> {
        if Kind::of(request) != Kind::Open || !Defence::OpenCalls.on() {
            return Ok(None);
        }
        let full = |whose: &str| {
            let message = format!(
                "as many calls to health and reflection are open as {whose} may have without a credential \
                 (--max-open-calls-per-connection)"
            );
            CallError::new(ErrorCode::TooManyStreams, message)
        };
        let room = room(request)?;
        let of_connection = Arc::clone(&room.open_calls).try_acquire_owned().map_err(|_| full("one connection"))?;
        let is_reflection = access::sends_a_stream(request.uri().path());
        let of_all = if is_reflection { &self.reflection_calls } else { &self.open_calls };
        let of_all = Arc::clone(of_all).try_acquire_owned().map_err(|_| full("all connections"))?;
        Ok(Some(Place { _permits: [of_connection, of_all] }))
    }

    /// The same request, once it has arrived; at once where its messages come while the call goes on. A message that is
    /// decoded next needs [`Receiver::load`] first.
    pub(crate) async fn receive(&self, request: Request<Body>, shape: Shape) -> Result<Request<Body>, CallError> {
        let kind = Kind::of(&request);
        let held = Held {
            bytes_of_connection: None,
            bytes_of_kind: None,
            connection: Arc::clone(&room(&request)?.bytes),
            kind: Arc::clone(&self.rooms[kind as usize]),
        };
        let message_bytes = match (kind, shape) {
            (Kind::Open, _) | (_, Shape::Messages) => OPEN_MESSAGE_BYTES.min(self.limits.message_bytes),
            _ => self.limits.message_bytes,
        };
        let (mut parts, body) = request.into_parts();
        let body = if shape == Shape::Messages {
            Body::new(Counted { body, held, left: message_bytes })
        } else {
            let arriving = Arriving { held, headers: size(&parts.headers), message_bytes, shape };
            let patience = if Defence::ReceiveTimeout.on() { self.limits.timeout } else { Duration::MAX };
            let arrived = tokio::time::timeout(patience, arriving.collect(body)).await;
            let arrived = arrived.map_err(|_| late(self.limits.timeout))??;
            // The bytes themselves are shared, not copied.
            parts.extensions.insert(Whole(arrived.bytes.clone()));
            Body::new(arrived)
        };
        Ok(Request::from_parts(parts, body))
    }

    /// Takes the memory that a request will take once it is decoded, and puts its [`Load`] into the extensions; waits
    /// while others of the kind take it.
    pub(crate) async fn load(&self, request: &mut Request<Body>, shape: Shape) -> Result<(), CallError> {
        let Some(Whole(bytes)) = request.extensions_mut().remove() else { return Ok(()) };
        if !Defence::MessageWeight.on() {
            return Ok(());
        }
        let limit = self.limits.weight();
        let weight = match shape {
            Shape::Bytes => weigh::json(&bytes, limit),
            _ => weigh::message(request.uri().path(), bytes.get(PREFIX_BYTES..).unwrap_or_default(), limit),
        };
        let weight = weight.map_err(|TooHeavy { field, is_many }| {
            let why = if is_many {
                format!("has more values than {MAX_VALUES}, which are all that this daemon takes")
            } else {
                format!(
                    "has so many small values that the request would take more than {limit} bytes of memory \
                     ({WEIGHT} times --max-message-bytes)"
                )
            };
            CallError::invalid_field(&field, &why)
        })?;
        let load = if weight <= LIGHT { Load::default() } else { self.take(Kind::of(request), weight).await? };
        request.extensions_mut().insert(load);
        Ok(())
    }

    async fn take(&self, kind: Kind, weight: usize) -> Result<Load, CallError> {
        let permits = u32::try_from(weight).map_err(|_| over())?;
        let taken = Arc::clone(&self.loads[kind as usize]).acquire_many_owned(permits);
        let taken = tokio::time::timeout(self.limits.timeout, taken).await.map_err(|_| over())?;
        Ok(Load(Arc::new(Mutex::new(taken.ok()))))
    }
}

pub(super) fn room<B>(request: &Request<B>) -> Result<&Arc<Room>, CallError> {
    let room = request.extensions().get::<Arc<Room>>();
    room.ok_or_else(|| CallError::internal("the call came over no known connection"))
}

fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

fn late(timeout: Duration) -> CallError {
    let message = format!("the request had not arrived whole after {timeout:?} (--receive-timeout)");
    CallError::new(ErrorCode::DeadlineExceeded, message)
}

fn over() -> CallError {
    let message = "as many bytes of requests are arriving as this daemon takes at once (--max-receiving-bytes)";
    CallError::new(ErrorCode::TooManyBytes, message)
}

/// Not RESOURCE_EXHAUSTED, which says that a retry may help.
pub(super) fn too_large(limit: usize) -> CallError {
    let message = if limit == OPEN_MESSAGE_BYTES {
        format!("the message is larger than {limit} bytes, which is all that health and reflection take")
    } else {
        format!("the message is larger than {limit} bytes, which is all that this daemon takes (--max-message-bytes)")
    };
    CallError::new(ErrorCode::MessageTooLarge, message)
}

/// What a request takes of both rooms.
#[derive(Debug)]
struct Held {
    bytes_of_connection: Option<OwnedSemaphorePermit>,
    bytes_of_kind: Option<OwnedSemaphorePermit>,
    connection: Arc<Semaphore>,
    kind: Arc<Semaphore>,
}

impl Held {
    fn take(&mut self, bytes: usize) -> Result<(), CallError> {
        if !Defence::ReceivingBytes.on() {
            return Ok(());
        }
        let count = u32::try_from(bytes).map_err(|_| over())?;
        for (held, room) in [(&mut self.bytes_of_connection, &self.connection), (&mut self.bytes_of_kind, &self.kind)] {
            let permit = Arc::clone(room).try_acquire_many_owned(count).map_err(|_| over())?;
            match held {
                Some(held) => held.merge(permit),
                None => *held = Some(permit),
            }
        }
        Ok(())
    }
}

/// A request that is arriving.
struct Arriving {
    held: Held,
    headers: usize,
    message_bytes: usize,
    shape: Shape,
}

impl Arriving {
    async fn collect(mut self, body: Body) -> Result<Arrived, CallError> {
        let mut body = pin!(body);
        let mut waits = false;
        // What HTTP announces is refused before it comes.
        let announced = body.size_hint().lower();
        if self.shape == Shape::Bytes && announced > self.message_bytes as u64 && Defence::BodySize.on() {
            return Err(too_large(self.message_bytes));
        }
        // What comes in one piece is passed on as it is. Pieces are put together: a small one would hold the whole
        // buffer that it was read into.
        let (mut first, mut rest) = (Bytes::new(), Vec::new());
        loop {
            let frame = poll_fn(|cx| {
                let polled = body.as_mut().poll_frame(cx);
                if polled.is_pending() && !waits {
                    waits = true;
                    if let Err(error) = self.held.take(CALL_BYTES + self.headers) {
                        return Poll::Ready(Some(Err(error)));
                    }
                    rest.extend_from_slice(&std::mem::take(&mut first));
                }
                let broken = |error| CallError::new(ErrorCode::Cancelled, format!("the request broke off: {error}"));
                polled.map(|frame| frame.map(|frame| frame.map_err(broken)))
            });
            let Some(frame) = frame.await else { break };
            // What else a frame can be, trailers, means nothing in a request.
            let Ok(data) = frame?.into_data() else { continue };
            self.held.take(data.len())?;
            if first.is_empty() && rest.is_empty() {
                first = data;
            } else {
                rest.extend_from_slice(&std::mem::take(&mut first));
                if rest.capacity() - rest.len() < data.len() {
                    rest.reserve_exact(data.len().max(rest.len() / 4));
                }
                rest.extend_from_slice(&data);
            }
            self.check(if first.is_empty() { &rest } else { &first })?;
            if body.is_end_stream() {
                break;
            }
        }
        let bytes = if rest.is_empty() { first } else { Bytes::from(rest) };
        Ok(Arrived { bytes, _held: self.held })
    }

    /// Whether what has arrived can still become a message that is not too large.
    fn check(&self, arrived: &[u8]) -> Result<(), CallError> {
        let announced = match arrived.get(1..PREFIX_BYTES).map(<[u8; 4]>::try_from) {
            Some(Ok(length)) if self.shape == Shape::Message && Defence::MessageSize.on() => {
                u32::from_be_bytes(length) as usize
            }
            _ => 0,
        };
        if announced.max(arrived.len().saturating_sub(PREFIX_BYTES)) > self.message_bytes {
            return Err(too_large(self.message_bytes));
        }
        Ok(())
    }
}

/// A request that has arrived.
struct Arrived {
    bytes: Bytes,
    _held: Held,
}

impl HttpBody for Arrived {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

/// Messages that come while the call goes on: so many bytes in all.
struct Counted {
    body: Body,
    held: Held,
    left: usize,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map(|frame| {
            let frame = match frame? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(error)),
            };
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            let taken = match self.left.checked_sub(bytes) {
                Some(left) => {
                    self.left = left;
                    self.held.take(bytes)
                }
                None if !Defence::ReflectionBytes.on() => Ok(()),
                None => Err(too_large(OPEN_MESSAGE_BYTES)),
            };
            Some(taken.map(|()| frame).map_err(Status::from))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// The place of a call to health or reflection.
#[derive(Debug)]
pub(crate) struct Place {
    _permits: [OwnedSemaphorePermit; 2],
}

impl Place {
    /// The answer, which holds the place until it has been sent.
    pub(crate) fn until_sent(self, answer: Response<Body>) -> Response<Body> {
        answer.map(|body| Body::new(Placed { body, _place: self }))
    }
}

struct Placed {
    body: Body,
    _place: Place,
}

impl HttpBody for Placed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
