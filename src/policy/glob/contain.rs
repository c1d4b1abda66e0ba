//! Whether one glob matches everything that another one matches. Loading a policy asks this; a decision never does.

use super::{Glob, Segment, Unit};

/// A character that represents any run of characters. No policy uses it, so no glob matches it by accident.
const FRESH: char = '\u{e000}';

impl Glob {
    /// Whether this glob matches every text that `other` matches. False if that cannot be shown.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        let (outer, inner) = (self.pieces(), other.pieces());
        // Row by row: `below[j]` says whether the rest of `outer` contains `inner[j..]`.
        let mut below: Vec<bool> = (0..=inner.len()).map(|j| j == inner.len()).collect();
        for piece in outer.iter().rev() {
            let mut here = vec![false; below.len()];
            for j in (0..below.len()).rev() {
                here[j] = match (piece, inner.get(j)) {
                    // A star matches nothing, or the next piece, even if that is a star.
                    (None, next) => below[j] || next.is_some() && here[j + 1],
                    (Some(outer), Some(Some(inner))) => outer.covers(inner) && below[j + 1],
                    // One character matches neither a run of any characters nor nothing.
                    (Some(_), _) => false,
                };
            }
            below = here;
        }
        below[0]
    }

    /// A text that this glob matches; `None` if it matches nothing, or if no text is found at once.
    pub(crate) fn example(&self) -> Option<String> {
        self.pieces().into_iter().map(|piece| piece.map_or(Some(FRESH), Unit::member)).collect()
    }

    /// One item for each character; `None` for a star.
    fn pieces(&self) -> Vec<Option<Unit>> {
        let mut pieces = Vec::new();
        self.head.pieces(&mut pieces);
        for segment in &self.middle {
            pieces.push(None);
            segment.pieces(&mut pieces);
        }
        if let Some(tail) = &self.tail {
            pieces.push(None);
            tail.pieces(&mut pieces);
        }
        pieces
    }
}

impl Segment {
    fn pieces(&self, pieces: &mut Vec<Option<Unit>>) {
        match self {
            Self::Literal(literal) => pieces.extend(literal.chars().map(|c| Some(Unit::Char(c)))),
            Self::Units(units) => pieces.extend(units.iter().cloned().map(Some)),
        }
    }
}

impl Unit {
    /// Whether this matches every character that `other` matches.
    fn covers(&self, other: &Self) -> bool {
        let within = |inner: &(char, char), outer: &(char, char)| outer.0 <= inner.0 && inner.1 <= outer.1;
        let apart = |one: &(char, char), other: &(char, char)| one.1 < other.0 || other.1 < one.0;
        match (self, other) {
            (Self::Any, _) => true,
            (one, Self::Char(c)) => one.matches(*c),
            (Self::Char(c), Self::Set { is_negated: false, ranges }) => ranges.iter().all(|range| *range == (*c, *c)),
            (Self::Char(_), Self::Set { .. } | Self::Any) => false,
            (Self::Set { is_negated, ranges }, Self::Any) => *is_negated && ranges.is_empty(),
            (Self::Set { is_negated, ranges: own }, Self::Set { is_negated: is_other_negated, ranges: others }) => {
                match (is_negated, is_other_negated) {
                    (false, false) => others.iter().all(|inner| own.iter().any(|outer| within(inner, outer))),
                    (true, false) => others.iter().all(|one| own.iter().all(|other| apart(one, other))),
                    (true, true) => own.iter().all(|inner| others.iter().any(|outer| within(inner, outer))),
                    (false, true) => false,
                }
            }
        }
    }

    /// A character that this matches.
    fn member(self) -> Option<char> {
        match self {
            Self::Char(c) => Some(c),
            Self::Any => Some(FRESH),
            Self::Set { is_negated: false, ranges } => ranges.first().map(|(low, _)| *low),
            set @ Self::Set { .. } => (FRESH..='\u{e0ff}').chain('0'..='z').find(|c| set.matches(*c)),
        }
    }
}
