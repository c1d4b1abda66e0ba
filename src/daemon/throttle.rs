//! Bounds the log: lines of one kind are written at a limited rate, whatever causes them.
//!
//! A kind is a place in the program. After a burst, a few lines a second are written; the number of those left out
//! follows. Lines below `info` are not limited: whoever asks for them wants all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

use crate::domain::Defence;
use crate::limits::{Budget, Rate};

/// Lines of one kind: a burst of 200, then two a second.
const RATE: Rate = Rate::new(200, Duration::from_millis(500));
/// How often the number of lines that were left out is written.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The kinds of this process.
static KINDS: LazyLock<Kinds> =
    LazyLock::new(|| Kinds { started: Instant::now(), by_place: RwLock::new(HashMap::new()) });

/// A program has a fixed number of places that log, so this is bounded.
struct Kinds {
    started: Instant,
    by_place: RwLock<HashMap<Identifier, Arc<Kind>>>,
}

struct Kind {
    place: String,
    budget: Budget,
    left_out: AtomicU64,
}

impl Kinds {
    fn of(&self, metadata: &Metadata<'_>) -> Arc<Kind> {
        let place = metadata.callsite();
        if let Some(kind) = self.by_place.read().unwrap_or_else(PoisonError::into_inner).get(&place) {
            return Arc::clone(kind);
        }
        let new = || {
            let place = format!("{}:{}", metadata.file().unwrap_or_default(), metadata.line().unwrap_or_default());
            Arc::new(Kind { place, budget: Budget::default(), left_out: AtomicU64::new(0) })
        };
        Arc::clone(self.by_place.write().unwrap_or_else(PoisonError::into_inner).entry(place).or_insert_with(new))
    }

    /// Whether one more line of this kind is written.
    fn take(&self, metadata: &Metadata<'_>) -> bool {
        let kind = self.of(metadata);
        let is_written = kind.budget.try_take(RATE, self.started.elapsed());
        if !is_written {
            kind.left_out.fetch_add(1, Ordering::Relaxed);
        }
        is_written
    }

    /// How many lines of each kind were left out since the last call.
    fn left_out(&self) -> Vec<(String, u64)> {
        let kinds: Vec<_> =
            self.by_place.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect();
        let counts = kinds.iter().map(|kind| (kind.place.clone(), kind.left_out.swap(0, Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

/// The filter of the log.
#[derive(Debug)]
pub(super) struct Throttle;

impl<S> Filter<S> for Throttle {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        *metadata.level() > Level::INFO || KINDS.take(metadata) || !Defence::LogThrottle.on()
    }
}

/// Writes how many lines were left out, until told to stop.
pub(super) async fn say_left_out(stop: CancellationToken) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(SAY_EVERY) => {}
        }
        for (place, left_out) in KINDS.left_out() {
            tracing::warn!(left_out, "lines were left out of this log, all written at {place}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tracing_subscriber::Layer as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Counts lines by their level.
    struct Count(Arc<Mutex<HashMap<Level, usize>>>);

    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Count {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            *self.0.lock().unwrap().entry(*event.metadata().level()).or_default() += 1;
        }
    }

    #[test]
    fn a_flood_of_one_kind_is_a_few_lines_and_a_count_and_other_kinds_are_written() {
        let counts = Arc::new(Mutex::new(HashMap::new()));
        let subscriber = tracing_subscriber::registry().with(Count(Arc::clone(&counts)).with_filter(Throttle));
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..5000 {
                tracing::warn!(n, "a flood");
                tracing::debug!(n, "as asked for");
            }
            tracing::error!("another kind");
        });
        let counts = counts.lock().unwrap();
        let written = counts[&Level::WARN];
        assert!((200..400).contains(&written), "{written}");
        assert_eq!((counts[&Level::ERROR], counts[&Level::DEBUG]), (1, 5000));
        let left_out = KINDS.left_out();
        assert!(left_out.iter().any(|(place, count)| place.contains("throttle.rs") && *count + written as u64 == 5000));
    }
}
