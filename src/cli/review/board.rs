//! The approvals that are pending, as far as is known: fed with news, in two orders.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::feed::News;
use crate::cli::failure::Failure;
use crate::proto::v1::Approval;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// By id. Ids sort by the time at which they were made, so the oldest comes first.
    waiting: BTreeMap<String, Approval>,
    /// The same, the most urgent first.
    ranks: BTreeSet<Rank>,
    /// A snapshot that is not complete yet. What is shown stays until it is.
    coming: Option<BTreeMap<String, Approval>>,
    link: Link,
    has_begun: bool,
}

/// Where an approval stands in the queue: the highest risk first, then the least time left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    risk: Reverse<i32>,
    /// Seconds and nanoseconds since 1970. One that never expires comes last.
    expires: (i64, i32),
    id: String,
}

impl Rank {
    /// The rank of this one. Neither its risk nor its time changes while it waits.
    pub(super) fn of(approval: &Approval) -> Self {
        let expires = approval.expires_at.as_ref().map_or((i64::MAX, 0), |at| (at.seconds, at.nanos));
        Self { risk: Reverse(approval.risk_level), expires, id: approval.approval_id.clone() }
    }
}

/// How well the board knows what waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Link {
    /// A snapshot is on its way.
    #[default]
    Loading,
    /// Every change is seen.
    Live,
    /// The connection is lost, and being made again.
    Lost(String),
}

/// What changed, for whoever wants to say it.
#[derive(Debug)]
pub(super) enum Update {
    /// Nothing to speak of.
    None,
    /// All that waits is known; a whole new picture.
    All,
    /// One more waits.
    Added(Approval),
    /// Of one that waits, something has changed: whether its caller waits.
    Changed(Approval),
    /// One has ended.
    Ended(Approval),
    /// Changes were missed; a new snapshot follows.
    Lagged(u64),
    /// The connection is lost.
    Lost(String),
}

impl Board {
    /// Takes in news. Fails where the news is that there will be no more.
    pub(super) fn hear(&mut self, news: News) -> Result<Update, Failure> {
        match news {
            News::Snapshot { missed } => {
                self.coming = Some(BTreeMap::new());
                self.link = Link::Loading;
                Ok(missed.map_or(Update::None, Update::Lagged))
            }
            News::Complete => {
                if let Some(coming) = self.coming.take() {
                    self.ranks = coming.values().map(Rank::of).collect();
                    self.waiting = coming;
                }
                self.link = Link::Live;
                self.has_begun = true;
                Ok(Update::All)
            }
            News::Pending(approval) => {
                let id = approval.approval_id.clone();
                if let Some(coming) = &mut self.coming {
                    coming.insert(id, *approval);
                    return Ok(Update::None);
                }
                let was_known = self.forget(&id);
                self.ranks.insert(Rank::of(&approval));
                self.waiting.insert(id, (*approval).clone());
                Ok(if was_known { Update::Changed(*approval) } else { Update::Added(*approval) })
            }
            News::Ended(approval) => {
                if let Some(coming) = &mut self.coming {
                    coming.remove(&approval.approval_id);
                }
                Ok(if self.forget(&approval.approval_id) { Update::Ended(*approval) } else { Update::None })
            }
            News::Lost(why) => {
                self.link = Link::Lost(why.clone());
                Ok(Update::Lost(why))
            }
            News::Over(failure) => Err(failure),
        }
    }

    /// What waits, oldest first.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Approval> {
        self.waiting.values()
    }

    /// One that is pending.
    pub(super) fn get(&self, id: &str) -> Option<&Approval> {
        self.waiting.get(id)
    }

    /// Forgets one that has ended: the caller was told before the stream said it. Says whether it waited.
    pub(super) fn forget(&mut self, id: &str) -> bool {
        let forgotten = self.waiting.remove(id);
        if let Some(approval) = &forgotten {
            self.ranks.remove(&Rank::of(approval));
        }
        forgotten.is_some()
    }

    /// What waits, the most urgent first.
    pub(super) fn ranked(&self) -> impl Iterator<Item = &Approval> {
        self.ranks.iter().filter_map(|rank| self.waiting.get(&rank.id))
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How well the board knows what waits.
    pub(super) const fn link(&self) -> &Link {
        &self.link
    }

    /// Whether there was a complete picture at least once.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::approval::tests::example;
    use crate::proto::v1::RiskLevel;

    pub(in crate::cli::review) fn approval(id: &str) -> Approval {
        Approval { approval_id: id.into(), ..example() }
    }

    pub(in crate::cli::review) fn pending(id: &str) -> News {
        News::Pending(Box::new(approval(id)))
    }

    /// A board on which these wait.
    pub(in crate::cli::review) fn board(ids: &[&str]) -> Board {
        let mut board = Board::default();
        let snapshot = std::iter::once(News::Snapshot { missed: None }).chain(ids.iter().map(|id| pending(id)));
        for news in snapshot.chain([News::Complete]) {
            board.hear(news).unwrap();
        }
        board
    }

    fn ids(board: &Board) -> Vec<&str> {
        board.waiting().map(|approval| approval.approval_id.as_str()).collect()
    }

    #[test]
    fn the_oldest_waits_first() {
        assert_eq!(ids(&board(&["apr_2", "apr_1", "apr_3"])), ["apr_1", "apr_2", "apr_3"]);
    }

    #[test]
    fn the_highest_risk_comes_first_then_the_least_time_left() {
        let with = |id: &str, risk: RiskLevel, seconds: Option<i64>| {
            let expires_at = seconds.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 });
            Approval { risk_level: risk as i32, expires_at, ..approval(id) }
        };
        let mut board = board(&[]);
        for approval in [
            with("apr_1", RiskLevel::Low, Some(10)),
            with("apr_2", RiskLevel::Critical, None),
            with("apr_3", RiskLevel::Critical, Some(90)),
            with("apr_4", RiskLevel::Critical, Some(30)),
            with("apr_5", RiskLevel::High, Some(5)),
        ] {
            board.hear(News::Pending(Box::new(approval.clone()))).unwrap();
            // The same again changes nothing.
            board.hear(News::Pending(Box::new(approval))).unwrap();
        }
        let ranked = |board: &Board| board.ranked().map(|one| one.approval_id.clone()).collect::<Vec<_>>();
        assert_eq!(ranked(&board), ["apr_4", "apr_3", "apr_2", "apr_5", "apr_1"]);
        assert!(board.forget("apr_3") && !board.forget("apr_3"));
        assert_eq!(ranked(&board), ["apr_4", "apr_2", "apr_5", "apr_1"]);
        for news in [News::Snapshot { missed: None }, pending("apr_9"), News::Complete] {
            board.hear(news).unwrap();
        }
        assert_eq!(ranked(&board), ["apr_9"]);
    }

    #[test]
    fn what_ends_is_gone_and_what_comes_is_there() {
        let mut board = board(&["apr_1", "apr_2"]);
        assert!(matches!(board.hear(News::Ended(Box::new(approval("apr_1")))), Ok(Update::Ended(_))));
        assert!(matches!(board.hear(News::Ended(Box::new(approval("apr_1")))), Ok(Update::None)));
        assert!(matches!(board.hear(pending("apr_3")), Ok(Update::Added(_))));
        assert_eq!(ids(&board), ["apr_2", "apr_3"]);
    }

    #[test]
    fn a_new_snapshot_replaces_the_picture_only_when_it_is_complete() {
        let mut board = board(&["apr_1", "apr_2"]);
        assert!(matches!(board.hear(News::Snapshot { missed: Some(7) }), Ok(Update::Lagged(7))));
        board.hear(pending("apr_2")).unwrap();
        assert_eq!((ids(&board), board.link()), (vec!["apr_1", "apr_2"], &Link::Loading));
        board.hear(News::Complete).unwrap();
        assert_eq!((ids(&board), board.link()), (vec!["apr_2"], &Link::Live));
    }

    #[test]
    fn a_lost_connection_leaves_the_picture_and_says_so() {
        let mut board = board(&["apr_1"]);
        board.hear(News::Lost("gone".into())).unwrap();
        assert_eq!((ids(&board), board.link()), (vec!["apr_1"], &Link::Lost("gone".into())));
        assert!(board.hear(News::Over(Failure::new("no"))).is_err());
    }
}
