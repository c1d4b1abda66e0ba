//! Halts, for admins; auditors list them.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, Call, json};
use super::words::{moment, present};
use crate::audit::StoredHalt;
use crate::domain::check::{NAME_BYTES, TEXT_BYTES};
use crate::domain::{CallError, Checker, HaltScope};
use crate::server::problem::Problem;

/// Whom to halt. Exactly one of `all`, `actor_id`, `subject` and `session_id`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewHalt {
    /// Everybody.
    all: bool,
    /// Whoever has this actor id, declared or proved.
    #[schema(max_length = 256)]
    actor_id: Option<String>,
    /// The identity of this name: `token:ada`, for example.
    #[schema(max_length = 256)]
    subject: Option<String>,
    /// Whoever proposes in this session.
    #[schema(max_length = 256)]
    session_id: Option<String>,
    /// The reason, which the agent is told.
    reason: String,
}

/// Whose halt to end. Exactly one of `all`, `actor_id`, `subject` and `session_id`, as it was given.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EndedHalt {
    /// Everybody.
    all: bool,
    /// An actor.
    #[schema(max_length = 256)]
    actor_id: Option<String>,
    /// An identity.
    #[schema(max_length = 256)]
    subject: Option<String>,
    /// A session.
    #[schema(max_length = 256)]
    session_id: Option<String>,
}

/// A halt.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Halt {
    /// `all`, `actor`, `subject` or `session`.
    scope: &'static str,
    /// The name of the actor, the subject or the session. Null: everybody.
    name: Option<String>,
    /// The reason that the admin gave.
    reason: Option<String>,
    /// The subject who halted them.
    halted_by: String,
    /// When they were halted.
    #[schema(format = DateTime)]
    halted_at: String,
    /// Whether the record does not have the halt yet, which is in force.
    unrecorded: bool,
}

/// The halts in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HaltList {
    /// The halts.
    halts: Vec<Halt>,
}

/// List halts
#[utoipa::path(
    get, path = "/api/v1/halts", tag = "control", operation_id = "listHalts",
    responses(
        (status = 200, description = "The halts in force", body = HaltList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(api): State<Api>, call: Call) -> Answer {
    call.caller()?;
    let halts = api.governor.halts().list();
    json(StatusCode::OK, &HaltList { halts: halts.iter().map(|one| Halt::of(&one.halt, one.is_recorded)).collect() })
}

/// Halt somebody
///
/// At once, and also while the record cannot be written. Safe to repeat: a halt of the same scope stays as it is.
#[utoipa::path(
    post, path = "/api/v1/halts", tag = "control", operation_id = "halt", request_body = NewHalt,
    responses(
        (status = 200, description = "The halt", body = Halt),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn halt(State(api): State<Api>, call: Call) -> Answer {
    let NewHalt { all, actor_id, subject, session_id, reason } = call.body()?;
    let mut checker = Checker::new(api.limits);
    checker.text("reason", &reason, TEXT_BYTES);
    let scope = scope(&mut checker, all, actor_id, subject, session_id)?;
    let (scope, reason) = checker.finish((scope, reason))?;
    let placed = api.governor.halt(call.caller()?, scope, reason).await?;
    json(StatusCode::OK, &Halt::of(&placed.halt, placed.is_recorded))
}

/// End a halt
#[utoipa::path(
    post, path = "/api/v1/halts/resume", tag = "control", operation_id = "resume", request_body = EndedHalt,
    responses(
        (status = 200, description = "The halt that was in force", body = Halt),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn resume(State(api): State<Api>, call: Call) -> Answer {
    let EndedHalt { all, actor_id, subject, session_id } = call.body()?;
    let mut checker = Checker::new(api.limits);
    let scope = scope(&mut checker, all, actor_id, subject, session_id)?;
    let scope = checker.finish(scope)?;
    let ended = api.governor.resume(call.caller()?, scope).await?;
    json(StatusCode::OK, &Halt::of(&ended, true))
}

fn scope(
    checker: &mut Checker,
    all: bool,
    actor_id: Option<String>,
    subject: Option<String>,
    session_id: Option<String>,
) -> Result<HaltScope, CallError> {
    let named = [
        ("actor_id", actor_id, HaltScope::Actor as fn(String) -> HaltScope),
        ("subject", subject, HaltScope::Subject),
        ("session_id", session_id, HaltScope::Session),
    ];
    let mut scopes: Vec<HaltScope> = Vec::new();
    for (field, name, of) in named {
        let Some(name) = name else { continue };
        checker.text(field, &name, NAME_BYTES);
        if name.is_empty() {
            checker.wrong(field, "must not be empty");
        }
        scopes.push(of(name));
    }
    scopes.extend(all.then_some(HaltScope::All));
    match (scopes.pop(), scopes.is_empty()) {
        (Some(scope), true) => Ok(scope),
        _ => Err(CallError::invalid_field("", "exactly one of all, actor_id, subject and session_id must be given")),
    }
}

impl Halt {
    fn of(halt: &StoredHalt, is_recorded: bool) -> Self {
        Self {
            scope: halt.scope.kind(),
            name: present(halt.scope.name().to_owned()),
            reason: present(halt.reason.clone()),
            halted_by: halt.by.clone(),
            halted_at: moment(halt.at),
            unrecorded: !is_recorded,
        }
    }
}
