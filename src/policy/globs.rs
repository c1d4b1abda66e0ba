//! One glob, or a list of globs: a text matches a list if it matches one of its globs.
//!
//! Nearly every rule has one glob in each place, so one glob costs what a [`Glob`] costs.

use std::fmt;

use serde_json::Value;

use super::glob::Glob;

/// One glob or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Globs {
    first: Glob,
    others: Option<Box<Others>>,
}

/// The globs after the first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Others {
    globs: Box<[Glob]>,
    /// All globs of the list, as messages show them.
    text: Box<str>,
}

impl Globs {
    /// These globs, sorted and each once, because the order of a list means nothing. `None` if there are none.
    pub(super) fn new(mut globs: Vec<Glob>) -> Option<Self> {
        globs.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        globs.dedup();
        let text = globs.iter().map(Glob::as_str).collect::<Vec<_>>().join(", ");
        let mut globs = globs.into_iter();
        let first = globs.next()?;
        let rest: Box<[Glob]> = globs.collect();
        let others = (!rest.is_empty()).then(|| Box::new(Others { globs: rest, text: text.into() }));
        Some(Self { first, others })
    }

    /// The globs.
    pub fn iter(&self) -> impl Iterator<Item = &Glob> {
        std::iter::once(&self.first).chain(self.rest())
    }

    /// The text of a single glob, or those of a list with commas between them.
    pub fn as_str(&self) -> &str {
        self.others.as_ref().map_or(self.first.as_str(), |others| &others.text)
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.iter().any(|glob| glob.matches(text))
    }

    /// Whether the whole text matches. The text must be in NFC.
    pub(super) fn matches_nfc(&self, text: &str) -> bool {
        self.first.matches_nfc(text) || self.rest().iter().any(|glob| glob.matches_nfc(text))
    }

    /// Whether one of the globs matches every text.
    pub(super) fn matches_everything(&self) -> bool {
        self.iter().any(Glob::matches_everything)
    }

    /// Whether each of the other globs is inside one of these. A list that covers another only together does not count.
    pub(super) fn contains(&self, other: &Self) -> bool {
        other.iter().all(|other| self.contains_glob(other))
    }

    /// Whether the glob is inside one of these.
    pub(super) fn contains_glob(&self, other: &Glob) -> bool {
        self.iter().any(|glob| glob.contains(other))
    }

    /// A text that matches.
    pub(super) fn example(&self) -> Option<String> {
        self.iter().find_map(Glob::example)
    }

    /// As a policy writes it: a text, or a list of texts.
    pub fn to_json(&self) -> Value {
        match &self.others {
            None => Value::from(self.first.as_str()),
            Some(_) => self.iter().map(Glob::as_str).collect(),
        }
    }

    fn rest(&self) -> &[Glob] {
        self.others.as_ref().map_or(&[], |others| &others.globs)
    }
}

impl From<Glob> for Globs {
    fn from(glob: Glob) -> Self {
        Self { first: glob, others: None }
    }
}

impl fmt::Display for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(texts: &[&str]) -> Globs {
        Globs::new(texts.iter().map(|text| Glob::new(text)).collect()).unwrap()
    }

    #[test]
    fn a_text_matches_a_list_if_it_matches_one_of_its_globs() {
        let list = globs(&["read*", "list*"]);
        assert!(list.matches("read_x") && list.matches("list") && !list.matches("write"));
        assert_eq!((list.as_str(), list.to_json()), ("list*, read*", serde_json::json!(["list*", "read*"])));
        assert_eq!(Globs::new(Vec::new()), None);
    }

    #[test]
    fn order_and_repetition_mean_nothing() {
        assert_eq!(globs(&["b", "a", "b"]), globs(&["a", "b"]));
        assert_eq!(globs(&["a", "a"]), Globs::from(Glob::new("a")));
    }

    #[test]
    fn a_list_contains_another_if_each_glob_is_inside_one_of_its_own() {
        assert!(globs(&["a*", "b*"]).contains(&globs(&["ab", "b"])));
        assert!(!globs(&["a*", "b*"]).contains(&globs(&["ab", "c"])));
        assert!(globs(&["a", "*"]).matches_everything() && !globs(&["a*", "b*"]).matches_everything());
    }
}
