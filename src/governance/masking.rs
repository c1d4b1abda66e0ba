//! Masks values before they reach the record. In parameters it finds them by path, name and format; in free text by
//! value and format.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::{Map, Value};

use super::secret::StoreSecret;
use crate::domain::{
    self, Digest, Mark, Marks, MaskedText, ParamPath, ParamsError, Pointer, Proposal, Report, Stretch, placeholder,
};
use crate::policy::{self, Secrets};

/// A masked value shorter than this is not searched in free text, because it would mask half of every sentence.
const SHORTEST_VALUE: usize = 4;

/// The most masked parameters of one decision that get a digest, in the order of the parameters: a digest takes more
/// space than most secrets.
const MAX_DIGESTS: usize = 64;

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
    /// Where each placeholder stands.
    pub(super) marks: Vec<Mark>,
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
        let (mut values, mut marks) = (Values::default(), Marks::default());
        let (params, paths) = self.map(&proposal.action.params, &Pointer::to("params"), &mut values, &mut marks);
        let mut digests = BTreeMap::new();
        let original = std::mem::take(&mut proposal.action.params);
        for path in paths.iter().take(MAX_DIGESTS) {
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
        let description = self.text(&proposal.action.description, &mut values);
        let root = Pointer::to("metadata");
        let (metadata, _) = self.map(&proposal.metadata, &root, &mut values, &mut marks);

        let mut finder = values.finder(&mut marks);
        proposal.action.description = finder.text(description, &mut Pointer::to("description"));
        proposal.metadata = finder.map(metadata, &mut root.clone());
        let marks = marks.into_list();
        Ok(Masked { proposal, paths, marks, digests, values, unmasked })
    }

    /// Masks a report, and returns the names of the masked data, and where each placeholder stands.
    ///
    /// `values` are the masked values of the decision. If they are unknown, all text is masked.
    pub(super) fn report(&self, report: Report, values: Option<Values>) -> (Report, Vec<ParamPath>, Vec<Mark>) {
        let (mut values, mut marks) = (values.unwrap_or_else(Values::unknown), Marks::default());
        let (mut paths, mut root) = (Vec::new(), Pointer::to("data"));
        let data = report.data.map(|data| match data {
            Value::Object(map) => {
                let (map, masked) = self.map(&map, &root, &mut values, &mut marks);
                paths = masked;
                Value::Object(map)
            }
            other => {
                let (shown, found) = self.secrets.mask_alone(&other, &root, &mut marks);
                values.extend(found);
                shown
            }
        });
        let error = self.text(&report.error, &mut values);
        let mut finder = values.finder(&mut marks);
        let data = data.map(|data| finder.value(data, &mut root));
        let error = finder.text(error, &mut Pointer::to("error"));
        (Report { data, error, ..report }, paths, marks.into_list())
    }

    /// Masks a single text.
    fn text(&self, text: &str, values: &mut Values) -> MaskedText {
        let mut found = Vec::new();
        let masked = self.secrets.mask_text(text, &mut found);
        values.extend(found);
        masked
    }

    fn map(
        &self,
        original: &Map<String, Value>,
        root: &Pointer,
        values: &mut Values,
        marks: &mut Marks,
    ) -> (Map<String, Value>, Vec<ParamPath>) {
        let (mut shown, mut paths) = policy::mask(original, self.redact.iter(), root, marks);
        for path in &paths {
            path.values(original).into_iter().for_each(|value| values.collect(Some(value)));
        }
        let found = self.secrets.mask(&mut shown, original, root, marks);
        values.extend(found.values);
        // A rule may name a parameter that also has the name of a secret.
        let named: BTreeSet<_> = paths.iter().cloned().collect();
        paths.extend(found.paths.into_iter().filter(|path| !named.contains(path)));
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

    /// What masks these values in free text, and marks the placeholders.
    fn finder<'m>(&self, marks: &'m mut Marks) -> Finder<'m> {
        let sought = if self.too_many {
            Sought::All
        } else if self.texts.is_empty() {
            Sought::None
        } else {
            // Of two matches at one place, the longer one. Otherwise a part of a longer secret would stay.
            let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&self.texts);
            automaton.map_or(Sought::All, Sought::These)
        };
        Finder { sought, marks }
    }
}

/// Finds masked values in free text. It leaves placeholders as they are.
struct Finder<'m> {
    sought: Sought,
    marks: &'m mut Marks,
}

enum Sought {
    None,
    These(AhoCorasick),
    /// The values are unknown: every text is masked.
    All,
}

impl Finder<'_> {
    /// Masks a text whose stretches are known, and marks all of them.
    fn text(&mut self, shown: MaskedText, at: &mut Pointer) -> String {
        let MaskedText { text, stretches } = match &self.sought {
            Sought::All if !shown.text.is_empty() => {
                let characters = shown.text.chars().count();
                self.marks.whole(at, characters);
                return placeholder(characters);
            }
            Sought::These(automaton) => masked_between(automaton, &shown),
            _ => shown,
        };
        self.marks.within(at, stretches);
        text
    }

    fn map(&mut self, map: Map<String, Value>, at: &mut Pointer) -> Map<String, Value> {
        if matches!(self.sought, Sought::None) {
            return map;
        }
        let member = |(key, value): (String, Value)| {
            let before = at.enter(&key);
            let value = self.value(value, at);
            at.leave(before);
            (key, value)
        };
        map.into_iter().map(member).collect()
    }

    /// Masks every text in a value, at any depth. The depth of values is bounded when they arrive.
    fn value(&mut self, value: Value, at: &mut Pointer) -> Value {
        match value {
            Value::String(text) => {
                let stretches = match self.marks.at(at) {
                    Some(domain::Masked::Whole(_)) => return Value::String(text),
                    Some(domain::Masked::Within(stretches)) => stretches.clone(),
                    None => Vec::new(),
                };
                Value::String(self.text(MaskedText { text, stretches }, at))
            }
            Value::Array(items) => {
                let item = |(i, item)| {
                    let before = at.enter_index(i);
                    let item = self.value(item, at);
                    at.leave(before);
                    item
                };
                items.into_iter().enumerate().map(item).collect()
            }
            Value::Object(map) => Value::Object(self.map(map, at)),
            other => other,
        }
    }
}

/// Masks what is found in the text between the placeholders.
fn masked_between(automaton: &AhoCorasick, shown: &MaskedText) -> MaskedText {
    let (mut masked, mut at) = (MaskedText::default(), 0);
    for part in shown.parts() {
        let text = match part {
            Ok(text) => text,
            Err((placeholder, Stretch { length, .. })) => {
                let end = u32::try_from(placeholder.len()).unwrap_or(u32::MAX);
                let stretches = vec![Stretch { start: 0, end, length }];
                masked.push(&mut at, &MaskedText { text: placeholder.to_owned(), stretches });
                continue;
            }
        };
        let mut copied = 0;
        for found in automaton.find_iter(text) {
            masked.push_text(&mut at, &text[copied..found.start()]);
            masked.push_placeholder(&mut at, text[found.range()].chars().count());
            copied = found.end();
        }
        masked.push_text(&mut at, &text[copied..]);
    }
    masked
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

        let (report, paths, _) =
            masking.report(report(json!({"echo": ["hunter22"], "iban": 1}), "hunter22 is wrong"), Some(masked.values));
        let data = json!({"echo": ["[masked, 8 characters]"], "iban": "[masked, 1 characters]"});
        assert_eq!((report.data, report.error.as_str()), (Some(data), "[masked, 8 characters] is wrong"));
        assert_eq!(paths, [ParamPath::new("iban")]);
    }

    #[test]
    fn every_placeholder_is_marked_and_nothing_that_an_agent_wrote() {
        let secrets = Secrets::default();
        let redact = [ParamPath::new("people.iban")];
        let masking = Masking { redact: &redact, secrets: &secrets };
        let fake = "[masked, 8 characters]";
        let jwt = format!("eyJ{}.eyJ{}.{}", "a1".repeat(10), "b2".repeat(15), "c3".repeat(10));
        let params = json!({
            "people": [{"iban": "DE89"}, {"iban": 12, "note": fake}],
            "command": format!("curl -H '{jwt}' # {fake}"),
            "password": "masked",
        });
        let metadata = json!({"a/b": "masked", "fake": fake});
        let description = format!("{fake} and masked");
        let masked = masking.proposal(proposal(&params, &description, &metadata), &secret()).unwrap();
        let shown = masked.proposal;
        let document = json!({
            "params": shown.action.params, "metadata": shown.metadata, "description": shown.action.description,
        });
        let mut marked = Vec::new();
        for Mark { pointer, start, end, length } in masked.marks {
            let text = document.pointer(&pointer).unwrap().as_str().unwrap();
            let (start, end) = (start.unwrap_or(0) as usize, end.map_or(text.chars().count(), |end| end as usize));
            let stretch: String = text.chars().skip(start).take(end - start).collect();
            assert_eq!(stretch, format!("[masked, {length} characters]"), "{pointer}");
            marked.push((pointer, start));
        }
        let marked: Vec<_> = marked.iter().map(|(pointer, start)| (pointer.as_str(), *start)).collect();
        // "masked" is a secret here: so it is one in the agent's look-alikes, too, and not in real placeholders.
        assert_eq!(
            marked,
            [
                ("/description", 1),
                ("/description", 43),
                ("/metadata/a~1b", 0),
                ("/metadata/fake", 1),
                ("/params/command", 9),
                ("/params/password", 0),
                ("/params/people/0/iban", 0),
                ("/params/people/1/iban", 0),
            ]
        );
        assert_eq!(document.pointer("/params/people/1/note").unwrap(), fake, "what is no mark stays text");
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
        let (report, _, _) = masking.report(report(json!(["abc", 1]), "no"), None);
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
