//! The keys that issuers publish at an address: fetched, kept, and fetched again.
//!
//! Of each address the last good keys are kept: an issuer that cannot be reached, or that answers nonsense, changes nothing.
//! They are fetched again after a while, and sooner when a token names a key that is not among them; that bounded, for anybody
//! can write such a token.

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

/// What one fetch may take.
const BOUNDS: Bounds = Bounds { max_bytes: super::input::MAX_BYTES, timeout: Duration::from_secs(10) };
/// How often tokens with an unknown key may have the keys of an address fetched.
const ASKED_PAUSE: Duration = Duration::from_secs(10);
/// How soon a fetch that failed is tried again, at the latest.
const RETRY: Duration = Duration::from_secs(30);

/// Where an issuer publishes its keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyAddress {
    pub(super) url: Url,
    /// The authorities that are trusted for it; those of the machine, where this is not said.
    pub(super) ca: Option<PathBuf>,
    /// How often they are fetched.
    pub(super) every: Duration,
}

/// The keys of one address, as they were fetched.
#[derive(Clone, Debug)]
pub(super) struct RemoteKeys {
    pub(super) keys: Arc<Keys>,
    /// The SHA-256 of what was fetched.
    pub(super) digest: Digest,
    pub(super) asking: Asking,
}

/// What has been fetched, or why not.
pub(super) type Fetched = HashMap<KeyAddress, Result<RemoteKeys, String>>;

/// Asks for the keys of an address to be fetched soon.
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

/// What the fetching of an address came to.
#[derive(Debug)]
pub(super) enum News {
    /// There are other keys now, or the first.
    Changed,
    /// Nothing new, after some that could not be fetched.
    Recovered,
    /// They could not be fetched, and were before.
    Failing(String),
}

/// What was read: keys and the SHA-256 of their text, or why there are none.
type Read = Result<(Keys, Digest), String>;

/// One address.
struct Place {
    keys: Option<RemoteKeys>,
    failing: Option<String>,
    asking: Asking,
    /// When it was fetched last because somebody asked.
    asked_at: Option<Instant>,
    next: Instant,
    busy: bool,
}

/// Every address that the identities file names.
#[derive(Default)]
pub(super) struct RemoteKeySets {
    places: HashMap<KeyAddress, Place>,
    fetches: JoinSet<(KeyAddress, Read)>,
    wake: Arc<Notify>,
}

impl RemoteKeySets {
    /// What there is.
    pub(super) fn fetched(&self) -> Fetched {
        let of = |place: &Place| match (&place.keys, &place.failing) {
            (Some(keys), _) => Some(Ok(keys.clone())),
            (None, Some(why)) => Some(Err(why.clone())),
            (None, None) => None,
        };
        self.places.iter().filter_map(|(address, place)| Some((address.clone(), of(place)?))).collect()
    }

    /// How many addresses could not be fetched when that was last tried.
    pub(super) fn failing(&self) -> usize {
        self.places.values().filter(|place| place.failing.is_some()).count()
    }

    /// Fetches what these addresses hold, where nothing is known of them yet.
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

    /// Forgets all but these.
    pub(super) fn keep(&mut self, addresses: &[KeyAddress]) {
        self.places.retain(|address, _| addresses.contains(address));
    }

    /// Fetches what is due, now and from now on; resolves when something has come of it. May be dropped at any moment.
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

    /// Takes one fetch that is over.
    async fn end_one(&mut self) -> Option<News> {
        let (address, fetched) = match self.fetches.join_next().await? {
            Ok(done) => done,
            Err(error) => {
                // Which one it was cannot be told: whatever is under way is begun anew.
                tracing::error!(%error, "a fetch of keys ended badly");
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
    /// When it is to be fetched next.
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

/// Fetches and reads a set: what is not one never takes the place of one that is.
async fn fetch(address: &KeyAddress) -> Read {
    let ca = address.ca.clone();
    let client = tokio::task::spawn_blocking(move || Client::new(ca.as_deref())).await;
    let client = client.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let bytes = client.get(&address.url, BOUNDS).await.map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{} is not UTF-8 text", address.url))?;
    let keys = Keys::read(text).map_err(|why| format!("{} {why}", address.url))?;
    Ok((keys, Digest::of(&bytes)))
}
