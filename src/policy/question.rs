//! The question that a policy is asked.

use std::borrow::Cow;

use crate::domain::{Action, ParamPath, Timestamp, nfc};

/// What a policy is asked: may this actor do this now?
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is proposed.
    pub action: &'a Action,
    /// The actor's own claim of who it is.
    pub declared_actor: &'a str,
    /// Who it was proved to be, if anybody.
    pub authenticated_actor: Option<&'a str>,
    /// The moment that conditions on the clock read.
    pub now: Timestamp,
    /// Parameters whose values are unknown: they were masked and are gone. A condition on one of them, on what holds it
    /// or on what is in it, is unknown too, whatever stands in `action` in their place.
    pub masked: &'a [ParamPath],
}

/// A question with its texts as globs compare them: in NFC. Nothing is copied where they are in it already.
pub(super) struct Asked<'q> {
    pub(super) question: &'q Question<'q>,
    pub(super) kind: Cow<'q, str>,
    pub(super) target: Cow<'q, str>,
}

impl<'q> Asked<'q> {
    pub(super) fn new(question: &'q Question<'q>) -> Self {
        Self { question, kind: nfc(&question.action.r#type), target: nfc(&question.action.target) }
    }
}
