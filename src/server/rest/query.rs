//! Values of a query string that are more than text.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer, Error as _, IntoDeserializer as _, SeqAccess, Visitor};

use crate::domain::{CallError, MAX_WHOLE_NUMBER};

/// A value with a text form of its own: an id, for example.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parsed<T>(pub(super) T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// A whole number that is not negative, and that every reader of JSON has exactly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Without a sign: a plus is a blank in a query.
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if is_plain && number <= MAX_WHOLE_NUMBER => Ok(Self(number)),
            _ => Err(D::Error::custom(format_args!("`{text}` is not a whole number from 0 to {MAX_WHOLE_NUMBER}"))),
        }
    }
}

impl Number {
    /// The size of a page.
    pub(super) fn page_size(asked: Option<Self>) -> Result<usize, CallError> {
        let size = asked.map_or(PAGE, |Self(size)| usize::try_from(size).unwrap_or(usize::MAX));
        if (1..=LONGEST_PAGE).contains(&size) {
            return Ok(size);
        }
        Err(CallError::invalid_field("page_size", format!("must be between 1 and {LONGEST_PAGE}")))
    }
}

/// How many entries a page has, and the most.
const PAGE: usize = 100;
const LONGEST_PAGE: usize = 1000;

/// Values of a name that may come several times.
#[derive(Clone, Debug)]
pub(super) struct Many<T>(pub(super) Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Many<T> {
    /// The values, as words of the domain.
    pub(super) fn words<W: From<T>>(self) -> Vec<W> {
        self.0.into_iter().map(Into::into).collect()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMore<T> {
            type Value = Many<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word, once or several times")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Many<T>, E> {
                T::deserialize(text.into_deserializer()).map(|one| Many(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Many<T>, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = items.next_element()? {
                    values.push(value);
                }
                Ok(Many(values))
            }
        }

        deserializer.deserialize_any(OneOrMore(PhantomData))
    }
}
