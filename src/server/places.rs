//! Places for connections. Where all are taken, the oldest idle connection that proved nothing makes way for the next.
//!
//! So nobody keeps callers with a credential out by holding connections: theirs are never closed for others, and a new
//! one finds a place as long as anybody holds one for nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::auth::Activity;
use crate::domain::Defence;

/// How long a connection may take to make way.
const WAY: Duration = Duration::from_millis(100);

/// The places of one or more listeners.
#[derive(Debug)]
pub(crate) struct Places {
    permits: Arc<Semaphore>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// Those that have not been told to make way, oldest first.
    by_age: BTreeMap<u64, (Arc<Activity>, CancellationToken)>,
}

/// The place of a connection. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    activity: Arc<Activity>,
    makes_way: CancellationToken,
    places: Arc<Places>,
    _permit: OwnedSemaphorePermit,
}

/// A place, and whether another connection made way for it.
pub(crate) enum Found {
    Free(Place),
    MadeWay(Place),
    /// Every connection is in use, or proved who it is.
    None,
}

impl Places {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self { permits: Arc::new(Semaphore::new(count)), taken: Mutex::default() })
    }

    /// A place for a new connection.
    pub(crate) async fn take(self: &Arc<Self>) -> Found {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Found::Free(self.place(permit));
        }
        if !self.clear_one() {
            return Found::None;
        }
        let permit = tokio::time::timeout(WAY, Arc::clone(&self.permits).acquire_owned()).await;
        permit.ok().and_then(Result::ok).map_or(Found::None, |permit| Found::MadeWay(self.place(permit)))
    }

    fn place(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Place {
        let (activity, makes_way) = (Arc::new(Activity::default()), CancellationToken::new());
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        taken.by_age.insert(number, (Arc::clone(&activity), makes_way.clone()));
        drop(taken);
        Place { number, activity, makes_way, places: Arc::clone(self), _permit: permit }
    }

    /// Tells the oldest idle connection that proved nothing to make way, if there is one.
    fn clear_one(&self) -> bool {
        let mut taken = self.taken();
        if !Defence::MakingWay.on() {
            return false;
        }
        let mut idle = taken.by_age.iter().filter(|(_, (activity, _))| activity.is_for_nothing());
        let Some(number) = idle.next().map(|(number, _)| *number) else { return false };
        taken.by_age.remove(&number).inspect(|(_, makes_way)| makes_way.cancel()).is_some()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// What happens over the connection.
    pub(crate) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// Cancelled when the connection must make way.
    pub(crate) fn makes_way(&self) -> CancellationToken {
        self.makes_way.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().by_age.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(found: Found) -> Place {
        match found {
            Found::Free(place) | Found::MadeWay(place) => place,
            Found::None => panic!("there is no place"),
        }
    }

    #[tokio::test]
    async fn the_oldest_that_proved_nothing_and_does_nothing_makes_way() {
        let places = Places::new(4);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(taken(places.take().await));
        }
        held[0].activity().prove();
        let _call = held[1].activity().call();
        let way = held[2].makes_way();
        let leaves = tokio::spawn({
            let way = way.clone();
            let leaving = held.remove(2);
            async move {
                way.cancelled().await;
                drop(leaving);
            }
        });
        assert!(matches!(places.take().await, Found::MadeWay(_)));
        leaves.await.unwrap();
        assert!(!held[0].makes_way().is_cancelled() && !held[1].makes_way().is_cancelled());
    }

    #[tokio::test]
    async fn those_in_use_make_no_way() {
        let places = Places::new(1);
        let only = taken(places.take().await);
        let activity = only.activity();
        let call = activity.call();
        assert!(matches!(places.take().await, Found::None));
        drop(call);
        drop(only);
        assert!(matches!(places.take().await, Found::Free(_)));
    }
}
