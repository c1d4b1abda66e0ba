//! Keeping what a policy masks out of the record: in parameters by path, in free text by value.

use std::collections::{HashMap, VecDeque};

use serde_json::{Map, Value};

use crate::audit::record::DecisionRecord;
use crate::domain::{DecisionId, ParamPath, Proposal, Report};
use crate::policy;

/// A masked value shorter than this is not looked for in free text: it would hide half of every sentence.
const SHORTEST_SECRET: usize = 4;

/// For how many allowed actions the masked values are kept in mind until their result is reported.
const HELD: usize = 10_000;

/// What a proposal looks like on the record.
pub(super) struct Masked {
    /// The proposal with every masked value taken out.
    pub(super) proposal: Proposal,
    /// The parameters that were masked.
    pub(super) paths: Vec<ParamPath>,
    /// The values themselves, to be looked for in what is said later. Never stored.
    pub(super) secrets: Vec<String>,
}

/// Takes out of a proposal what the policy masks.
pub(super) fn mask_proposal(proposal: Proposal, redact: &[ParamPath]) -> Masked {
    if redact.is_empty() {
        return Masked { proposal, paths: Vec::new(), secrets: Vec::new() };
    }
    let (params, paths) = policy::mask(&proposal.action.params, redact.iter());
    let mut secrets = Vec::new();
    for path in &paths {
        collect(path.literal(&proposal.action.params), &mut secrets);
        collect(path.nested(&proposal.action.params), &mut secrets);
    }
    // Longest first, so that a secret that contains another is not left in halves.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();

    let mut masked = proposal;
    masked.action.params = params;
    masked.action.description = mask_text(&masked.action.description, &secrets);
    masked.metadata = mask_map(&masked.metadata, redact, &secrets);
    Masked { proposal: masked, paths, secrets }
}

/// Takes out of a report what the policy masks, and says which paths that were.
///
/// Where the decision masked values that are not in mind any more, every text of the report is masked whole.
pub(super) fn mask_report(
    report: Report,
    decision: &DecisionRecord,
    secrets: Option<&[String]>,
) -> (Report, Vec<ParamPath>) {
    if decision.redact.is_empty() {
        return (report, Vec::new());
    }
    let forgotten = secrets.is_none() && !decision.masked.is_empty();
    let secrets = secrets.unwrap_or_default();
    let text = |text: &str| {
        if forgotten && !text.is_empty() { policy::masked_text(text) } else { mask_text(text, secrets) }
    };
    let mut paths = Vec::new();
    let data = report.data.map(|data| match data {
        Value::Object(map) => {
            let (map, masked) = policy::mask(&map, decision.redact.iter());
            paths = masked;
            map_texts(Value::Object(map), &text)
        }
        other => map_texts(other, &text),
    });
    (Report { data, error: text(&report.error), ..report }, paths)
}

fn mask_map(map: &Map<String, Value>, redact: &[ParamPath], secrets: &[String]) -> Map<String, Value> {
    let (map, _) = policy::mask(map, redact.iter());
    match map_texts(Value::Object(map), &|text| mask_text(text, secrets)) {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Applies a function to every text of a value, at any depth. Values are bounded in depth where they come in.
fn map_texts(value: Value, text: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(string) => Value::String(text(&string)),
        Value::Array(items) => items.into_iter().map(|item| map_texts(item, text)).collect(),
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(key, value)| (key, map_texts(value, text))).collect())
        }
        other => other,
    }
}

fn mask_text(text: &str, secrets: &[String]) -> String {
    let mut masked = text.to_owned();
    for secret in secrets {
        if masked.contains(secret.as_str()) {
            masked = masked.replace(secret.as_str(), &policy::masked_text(secret));
        }
    }
    masked
}

/// The texts and numbers below a value that are long enough to be looked for.
fn collect(value: Option<&Value>, secrets: &mut Vec<String>) {
    match value {
        Some(Value::String(text)) if text.chars().count() >= SHORTEST_SECRET => secrets.push(text.clone()),
        Some(Value::Number(number)) if number.to_string().len() >= SHORTEST_SECRET => secrets.push(number.to_string()),
        Some(Value::Array(items)) => items.iter().for_each(|item| collect(Some(item), secrets)),
        Some(Value::Object(map)) => map.values().for_each(|item| collect(Some(item), secrets)),
        _ => {}
    }
}

/// The masked values of decisions whose result is still to come.
#[derive(Debug, Default)]
pub(super) struct Held {
    secrets: HashMap<DecisionId, Vec<String>>,
    order: VecDeque<DecisionId>,
}

impl Held {
    /// Keeps the values of one decision in mind; forgets the oldest where there are too many.
    pub(super) fn keep(&mut self, decision_id: DecisionId, secrets: Vec<String>) {
        if self.order.len() >= HELD
            && let Some(oldest) = self.order.pop_front()
        {
            self.secrets.remove(&oldest);
        }
        self.order.push_back(decision_id);
        self.secrets.insert(decision_id, secrets);
    }

    /// Forgets the values of one decision.
    pub(super) fn forget(&mut self, decision_id: DecisionId) {
        self.secrets.remove(&decision_id);
    }

    /// The values of one decision, if they are still in mind.
    pub(super) fn get(&self, decision_id: DecisionId) -> Option<Vec<String>> {
        self.secrets.get(&decision_id).cloned()
    }
}
