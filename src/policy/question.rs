//! The question that a policy is asked.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::globs::Globs;
use super::target_path::{self, TargetPath, Unreadable};
use super::truth::{Doubt, Truth, Why};
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
    /// The target as a path. It is read when the first rule asks for it.
    path: OnceCell<Result<TargetPath, Unreadable>>,
}

impl<'q> Asked<'q> {
    pub(super) fn new(question: &'q Question<'q>) -> Self {
        let (kind, target) = (nfc(&question.action.r#type), nfc(&question.action.target));
        Self { question, kind, target, path: OnceCell::new() }
    }

    /// The target as a path or URL in its normal form.
    pub(super) fn target_path(&self) -> Result<&TargetPath, Unreadable> {
        self.path.get_or_init(|| target_path::read(&self.target)).as_ref().map_err(|because| *because)
    }

    /// Whether the target matches as a path. That is unknown if the target has no normal form, or if it has two and
    /// they give different answers.
    pub(super) fn matches_path<'p>(&self, globs: &'p Globs) -> Truth<'p> {
        let why = match self.target_path() {
            Ok(TargetPath { path, unescaped }) => {
                let matches = globs.matches_nfc(path);
                if unescaped.as_ref().is_none_or(|other| globs.matches_nfc(other) == matches) {
                    return Truth::of(matches);
                }
                Why::Escapes
            }
            Err(because) => Why::Target { because },
        };
        Truth::Unknown(Doubt { condition: "target_path", path: None, why })
    }
}
