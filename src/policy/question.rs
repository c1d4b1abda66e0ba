//! The question that a policy is asked.

use std::borrow::Cow;

use crate::domain::{Action, ParamPath, Timestamp, nfc};

/// What a policy is asked: may this actor do this now?
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is proposed.
    pub action: &'a Action,
    /// The name that the actor claims.
    pub declared_actor: &'a str,
    /// The name that the actor proved, if it proved one.
    pub authenticated_actor: Option<&'a str>,
    /// The moment that time conditions are tested at.
    pub now: Timestamp,
    /// Parameters with unknown values: they were masked and are no longer known. A condition on such a parameter, on a
    /// value that holds it, or on a value inside it is unknown too, whatever placeholder `action` has.
    pub masked: &'a [ParamPath],
}

/// A question with its texts in NFC, as globs compare them. A text that is in NFC already is not copied.
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
