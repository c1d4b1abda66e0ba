//! Whether one glob matches everything that another one matches, and whether two have a text in common. Loading and
//! checking a policy ask this; a decision never does.

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

    /// A text that both globs match; `None` if there is none.
    pub(crate) fn common(&self, other: &Self) -> Option<String> {
        let (one, other) = (self.pieces(), other.pieces());
        let width = other.len() + 1;
        // How each pair of positions was reached first: from where, and by which character.
        let mut reached: Vec<Option<(usize, Option<char>)>> = vec![None; (one.len() + 1) * width];
        let mut left = vec![0];
        while let Some(at) = left.pop() {
            let (i, j) = (at / width, at % width);
            let mut go = |i: usize, j: usize, c: Option<char>| {
                let to = i * width + j;
                if to != 0 && reached[to].is_none() {
                    reached[to] = Some((at, c));
                    left.push(to);
                }
            };
            match (one.get(i), other.get(j)) {
                (None, None) => {
                    let (mut text, mut at) = (Vec::new(), at);
                    while let Some((before, c)) = reached[at] {
                        text.extend(c);
                        at = before;
                    }
                    return Some(text.into_iter().rev().collect());
                }
                // A star matches nothing, or what the other one matches next.
                (Some(None), next) => {
                    go(i + 1, j, None);
                    match next {
                        Some(None) => go(i, j + 1, None),
                        Some(Some(unit)) => unit.shared(&Unit::Any).into_iter().for_each(|c| go(i, j + 1, Some(c))),
                        None => {}
                    }
                }
                (next, Some(None)) => {
                    go(i, j + 1, None);
                    if let Some(Some(unit)) = next {
                        unit.shared(&Unit::Any).into_iter().for_each(|c| go(i + 1, j, Some(c)));
                    }
                }
                (Some(Some(unit)), Some(Some(next))) => {
                    unit.shared(next).into_iter().for_each(|c| go(i + 1, j + 1, Some(c)));
                }
                _ => {}
            }
        }
        None
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

    /// A character that both match.
    fn shared(&self, other: &Self) -> Option<char> {
        // If there is one, it is at an end of a range, or beside one.
        let near = |unit: &Self| {
            let ranges: Vec<(char, char)> = match unit {
                Self::Char(c) => vec![(*c, *c)],
                Self::Any => Vec::new(),
                Self::Set { ranges, .. } => ranges.to_vec(),
            };
            let beside =
                |c: char, step: i64| u32::try_from(i64::from(u32::from(c)) + step).ok().and_then(char::from_u32);
            let all = move |(low, high)| [Some(low), Some(high), beside(low, -1), beside(high, 1)];
            ranges.into_iter().flat_map(all).flatten().collect::<Vec<char>>()
        };
        let usual = ['x', FRESH];
        let mut candidates = usual.into_iter().chain(near(self)).chain(near(other));
        candidates.find(|c| self.matches(*c) && other.matches(*c))
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
