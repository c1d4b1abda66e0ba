//! [`Mask`]: what is masked in an action or in its result, and where.

use serde::Serialize;
use utoipa::ToSchema;

use crate::audit::DecisionRecord;
use crate::domain::{Mark, ParamPath};

/// What is masked in an action or in its result.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Mask {
    path: String,
    /// Where the placeholder begins in the text as shown, in characters from 0. Null, like `end`, if the whole value is
    /// masked.
    start: Option<u32>,
    /// Where the placeholder ends in the text as shown: the position of the first character after it.
    end: Option<u32>,
    length: u32,
    /// The keyed digest of the value. Equal values in one store have equal digests. Only in audit rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    pointer: String,
}

impl Mask {
    /// The masks of a decision.
    pub(super) fn of(decision: &DecisionRecord, with_digests: bool) -> Vec<Self> {
        let digest =
            |path: &ParamPath| decision.masked_digests.get(path).filter(|_| with_digests).map(ToString::to_string);
        let of_mark = |mark: &Mark| {
            let named = decision.masked.iter().find(|path| mark.is_at(path));
            let path = named.map(ToString::to_string).unwrap_or_default();
            Self { path, digest: named.and_then(digest), ..Self::at(mark) }
        };
        let mut masks: Vec<_> = decision.marks.iter().map(of_mark).collect();
        // Records without marks have the names of masked parameters only.
        let unmarked = decision.masked.iter().filter(|path| !masks.iter().any(|mask| mask.path == path.as_str()));
        let named: Vec<_> = unmarked
            .map(|path| Self {
                path: path.to_string(),
                start: None,
                end: None,
                length: 0,
                digest: digest(path),
                pointer: String::new(),
            })
            .collect();
        masks.extend(named);
        masks
    }

    /// A mask without the name of a parameter.
    pub(super) fn at(mark: &Mark) -> Self {
        let Mark { pointer, start, end, length } = mark.clone();
        Self { path: String::new(), start, end, length, digest: None, pointer }
    }
}
