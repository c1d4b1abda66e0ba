//! Halts and the counts of limits, between protobuf and the domain.

use std::collections::HashMap;

use super::request::Reader;
use super::response;
use crate::audit::StoredHalt;
use crate::domain::{CallError, Digest, HaltScope};
use crate::governance::{Counted, InForce};
use crate::proto::v1;
use crate::proto::v1::halt_scope::Scope;

/// Whom a halt is about.
pub(super) fn scope(reader: &mut Reader, sent: Option<v1::HaltScope>) -> Result<HaltScope, CallError> {
    let missing = || CallError::invalid_field("scope", "must name everybody, an actor, a subject or a session");
    let mut name = |field: &str, name: String| {
        let name = reader.optional_name(field, name);
        name.ok_or_else(|| CallError::invalid_field(field, "must not be empty"))
    };
    match sent.and_then(|sent| sent.scope).ok_or_else(missing)? {
        Scope::All(true) => Ok(HaltScope::All),
        Scope::All(false) => Err(CallError::invalid_field("scope.all", "must be true, or another scope must be given")),
        Scope::ActorId(id) => name("scope.actor_id", id).map(HaltScope::Actor),
        Scope::Subject(subject) => name("scope.subject", subject).map(HaltScope::Subject),
        Scope::SessionId(id) => name("scope.session_id", id).map(HaltScope::Session),
    }
}

/// A halt as the API has it.
pub(super) fn halt(halt: &StoredHalt, is_recorded: bool) -> v1::HaltState {
    let StoredHalt { scope, reason, by, at } = halt.clone();
    let scope = match scope {
        HaltScope::All => Scope::All(true),
        HaltScope::Actor(id) => Scope::ActorId(id),
        HaltScope::Subject(subject) => Scope::Subject(subject),
        HaltScope::Session(id) => Scope::SessionId(id),
    };
    v1::HaltState {
        scope: Some(v1::HaltScope { scope: Some(scope) }),
        reason,
        halted_by: by,
        halted_at: Some(response::timestamp(at)),
        unrecorded: !is_recorded,
    }
}

/// A halt in force.
pub(super) fn in_force(one: &InForce) -> v1::HaltState {
    halt(&one.halt, one.is_recorded)
}

/// A count as the API has it.
pub(super) fn count(counted: Counted) -> v1::LimitCount {
    let Counted { key, spent, sum, max, text, over } = counted;
    v1::LimitCount {
        limit: spent.limit,
        count_id: key.digest.to_string(),
        by: spent.by.into_iter().collect::<HashMap<_, _>>(),
        spent: sum.to_f64(),
        max: max.map(crate::policy::Quantity::to_f64),
        text,
        free_at: over.map(response::timestamp),
    }
}

/// The name of a count, if one is given.
pub(super) fn count_id(text: &str) -> Result<Option<Digest>, CallError> {
    let wrong = || CallError::invalid_field("count_id", "must be a `count_id` as the list of counts has it");
    if text.is_empty() { Ok(None) } else { Digest::from_hex(text).map(Some).ok_or_else(wrong) }
}
