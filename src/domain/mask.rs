//! Marks: where a placeholder stands for something that is not shown.
//!
//! A placeholder is text, `[masked, 8 characters]`, and anybody can write that. So the places of all placeholders are
//! kept beside the text. Text that has no mark was written by its author.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ParamPath;

/// A placeholder within a text. Positions count characters (Unicode code points) of the text as shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stretch {
    /// The first character of the placeholder.
    pub start: u32,
    /// The first character after it.
    pub end: u32,
    /// How many characters it stands for.
    pub length: u32,
}

/// A text with placeholders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskedText {
    /// The text as shown.
    pub text: String,
    /// Its placeholders, in order.
    pub stretches: Vec<Stretch>,
}

impl MaskedText {
    /// A text without placeholders.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), stretches: Vec::new() }
    }

    /// Appends a placeholder for a text of so many characters.
    pub fn push_placeholder(&mut self, position: &mut u32, characters: usize) {
        let (placeholder, length) = (placeholder(characters), number(characters));
        let start = *position;
        *position += number(placeholder.len());
        self.stretches.push(Stretch { start, end: *position, length });
        self.text.push_str(&placeholder);
    }

    /// Appends text that is shown.
    pub fn push_text(&mut self, position: &mut u32, text: &str) {
        *position += number(text.chars().count());
        self.text.push_str(text);
    }

    /// Appends another text with its placeholders.
    pub fn push(&mut self, position: &mut u32, other: &Self) {
        let moved =
            |stretch: &Stretch| Stretch { start: stretch.start + *position, end: stretch.end + *position, ..*stretch };
        self.stretches.extend(other.stretches.iter().map(moved));
        self.push_text(position, &other.text);
    }

    /// The parts of the text in order: shown text, and placeholders.
    pub fn parts(&self) -> Vec<Result<&str, (&str, Stretch)>> {
        let (mut parts, mut rest, mut at) = (Vec::new(), self.text.as_str(), 0);
        for stretch in &self.stretches {
            let (before, after) = rest.split_at(bytes(rest, stretch.start.saturating_sub(at)));
            let (placeholder, after) = after.split_at(bytes(after, stretch.end.saturating_sub(stretch.start)));
            parts.extend((!before.is_empty()).then_some(Ok(before)));
            parts.push(Err((placeholder, *stretch)));
            (rest, at) = (after, stretch.end);
        }
        parts.extend((!rest.is_empty()).then_some(Ok(rest)));
        parts
    }
}

/// The length in bytes of the first so many characters.
fn bytes(text: &str, characters: u32) -> usize {
    text.char_indices().nth(characters as usize).map_or(text.len(), |(at, _)| at)
}

fn number(characters: usize) -> u32 {
    u32::try_from(characters).unwrap_or(u32::MAX)
}

/// What stands for a text of so many characters that is not shown.
pub(crate) fn placeholder(characters: usize) -> String {
    format!("[masked, {characters} characters]")
}

/// What is masked of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Masked {
    /// All of it: so many characters.
    Whole(u32),
    /// Stretches of its text.
    Within(Vec<Stretch>),
}

/// What is masked in a JSON document, by JSON pointer (RFC 6901).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(BTreeMap<String, Masked>);

/// One placeholder, as the record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The JSON pointer of the value. It begins with `/params`, `/metadata` or `/description`, in a report with `/data`
    /// or `/error`.
    pub pointer: String,
    /// The first character of the placeholder in the text as shown. Absent, like `end`, if the whole value is masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<u32>,
    /// The first character after the placeholder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u32>,
    /// How many characters the placeholder stands for.
    pub length: u32,
}

impl Mark {
    /// Whether it is in the parameter with this name. A list on the way stands for each of its elements.
    pub fn is_at(&self, path: &ParamPath) -> bool {
        let Some(rest) = self.pointer.strip_prefix("/params/") else { return false };
        let keys: Vec<String> = rest.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect();
        if keys.first().is_some_and(|first| first == path.as_str()) {
            return true;
        }
        // Each part of the name is a key, in this order; what is between or after them is below a list or the value.
        let mut keys = keys.iter();
        path.as_str().split('.').enumerate().all(|(i, part)| {
            if i == 0 { keys.next().is_some_and(|key| key == part) } else { keys.any(|key| key == part) }
        })
    }
}

impl Marks {
    /// Marks a whole value of so many characters.
    pub fn whole(&mut self, pointer: &Pointer, characters: usize) {
        self.0.insert(pointer.0.clone(), Masked::Whole(number(characters)));
    }

    /// Marks stretches of a text. Without any, there is no mark.
    pub fn within(&mut self, pointer: &Pointer, stretches: Vec<Stretch>) {
        if !stretches.is_empty() {
            self.0.insert(pointer.0.clone(), Masked::Within(stretches));
        }
    }

    /// What is masked of this value.
    pub fn at(&self, pointer: &Pointer) -> Option<&Masked> {
        self.0.get(&pointer.0)
    }

    /// The placeholders in order.
    pub fn into_list(self) -> Vec<Mark> {
        let mut list = Vec::new();
        for (pointer, masked) in self.0 {
            match masked {
                Masked::Whole(length) => list.push(Mark { pointer, start: None, end: None, length }),
                Masked::Within(stretches) => {
                    list.extend(stretches.into_iter().map(|Stretch { start, end, length }| Mark {
                        pointer: pointer.clone(),
                        start: Some(start),
                        end: Some(end),
                        length,
                    }))
                }
            }
        }
        list
    }
}

/// A JSON pointer that follows a walk through a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pointer(String);

impl Pointer {
    /// A pointer to a member of the document.
    pub fn to(member: &str) -> Self {
        let mut pointer = Self::default();
        pointer.enter(member);
        pointer
    }

    /// Follows a member of an object. Returns what [`Pointer::leave`] needs.
    pub fn enter(&mut self, key: &str) -> usize {
        let before = self.0.len();
        self.0.push('/');
        for character in key.chars() {
            match character {
                '~' => self.0.push_str("~0"),
                '/' => self.0.push_str("~1"),
                other => self.0.push(other),
            }
        }
        before
    }

    /// Follows an element of a list.
    pub fn enter_index(&mut self, index: usize) -> usize {
        self.enter(&index.to_string())
    }

    /// Goes back.
    pub fn leave(&mut self, before: usize) {
        self.0.truncate(before);
    }

    /// The pointer as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_its_parts() {
        let (mut text, mut at) = (MaskedText::default(), 0);
        text.push_text(&mut at, "ü: ");
        text.push_placeholder(&mut at, 8);
        text.push_placeholder(&mut at, 3);
        text.push_text(&mut at, " [masked, 8 characters]");
        let [first, second] = text.stretches[..] else { panic!("{text:?}") };
        assert_eq!(first, Stretch { start: 3, end: 25, length: 8 });
        assert_eq!(second, Stretch { start: 25, end: 47, length: 3 });
        assert_eq!(
            text.parts(),
            [
                Ok("ü: "),
                Err(("[masked, 8 characters]", first)),
                Err(("[masked, 3 characters]", second)),
                Ok(" [masked, 8 characters]"),
            ]
        );
        assert_eq!(MaskedText::plain("").parts(), []);
    }

    #[test]
    fn a_pointer_tells_a_name_with_a_dot_or_a_slash_from_a_path() {
        let mut pointer = Pointer::to("params");
        let before = pointer.enter("a/b~c.d");
        assert_eq!(pointer.as_str(), "/params/a~1b~0c.d");
        pointer.leave(before);
        pointer.enter_index(3);
        assert_eq!(pointer.as_str(), "/params/3");
    }
}
