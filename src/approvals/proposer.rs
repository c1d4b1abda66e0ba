//! The proposer of an action, and whether a caller is the same one.

use crate::audit::record::IdentityRecord;
use crate::domain::{Caller, ConnectionId, Defence, How, Peer};
use crate::limits::QuotaKey;

/// The proposer of an action.
#[derive(Clone, Copy, Debug)]
pub struct Proposer<'a> {
    /// The authenticated identity.
    pub identity: &'a IdentityRecord,
    /// The connection of the proposal; `None` after a restart of the daemon.
    pub connection: Option<ConnectionId>,
}

/// Whether this caller proposed the decision. Only the proposer may wait for it, report its result and cancel it.
pub(crate) fn is_own(proposer: &IdentityRecord, caller: &Caller) -> bool {
    let identity = &caller.identity;
    match proposer.how {
        How::Anonymous => {
            let same_peer = proposer.peer == Some(caller.peer) || !Defence::OwnDecisions.on();
            !identity.is_authenticated() && same_peer
        }
        // A credential for one actor gives access to that actor's decisions only, not to other decisions of the same
        // subject.
        how => {
            let same_actor = identity.actor.is_none() || identity.actor.as_deref() == proposer.actor.as_deref();
            same_actor && identity.is_same_subject(&proposer.subject, how)
        }
    }
}

/// The key under which limits count the proposer.
pub(crate) fn quota_key(proposer: &IdentityRecord) -> QuotaKey {
    let name = match (proposer.how, proposer.peer) {
        (How::Anonymous, Some(peer)) => peer.to_string(),
        (How::Anonymous, None) => "unknown".to_owned(),
        _ => proposer.subject.clone(),
    };
    QuotaKey { is_anonymous: proposer.how == How::Anonymous, name: name.into() }
}

impl Proposer<'_> {
    /// Whether a reviewer may be the proposer: it has the same subject, the same connection, or the same user of this
    /// machine.
    ///
    /// `own_uid` is the user that the daemon runs as. This user can read every credential, so checking its processes
    /// would protect nothing. The same is true for a reviewer without authentication, which exists only with `--dev`.
    pub fn is_reviewer(&self, reviewer: &Caller, own_uid: u32) -> bool {
        let same_subject = reviewer.identity.is_same_subject(&self.identity.subject, self.identity.how);
        let same_connection = self.connection == Some(reviewer.connection) && Defence::OwnConnection.on();
        let same_user = match (self.identity.peer, reviewer.peer) {
            (Some(Peer::Uid(proposer)), Peer::Uid(reviewer)) if Defence::OwnUser.on() => {
                proposer == reviewer && reviewer != own_uid
            }
            _ => false,
        };
        same_subject || (reviewer.identity.is_authenticated() && (same_connection || same_user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Identity, Role, Roles};

    const OWN_UID: u32 = 900;

    fn caller(subject: &str, how: How, connection: u64, peer: Peer) -> Caller {
        let identity = Identity::new(subject, Roles::of(&Role::ALL), how);
        Caller { identity, connection: ConnectionId(connection), peer }
    }

    fn anonymous(connection: u64, peer: Peer) -> Caller {
        caller(Identity::ANONYMOUS, How::Anonymous, connection, peer)
    }

    fn may_review(proposer: &Caller, reviewer: &Caller) -> bool {
        let identity = &IdentityRecord::of(proposer);
        !Proposer { identity, connection: Some(proposer.connection) }.is_reviewer(reviewer, OWN_UID)
    }

    #[test]
    fn a_token_of_ones_own_does_not_make_one_somebody_else() {
        let agent = anonymous(1, Peer::Loopback);
        assert!(!may_review(&agent, &caller("token:t", How::Token, 1, Peer::Loopback)), "the same connection");
        assert!(may_review(&agent, &caller("token:t", How::Token, 2, Peer::Loopback)));
        let user = anonymous(1, Peer::Uid(1001));
        assert!(!may_review(&user, &caller("token:t", How::Token, 2, Peer::Uid(1001))), "the same user");
        assert!(may_review(&user, &caller("token:t", How::Token, 2, Peer::Uid(1002))));
    }

    #[test]
    fn processes_of_the_daemons_own_user_are_not_told_apart_by_it() {
        let agent = anonymous(1, Peer::Uid(OWN_UID));
        assert!(may_review(&agent, &caller("local:ada", How::UnixPeer, 2, Peer::Uid(OWN_UID))));
        assert!(!may_review(&agent, &caller("local:ada", How::UnixPeer, 1, Peer::Uid(OWN_UID))));
    }

    #[test]
    fn a_subject_is_one_whatever_it_comes_with() {
        let proposer = caller("local:ada", How::Token, 1, Peer::Loopback);
        for how in [How::UnixPeer, How::Jwt, How::Certificate, How::BootstrapCredential] {
            assert!(!may_review(&proposer, &caller("local:ada", how, 2, Peer::Loopback)), "{how:?}");
        }
    }

    #[test]
    fn what_an_anonymous_caller_proposed_is_for_its_own_peer_to_follow() {
        let address = |last| Peer::at([192, 0, 2, last].into());
        let proposer = IdentityRecord::of(&anonymous(1, address(1)));
        assert!(is_own(&proposer, &anonymous(2, address(1))));
        assert!(!is_own(&proposer, &anonymous(2, address(2))));
        assert!(!is_own(&proposer, &caller("token:t", How::Token, 1, address(1))));
        let unknown = IdentityRecord { peer: None, ..proposer };
        assert!(!is_own(&unknown, &anonymous(1, address(1))), "nobody knows whose that is");
    }
}
