//! Masks values before they reach the record. In parameters it finds them by path, name and format; in free text by
//! value and format.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::{Map, Value};

use super::secret::StoreSecret;
use crate::domain::{Digest, ParamPath, ParamsError, Proposal, Report};
use crate::policy::{self, Secrets};

/// A masked value shorter than this is not searched in free text, because it would mask half of every sentence.
const SHORTEST_VALUE: usize = 4;

/// The most bytes of masked values that are searched for one decision. Beyond that, all text is masked.
pub(super) const MAX_VALUES: usize = 64 << 10;

/// What the policy masks in one decision.
#[derive(Clone, Copy)]
pub(super) struct Masking<'a> {
    /// Parameters by path, from the rule and the policy.
    pub(super) redact: &'a [ParamPath],
    /// Values that look like secrets.
    pub(super) secrets: &'a Secrets,
}

/// A masked proposal, for the record.
pub(super) struct Masked {
    /// The proposal without its masked values.
    pub(super) proposal: Proposal,
    /// The parameters that were masked.
    pub(super) paths: Vec<ParamPath>,
    /// Digests of the masked values, made with the store's key. Equal values have equal digests.
    pub(super) digests: BTreeMap<ParamPath, Digest>,
    /// The masked values, to find them in later texts. Never stored.
    pub(super) values: Values,
    /// The original values of parameters that contain something masked. Never stored.
    pub(super) unmasked: Map<String, Value>,
}

/// Masked values to search for in free text.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    texts: Vec<String>,
    bytes: usize,
    /// Too many values to search for.
    too_many: bool,
}

impl Masking<'_> {
    /// Masks a proposal.
    pub(super) fn proposal(&self, mut proposal: Proposal, secret: &StoreSecret) -> Result<Masked, ParamsError> {
        let mut values = Values::default();
        let (params, paths) = self.map(&proposal.action.params, &mut values);
        let mut digests = BTreeMap::new();
        let original = std::mem::take(&mut proposal.action.params);
        for path in &paths {
            // A path through a list has several values. They share one digest.
            match path.values(&original)[..] {
                [] => continue,
                [value] => digests.insert(path.clone(), secret.masked_digest(value)?),
                ref values => digests.insert(path.clone(), secret.masked_digest(&values)?),
            };
        }
        let differs = |(name, value): &(String, Value)| params.get(name) != Some(value);
        let unmasked = if paths.is_empty() { Map::new() } else { original.into_iter().filter(differs).collect() };
        proposal.action.params = params;
        proposal.action.description = self.text(&proposal.action.description, &mut values);
        (proposal.metadata, _) = self.map(&proposal.metadata, &mut values);

        let finder = values.finder();
        proposal.action.description = finder.mask(&proposal.action.description);
        proposal.metadata = map_texts_of(proposal.metadata, &finder);
        Ok(Masked { proposal, paths, digests, values, unmasked })
    }

    /// Masks a report, and returns the names of the masked data.
    ///
    /// `values` are the masked values of the decision. If they are unknown, all text is masked.
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

    /// Masks a single text.
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
        // A rule may name a parameter that also has the name of a secret.
        let unnamed: Vec<_> = found.paths.into_iter().filter(|path| !paths.contains(path)).collect();
        paths.extend(unnamed);
        (shown, paths)
    }
}

impl Values {
    /// The values of a decision that masked some which are unknown now.
    fn unknown() -> Self {
        Self { too_many: true, ..Self::default() }
    }

    /// These texts.
    #[cfg(test)]
    pub(super) fn of(texts: impl IntoIterator<Item = String>) -> Self {
        let mut values = Self::default();
        values.extend(texts.into_iter().collect());
        values
    }

    /// Estimates their memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.texts.len() * size_of::<String>()
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

    /// The texts and numbers in a value. The depth of values is bounded when they arrive.
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
        // Of two matches at one place, the longer one. Otherwise a part of a longer secret would stay.
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
    /// The values are unknown: every text is masked.
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

/// Masks every text in a value, at any depth. The depth of values is bounded when they arrive.
fn map_texts(value: Value, finder: &Finder) -> Value {
    match value {
        Value::String(string) => Value::String(finder.mask(&string)),
        Value::Array(items) => items.into_iter().map(|item| map_texts(item, finder)).collect(),
        Value::Object(map) => Value::Object(map_texts_of(map, finder)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ResultStatus;
    use serde_json::json;

    fn secret() -> StoreSecret {
        StoreSecret::new(&[7; 32]).unwrap()
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
        let masked = masking.proposal(proposal(&params, "log in with hunter22", &metadata), &secret()).unwrap();
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
        let digest = |value: Value, secret: &StoreSecret| {
            let proposal = proposal(&json!({"password": value}), "", &json!({}));
            masking.proposal(proposal, secret).unwrap().digests[&ParamPath::new("password")]
        };
        assert_eq!(digest(json!("a"), &secret()), digest(json!("a"), &secret()));
        assert_ne!(digest(json!("a"), &secret()), digest(json!("b"), &secret()));
        assert_ne!(digest(json!("a"), &secret()), digest(json!("a"), &StoreSecret::new(&[8; 32]).unwrap()));
    }

    #[test]
    fn where_the_values_are_unknown_every_text_is_masked() {
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
        let masked = masking.proposal(proposal(&many, "plain words", &json!({})), &secret()).unwrap();
        assert_eq!(masked.proposal.action.description, "[masked, 11 characters]");
    }
}
