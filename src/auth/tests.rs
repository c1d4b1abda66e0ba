//! The chain: what is shown, what is nobody's, and what is never anonymous.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::*;
use crate::domain::{Role, Roles, SystemClock};

const LOOPBACK: Peer = Peer::Tcp(IpAddr::V4(Ipv4Addr::LOCALHOST));

fn main() -> Connection {
    Connection::new(Listener::Main { anonymous: Roles::of(&[Role::Agent]) }, LOOPBACK, None)
}

fn private(uid: u32) -> Connection {
    Connection::new(Listener::Private, Peer::Unix { uid, gid: uid }, None)
}

fn headers(values: &[&str]) -> HeaderMap {
    values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
}

fn chain() -> Chain {
    Chain {
        operator: LocalOperator::new("ada", 1000, "aegis_secret"),
        tokens: MadeTokens(Arc::new(crate::governance::Tokens::new(Vec::new()))),
        known: Arc::default(),
        failures: Failures::new(10),
        clock: Arc::new(SystemClock::start()),
    }
}

#[test]
fn nobody_in_particular_is_an_agent_on_the_main_listener_and_nothing_else() {
    let identity = chain().authenticate(&main(), &headers(&[])).unwrap();
    assert!(!identity.is_authenticated());
    assert_eq!(identity.roles, Roles::of(&[Role::Agent]));
}

#[test]
fn a_bad_token_is_never_anonymous() {
    for (sent, expected) in [
        (vec!["Bearer wrong"], AuthenticationError::BadToken),
        (vec!["Basic YTpi"], AuthenticationError::BadHeader),
        (vec!["Bearer "], AuthenticationError::BadHeader),
        (vec!["aegis_secret"], AuthenticationError::BadHeader),
        (vec!["Bearer aegis_secret", "Bearer aegis_secret"], AuthenticationError::BadHeader),
    ] {
        assert_eq!(chain().authenticate(&main(), &headers(&sent)).unwrap_err(), expected, "{sent:?}");
    }
}

#[test]
fn the_credential_and_the_socket_are_one_subject_and_never_the_agent() {
    let by_token = chain().authenticate(&main(), &headers(&["Bearer aegis_secret"])).unwrap();
    let by_peer = chain().authenticate(&private(1000), &headers(&[])).unwrap();
    assert!(by_token.is_same_subject(&by_peer.subject, by_peer.how));
    assert!(!by_token.roles.has(Role::Agent));
    assert!(!by_peer.roles.has(Role::Agent));
}

#[test]
fn another_user_on_the_private_socket_is_refused() {
    for uid in [0, 1001] {
        assert_eq!(chain().authenticate(&private(uid), &headers(&[])).unwrap_err(), AuthenticationError::WrongPeer);
    }
    let tcp = Connection::new(Listener::Private, LOOPBACK, None);
    assert_eq!(chain().authenticate(&tcp, &headers(&[])).unwrap_err(), AuthenticationError::WrongPeer);
}

#[test]
fn after_too_many_wrong_tokens_not_even_a_right_one_is_looked_at() {
    let (chain, connection) = (chain(), main());
    let wrong = headers(&["Bearer wrong"]);
    let last = (0..20).map(|_| chain.authenticate(&connection, &wrong).unwrap_err()).last();
    assert_eq!(last, Some(AuthenticationError::TooManyFailures));
    let right = headers(&["Bearer aegis_secret"]);
    assert_eq!(chain.authenticate(&connection, &right).unwrap_err(), AuthenticationError::TooManyFailures);
    assert!(chain.authenticate(&connection, &headers(&[])).is_ok(), "who shows nothing is who they were");
    assert!(chain.authenticate(&main(), &right).is_ok(), "another connection of a peer that was not wrong that often");
}
