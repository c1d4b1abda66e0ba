//! [`Scoped`]: a limit that stands beside the rules, with what it is about.

use std::sync::Arc;

use super::limit::Limit;
use super::question::Asked;
use super::rule::{Fit, Rule};

/// A limit and the actions that it is about.
#[derive(Clone, Debug)]
pub struct Scoped {
    /// The actions, as a rule matches them. Nothing else of the rule means anything.
    pub scope: Rule,
    /// The limit.
    pub limit: Arc<Limit>,
}

impl Scoped {
    /// Whether an action comes under the limit. One in doubt does.
    pub(super) fn is_about(&self, asked: &Asked<'_>) -> bool {
        self.scope.fits(asked) != Fit::No
    }
}
