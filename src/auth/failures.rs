//! Limits wrong credentials. This bounds guessing, and the cost of guessing for the daemon.
//!
//! There are two small budgets, which refill with time. Each connection has one. Each peer (an address, or a user of
//! this machine) has another, against callers that open a new connection for every guess. While a budget is empty, no
//! credential is checked.
//!
//! The peer's budget applies only to connections without a successful authentication. So a proxy, or an agent on the
//! same loopback address, cannot lock out authenticated callers. Calls without a credential are not limited. The
//! private socket is not limited either, so an operator can always get in there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::connection::{Connection, PeerKey};
use crate::domain::Defence;
use crate::limits::{Budget, Rate};

/// How fast the budgets of a connection and of a peer refill.
const CONNECTION_REFILL: Duration = Duration::from_secs(1);
const PEER_REFILL: Duration = Duration::from_millis(100);
/// How many times larger the budget of a peer is.
const CONNECTIONS_PER_PEER: u32 = 10;
/// The rate of log lines about wrong credentials, for all callers together.
const LOG: Rate = Rate::new(10, Duration::from_secs(1));
/// How many peers have their own budget. All others share one.
const PEERS: usize = 4096;

/// Counts wrong credentials.
#[derive(Debug)]
pub struct Failures {
    /// The limits for a connection and for a peer; `None` means no limit.
    rates: Option<(Rate, Rate)>,
    peers: Mutex<HashMap<PeerKey, Budget>>,
    others: Budget,
    log: Budget,
}

impl Failures {
    /// A burst of this many wrong credentials over a connection; 0 means no limit.
    pub fn new(burst: u32) -> Self {
        let connection = Rate::new(burst, CONNECTION_REFILL);
        let peer = Rate::new(burst.saturating_mul(CONNECTIONS_PER_PEER), PEER_REFILL);
        let rates = (burst > 0).then_some((connection, peer));
        Self { rates, peers: Mutex::default(), others: Budget::default(), log: Budget::default() }
    }

    /// Whether a credential of this connection may be checked.
    pub fn may_try(&self, connection: &Connection, uptime: Duration) -> bool {
        let Some((rate, peer_rate)) = self.rates.filter(|_| Defence::WrongCredentials.on()) else { return true };
        if !connection.failures.has(rate, uptime) {
            return false;
        }
        connection.is_proved()
            || match self.peers().get(&connection.peer.key()) {
                Some(budget) => budget.has(peer_rate, uptime),
                None => self.others.has(peer_rate, uptime),
            }
    }

    /// Counts a wrong credential, and logs why it was wrong.
    pub fn count(&self, connection: &Connection, uptime: Duration, why: &str) {
        if self.log.try_take(LOG, uptime) {
            tracing::warn!(peer = %connection.peer, why, "a caller could not be authenticated");
        }
        let Some((rate, peer_rate)) = self.rates else { return };
        connection.failures.take(rate, uptime);
        let mut peers = self.peers();
        if peers.len() >= PEERS && !peers.contains_key(&connection.peer.key()) {
            peers.retain(|_, budget| !budget.is_full(uptime));
        }
        if peers.len() < PEERS || peers.contains_key(&connection.peer.key()) {
            peers.entry(connection.peer.key()).or_default().take(peer_rate, uptime);
        } else {
            self.others.take(peer_rate, uptime);
        }
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<PeerKey, Budget>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::auth::connection::{Listener, Peer};
    use crate::domain::Roles;

    fn connection(host: u32) -> Connection {
        let peer = Peer::Tcp(IpAddr::V4(Ipv4Addr::from_bits(host)));
        Connection::new(Listener::Main { anonymous: Roles::NONE }, peer, None)
    }

    fn tries(failures: &Failures, connection: &Connection, at: Duration) -> usize {
        (0..1000)
            .take_while(|_| {
                let may = failures.may_try(connection, at);
                failures.count(connection, at, "");
                may
            })
            .count()
    }

    #[test]
    fn a_connection_gets_its_budget_and_one_more_each_second() {
        let (failures, one) = (Failures::new(10), connection(1));
        let at = Duration::from_secs(100);
        assert_eq!(tries(&failures, &one, at), 10);
        assert_eq!(tries(&failures, &one, at + Duration::from_secs(3)), 3);
    }

    #[test]
    fn who_reconnects_for_every_guess_runs_out_as_a_peer_and_locks_nobody_out_who_is_in() {
        let failures = Failures::new(10);
        let (inside, at) = (connection(1), Duration::from_secs(100));
        inside.prove();
        let guesses = (0..1000).filter(|_| tries(&failures, &connection(1), at) > 0).count();
        assert_eq!(guesses, 10, "of ten tries each");
        assert!(failures.may_try(&inside, at));
        assert!(failures.may_try(&connection(2), at), "another address");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let failures = Failures::new(10);
        for host in 0..10_000 {
            failures.count(&connection(host), Duration::from_secs(100), "");
        }
        assert_eq!(failures.peers().len(), PEERS);
        failures.count(&connection(20_000), Duration::from_secs(200), "");
        assert_eq!(failures.peers().len(), 1, "those whose budget is full again are forgotten");
    }
}
