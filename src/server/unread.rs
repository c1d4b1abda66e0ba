//! What the clients of streams have not read: bounded for one stream, for the streams of one caller, and for all.
//!
//! Room is taken before a message is made, and given back when the transport has taken all of it. The transport takes
//! a message in small parts. So what HTTP holds of a stream is little, and the rest can be dropped here. Where there is
//! no room, the stream ends whose client has taken nothing for the longest time. So clients that read do not wait for
//! those that do not.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::{CallError, Defence, ErrorCode};

/// The unread bytes of all streams, of those of one caller, and of one stream. One message may be larger than the room
/// of a stream: it takes all of it.
const OF_ALL: usize = 28 << 20;
const OF_CALLER: usize = OF_ALL / 2;
const OF_STREAM: usize = 1 << 20;
/// What a message counts at least in the room of its stream: 64 small ones fill it.
const LEAST_OF_STREAM: usize = OF_STREAM / 64;
/// What a message takes beside its bytes.
const MESSAGE_BYTES: usize = 256;
/// How many bytes the transport takes at once.
const PART: usize = 8 << 10;
/// After this time without a byte taken, a stream with unread bytes makes room for others.
const STALLED: Duration = Duration::from_secs(1);
/// How long to wait for the room that one stream gave back before another one ends.
const ONE_BY_ONE: Duration = Duration::from_millis(20);
/// How many messages are made at once, of each [`Work`]. A message can take a hundred times its size while it is made.
const MADE_AT_ONCE: usize = 2;

/// What is made: messages about what happens now do not wait for those about the past.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    News,
    History,
}

/// The room of one daemon.
#[derive(Debug)]
pub(super) struct Unread {
    all: Arc<Semaphore>,
    making: [Arc<Semaphore>; 2],
    stalled: Duration,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    pipes: BTreeMap<u64, Arc<Pipe>>,
    of_callers: HashMap<Arc<str>, Weak<OfCaller>>,
}

/// What the streams of one caller share. One message is made at once, so that many streams of one caller are one in the
/// queue of those who wait for their turn.
#[derive(Debug)]
struct OfCaller {
    bytes: Arc<Semaphore>,
    making: [Arc<Semaphore>; 2],
}

/// What one stream holds for its client.
#[derive(Debug)]
struct Pipe {
    own: Arc<Semaphore>,
    of_caller: Arc<OfCaller>,
    held: Mutex<Held>,
    /// Nothing is taken any more: the client has gone, or the stream was ended for others.
    over: CancellationToken,
}

#[derive(Debug)]
struct Held {
    messages: VecDeque<Message>,
    /// When the transport took something, or when there was nothing to take.
    taken_at: Instant,
    end: Ending,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Message {
    bytes: Bytes,
    /// Whether the transport has a part of it.
    is_begun: bool,
    _room: Permits,
}

type Permits = Vec<OwnedSemaphorePermit>;

#[derive(Debug)]
enum Ending {
    Open,
    /// It ends after the messages, with this error if it broke off.
    After(Option<Broken>),
    Told,
}

/// Why a stream broke off.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) error: CallError,
    /// Whether the client has only a part of the last message.
    pub(crate) is_cut: bool,
}

/// The end of a stream that is filled. If it is dropped without a word, the stream broke off.
#[derive(Debug)]
pub(super) struct Inlet {
    pipe: Arc<Pipe>,
    unread: Arc<Unread>,
}

/// The end of a stream that the transport takes from.
#[derive(Debug)]
pub(super) struct Outlet {
    number: u64,
    pipe: Arc<Pipe>,
    unread: Arc<Unread>,
}

/// Room for a message.
#[derive(Debug)]
pub(crate) struct Room {
    pipe: Arc<Pipe>,
    own: OwnedSemaphorePermit,
    shared: Permits,
    _making: Permits,
}

/// Nobody takes the messages any more.
#[derive(Debug)]
pub(super) struct Gone;

impl Unread {
    pub(super) fn new() -> Arc<Self> {
        Self::patient(STALLED)
    }

    /// Streams whose clients took nothing for so long make room.
    fn patient(stalled: Duration) -> Arc<Self> {
        let making = std::array::from_fn(|_| Arc::new(Semaphore::new(MADE_AT_ONCE)));
        Arc::new(Self { all: Arc::new(Semaphore::new(OF_ALL)), making, stalled, open: Mutex::default() })
    }

    /// A stream of this caller.
    pub(super) fn pipe(self: &Arc<Self>, caller: &Arc<str>) -> (Inlet, Outlet) {
        let mut open = lock(&self.open);
        open.of_callers.retain(|_, room| room.strong_count() > 0);
        let of_caller = open.of_callers.get(caller).and_then(Weak::upgrade).unwrap_or_else(|| {
            let making = std::array::from_fn(|_| Arc::new(Semaphore::new(1)));
            let room = Arc::new(OfCaller { bytes: Arc::new(Semaphore::new(OF_CALLER)), making });
            open.of_callers.insert(Arc::clone(caller), Arc::downgrade(&room));
            room
        });
        let pipe = Arc::new(Pipe {
            own: Arc::new(Semaphore::new(OF_STREAM)),
            of_caller,
            held: Mutex::new(Held {
                messages: VecDeque::new(),
                taken_at: Instant::now(),
                end: Ending::Open,
                waker: None,
            }),
            over: CancellationToken::new(),
        });
        let number = open.next;
        open.next += 1;
        open.pipes.insert(number, Arc::clone(&pipe));
        drop(open);
        let inlet = Inlet { pipe: Arc::clone(&pipe), unread: Arc::clone(self) };
        (inlet, Outlet { number, pipe, unread: Arc::clone(self) })
    }

    /// Takes shared room. Ends streams whose clients take nothing, one by one, while there is none.
    async fn take(&self, room: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Gone> {
        let mut taken = pin!(Arc::clone(room).acquire_many_owned(permits(bytes)));
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                taken = &mut taken => return taken.map_err(|_| Gone),
                () = tokio::time::sleep(pause) => pause = self.make_room(room),
            }
        }
    }

    /// Ends the stream in this room whose client has taken nothing for the longest time, if that is long. Returns when
    /// to look again.
    fn make_room(&self, room: &Arc<Semaphore>) -> Duration {
        let open = lock(&self.open);
        let shares = |pipe: &&Arc<Pipe>| Arc::ptr_eq(room, &self.all) || Arc::ptr_eq(room, &pipe.of_caller.bytes);
        let waiting = open.pipes.values().filter(shares).filter_map(|pipe| Some((pipe.waiting_since()?, pipe)));
        let Some((since, pipe)) = waiting.min_by_key(|(since, _)| *since) else { return self.stalled };
        let left = self.stalled.saturating_sub(since.elapsed());
        if left.is_zero() {
            pipe.make_room();
        }
        left.max(ONE_BY_ONE)
    }
}

impl Inlet {
    /// Room for a message of at most about so many bytes that is made now, or is there already.
    pub(super) async fn room(&self, bytes: usize, work: Option<Work>) -> Result<Room, Gone> {
        let own = bytes.clamp(LEAST_OF_STREAM, OF_STREAM);
        let taking = async {
            let own = Arc::clone(&self.pipe.own).acquire_many_owned(permits(own)).await.map_err(|_| Gone)?;
            let (mut shared, mut making) = (Vec::new(), Vec::new());
            if Defence::UnreadStreams.on() {
                let bytes = bytes + MESSAGE_BYTES;
                shared.push(self.unread.take(&self.pipe.of_caller.bytes, bytes.min(OF_CALLER)).await?);
                shared.push(self.unread.take(&self.unread.all, bytes.min(OF_ALL)).await?);
                if let Some(work) = work {
                    // Whoever has a place waits for no client.
                    for places in [&self.pipe.of_caller.making, &self.unread.making] {
                        let place = Arc::clone(&places[work as usize]).acquire_owned();
                        making.push(place.await.map_err(|_| Gone)?);
                    }
                }
            }
            Ok(Room { pipe: Arc::clone(&self.pipe), own, shared, _making: making })
        };
        tokio::select! {
            room = taking => room,
            () = self.pipe.over.cancelled() => Err(Gone),
        }
    }

    /// Waits until nobody takes messages any more.
    pub(super) async fn over(&self) {
        self.pipe.over.cancelled().await;
    }
}

impl Room {
    /// Sends the message, and gives back the room that it does not take.
    pub(super) fn send(mut self, bytes: Bytes) -> Result<(), Gone> {
        fit(&mut self.own, bytes.len().clamp(LEAST_OF_STREAM, OF_STREAM));
        for permit in &mut self.shared {
            fit(permit, (bytes.len() + MESSAGE_BYTES).min(OF_CALLER));
        }
        let mut room = self.shared;
        room.push(self.own);
        let mut held = lock(&self.pipe.held);
        if !matches!(held.end, Ending::Open) || self.pipe.over.is_cancelled() {
            return Err(Gone);
        }
        if held.messages.is_empty() {
            held.taken_at = Instant::now();
        }
        held.messages.push_back(Message { bytes, is_begun: false, _room: room });
        held.wake();
        Ok(())
    }
}

/// Makes room larger or smaller. A message can be larger than what was expected of it; if nothing is left for the
/// rest, it takes what it has.
fn fit(permit: &mut OwnedSemaphorePermit, bytes: usize) {
    let has = permit.num_permits();
    if has > bytes {
        drop(permit.split(has - bytes));
    } else if let Ok(more) = Arc::clone(permit.semaphore()).try_acquire_many_owned(permits(bytes - has)) {
        permit.merge(more);
    }
}

impl Pipe {
    /// Since when the client has taken nothing of what is there.
    fn waiting_since(&self) -> Option<Instant> {
        let held = lock(&self.held);
        (!held.messages.is_empty()).then_some(held.taken_at)
    }

    /// Drops what the client has not taken, and ends the stream.
    fn make_room(&self) {
        let message = "the client does not read this stream, and others need the room: read faster, and resume";
        let error = CallError::new(ErrorCode::TooManyBytes, message);
        let mut held = lock(&self.held);
        let is_cut = held.messages.front().is_some_and(|message| message.is_begun);
        held.messages.clear();
        held.end = Ending::After(Some(Broken { error, is_cut }));
        held.wake();
        drop(held);
        self.over.cancel();
    }

    /// Ends the stream after what is there, unless it has ended.
    fn end(&self, error: Option<CallError>) {
        let mut held = lock(&self.held);
        if matches!(held.end, Ending::Open) {
            held.end = Ending::After(error.map(|error| Broken { error, is_cut: false }));
            held.wake();
        }
    }
}

impl Held {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let message = self.messages.front_mut()?;
        self.taken_at = Instant::now();
        if message.bytes.len() > PART {
            message.is_begun = true;
            // A copy: a slice would keep the whole message.
            return Some(Bytes::copy_from_slice(&message.bytes.split_to(PART)));
        }
        let Message { bytes, is_begun, .. } = self.messages.pop_front()?;
        Some(if is_begun { Bytes::copy_from_slice(&bytes) } else { bytes })
    }
}

impl Inlet {
    /// Ends the stream after what is there.
    pub(super) fn end(&self, error: Option<CallError>) {
        self.pipe.end(error);
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.pipe.end(Some(CallError::internal("the stream broke off")));
    }
}

impl Stream for Outlet {
    type Item = Result<Bytes, Broken>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut held = lock(&self.pipe.held);
        if let Some(part) = held.take() {
            return Poll::Ready(Some(Ok(part)));
        }
        match std::mem::replace(&mut held.end, Ending::Told) {
            Ending::Open => {
                held.end = Ending::Open;
                held.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Ending::After(broken) => Poll::Ready(broken.map(Err)),
            Ending::Told => Poll::Ready(None),
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.pipe.over.cancel();
        lock(&self.pipe.held).messages.clear();
        lock(&self.unread.open).pipes.remove(&self.number);
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    const LARGE: usize = 900 << 10;
    /// Longer than any test.
    const FOR_EVER: Duration = Duration::from_hours(1);

    async fn sent(inlet: &Inlet, bytes: usize) -> Result<(), Gone> {
        inlet.room(bytes, Some(Work::News)).await?.send(vec![0; bytes].into())
    }

    /// Reads until there are so many bytes.
    async fn read(outlet: &mut Outlet, bytes: usize) {
        let mut left = bytes;
        while left > 0 {
            left -= outlet.next().await.unwrap().unwrap().len();
        }
    }

    /// Whether this waits, after every other task had its turn.
    async fn is_waiting<T>(of: impl Future<Output = T>) -> bool {
        let mut of = pin!(of);
        for _ in 0..100 {
            if futures_util::poll!(of.as_mut()).is_ready() {
                return false;
            }
            tokio::task::yield_now().await;
        }
        true
    }

    fn free(unread: &Unread) -> usize {
        unread.all.available_permits()
    }

    #[tokio::test]
    async fn a_message_is_taken_in_parts_and_gives_its_room_back_with_the_last() {
        let unread = Unread::patient(FOR_EVER);
        let (inlet, mut outlet) = unread.pipe(&"a".into());
        sent(&inlet, PART * 2 + 1).await.unwrap();
        inlet.end(None);
        for (part, held) in [(PART, true), (PART, true), (1, false)] {
            assert_eq!(outlet.next().await.unwrap().unwrap().len(), part);
            assert_eq!(free(&unread) < OF_ALL, held);
        }
        assert!(outlet.next().await.is_none());
    }

    #[tokio::test]
    async fn a_room_that_is_not_used_or_too_large_is_given_back() {
        let unread = Unread::patient(FOR_EVER);
        let (inlet, _outlet) = unread.pipe(&"a".into());
        drop(inlet.room(LARGE, Some(Work::News)).await.unwrap());
        assert_eq!(free(&unread), OF_ALL);
        inlet.room(LARGE * 8, Some(Work::News)).await.unwrap().send(vec![0; 100].into()).unwrap();
        assert_eq!(free(&unread), OF_ALL - 100 - MESSAGE_BYTES);
        // A message that is larger than expected counts whole.
        inlet.room(1, None).await.unwrap().send(vec![0; 5000].into()).unwrap();
        assert_eq!(free(&unread), OF_ALL - 5100 - 2 * MESSAGE_BYTES);
    }

    #[tokio::test]
    async fn one_stream_holds_one_large_message_or_64_small_ones() {
        let unread = Unread::patient(FOR_EVER);
        for (bytes, fit) in [(OF_STREAM * 3, 1), (10, 64)] {
            let (inlet, mut outlet) = unread.pipe(&"a".into());
            for _ in 0..fit {
                sent(&inlet, bytes).await.unwrap();
            }
            assert!(is_waiting(sent(&inlet, bytes)).await);
            read(&mut outlet, bytes).await;
            sent(&inlet, bytes).await.unwrap();
        }
    }

    #[tokio::test]
    async fn who_reads_waits_for_nobody_who_does_not() {
        let unread = Unread::patient(Duration::from_millis(200));
        let idle: Vec<_> = (0..300).map(|n| unread.pipe(&format!("careless-{}", n % 3).into())).collect();
        let filling: Vec<_> = idle
            .into_iter()
            .map(|(inlet, outlet)| tokio::spawn(async move { (sent(&inlet, LARGE).await.is_ok(), inlet, outlet) }))
            .collect();
        let (inlet, mut outlet) = unread.pipe(&"careful".into());
        let reading = tokio::spawn(async move {
            read(&mut outlet, 16 * LARGE).await;
            outlet
        });
        for _ in 0..16 {
            sent(&inlet, LARGE).await.unwrap();
        }
        drop(reading.await.unwrap());
        let (mut ended, mut kept) = (0, Vec::new());
        for filled in filling {
            let (is_sent, inlet, mut outlet) = filled.await.unwrap();
            assert!(is_sent, "each had its turn");
            match futures_util::poll!(outlet.next()) {
                Poll::Ready(Some(Err(broken))) => {
                    assert_eq!(broken.error.code, ErrorCode::TooManyBytes);
                    assert!(!broken.is_cut && broken.error.code.retry_after().is_some());
                    ended += 1;
                }
                Poll::Ready(Some(Ok(_))) => kept.push((inlet, outlet)),
                other => panic!("{other:?}"),
            }
        }
        assert!(ended > 250 && kept.len() * LARGE <= OF_ALL, "{ended} ended, {} are kept", kept.len());
    }

    #[tokio::test]
    async fn the_streams_of_one_caller_make_room_among_themselves() {
        let unread = Unread::patient(Duration::ZERO);
        let (other, mut of_other) = unread.pipe(&"other".into());
        sent(&other, LARGE).await.unwrap();
        // It has waited for longer than any of these.
        let careless: Vec<_> = (0..100).map(|_| unread.pipe(&"careless".into())).collect();
        for (inlet, _) in &careless {
            sent(inlet, LARGE).await.unwrap();
        }
        assert!(free(&unread) >= OF_ALL - OF_CALLER - LARGE - MESSAGE_BYTES);
        read(&mut of_other, LARGE).await;
    }

    #[tokio::test]
    async fn a_stream_keeps_its_room_until_its_client_takes_nothing_for_long() {
        for (stalled, keeps) in [(FOR_EVER, true), (Duration::ZERO, false)] {
            let unread = Unread::patient(stalled);
            let (slow, mut of_slow) = unread.pipe(&"slow".into());
            sent(&slow, LARGE).await.unwrap();
            of_slow.next().await.unwrap().unwrap();
            let (hasty, _of_hasty) = unread.pipe(&"slow".into());
            if keeps {
                assert!(is_waiting(sent(&hasty, OF_CALLER)).await);
                read(&mut of_slow, LARGE - PART).await;
                sent(&hasty, OF_CALLER).await.unwrap();
                continue;
            }
            sent(&hasty, OF_CALLER).await.unwrap();
            let broken = of_slow.next().await.unwrap().unwrap_err();
            assert!(broken.is_cut, "in the middle of a message");
            assert!(of_slow.next().await.is_none());
            sent(&slow, 1).await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn few_messages_are_made_at_once_and_news_do_not_wait_for_history() {
        let unread = Unread::patient(FOR_EVER);
        let pipes = ["a", "b", "c"].map(|caller| unread.pipe(&caller.into()));
        let room = |at: usize, work| pipes[at].0.room(1, Some(work));
        let of_a = room(0, Work::History).await.unwrap();
        assert!(is_waiting(room(0, Work::History)).await, "one for each caller");
        let of_b = room(1, Work::History).await.unwrap();
        assert!(is_waiting(room(2, Work::History)).await, "two for all");
        room(0, Work::News).await.unwrap();
        drop((of_a, of_b));
        room(2, Work::History).await.unwrap();
    }

    #[tokio::test]
    async fn a_stream_whose_producer_vanishes_ends_with_an_error_and_one_whose_client_goes_ends() {
        let unread = Unread::patient(FOR_EVER);
        let (inlet, mut outlet) = unread.pipe(&"a".into());
        drop(inlet);
        assert_eq!(outlet.next().await.unwrap().unwrap_err().error.code, ErrorCode::Internal);
        let (inlet, outlet) = unread.pipe(&"a".into());
        sent(&inlet, LARGE).await.unwrap();
        drop(outlet);
        inlet.over().await;
        sent(&inlet, 1).await.unwrap_err();
        assert_eq!(free(&unread), OF_ALL);
    }
}
