//! [`IdPrefix`]: the id of a decision, an approval or a record, or the beginning of one, as a person types it.

use std::str::FromStr;

use super::ids::{ApprovalId, DecisionId, RecordId};

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// A decision.
    Decision,
    /// An approval.
    Approval,
    /// A record.
    Record,
}

/// All ids of one kind between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdPrefix {
    /// What they name.
    pub kind: IdKind,
    /// The first one.
    pub first: [u8; 16],
    /// The last one.
    pub last: [u8; 16],
}

/// The text is no id and no beginning of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be the id of a decision (`dec_`), an approval (`apr_`) or a record (`aud_`), or its prefix and at least {} \
     more characters, for example dec_0197a9e0-5c3f",
    IdPrefix::SHORTEST
)]
pub struct IdPrefixError;

impl IdPrefix {
    /// The fewest hexadecimal digits.
    const SHORTEST: usize = 8;
    /// The positions of the hyphens of a UUID.
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];

    /// Whether an id is among them.
    pub fn contains(&self, id: &[u8; 16]) -> bool {
        (self.first..=self.last).contains(id)
    }

    /// Whether it is exactly one.
    pub fn is_whole(&self) -> bool {
        self.first == self.last
    }

    /// The first and the last time of such ids, in milliseconds since 1970.
    pub fn millis(&self) -> (i64, i64) {
        let millis = |id: &[u8; 16]| id[..6].iter().fold(0, |millis, byte| millis << 8 | i64::from(*byte));
        (millis(&self.first), millis(&self.last))
    }

    /// This record alone.
    pub fn of_record(id: RecordId) -> Self {
        Self { kind: IdKind::Record, first: *id.as_bytes(), last: *id.as_bytes() }
    }
}

impl FromStr for IdPrefix {
    type Err = IdPrefixError;

    fn from_str(text: &str) -> Result<Self, IdPrefixError> {
        let kinds = [
            (DecisionId::PREFIX, IdKind::Decision),
            (ApprovalId::PREFIX, IdKind::Approval),
            (RecordId::PREFIX, IdKind::Record),
        ];
        let found = kinds.into_iter().find_map(|(prefix, kind)| Some((kind, text.strip_prefix(prefix)?)));
        let (kind, rest) = found.ok_or(IdPrefixError)?;
        let (mut first, mut last, mut digits) = ([0; 16], [0xff; 16], 0);
        for (at, char) in rest.chars().enumerate() {
            if Self::HYPHENS.contains(&at) {
                if char != '-' {
                    return Err(IdPrefixError);
                }
                continue;
            }
            let digit = char.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(IdPrefixError)?;
            let (Some(low), Some(high)) = (first.get_mut(digits / 2), last.get_mut(digits / 2)) else {
                return Err(IdPrefixError);
            };
            if digits % 2 == 0 {
                (*low, *high) = (digit << 4, digit << 4 | 0x0f);
            } else {
                (*low, *high) = (*low | digit, *low | digit);
            }
            digits += 1;
        }
        if digits < Self::SHORTEST { Err(IdPrefixError) } else { Ok(Self { kind, first, last }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn a_whole_id_is_the_only_one_and_each_beginning_of_it_contains_it() {
        let at: Timestamp = "2026-11-28T18:00:00.123Z".parse().unwrap();
        for random in [[0; 10], [0xff; 10], [0x5a; 10]] {
            let id = DecisionId::new(at, random);
            let text = id.to_string();
            let whole: IdPrefix = text.parse().unwrap();
            assert!(whole.is_whole() && whole.first == *id.as_bytes());
            assert_eq!(whole.millis(), (at.as_millisecond(), at.as_millisecond()));
            for length in 12..text.len() {
                let prefix: IdPrefix = text[..length].parse().unwrap();
                assert!(prefix.contains(id.as_bytes()) && !prefix.is_whole(), "{}", &text[..length]);
                let (from, to) = prefix.millis();
                assert!(from <= at.as_millisecond() && at.as_millisecond() <= to);
            }
            // Another character at any place is another id.
            for (place, char) in text.char_indices().skip(4).filter(|(_, char)| *char != '-') {
                let mut other = text.clone();
                other.replace_range(place..=place, if char == '0' { "1" } else { "0" });
                assert!(!other.parse::<IdPrefix>().unwrap().contains(id.as_bytes()), "{other}");
            }
        }
    }

    #[test]
    fn the_kind_is_that_of_the_prefix_and_case_does_not_matter() {
        for (text, kind) in [
            ("dec_0197A9E0", IdKind::Decision),
            ("apr_0197a9e0-5c3f", IdKind::Approval),
            ("aud_0197a9e0-", IdKind::Record),
        ] {
            assert_eq!(text.parse::<IdPrefix>().unwrap().kind, kind);
        }
    }

    #[test]
    fn what_is_no_beginning_of_an_id_is_refused() {
        let whole = "dec_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e";
        let long = format!("{whole}0");
        for text in [
            "",
            "dec_",
            "dec_0197a9e",
            "0197a9e0",
            "tok_0197a9e0",
            "dec_0197a9e05",
            "dec_0197-a9e0",
            "dec_zzzzzzzz",
            &long,
        ] {
            assert_eq!(text.parse::<IdPrefix>(), Err(IdPrefixError), "{text}");
        }
    }
}
