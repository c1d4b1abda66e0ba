//! The checks that entries of the identities file have in common, and what is found wrong.

use std::path::PathBuf;

use crate::auth::grant::Grant;
use crate::auth::input::check_name;
use crate::auth::remote_keys::{Fetched, KeyAddress};
use crate::domain::{Identity, Role, Roles};
use crate::policy::{Diagnostic, Step, StrictYaml};

/// The most entries of a list.
const MAX_ENTRIES: usize = 10_000;

/// What a load has looked at.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) files: Vec<PathBuf>,
    pub(super) addresses: Vec<KeyAddress>,
}

/// Collects the errors of a file with valid syntax.
pub(super) struct Checked<'y> {
    pub(super) yaml: &'y StrictYaml,
    pub(super) findings: Vec<Diagnostic>,
    pub(super) looked: &'y mut Looked,
    pub(super) fetched: &'y Fetched,
}

/// The position of an entry in its list.
pub(super) type Place<'s> = (&'s str, usize);

impl Checked<'_> {
    pub(super) fn wrong(&mut self, (list, item): Place<'_>, key: &str, message: impl Into<String>) {
        let steps = [Step::Key(list), Step::Item(item), Step::Key(key)];
        let steps = if key.is_empty() { &steps[..2] } else { &steps[..] };
        self.findings.push(self.yaml.finding(steps, message.into()));
    }

    /// Checks the length of a list.
    pub(super) fn bounded<T>(&mut self, list: &str, items: Vec<T>) -> Vec<T> {
        if items.len() > MAX_ENTRIES {
            let message = format!("has {} entries; at most {MAX_ENTRIES}", items.len());
            self.findings.push(self.yaml.finding(&[Step::Key(list)], message));
            return Vec::new();
        }
        items
    }

    pub(super) fn grant(
        &mut self,
        at: Place<'_>,
        roles: &[Role],
        subject: Option<String>,
        actor: Option<String>,
    ) -> Grant {
        if roles.is_empty() {
            self.wrong(at, "roles", "must name at least one of agent, reviewer, auditor, admin");
        }
        for (key, name) in [("subject", &subject), ("actor", &actor)] {
            if let Some(name) = name {
                self.name(at, key, name);
            }
        }
        if subject.as_deref() == Some(Identity::ANONYMOUS) {
            self.wrong(
                at,
                "subject",
                "`anonymous` is the name of unauthenticated callers on the record: choose another",
            );
        }
        let given = subject.as_deref().unwrap_or_default();
        if let Some(prefix) = Identity::SUBJECT_PREFIXES.into_iter().find(|prefix| given.starts_with(prefix)) {
            let message = format!(
                "begins with `{prefix}`, as the names do that a credential gives by itself: choose a name without it, \
                 so that it cannot be somebody else's"
            );
            self.wrong(at, "subject", message);
        }
        Grant { roles: Roles::of(roles), subject, actor }
    }

    pub(super) fn name(&mut self, at: Place<'_>, key: &str, name: &str) {
        if let Err(why) = check_name(name) {
            self.wrong(at, key, why);
        }
    }
}
