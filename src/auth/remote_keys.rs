//! Fetches the keys that issuers publish at an address, keeps them, and refreshes them.
//!
//! The last good keys of each address stay in force. An issuer that is down, or that sends an invalid response, changes
//! nothing. Keys are fetched again after an interval, and sooner when a token names an unknown key. That is
//! rate-limited, because anyone can send such a token.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::jwks::Keys;
use crate::domain::Digest;
use crate::outbound::fetch::{Bounds, Client, Url};

/// The limits of a fetch.
const BOUNDS: Bounds = Bounds { max_bytes: super::input::MAX_BYTES, timeout: Duration::from_secs(10) };
/// How often tokens with an unknown key may cause a fetch of an address.
const ASKED_PAUSE: Duration = Duration::from_secs(10);
/// The longest time until a failed fetch is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// The address of an issuer's keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyAddress {
    pub(super) url: Url,
    /// The file of certificate authorities for this address; `None` uses those of the machine.
    pub(super) ca: Option<PathBuf>,
    /// How often the keys are fetched.
    pub(super) every: Duration,
}

/// The fetched keys of one address.
#[derive(Clone, Debug)]
pub(super) struct RemoteKeys {
    pub(super) keys: Arc<Keys>,
    /// The SHA-256 of the response.
    pub(super) digest: Digest,
    pub(super) asking: Asking,
}

/// The fetched keys, or why the fetch failed.
pub(super) type Fetched = HashMap<KeyAddress, Result<RemoteKeys, String>>;

/// Requests an early fetch of an address.
#[derive(Clone)]
pub(super) struct Asking {
    asked: Arc<AtomicBool>,
    wake: Arc<Notify>,
}

impl Asking {
    pub(super) fn ask(&self) {
        if !self.asked.swap(true, Ordering::Relaxed) {
            self.wake.notify_one();
        }
    }
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asking")
    }
}

/// The result of a fetch that matters to others.
#[derive(Debug)]
pub(super) enum News {
    /// The keys are new or have changed.
    Changed,
    /// The fetch succeeded after a failure, and the keys are unchanged.
    Recovered,
    /// The fetch failed after a success.
    Failing(String),
}

/// A parsed response: the keys and the SHA-256 of their text, or why it is refused.
type Read = Result<(Keys, Digest), String>;

/// The state of an address.
struct Place {
    keys: Option<RemoteKeys>,
    failing: Option<String>,
    asking: Asking,
    /// The last early fetch.
    asked_at: Option<Instant>,
    next: Instant,
    busy: bool,
}

/// All addresses of the identities file.
#[derive(Default)]
pub(super) struct RemoteKeySets {
    places: HashMap<KeyAddress, Place>,
    fetches: JoinSet<(KeyAddress, Read)>,
    wake: Arc<Notify>,
}

impl RemoteKeySets {
    /// The fetched keys.
    pub(super) fn fetched(&self) -> Fetched {
        let of = |place: &Place| match (&place.keys, &place.failing) {
            (Some(keys), _) => Some(Ok(keys.clone())),
            (None, Some(why)) => Some(Err(why.clone())),
            (None, None) => None,
        };
        self.places.iter().filter_map(|(address, place)| Some((address.clone(), of(place)?))).collect()
    }

    /// How many addresses failed in their last fetch.
    pub(super) fn failing(&self) -> usize {
        self.places.values().filter(|place| place.failing.is_some()).count()
    }

    /// Fetches the keys of new addresses.
    pub(super) async fn fetch_new(&mut self, addresses: &[KeyAddress]) {
        for address in addresses {
            if !self.places.contains_key(address) {
                self.begin(address);
            }
        }
        while addresses.iter().any(|address| self.places.get(address).is_some_and(|place| place.busy)) {
            self.end_one().await;
        }
    }

    /// Drops all addresses except these.
    pub(super) fn keep(&mut self, addresses: &[KeyAddress]) {
        self.places.retain(|address, _| addresses.contains(address));
    }

    /// Fetches addresses when they are due, and returns the next result that matters. Dropping the future loses
    /// nothing.
    pub(super) async fn news(&mut self) -> News {
        loop {
            let now = Instant::now();
            let due: Vec<_> = self
                .places
                .iter()
                .filter(|(_, place)| place.due(now) <= now)
                .map(|(address, _)| address.clone())
                .collect();
            for address in due {
                self.begin(&address);
            }
            let next = self.places.values().map(|place| place.due(now)).min();
            let wake = Arc::clone(&self.wake);
            tokio::select! {
                Some(news) = self.end_one(), if !self.fetches.is_empty() => return news,
                () = sleep_until(next) => {}
                () = wake.notified() => {}
            }
        }
    }

    fn begin(&mut self, address: &KeyAddress) {
        let now = Instant::now();
        let place = self.places.entry(address.clone()).or_insert_with(|| Place {
            keys: None,
            failing: None,
            asking: Asking { asked: Arc::default(), wake: Arc::clone(&self.wake) },
            asked_at: None,
            next: now,
            busy: false,
        });
        if place.asking.asked.swap(false, Ordering::Relaxed) {
            place.asked_at = Some(now);
        }
        place.busy = true;
        let address = address.clone();
        self.fetches.spawn(async move {
            let fetched = fetch(&address).await;
            (address, fetched)
        });
    }

    /// Handles a finished fetch.
    async fn end_one(&mut self) -> Option<News> {
        let (address, fetched) = match self.fetches.join_next().await? {
            Ok(done) => done,
            Err(error) => {
                // It is unknown which fetch failed, so all running fetches start again.
                tracing::error!(%error, "a fetch of keys panicked");
                self.places.values_mut().for_each(|place| place.busy = false);
                return None;
            }
        };
        let place = self.places.get_mut(&address)?;
        place.busy = false;
        match fetched {
            Ok((keys, digest)) => {
                place.next = Instant::now() + address.every;
                let failed = place.failing.take().is_some();
                if place.keys.as_ref().is_some_and(|keys| keys.digest == digest) {
                    return failed.then_some(News::Recovered);
                }
                place.keys = Some(RemoteKeys { keys: Arc::new(keys), digest, asking: place.asking.clone() });
                Some(News::Changed)
            }
            Err(why) => {
                place.next = Instant::now() + address.every.min(RETRY);
                let is_new = place.failing.replace(why.clone()).is_none();
                is_new.then_some(News::Failing(why))
            }
        }
    }
}

impl Place {
    /// The time of the next fetch.
    fn due(&self, now: Instant) -> Instant {
        if self.busy {
            return now + Duration::from_hours(1);
        }
        if !self.asking.asked.load(Ordering::Relaxed) {
            return self.next;
        }
        self.asked_at.map_or(now, |at| at + ASKED_PAUSE).min(self.next)
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Fetches and parses a set of keys. An invalid response never replaces valid keys.
async fn fetch(address: &KeyAddress) -> Read {
    let ca = address.ca.clone();
    let client = tokio::task::spawn_blocking(move || Client::new(ca.as_deref())).await;
    let client = client.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let bytes = client.get(&address.url, BOUNDS).await.map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{} is not UTF-8 text", address.url))?;
    let keys = Keys::read(text).map_err(|why| format!("{} {why}", address.url))?;
    Ok((keys, Digest::of(&bytes)))
}
