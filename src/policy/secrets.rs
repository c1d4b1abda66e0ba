//! Secrets that no rule names: parameters that are called like one, and texts that look like one.
//!
//! A policy masks the usual ones unless it says `secrets: { defaults: false }`, and adds its own `names` and
//! `patterns`. What is masked is masked on the record and before reviewers; decisions are made on the real values. Only
//! what can be a secret is masked ([`opaque`]), so that nothing that an agent wants done hides behind a name or a
//! format.
//!
//! The work is linear in what was sent: each name is matched once against one set of globs, each text searched once for
//! all formats together.

mod assigned;
mod formats;
mod names;
mod opaque;
mod pem;

use std::ops::Range;

use serde_json::{Map, Value};

pub(super) use self::names::Names;
use self::opaque::can_be_secret;
use super::mask::{characters, is_masked, placeholder};
use super::pattern::Pattern;
use crate::domain::{Defence, Marks, MaskedText, ParamPath, Pointer};

/// Which secrets a policy masks.
#[derive(Debug)]
pub struct Secrets {
    /// Whether the usual ones are.
    pub(super) defaults: bool,
    names: Names,
    /// What further secrets look like. Of a pattern with groups, the groups are the secret.
    pub(super) patterns: Vec<Pattern>,
}

impl Default for Secrets {
    fn default() -> Self {
        Self { defaults: true, names: Names::default(), patterns: Vec::new() }
    }
}

/// What was masked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Under which names, each once, in the order of the parameters. What stands in a list has the name of the list.
    pub paths: Vec<ParamPath>,
    /// The values themselves. Never stored.
    pub values: Vec<String>,
}

impl Secrets {
    /// The usual ones, if `defaults`; further names, as globs of `globset` in any case; and what further ones look
    /// like. What is wrong with the names is said without a place.
    pub(super) fn new(defaults: bool, names: &[String], patterns: Vec<Pattern>) -> Result<Self, String> {
        Ok(Self { defaults, names: Names::compile(names.iter().map(String::as_str))?, patterns })
    }

    /// Masks in `shown` whatever is a secret in `original`. The two differ only in what is masked already, which is
    /// left as it is. Each placeholder is marked; `root` leads to the values.
    pub fn mask(
        &self,
        shown: &mut Map<String, Value>,
        original: &Map<String, Value>,
        root: &Pointer,
        marks: &mut Marks,
    ) -> Found {
        let mut walk = Walk { at: root.clone(), marks, found: Found::default() };
        self.mask_map(shown, original, &Place { path: "", is_fixed: false, is_named: false }, &mut walk);
        walk.found
    }

    /// The same for a value that has no name of its own, and the secrets that were in it.
    pub fn mask_alone(&self, original: &Value, root: &Pointer, marks: &mut Marks) -> (Value, Vec<String>) {
        let mut shown = original.clone();
        let mut walk = Walk { at: root.clone(), marks, found: Found::default() };
        self.mask_value(&mut shown, original, &Place { path: "", is_fixed: true, is_named: false }, &mut walk);
        (shown, walk.found.values)
    }

    /// Masks what looks like a secret in a text that stands by itself.
    pub fn mask_text(&self, text: &str, values: &mut Vec<String>) -> MaskedText {
        self.mask_stretches(text, false, values).unwrap_or_else(|| MaskedText::plain(text))
    }

    /// Whether this is how a secret is called.
    pub fn is_name(&self, name: &str) -> bool {
        self.defaults && Defence::SecretNames.on() && names::is_usual(name) || self.names.matches(name)
    }

    /// The names that are not the usual ones.
    pub(super) fn names(&self) -> &[String] {
        self.names.globs()
    }

    /// Whether nothing is said that differs from the defaults.
    pub(super) fn is_default(&self) -> bool {
        self.defaults && self.names().is_empty() && self.patterns.is_empty()
    }

    /// Masks the stretches of a text that are secrets, and leaves the rest. `is_named` says that the whole is called
    /// like one.
    fn mask_stretches(&self, text: &str, is_named: bool, values: &mut Vec<String>) -> Option<MaskedText> {
        let mut found = Vec::new();
        if self.defaults {
            formats::find(text, &mut found);
            found.extend(pem::bodies(text));
        }
        assigned::find(text, |name| self.is_name(name), &mut found);
        if is_named {
            assigned::find_in_credential(text, &mut found);
        }
        for pattern in &self.patterns {
            let before = found.len();
            formats::find_groups(pattern.regex(), text, &mut found, |_| true);
            // A `$` in a pattern may have taken the last newline with it.
            for range in &mut found[before..] {
                if range.len() > 1 && text[range.clone()].ends_with('\n') {
                    range.end -= 1;
                }
            }
        }
        mask_ranges(text, found, values)
    }

    fn mask_map(
        &self,
        shown: &mut Map<String, Value>,
        original: &Map<String, Value>,
        at: &Place<'_>,
        walk: &mut Walk<'_>,
    ) {
        for ((key, shown), original) in shown.iter_mut().zip(original.values()) {
            let is_named = at.is_named || self.is_name(key);
            let path = match (at.is_fixed, at.path) {
                (true, path) => path,
                (false, "") => key,
                (false, path) => &format!("{path}.{key}"),
            };
            let before = walk.at.enter(key);
            self.mask_value(shown, original, &Place { path, is_named, ..*at }, walk);
            walk.at.leave(before);
        }
    }

    /// Depth is bounded where values come in.
    fn mask_value(&self, shown: &mut Value, original: &Value, at: &Place<'_>, walk: &mut Walk<'_>) {
        match (&mut *shown, original) {
            (Value::Array(shown), Value::Array(original)) => {
                for (i, (shown, original)) in shown.iter_mut().zip(original).enumerate() {
                    let before = walk.at.enter_index(i);
                    self.mask_value(shown, original, &Place { is_fixed: true, ..*at }, walk);
                    walk.at.leave(before);
                }
                return;
            }
            (Value::Object(shown), Value::Object(original)) => return self.mask_map(shown, original, at, walk),
            // There is nothing to hide, or it is hidden.
            (_, Value::Null) => return,
            (shown, original) if shown != original => return,
            _ => {}
        }
        // What a rule masks and its sender had masked already looks as it was sent.
        if walk.marks.at(&walk.at).is_some() {
            return;
        }
        let Walk { at: pointer, marks, found } = walk;
        let masked = match original {
            // What its sender has masked already says how long the real value is.
            Value::String(text) if at.is_named && (can_be_secret(text) || is_masked(text)) => {
                found.values.push(text.clone());
                marks.whole(pointer, characters(original));
                placeholder(original)
            }
            Value::String(text) => match self.mask_stretches(text, at.is_named, &mut found.values) {
                Some(MaskedText { text, stretches }) => {
                    marks.within(pointer, stretches);
                    text
                }
                None => return,
            },
            other if at.is_named => {
                found.values.push(other.to_string());
                marks.whole(pointer, characters(original));
                placeholder(original)
            }
            _ => return,
        };
        *shown = Value::String(masked);
        let path = ParamPath::new(at.path);
        // What has one path stands together.
        if found.paths.last() != Some(&path) {
            found.paths.push(path);
        }
    }
}

/// A walk through values: where it is, and what it has found.
struct Walk<'m> {
    at: Pointer,
    marks: &'m mut Marks,
    found: Found,
}

/// Where in the parameters a value stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a str,
    /// Whether it stands in a list: names have no way to say where.
    is_fixed: bool,
    /// Whether what it stands in is called like a secret.
    is_named: bool,
}

/// Replaces these parts of a text; those that overlap are one.
fn mask_ranges(text: &str, mut found: Vec<Range<usize>>, values: &mut Vec<String>) -> Option<MaskedText> {
    if found.is_empty() {
        return None;
    }
    found.sort_unstable_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(found.len());
    for range in found {
        match merged.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    let (mut shown, mut at, mut copied) = (MaskedText::default(), 0, 0);
    for range in merged {
        let secret = &text[range.clone()];
        shown.push_text(&mut at, &text[copied..range.start]);
        shown.push_placeholder(&mut at, secret.chars().count());
        values.push(secret.to_owned());
        copied = range.end;
    }
    shown.push_text(&mut at, &text[copied..]);
    Some(shown)
}

#[cfg(test)]
mod tests;
