//! What was spent in a sliding window: when how much, and when it is free again.
//!
//! Each spend counts for exactly the length of the window. A count keeps at most [`MOST`] spends. If there are more,
//! those that are close together become one, which counts until the last of them is over. So the sum is never too
//! small, and what is spent is free again at most 1/[`SLOTS`] of the window late.

use std::time::Duration;

use crate::domain::Timestamp;

/// The most spends that are kept apart.
const MOST: usize = 128;
/// Into how many parts the window is divided if there are more.
const SLOTS: i64 = 64;

/// Spends, oldest first, under a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spends {
    /// When how much was spent, in microseconds since 1970 and in millionths.
    all: Vec<(i64, u64)>,
    /// The length of the window in microseconds; `None` means that nothing becomes free by itself.
    per: Option<i64>,
}

impl Spends {
    /// The spends that still count at this moment.
    pub(crate) fn at(mut all: Vec<(i64, u64)>, per: Option<Duration>, now: Timestamp) -> Self {
        let per = per.map(|per| i64::try_from(per.as_micros()).unwrap_or(i64::MAX));
        if let Some(per) = per {
            // A spend of the future counts: the clock was set back.
            all.retain(|(at, _)| at.saturating_add(per) > now.as_microsecond());
        }
        Self { all, per }
    }

    /// Their sum.
    pub(crate) fn sum(&self) -> u64 {
        self.all.iter().fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
    }

    /// Adds a spend.
    pub(crate) fn add(&mut self, at: Timestamp, amount: u64) {
        let at = at.as_microsecond();
        if amount > 0 {
            let place = self.all.partition_point(|(other, _)| *other <= at);
            self.all.insert(place, (at, amount));
        }
        match self.per {
            None => {
                let latest = self.all.last().map(|(at, _)| *at);
                self.all = latest.map(|at| (at, self.sum())).into_iter().collect();
            }
            Some(per) if self.all.len() > MOST => self.merge((per / SLOTS).max(1)),
            Some(_) => {}
        }
    }

    /// Takes a spend out again, as far as it still counts.
    pub(crate) fn give_back(&mut self, at: i64, amount: u64) {
        // It may have become one with later ones.
        if let Some(spend) = self.all.iter_mut().find(|(other, _)| *other >= at) {
            spend.1 = spend.1.saturating_sub(amount);
        }
        self.all.retain(|(_, amount)| *amount > 0);
    }

    /// When at most this sum counts; `None` if that never happens by itself.
    pub(crate) fn down_to(&self, sum: u64) -> Option<Timestamp> {
        let per = self.per?;
        let mut left = self.sum();
        let mut free = None;
        for (at, amount) in &self.all {
            if left <= sum {
                break;
            }
            left = left.saturating_sub(*amount);
            free = Some(at.saturating_add(per));
        }
        free.and_then(|free| Timestamp::from_microsecond(free).ok())
    }

    /// When nothing counts any more; `None` if that never happens by itself.
    pub(crate) fn over(&self) -> Option<Timestamp> {
        self.down_to(0)
    }

    /// Whether nothing counts.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// As the store keeps them.
    pub(crate) fn into_stored(self) -> Vec<(i64, u64)> {
        self.all
    }

    /// Makes one of the spends of each slot.
    fn merge(&mut self, slot: i64) {
        let mut merged: Vec<(i64, u64)> = Vec::with_capacity(self.all.len());
        for (at, amount) in self.all.drain(..) {
            match merged.last_mut() {
                Some(last) if last.0.div_euclid(slot) == at.div_euclid(slot) => {
                    *last = (at, last.1.saturating_add(amount));
                }
                _ => merged.push((at, amount)),
            }
        }
        self.all = merged;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_spend_counts_for_exactly_the_window() {
        let mut spends = Spends::at(Vec::new(), Some(HOUR), at(0));
        spends.add(at(0), 2);
        spends.add(at(10), 3);
        let later = |seconds| Spends::at(spends.clone().into_stored(), Some(HOUR), at(seconds)).sum();
        assert_eq!([0, 3599, 3600, 3609, 3610].map(later), [5, 5, 3, 3, 0]);
        assert_eq!(
            [4, 3, 2, 0].map(|sum| spends.down_to(sum)),
            [Some(at(3600)), Some(at(3600)), Some(at(3610)), Some(at(3610))]
        );
        assert_eq!(spends.down_to(5), None, "it is so now");
        assert_eq!(spends.over(), Some(at(3610)));
    }

    #[test]
    fn without_a_window_one_sum_is_kept_for_ever() {
        let mut spends = Spends::at(Vec::new(), None, at(0));
        for second in 0..1000 {
            spends.add(at(second), 7);
        }
        assert_eq!((spends.sum(), spends.over(), spends.clone().into_stored().len()), (7000, None, 1));
    }

    #[test]
    fn a_clock_that_was_set_back_frees_nothing() {
        let mut spends = Spends::at(Vec::new(), Some(HOUR), at(100_000));
        spends.add(at(100_000), 1);
        assert_eq!(Spends::at(spends.into_stored(), Some(HOUR), at(50_000)).sum(), 1);
    }

    proptest! {
        #[test]
        fn many_spends_are_few_entries_and_never_count_for_less(
            steps in prop::collection::vec((0..40_i64, 1..100_u64), 1..600),
        ) {
            let (mut spends, mut exact, mut now) = (Spends::at(Vec::new(), Some(HOUR), at(0)), Vec::new(), 0);
            for (pause, amount) in steps {
                now += pause;
                spends = Spends::at(spends.into_stored(), Some(HOUR), at(now));
                spends.add(at(now), amount);
                exact.push((now, amount));
                let of = |seconds: i64| -> u64 {
                    exact.iter().filter(|(at, _)| at + seconds > now).map(|(_, amount)| amount).sum()
                };
                prop_assert!(spends.sum() >= of(3600));
                prop_assert!(spends.sum() <= of(3600 + 3600 / SLOTS + 1));
                prop_assert!(spends.clone().into_stored().len() <= MOST);
            }
        }

        #[test]
        fn what_is_given_back_counts_no_more(
            amounts in prop::collection::vec(1..100_u64, 1..300),
            which in 0..300_usize,
        ) {
            let mut spends = Spends::at(Vec::new(), Some(HOUR), at(0));
            for (second, amount) in (0..).zip(&amounts) {
                spends.add(at(second), *amount);
            }
            let which = which % amounts.len();
            let before = spends.sum();
            spends.give_back(at(i64::try_from(which).unwrap()).as_microsecond(), amounts[which]);
            prop_assert_eq!(spends.sum(), before - amounts[which]);
        }
    }
}
