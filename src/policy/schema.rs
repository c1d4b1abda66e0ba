//! The format of a policy file as a JSON Schema, for editors and for whoever writes policies with a program.
//!
//! It is true both ways: what loads is valid, and what is valid loads, except for the few things that a schema cannot say, which
//! its `$comment` lists. A test holds the two against each other.

use serde_json::{Value, json};

use super::glob::MAX_CHARS;
use super::read::{MAX_NAME, MAX_PATTERN, MAX_REASON};
use super::verdict::DEFAULT_RULE;
use crate::domain::{Approval, RiskLevel};

/// What loading refuses and a schema cannot express.
const BEYOND: &str = "What a schema cannot say and loading checks besides: the size and depth of a file; equal keys, tags, anchors and \
    `<<` (a schema sees the result); the same rule name twice in a file; whether a pattern of param_matches compiles; whether a \
    timezone exists; a time_before that equals time_after; a timeout above 720h; numbers beyond 2^53 that are written as integers, \
    and a version or weekday written with a fraction (1.0).";

/// The JSON Schema (draft 2020-12) of a policy file.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:aegis:policy:1",
        "title": "Aegis policy",
        "description": "What an agent may do alone, what a person must agree to, what never happens. The first rule that matches decides.",
        "$comment": BEYOND,
        "type": "object",
        "properties": {
            "version": { "description": "The version of this format. May be left out.", "enum": ["1", 1] },
            "defaults": {
                "description": "What an action gets that no rule matches. A rule does not inherit these.",
                "type": "object",
                "properties": {
                    "risk_level": { "$ref": "#/$defs/risk_level" },
                    "approval": { "$ref": "#/$defs/approval" },
                },
                "additionalProperties": false,
            },
            "rules": {
                "description": "Tried from the first to the last. Those of a later layer are tried before those of an earlier one.",
                "type": "array",
                "items": { "$ref": "#/$defs/rule" },
            },
            "redact": {
                "description": "Parameters that are masked before they are stored or shown, whatever rule decides.",
                "$ref": "#/$defs/params",
            },
        },
        "patternProperties": { "^x-": { "description": "Free for anchors: nothing reads it." } },
        "additionalProperties": false,
        "$defs": {
            "risk_level": {
                "description": "low: reading. medium: single writes. high: bulk operations. critical: what cannot be undone.",
                "enum": RiskLevel::ALL.map(RiskLevel::as_str),
            },
            "approval": {
                "description": "auto: run at once. confirm: ask the agent's own user. approve: ask a reviewer. block: never.",
                "enum": Approval::ALL.map(Approval::as_str),
            },
            "glob": {
                "description": "Matches the whole text. * any run, ? one character, [abc] or [a-z] one of these, [!abc] none of these.",
                "type": "string",
                "maxLength": MAX_CHARS,
            },
            "params": {
                "type": "array",
                "items": {
                    "description": "The name of a parameter: a key, or a path like user.address.city.",
                    "type": "string",
                    "minLength": 1,
                },
            },
            "rule": rule(),
            "conditions": conditions(),
            "group": { "$ref": "#/$defs/conditions", "minProperties": 1 },
            "time": {
                "type": "string",
                "pattern": "^([01]?[0-9]|2[0-3]):[0-5][0-9]$",
                "examples": ["09:00", "18:30"],
            },
            "value": { "description": "Anything but null.", "type": ["boolean", "number", "string", "array", "object"] },
            "ordered": { "description": "A number, or a text (compared by code point).", "type": ["number", "string"] },
            "eq": per_param("The parameter equals this. 1 equals 1.0; a boolean equals no number.", &json!({ "$ref": "#/$defs/value" })),
            "compare": per_param(
                "Number against number, text against text; anything else cannot be told, which asks or blocks but never allows.",
                &json!({ "$ref": "#/$defs/ordered" }),
            ),
            "contains": per_param(
                "A text contains this text, a list this element, a mapping this key.",
                &json!({ "$ref": "#/$defs/value" }),
            ),
            "matches": per_param(
                "A regular expression is found in a text, or in a number as JSON writes it. No look-around, no back-references.",
                &json!({ "type": "string", "maxLength": MAX_PATTERN }),
            ),
            "in": per_param(
                "The parameter equals one of these.",
                &json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/value" } }),
            ),
            "exists": per_param("true: it is there and not null. false: it is not.", &json!({ "type": "boolean" })),
        },
    })
}

fn rule() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {
                "description": "What the record calls it. A later layer replaces the rule of this name in an earlier one.",
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_NAME,
                "not": { "const": DEFAULT_RULE },
            },
            "match": {
                "description": "What it is about. What is left out matches everything.",
                "type": "object",
                "properties": {
                    "type": { "description": "The type of the action.", "$ref": "#/$defs/glob" },
                    "target": { "description": "What the action acts on.", "$ref": "#/$defs/glob" },
                    "actor": {
                        "description": "Who proposes. On `approval: auto` only an authenticated name counts.",
                        "$ref": "#/$defs/glob",
                    },
                },
                "additionalProperties": false,
            },
            "conditions": { "$ref": "#/$defs/conditions" },
            "risk_level": { "default": "medium", "$ref": "#/$defs/risk_level" },
            "approval": { "default": "approve", "$ref": "#/$defs/approval" },
            "reason": {
                "description": "Shown with the decision, in place of a made-up sentence.",
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_REASON,
            },
            "constraints": { "description": "Handed to the agent as it is.", "type": "object" },
            "timeout": {
                "description": "How long an approval stays open: 30s, 5m, 1h; at most 720h.",
                "type": "string",
                "pattern": "^[1-9][0-9]{0,30}[smh]$",
                "default": "15m",
            },
            "on_timeout": {
                "description": "What becomes of an approval that nobody answered. allow is not possible on high or critical risk.",
                "enum": ["deny", "allow"],
                "default": "deny",
            },
            "redact": { "description": "Parameters that are masked before they are stored or shown.", "$ref": "#/$defs/params" },
        },
        "additionalProperties": false,
        "if": { "properties": { "on_timeout": { "const": "allow" } }, "required": ["on_timeout"] },
        "then": { "properties": { "risk_level": { "enum": ["low", "medium"] } } },
    })
}

fn conditions() -> Value {
    let groups = json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/group" } });
    let with = |description: &str, schema: &Value| {
        let mut schema = schema.clone();
        schema["description"] = json!(description);
        schema
    };
    json!({
        "description": "All of them must hold.",
        "type": "object",
        "properties": {
            "time_after": with("From this time of day on (included).", &json!({ "$ref": "#/$defs/time" })),
            "time_before": with(
                "Up to this time of day (not included). Earlier than time_after: the window crosses midnight.",
                &json!({ "$ref": "#/$defs/time" }),
            ),
            "weekdays": {
                "description": "On these days: Monday is 1, Sunday is 7.",
                "type": "array",
                "minItems": 1,
                "uniqueItems": true,
                "items": { "enum": [1, 2, 3, 4, 5, 6, 7] },
            },
            "timezone": {
                "description": "The zone that time_after, time_before and weekdays are read in: a name of the IANA database. UTC if left out.",
                "type": "string",
                "minLength": 1,
                "maxLength": 64,
                "examples": ["Europe/Berlin", "America/New_York", "UTC"],
            },
            "param_eq": { "$ref": "#/$defs/eq" },
            "param_gt": with("The parameter is greater.", &json!({ "$ref": "#/$defs/compare" })),
            "param_gte": with("The parameter is greater or equal.", &json!({ "$ref": "#/$defs/compare" })),
            "param_lt": with("The parameter is less.", &json!({ "$ref": "#/$defs/compare" })),
            "param_lte": with("The parameter is less or equal.", &json!({ "$ref": "#/$defs/compare" })),
            "param_contains": { "$ref": "#/$defs/contains" },
            "param_matches": { "$ref": "#/$defs/matches" },
            "param_in": { "$ref": "#/$defs/in" },
            "param_exists": { "$ref": "#/$defs/exists" },
            "all": with("Every one of these holds.", &groups),
            "any": with("At least one of these holds.", &groups),
            "not": with("This does not hold.", &json!({ "$ref": "#/$defs/group" })),
        },
        "additionalProperties": false,
        "dependentSchemas": {
            "timezone": { "anyOf": [
                { "required": ["time_after"] },
                { "required": ["time_before"] },
                { "required": ["weekdays"] },
            ] },
        },
    })
}

/// A mapping from names of parameters to what is expected of each.
fn per_param(description: &str, expected: &Value) -> Value {
    json!({
        "description": description,
        "type": "object",
        "minProperties": 1,
        "propertyNames": { "minLength": 1 },
        "additionalProperties": expected,
    })
}
