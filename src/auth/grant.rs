//! A grant: what an entry of the identities file gives to a matching caller.

use crate::domain::{Identity, Roles};

/// What an entry gives to matching callers.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) roles: Roles,
    pub(super) subject: Option<String>,
    pub(super) actor: Option<String>,
}

impl Grant {
    /// A grant of these roles only.
    #[cfg(any(test, fuzzing))]
    pub(super) fn of(roles: Roles) -> Self {
        Self { roles, subject: None, actor: None }
    }

    /// An identity with all of these grants.
    pub(super) fn apply<'g>(mut identity: Identity, grants: impl IntoIterator<Item = &'g Self>) -> Identity {
        let mut subject = None;
        for grant in grants {
            identity.roles = identity.roles.with(grant.roles);
            subject = subject.or(grant.subject.as_deref());
            if identity.actor.is_none() {
                identity.actor = grant.actor.as_deref().map(Into::into);
            }
        }
        if let Some(subject) = subject {
            identity.subject = subject.into();
        }
        identity
    }
}
