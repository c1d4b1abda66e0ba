//! Streams of answers, for every protocol. Their number and what they hold are bounded. A stream that breaks off always
//! ends with an error.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::standing::{Standing, credential_over};
use super::unread::{Broken, Gone, Inlet, Outlet, Room, Unread, Work};
use crate::domain::{CallError, ErrorCode};

/// The time without a message after which a stream sends a heartbeat.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// Room for what is read from the record at once, before its size is known. Rows and records are read by mebibytes, and
/// one takes at most six times as much in protobuf as in JSON (a list of small numbers).
const BATCH_BYTES: usize = 6 << 20;

/// The streams of one daemon.
#[derive(Clone)]
pub(crate) struct Streams {
    limit: usize,
    permits: Arc<Semaphore>,
    unread: Arc<Unread>,
    /// Where messages are made.
    thread: Handle,
    stop: CancellationToken,
}

/// Why a stream ended.
#[derive(Debug)]
pub(crate) enum Over {
    /// The client has gone, or does not read.
    ClientGone,
    /// The stream failed. The client gets this error.
    Failed(CallError),
}

impl<E: Into<CallError>> From<E> for Over {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The daemon is stopping.
fn not_serving() -> CallError {
    CallError::new(ErrorCode::NotServing, "the daemon is stopping: resume when it is back")
}

/// How a stream ends when the daemon stops.
pub(crate) fn stopping() -> Over {
    Over::from(not_serving())
}

/// The bytes of a stream as its transport takes them, and at the end why it broke off, if it did.
pub(crate) struct Messages {
    outlet: Outlet,
    /// The stream counts until its client has read all of it.
    _counts: OwnedSemaphorePermit,
}

impl Stream for Messages {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.outlet.poll_next_unpin(cx)
    }
}

/// Sends the messages of a stream. What does not fit waits for the client; each stream documents the effect.
///
/// A message is made while there is room for it: take the room first, then make the message, then send it.
#[derive(Debug)]
pub(crate) struct Sink(Inlet);

/// The room for one message.
#[derive(Debug)]
pub(crate) struct Place(Room);

impl Sink {
    /// Room for a message of at most about so many bytes, about something that is in memory. Waits while the client is
    /// slow.
    pub(crate) async fn place(&self, bytes: usize) -> Result<Place, Over> {
        self.0.room(bytes, None).await.map(Place).map_err(|Gone| Over::ClientGone)
    }

    /// The same for something large that is read from the disk.
    pub(crate) async fn place_for_large(&self, bytes: usize) -> Result<Place, Over> {
        self.0.room(bytes, Some(Work::News)).await.map(Place).map_err(|Gone| Over::ClientGone)
    }

    /// Room for what is read from the record at once.
    pub(crate) async fn batch(&self) -> Result<Place, Over> {
        self.0.room(BATCH_BYTES, Some(Work::History)).await.map(Place).map_err(|Gone| Over::ClientGone)
    }

    /// Sends a small message that is made already; waits while the client is slow.
    pub(crate) async fn send(&self, message: impl Into<Vec<u8>>) -> Result<(), Over> {
        let message = message.into();
        let room = self.0.room(message.len(), None).await.map_err(|Gone| Over::ClientGone)?;
        Place(room).send(message)
    }

    /// Waits until the client has gone.
    pub(crate) async fn closed(&self) {
        self.0.over().await;
    }
}

impl Place {
    /// Sends the message, or several in a row. No bytes are no message.
    pub(crate) fn send(self, mut message: Vec<u8>) -> Result<(), Over> {
        if message.is_empty() {
            return Ok(());
        }
        // What was allocated beyond it would not be counted.
        message.shrink_to_fit();
        self.0.send(message.into()).map_err(|Gone| Over::ClientGone)
    }
}

impl Streams {
    /// Allows this many streams at once, whose messages are made on this thread. The token ends all of them, and each
    /// ends when its caller's credential ends.
    pub(crate) fn new(limit: usize, thread: Handle, stop: CancellationToken) -> Self {
        Self { limit, permits: Arc::new(Semaphore::new(limit)), unread: Unread::new(), thread, stop }
    }

    /// How many streams are open.
    pub(crate) fn open_now(&self) -> usize {
        self.limit - self.permits.available_permits().min(self.limit)
    }

    /// Opens a stream that `produce` fills. The stream ends when `produce` returns, the client goes, the caller's
    /// credential ends, or the daemon stops. It counts until the client has read all of it.
    pub(crate) fn open<F, P>(&self, standing: Standing, produce: P) -> Result<Messages, CallError>
    where
        P: FnOnce(Arc<Sink>) -> F,
        F: Future<Output = Result<(), Over>> + Send + 'static,
    {
        let counts = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            let message = "the limit of open streams is reached (--max-streams)";
            CallError::new(ErrorCode::TooManyStreams, message)
        })?;
        let (inlet, outlet) = self.unread.pipe(&standing.caller.identity.subject);
        let sink = Arc::new(Sink(inlet));
        let producing = produce(Arc::clone(&sink));
        let stop = self.stop.clone();
        let over = standing.over();
        self.thread.spawn(async move {
            let last_word = tokio::select! {
                () = stop.cancelled() => Some(not_serving()),
                why = over => Some(credential_over(why)),
                over = producing => match over {
                    Ok(()) | Err(Over::ClientGone) => None,
                    Err(Over::Failed(error)) => Some(error),
                },
            };
            sink.0.end(last_word);
        });
        Ok(Messages { outlet, _counts: counts })
    }
}
