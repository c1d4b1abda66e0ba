//! Which rules are worth trying: an index over the literals of their globs.
//!
//! Most globs contain a literal that every matching text must contain, usually at a fixed end. The index files each
//! rule under one such literal of its type or target glob: the one that the fewest rules share. For a question, the
//! type and the target each run once through an Aho-Corasick automaton of all filed literals. The rules filed under
//! the literals found are tried in order, and rules without a literal are always tried. A rule with a
//! list of globs is filed under one literal of each. The index only chooses which rules to try; whether a rule matches
//! is up to the rule.
//!
//! The length of the literals bounds the size of an automaton, so they are cut to [`MAX_LITERAL`] bytes.

use std::collections::BTreeMap;

use aho_corasick::Anchored;
use aho_corasick::automaton::Automaton;
use aho_corasick::nfa::contiguous::NFA;

use super::glob::{Anchor, Glob};
use super::globs::Globs;

/// How many bytes of a literal are filed. More bytes would enlarge the automaton and hardly separate more rules.
const MAX_LITERAL: usize = 32;

/// How many lists of rules one question can reach without allocating.
const MAX_LISTS: usize = 32;

/// The index of the rules of one policy.
#[derive(Debug)]
pub(super) struct Index {
    by_type: Option<Side>,
    by_target: Option<Side>,
    /// Rules that no literal leads to.
    always: Box<[u32]>,
    rules: usize,
}

/// The literals of the types, or of the targets.
#[derive(Debug)]
struct Side {
    automaton: NFA,
    /// The rules filed under each literal: at the start, at the end, anywhere.
    lists: Box<[[Box<[u32]>; 3]]>,
}

/// What a rule is filed under.
type Key = (SideName, Anchor, Vec<u8>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SideName {
    Type,
    Target,
}

impl Index {
    /// Files rules by their type and target globs.
    pub(super) fn new<'g>(globs: impl Iterator<Item = (&'g Globs, &'g Globs)> + Clone) -> Self {
        let mut shared: BTreeMap<Key, usize> = BTreeMap::new();
        for (kind, target) in globs.clone() {
            for (side, globs) in [(SideName::Type, kind), (SideName::Target, target)] {
                for key in globs.iter().flat_map(|glob| keys(side, glob)) {
                    *shared.entry(key).or_default() += 1;
                }
            }
        }
        let (mut filed, mut always, mut rules) = (BTreeMap::<Key, Vec<u32>>::new(), Vec::new(), 0);
        for (at, (kind, target)) in globs.enumerate() {
            rules = at + 1;
            // The size of a file bounds the number of rules far below this.
            let rule = u32::try_from(at).unwrap_or(u32::MAX);
            let cost =
                |key: &Key| (shared.get(key).copied().unwrap_or(0), std::cmp::Reverse(key.2.len()), key.0, key.1);
            // A side counts if every glob of it has a literal. It is as good as its worst literal.
            let side = |side: SideName, globs: &Globs| {
                let rarest = globs.iter().map(|glob| keys(side, glob).into_iter().min_by_key(&cost));
                let rarest = rarest.collect::<Option<Vec<Key>>>()?;
                Some((rarest.iter().map(cost).max(), rarest))
            };
            let sides = [side(SideName::Type, kind), side(SideName::Target, target)];
            let Some((_, rarest)) = sides.into_iter().flatten().min_by(|one, other| one.0.cmp(&other.0)) else {
                always.push(rule);
                continue;
            };
            for key in rarest {
                let list = filed.entry(key).or_default();
                if list.last() != Some(&rule) {
                    list.push(rule);
                }
            }
        }
        let (by_type, by_target) = (Side::new(SideName::Type, &filed), Side::new(SideName::Target, &filed));
        match (by_type, by_target) {
            (Ok(by_type), Ok(by_target)) => Self { by_type, by_target, always: always.into(), rules },
            // If no automaton can be built (it would need more states than there are numbers), every rule is tried:
            // that is slower, but the answers are the same.
            _ => Self {
                by_type: None,
                by_target: None,
                always: (0..u32::try_from(rules).unwrap_or(u32::MAX)).collect(),
                rules,
            },
        }
    }

    /// The rules worth trying for an action, in their order, until `take` accepts one.
    pub(super) fn find<T>(&self, kind: &str, target: &str, take: impl FnMut(usize) -> Option<T>) -> Option<T> {
        let mut lists = Lists { kept: [&[]; MAX_LISTS], count: 0, spilled: None, rules: self.rules };
        if !self.always.is_empty() {
            lists.add(&self.always);
        }
        if let Some(side) = &self.by_type {
            side.search(kind, &mut lists);
        }
        if let Some(side) = &self.by_target {
            side.search(target, &mut lists);
        }
        lists.in_order(take)
    }
}

/// Every key that a rule could be filed under for this glob.
fn keys(side: SideName, glob: &Glob) -> Vec<Key> {
    let key = |(anchor, literal): (Anchor, String)| {
        let bytes = literal.as_bytes();
        let cut = match anchor {
            Anchor::End => bytes.get(bytes.len().saturating_sub(MAX_LITERAL)..),
            Anchor::Start | Anchor::Anywhere => bytes.get(..MAX_LITERAL),
        };
        (side, anchor, cut.unwrap_or(bytes).to_vec())
    };
    glob.literals().into_iter().map(key).collect()
}

impl Side {
    fn new(name: SideName, filed: &BTreeMap<Key, Vec<u32>>) -> Result<Option<Self>, aho_corasick::BuildError> {
        let mut literals: BTreeMap<&[u8], [Vec<u32>; 3]> = BTreeMap::new();
        for ((side, anchor, literal), rules) in filed {
            if *side == name {
                let lists = literals.entry(literal).or_default();
                lists[slot(*anchor)].extend(rules);
            }
        }
        if literals.is_empty() {
            return Ok(None);
        }
        // Every byte that begins no literal leads back to the start of the automaton. A full table there makes it
        // fast.
        let automaton = NFA::builder().prefilter(false).dense_depth(3).build(literals.keys())?;
        Ok(Some(Self { automaton, lists: literals.into_values().map(|lists| lists.map(Into::into)).collect() }))
    }

    fn search<'i>(&'i self, text: &str, lists: &mut Lists<'i>) {
        let Ok(mut state) = self.automaton.start_state(Anchored::No) else { return };
        let bytes = text.as_bytes();
        for (at, byte) in bytes.iter().enumerate() {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            if !self.automaton.is_match(state) {
                continue;
            }
            let end = at + 1;
            for i in 0..self.automaton.match_len(state) {
                let pattern = self.automaton.match_pattern(state, i);
                let Some([start_list, end_list, anywhere]) = self.lists.get(pattern.as_usize()) else { continue };
                if !start_list.is_empty() && self.automaton.pattern_len(pattern) == end {
                    lists.add(start_list);
                }
                if !end_list.is_empty() && end == bytes.len() {
                    lists.add(end_list);
                }
                if !anywhere.is_empty() {
                    lists.add(anywhere);
                }
            }
        }
    }
}

const fn slot(anchor: Anchor) -> usize {
    match anchor {
        Anchor::Start => 0,
        Anchor::End => 1,
        Anchor::Anywhere => 2,
    }
}

/// The lists of rules that a question reached. Each list ascends. A rule with a list of globs can be in several.
struct Lists<'i> {
    kept: [&'i [u32]; MAX_LISTS],
    count: usize,
    /// One bit for each rule, once there are too many lists to keep.
    spilled: Option<Vec<u64>>,
    rules: usize,
}

impl<'i> Lists<'i> {
    fn add(&mut self, list: &'i [u32]) {
        if let Some(bits) = &mut self.spilled {
            spill(bits, list);
            return;
        }
        // A text can contain a literal more than once.
        if self.kept[..self.count].iter().any(|kept| std::ptr::eq(*kept, list)) {
            return;
        }
        if let Some(free) = self.kept.get_mut(self.count) {
            *free = list;
            self.count += 1;
            return;
        }
        // A text with this many literals is an attempt to slow a decision down. From here on, the cost is one bit
        // for each rule.
        let mut bits = vec![0; self.rules.div_ceil(64)];
        for kept in self.kept {
            spill(&mut bits, kept);
        }
        spill(&mut bits, list);
        self.spilled = Some(bits);
    }

    fn in_order<T>(mut self, mut take: impl FnMut(usize) -> Option<T>) -> Option<T> {
        if let Some(bits) = self.spilled {
            return bits.iter().enumerate().find_map(|(word, bits)| {
                (0..64).filter(|bit| bits & (1 << bit) != 0).find_map(|bit| take(word * 64 + bit))
            });
        }
        let lists = &mut self.kept[..self.count];
        let mut last = None;
        loop {
            let next = lists.iter_mut().filter(|list| !list.is_empty()).min_by_key(|list| list[0])?;
            let (rule, rest) = next.split_first()?;
            *next = rest;
            if last.replace(*rule) == Some(*rule) {
                continue;
            }
            if let Some(taken) = take(*rule as usize) {
                return Some(taken);
            }
        }
    }
}

fn spill(bits: &mut [u64], list: &[u32]) {
    for rule in list {
        if let Some(word) = bits.get_mut(*rule as usize / 64) {
            *word |= 1 << (rule % 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tried(globs: &[(Globs, Globs)], kind: &str, target: &str) -> Vec<usize> {
        let mut tried = Vec::new();
        let index = Index::new(globs.iter().map(|(kind, target)| (kind, target)));
        let _: Option<()> = index.find(kind, target, |rule| {
            tried.push(rule);
            None
        });
        tried
    }

    /// Several globs have commas between them.
    fn globs(patterns: &[(String, String)]) -> Vec<(Globs, Globs)> {
        let list = |text: &str| Globs::new(text.split(',').map(Glob::new).collect()).unwrap();
        patterns.iter().map(|(kind, target)| (list(kind), list(target))).collect()
    }

    #[test]
    fn a_rule_is_filed_under_the_literal_that_the_fewest_rules_share() {
        let patterns = (0..100).map(|i| ("read*".to_owned(), format!("crm_{i:02}"))).collect::<Vec<_>>();
        assert_eq!(tried(&globs(&patterns), "read", "crm_42"), [42]);
    }

    #[test]
    fn a_text_with_very_many_literals_still_reaches_every_rule() {
        let mut patterns: Vec<_> =
            (1..=200).map(|i| (format!("*{}*", "a".repeat(i % 40 + 1)), "*".to_owned())).collect();
        patterns.push(("*".into(), "*".into()));
        let expected: Vec<usize> = (0..=200).collect();
        assert_eq!(tried(&globs(&patterns), &"a".repeat(1000), "x"), expected);
    }

    fn pattern() -> impl Strategy<Value = String> {
        "[ab]{0,3}(\\*|\\?|\\[ab\\])?[abé]{0,3}\\*?[ab]{0,2}"
    }

    fn patterns() -> impl Strategy<Value = String> {
        prop_oneof![3 => pattern(), 1 => prop::collection::vec(pattern(), 2..4).prop_map(|list| list.join(","))]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn every_rule_that_matches_is_tried_in_order(
            patterns in prop::collection::vec((patterns(), patterns()), 0..60),
            kind in "[abé]{0,6}",
            target in "[abé]{0,6}",
        ) {
            let globs = globs(&patterns);
            let tried = tried(&globs, &kind, &target);
            prop_assert!(tried.is_sorted_by(|one, other| one < other), "each rule is tried once, in order");
            for (rule, (by_type, by_target)) in globs.iter().enumerate() {
                let matches = by_type.matches(&kind) && by_target.matches(&target);
                prop_assert!(!matches || tried.contains(&rule), "rule {} of {:?}", rule, patterns);
            }
        }
    }
}
