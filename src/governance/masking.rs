//! Keeping what a policy masks out of the record: in parameters by path, name and look, in free text by value and look.

use std::collections::{BTreeMap, HashMap, VecDeque};

use aho_corasick::{AhoCorasick, MatchKind};
use hmac::{Hmac, Mac as _};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::domain::{DecisionId, Digest, ParamPath, ParamsError, Proposal, Report, canonical_json};
use crate::policy::{self, Secrets};

/// A masked value shorter than this is not looked for in free text: it would hide half of every sentence.
const SHORTEST_VALUE: usize = 4;

/// How many bytes of masked values one decision may have to be looked for. Past that, every text is masked whole.
const MAX_VALUES: usize = 64 << 10;

/// For how many bytes of masked values, and for how many allowed actions, they are kept in mind until the result is
/// reported.
const HELD_BYTES: usize = 8 << 20;
const HELD: usize = 10_000;

/// What digests of masked values begin with, so that they are digests of nothing else.
const DIGEST_DOMAIN: &[u8] = b"aegis/masked/v1\0";

/// What a policy masks of one decision.
#[derive(Clone, Copy)]
pub(super) struct Masking<'a> {
    /// Parameters by path, as the rule and the policy name them.
    pub(super) redact: &'a [ParamPath],
    /// What nobody named.
    pub(super) secrets: &'a Secrets,
}

/// What a proposal looks like on the record.
pub(super) struct Masked {
    /// The proposal with every masked value taken out.
    pub(super) proposal: Proposal,
    /// The parameters that were masked.
    pub(super) paths: Vec<ParamPath>,
    /// What two equal values have in common, under this store's key.
    pub(super) digests: BTreeMap<ParamPath, Digest>,
    /// The values themselves, to be looked for in what is said later. Never stored.
    pub(super) values: Values,
}

/// Masked values that are looked for in free text.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    texts: Vec<String>,
    bytes: usize,
    /// There are more than can be looked for.
    too_many: bool,
}

impl Masking<'_> {
    /// Takes out of a proposal what is masked.
    pub(super) fn proposal(&self, mut proposal: Proposal, key: &Hmac<Sha256>) -> Result<Masked, ParamsError> {
        let mut values = Values::default();
        let (params, paths) = self.map(&proposal.action.params, &mut values);
        let mut digests = BTreeMap::new();
        for path in &paths {
            let original = &proposal.action.params;
            // A path through a list has several values, which have one digest together.
            match path.values(original)[..] {
                [] => continue,
                [value] => digests.insert(path.clone(), keyed_digest(key, value)?),
                ref values => digests.insert(path.clone(), keyed_digest(key, &values)?),
            };
        }
        proposal.action.params = params;
        proposal.action.description = self.text(&proposal.action.description, &mut values);
        (proposal.metadata, _) = self.map(&proposal.metadata, &mut values);

        let finder = values.finder();
        proposal.action.description = finder.mask(&proposal.action.description);
        proposal.metadata = map_texts_of(proposal.metadata, &finder);
        Ok(Masked { proposal, paths, digests, values })
    }

    /// Takes out of a report what is masked, and says which names of its data that were.
    ///
    /// `values` are those of the decision; where it masked some and they are not in mind any more, every text is masked
    /// whole.
    pub(super) fn report(&self, report: Report, values: Option<Values>) -> (Report, Vec<ParamPath>) {
        let mut values = values.unwrap_or_else(Values::unknown);
        let mut paths = Vec::new();
        let data = report.data.map(|data| match data {
            Value::Object(map) => {
                let (map, masked) = self.map(&map, &mut values);
                paths = masked;
                Value::Object(map)
            }
            other => {
                let (shown, found) = self.secrets.mask_alone(&other);
                values.extend(found);
                shown
            }
        });
        let error = self.text(&report.error, &mut values);
        let finder = values.finder();
        (Report { data: data.map(|data| map_texts(data, &finder)), error: finder.mask(&error), ..report }, paths)
    }

    /// A text that stands by itself.
    pub(super) fn text(&self, text: &str, values: &mut Values) -> String {
        let mut found = Vec::new();
        let masked = self.secrets.mask_text(text, &mut found);
        values.extend(found);
        masked.unwrap_or_else(|| text.to_owned())
    }

    fn map(&self, original: &Map<String, Value>, values: &mut Values) -> (Map<String, Value>, Vec<ParamPath>) {
        let (mut shown, mut paths) = policy::mask(original, self.redact.iter());
        for path in &paths {
            path.values(original).into_iter().for_each(|value| values.collect(Some(value)));
        }
        let found = self.secrets.mask(&mut shown, original);
        values.extend(found.values);
        // A rule may name what is also called like a secret.
        let unnamed: Vec<_> = found.paths.into_iter().filter(|path| !paths.contains(path)).collect();
        paths.extend(unnamed);
        (shown, paths)
    }
}

/// The same for equal values of this store, and nothing to whoever lacks its key: HMAC-SHA256 over the canonical JSON.
fn keyed_digest<T: Serialize>(key: &Hmac<Sha256>, value: &T) -> Result<Digest, ParamsError> {
    let mut mac = key.clone();
    mac.update(DIGEST_DOMAIN);
    mac.update(&canonical_json(value)?);
    Ok(Digest(mac.finalize().into_bytes().into()))
}

impl Values {
    /// Those of a decision that masked some, when nobody knows any more which.
    fn unknown() -> Self {
        Self { too_many: true, ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty() && !self.too_many
    }

    fn extend(&mut self, texts: Vec<String>) {
        for text in texts {
            self.add(text);
        }
    }

    fn add(&mut self, text: String) {
        if self.too_many || text.chars().nth(SHORTEST_VALUE - 1).is_none() || policy::is_masked(&text) {
            return;
        }
        self.bytes += text.len();
        if self.bytes > MAX_VALUES {
            *self = Self::unknown();
        } else {
            self.texts.push(text);
        }
    }

    /// The texts and numbers below a value. Values are bounded in depth where they come in.
    fn collect(&mut self, value: Option<&Value>) {
        match value {
            Some(Value::String(text)) => self.add(text.clone()),
            Some(Value::Number(number)) => self.add(number.to_string()),
            Some(Value::Array(items)) => items.iter().for_each(|item| self.collect(Some(item))),
            Some(Value::Object(map)) => map.values().for_each(|item| self.collect(Some(item))),
            _ => {}
        }
    }

    fn finder(&self) -> Finder {
        if self.too_many {
            return Finder::All;
        }
        if self.texts.is_empty() {
            return Finder::None;
        }
        // Of two that begin at one place the longer one, so that a secret that contains another is not left in halves.
        match AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&self.texts) {
            Ok(automaton) => Finder::These(automaton),
            Err(_) => Finder::All,
        }
    }
}

/// Finds masked values in free text.
enum Finder {
    None,
    These(AhoCorasick),
    /// Nobody can tell what is one: every text is.
    All,
}

impl Finder {
    fn mask(&self, text: &str) -> String {
        match self {
            Self::All if !text.is_empty() => policy::masked_text(text),
            Self::These(automaton) => {
                let mut masked = String::with_capacity(text.len());
                automaton.replace_all_with(text, &mut masked, |_, value, masked| {
                    masked.push_str(&policy::masked_text(value));
                    true
                });
                masked
            }
            _ => text.to_owned(),
        }
    }
}

fn map_texts_of(map: Map<String, Value>, finder: &Finder) -> Map<String, Value> {
    match finder {
        Finder::None => map,
        _ => map.into_iter().map(|(key, value)| (key, map_texts(value, finder))).collect(),
    }
}

/// Masks every text of a value, at any depth. Values are bounded in depth where they come in.
fn map_texts(value: Value, finder: &Finder) -> Value {
    match value {
        Value::String(string) => Value::String(finder.mask(&string)),
        Value::Array(items) => items.into_iter().map(|item| map_texts(item, finder)).collect(),
        Value::Object(map) => Value::Object(map_texts_of(map, finder)),
        other => other,
    }
}

/// The masked values of decisions whose result is still to come.
#[derive(Debug, Default)]
pub(super) struct Held {
    values: HashMap<DecisionId, Values>,
    order: VecDeque<DecisionId>,
    bytes: usize,
}

impl Held {
    /// Keeps the values of one decision in mind; forgets the oldest where there are too many.
    pub(super) fn keep(&mut self, decision_id: DecisionId, values: Values) {
        self.bytes += values.bytes;
        self.order.push_back(decision_id);
        self.values.insert(decision_id, values);
        while self.order.len() > HELD || self.bytes > HELD_BYTES {
            let Some(oldest) = self.order.pop_front() else { return };
            self.bytes -= self.values.remove(&oldest).map_or(0, |values| values.bytes);
        }
    }

    /// Forgets the values of one decision.
    pub(super) fn forget(&mut self, decision_id: DecisionId) {
        self.bytes -= self.values.remove(&decision_id).map_or(0, |values| values.bytes);
    }

    /// The values of one decision, if they are still in mind.
    pub(super) fn get(&self, decision_id: DecisionId) -> Option<Values> {
        self.values.get(&decision_id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ResultStatus;
    use hmac::KeyInit as _;
    use serde_json::json;

    fn key() -> Hmac<Sha256> {
        Hmac::new_from_slice(&[7; 32]).unwrap()
    }

    fn proposal(params: &Value, description: &str, metadata: &Value) -> Proposal {
        let mut proposal = Proposal::default();
        proposal.action.params = params.as_object().unwrap().clone();
        proposal.action.description = description.to_owned();
        proposal.metadata = metadata.as_object().unwrap().clone();
        proposal
    }

    fn report(data: Value, error: &str) -> Report {
        let error = error.to_owned();
        Report { status: ResultStatus::Success, data: Some(data), error, started_at: None, completed_at: None }
    }

    #[test]
    fn a_secret_parameter_is_masked_wherever_it_is_said_again() {
        let secrets = Secrets::default();
        let redact = [ParamPath::new("iban")];
        let masking = Masking { redact: &redact, secrets: &secrets };
        let params = json!({"password": "hunter22", "iban": "DE89370400440532013000", "n": 1});
        let metadata = json!({"note": "hunter22 again", "token": 5});
        let masked = masking.proposal(proposal(&params, "log in with hunter22", &metadata), &key()).unwrap();
        let shown = json!({"password": "[masked, 8 characters]", "iban": "[masked, 22 characters]", "n": 1});
        assert_eq!(Value::Object(masked.proposal.action.params), shown);
        assert_eq!(masked.proposal.action.description, "log in with [masked, 8 characters]");
        let metadata = json!({"note": "[masked, 8 characters] again", "token": "[masked, 1 characters]"});
        assert_eq!(Value::Object(masked.proposal.metadata), metadata);
        assert_eq!(masked.paths, [ParamPath::new("iban"), ParamPath::new("password")]);

        let (report, paths) =
            masking.report(report(json!({"echo": ["hunter22"], "iban": 1}), "hunter22 is wrong"), Some(masked.values));
        let data = json!({"echo": ["[masked, 8 characters]"], "iban": "[masked, 1 characters]"});
        assert_eq!((report.data, report.error.as_str()), (Some(data), "[masked, 8 characters] is wrong"));
        assert_eq!(paths, [ParamPath::new("iban")]);
    }

    #[test]
    fn digests_tell_equal_values_apart_from_others_and_only_under_one_key() {
        let secrets = Secrets::default();
        let masking = Masking { redact: &[], secrets: &secrets };
        let digest = |value: Value, key: &Hmac<Sha256>| {
            let proposal = proposal(&json!({"password": value}), "", &json!({}));
            masking.proposal(proposal, key).unwrap().digests[&ParamPath::new("password")]
        };
        assert_eq!(digest(json!("a"), &key()), digest(json!("a"), &key()));
        assert_ne!(digest(json!("a"), &key()), digest(json!("b"), &key()));
        assert_ne!(digest(json!("a"), &key()), digest(json!("a"), &Hmac::new_from_slice(&[8; 32]).unwrap()));
    }

    #[test]
    fn what_is_not_in_mind_any_more_masks_every_text() {
        let secrets = Secrets::default();
        let masking = Masking { redact: &[], secrets: &secrets };
        let (report, _) = masking.report(report(json!(["abc", 1]), "no"), None);
        assert_eq!(report.data, Some(json!(["[masked, 3 characters]", 1])));
        assert_eq!(report.error, "[masked, 2 characters]");
    }

    #[test]
    fn more_values_than_can_be_looked_for_mask_every_text() {
        let secrets = Secrets::default();
        let masking = Masking { redact: &[], secrets: &secrets };
        let many = json!({"secrets": "x".repeat(MAX_VALUES + 1)});
        let masked = masking.proposal(proposal(&many, "plain words", &json!({})), &key()).unwrap();
        assert_eq!(masked.proposal.action.description, "[masked, 11 characters]");
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut held = Held::default();
        let id = |n: u8| DecisionId::from_bytes([n; 16]);
        for n in 0..=255 {
            let mut values = Values::default();
            values.add("x".repeat(MAX_VALUES));
            held.keep(id(n), values);
        }
        assert!(held.bytes <= HELD_BYTES);
        assert!(held.get(id(0)).is_none() && held.get(id(255)).is_some());
    }
}
