//! [`TokenRequest`]: what an admin asks for when they create a token, by whatever protocol.

use std::time::Duration;

use crate::auth::check_name;
use crate::domain::check::NAME_BYTES;
use crate::domain::{Checker, Roles};
use crate::governance::NewToken;

/// The longest name of a token, in characters.
const MAX_NAME: usize = 128;

/// A token that an admin asks for.
#[derive(Debug)]
pub(super) struct TokenRequest {
    /// The name of its holder.
    pub(super) name: String,
    /// What its holder may do.
    pub(super) roles: Roles,
    /// The one actor that its holder may act for; empty means any.
    pub(super) actor_id: String,
    /// How long it is valid; `None` means for ever.
    pub(super) lifetime: Option<Duration>,
    /// The request id, for safe retries, or empty.
    pub(super) request_id: String,
}

impl TokenRequest {
    /// Checks the request.
    pub(super) fn check(self, checker: &mut Checker) -> NewToken {
        let Self { name, roles, actor_id, lifetime, request_id } = self;
        match check_name(&name) {
            Ok(()) if name.chars().count() <= MAX_NAME => {}
            Ok(()) => checker.wrong("name", format!("is longer than {MAX_NAME} characters")),
            Err(why) => checker.wrong("name", why),
        }
        if roles.is_empty() {
            checker.wrong("roles", "must have at least one role");
        }
        checker.text("actor_id", &actor_id, NAME_BYTES);
        let actor = Some(actor_id).filter(|actor| !actor.is_empty());
        if let Some(Err(why)) = actor.as_deref().map(check_name) {
            checker.wrong("actor_id", why);
        }
        checker.text("request_id", &request_id, NAME_BYTES);
        if lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            checker.wrong("lifetime", "must be longer than 0 s");
        }
        let request_id = Some(request_id).filter(|id| !id.is_empty());
        NewToken { subject: format!("token:{name}"), roles, actor, lifetime, request_id }
    }
}
