//! How often one may be wrong: a bound on guessing, and on what guessing costs the daemon.
//!
//! Two budgets, both small and refilled with time. One is the connection's. The other is its peer's (an address, or a user
//! of this machine), for whoever connects anew for every guess; it binds only connections over which nobody has proved
//! anything yet, so that a proxy, or an agent on the same loopback, cannot lock out who is in already. While a budget is
//! empty no credential is looked at. Who shows no credential is not bound, and neither is the private socket, whose peers
//! need none: however an agent behaves, an operator gets in there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::connection::{Connection, PeerKey};
use crate::limits::{Budget, Rate};

/// How often a connection gets another try, and how often a peer does.
const CONNECTION_REFILL: Duration = Duration::from_secs(1);
const PEER_REFILL: Duration = Duration::from_millis(100);
/// How much more a peer may get wrong than one connection.
const CONNECTIONS_PER_PEER: u32 = 10;
/// Lines of the log about it, from all callers together.
const LOG: Rate = Rate::new(10, Duration::from_secs(1));
/// How many peers are told apart. Those beyond share one budget.
const PEERS: usize = 4096;

/// Who has been wrong, and how often.
#[derive(Debug)]
pub struct Failures {
    /// Wrong credentials over one connection, and from one peer; as many as come, where there is none.
    rates: Option<(Rate, Rate)>,
    peers: Mutex<HashMap<PeerKey, Budget>>,
    others: Budget,
    log: Budget,
}

impl Failures {
    /// So many wrong credentials at once over a connection; 0 is as many as come.
    pub fn new(burst: u32) -> Self {
        let connection = Rate::new(burst, CONNECTION_REFILL);
        let peer = Rate::new(burst.saturating_mul(CONNECTIONS_PER_PEER), PEER_REFILL);
        let rates = (burst > 0).then_some((connection, peer));
        Self { rates, peers: Mutex::default(), others: Budget::default(), log: Budget::default() }
    }

    /// Whether a credential of this connection may be looked at.
    pub fn may_try(&self, connection: &Connection, uptime: Duration) -> bool {
        let Some((rate, peer_rate)) = self.rates else { return true };
        if !connection.failures.has(rate, uptime) {
            return false;
        }
        connection.is_proved()
            || match self.peers().get(&connection.peer.key()) {
                Some(budget) => budget.has(peer_rate, uptime),
                None => self.others.has(peer_rate, uptime),
            }
    }

    /// Counts a wrong credential, and tells the operator why it was wrong.
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
