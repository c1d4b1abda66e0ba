//! The named sets of a policy while it is read.
//!
//! They are read before the rules of all layers, and rules are made with their values. So a compiled policy has no
//! sets, and its revision depends on the values alone.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::diagnostic::nearest;
use super::yaml::Node;

/// How many values all uses of sets together may have. A large set in every rule would fill the memory.
pub(super) const MAX_USED: usize = 500_000;

/// The sets by name.
#[derive(Default)]
pub(super) struct Sets {
    named: BTreeMap<String, Vec<Node>>,
    used: Cell<usize>,
}

impl Sets {
    /// Adds a set in place of an earlier one of that name.
    pub(super) fn insert(&mut self, name: String, values: Vec<Node>) {
        self.named.insert(name, values);
    }

    /// The values of a set.
    pub(super) fn get(&self, name: &str) -> Option<&[Node]> {
        self.named.get(name).map(Vec::as_slice)
    }

    /// The set that a misspelt name probably means.
    pub(super) fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.named.keys().map(String::as_str))
    }

    /// Counts a use of this many values. False if they are too many.
    pub(super) fn count(&self, values: usize) -> bool {
        self.used.set(self.used.get().saturating_add(values));
        self.used.get() <= MAX_USED
    }
}
