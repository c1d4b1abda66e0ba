//! Streams of answers, for every protocol. Their number and their buffers are bounded. A stream that breaks off always
//! ends with an error.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::standing::{Standing, credential_over};
use crate::domain::{CallError, ErrorCode};

/// How many messages may wait for a slow client, and how many bytes of them: one message, however large, and no further
/// one beyond that. When the buffer is full, the producer waits: each stream documents the effect.
const HELD_BACK: usize = 64;
const HELD_BACK_BYTES: usize = 1 << 20;

/// The time without a message after which a stream sends a heartbeat.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// The messages of a stream, and at the end why it broke off, if it did.
pub(crate) type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, CallError>> + Send>>;

/// The streams of one daemon.
#[derive(Clone)]
pub(crate) struct Streams {
    limit: usize,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
}

/// Why a stream ended.
#[derive(Debug)]
pub(crate) enum Over {
    /// The client has gone.
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

/// A message of a stream, which is counted while it waits for a slow client.
pub(crate) trait Buffered: Send + 'static {
    /// About how many bytes it has.
    fn bytes(&self) -> usize;
}

impl Buffered for Bytes {
    fn bytes(&self) -> usize {
        self.len()
    }
}

/// Sends the messages of a stream.
#[derive(Debug)]
pub(crate) struct Sink<T> {
    messages: mpsc::Sender<(T, OwnedSemaphorePermit)>,
    bytes: Arc<Semaphore>,
}

impl<T: Buffered> Sink<T> {
    /// Sends a message; waits while the client is slow.
    pub(crate) async fn send(&self, message: T) -> Result<(), Over> {
        let count = u32::try_from(message.bytes().min(HELD_BACK_BYTES)).unwrap_or(u32::MAX);
        let taken = tokio::select! {
            taken = Arc::clone(&self.bytes).acquire_many_owned(count) => taken.map_err(|_| Over::ClientGone)?,
            () = self.closed() => return Err(Over::ClientGone),
        };
        self.messages.send((message, taken)).await.map_err(|_| Over::ClientGone)
    }

    /// Waits until the client has gone.
    pub(crate) async fn closed(&self) {
        self.messages.closed().await;
    }
}

impl Streams {
    /// Allows this many streams at once. The token ends all of them, and each ends when its caller's credential ends.
    pub(crate) fn new(limit: usize, stop: CancellationToken) -> Self {
        Self { limit, permits: Arc::new(Semaphore::new(limit)), stop }
    }

    /// How many streams are open.
    pub(crate) fn open_now(&self) -> usize {
        self.limit - self.permits.available_permits().min(self.limit)
    }

    /// Opens a stream that `produce` fills. The stream ends when `produce` returns, the client goes, the caller's
    /// credential ends, or the daemon stops. It counts until the client has read all of it.
    pub(crate) fn open<T, F, P>(&self, standing: Standing, produce: P) -> Result<Messages<T>, CallError>
    where
        T: Buffered,
        P: FnOnce(Sink<T>) -> F,
        F: Future<Output = Result<(), Over>> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            let message = "the limit of open streams is reached (--max-streams)";
            CallError::new(ErrorCode::TooManyStreams, message)
        })?;
        let (sender, receiver) = mpsc::channel(HELD_BACK);
        let (end, ended) = oneshot::channel();
        let bytes = Arc::new(Semaphore::new(HELD_BACK_BYTES));
        let producing = produce(Sink { messages: sender, bytes });
        let stop = self.stop.clone();
        let over = standing.over();
        tokio::spawn(async move {
            let last_word = tokio::select! {
                () = stop.cancelled() => Some(not_serving()),
                why = over => Some(credential_over(why)),
                over = producing => match over {
                    Ok(()) | Err(Over::ClientGone) => None,
                    Err(Over::Failed(error)) => Some(error),
                },
            };
            // The send fails if the client has gone.
            let _ = end.send(last_word);
        });
        // The last word has its own place after the buffer, so that a slow client still gets it.
        let last_word = stream::once(ended).filter_map(|last_word| {
            let broken = |_| Some(CallError::internal("the stream broke off"));
            std::future::ready(last_word.unwrap_or_else(broken).map(Err))
        });
        let messages = ReceiverStream::new(receiver).map(|(message, _taken)| Ok(message));
        let messages = messages.chain(last_word).map(move |message| {
            let _counts = &permit;
            message
        });
        Ok(Box::pin(messages))
    }
}
