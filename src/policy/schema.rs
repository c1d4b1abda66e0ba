//! The format of a policy file as a JSON Schema, for editors and for whoever writes policies with a program.
//!
//! It is true both ways: what loads is valid, and what is valid loads. Its `$comment` lists the few exceptions, which
//! a schema cannot express. A test compares the two.

use serde_json::{Value, json};

use super::condition::CALLER;
use super::glob::MAX_CHARS;
use super::limit::By;
use super::read::{MAX_LIMITS, MAX_NAME, MAX_PATTERN, MAX_REASON, MAX_RULES, MAX_SECRETS, MAX_SET_NAME};
use super::shape::Type;
use super::verdict::DEFAULT_RULE;
use crate::domain::{Approval, RiskLevel};

/// What loading refuses but a schema cannot express.
const BEYOND: &str = "What a schema cannot say and loading checks besides: the size and depth of a file; equal keys, \
    tags, anchors and `<<` (a schema sees the result); the same rule name twice in a file; whether a pattern compiles, \
        and that one of a secret does not match the empty text; whether a name of a secret is a glob; whether a \
    timezone exists; whether a set of that name is there, and its values for match are texts; a name like \
    ${actor.id} at a place where none is possible; a target_path that contains what is resolved before; a min above \
    its max; a time_before that equals time_after; a timeout above 720h; a per above 366d; the same name of a limit \
        twice; numbers beyond 2^53 - 1 that are \
        written as integers, and a version or weekday written with a fraction (1.0).";

/// The JSON Schema (draft 2020-12) of a policy file.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:aegis:policy:1",
        "title": "Aegis policy",
        "description": "What an agent may do alone, what a person must agree to, what never happens. The first rule \
            that matches decides.",
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
                "description": "Tried from the first to the last. Those of a later layer are tried before those of an \
                    earlier one.",
                "type": "array",
                "maxItems": MAX_RULES,
                "items": { "$ref": "#/$defs/rule" },
            },
            "limits": {
                "description": "How often, or how much, may happen, whatever rule decides.",
                "type": "array",
                "maxItems": MAX_LIMITS,
                "items": limit(true),
            },
            "redact": {
                "description": "Parameters that are masked before they are stored or shown, whatever rule decides.",
                "$ref": "#/$defs/params",
            },
            "secrets": secrets(),
            "sets": {
                "description": "Lists of values by name, for { set: NAME }. A later layer replaces the set of that \
                    name in an earlier one.",
                "type": "object",
                "propertyNames": { "minLength": 1, "maxLength": MAX_SET_NAME },
                "additionalProperties": {
                    "type": "array",
                    "minItems": 1,
                    "items": { "type": ["string", "number", "boolean"] },
                },
            },
        },
        "patternProperties": { "^x-": { "description": "Free for anchors: nothing reads it." } },
        "additionalProperties": false,
        "$defs": defs(),
    })
}

fn defs() -> Value {
    let mut defs = json!({
        "risk_level": {
            "description": "low: reading. medium: single writes. high: bulk operations. critical: what cannot be \
                undone.",
            "enum": RiskLevel::ALL.map(RiskLevel::as_str),
        },
        "approval": {
            "description": "auto: run at once. confirm: ask the agent's own user. approve: ask a reviewer. block: \
                never.",
            "enum": Approval::ALL.map(Approval::as_str),
        },
        "glob": {
            "description": "Matches the whole text. * any run, ? one character, [abc] or [a-z] one of these, \
                [!abc] none of these.",
            "type": "string",
            "maxLength": MAX_CHARS,
        },
        "globs": {
            "description": "A glob, a list of globs of which one must match, or a set of them.",
            "anyOf": [
                { "$ref": "#/$defs/glob" },
                { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/glob" } },
                { "$ref": "#/$defs/set" },
            ],
        },
        "set": {
            "description": "The values of the set with this name.",
            "type": "object",
            "properties": { "set": { "type": "string", "minLength": 1, "maxLength": MAX_SET_NAME } },
            "required": ["set"],
            "additionalProperties": false,
        },
        "params": {
            "type": "array",
            "items": { "$ref": "#/$defs/param" },
        },
        "param": {
            "description": "The name of a parameter: a key, or a path like user.address.city. A list on the way \
                stands for each of its elements.",
            "type": "string",
            "pattern": "^[^.\\[\\]*]+(\\.[^.\\[\\]*]+)*$",
            "not": { "pattern": "^\\$(\\.|$)" },
        },
        "by": { "enum": By::ALL.map(By::as_str) },
        "match": matching(),
        "rule": rule(),
        "conditions": conditions(),
        "group": { "$ref": "#/$defs/conditions", "minProperties": 1 },
        "time": {
            "type": "string",
            "pattern": "^([01]?[0-9]|2[0-3]):[0-5][0-9]$",
            "examples": ["09:00", "18:30"],
        },
        "value": {
            "description": "Anything but null.",
            "type": ["boolean", "number", "string", "array", "object"],
        },
        "ordered": { "description": "A number, or a text (compared by code point).", "type": ["number", "string"] },
    });
    if let (Value::Object(defs), Value::Object(tests)) = (&mut defs, tests_of_parameters()) {
        defs.extend(tests);
    }
    defs
}

/// What `param_*` conditions expect.
fn tests_of_parameters() -> Value {
    json!({
        "eq": per_param(
            "The parameter equals this. 1 equals 1.0; a boolean equals no number. ${actor.id} is the name of whoever \
             proposes.",
            &json!({ "$ref": "#/$defs/value" }),
        ),
        "compare": per_param(
            "Number against number, text against text; anything else is unknown, which asks or blocks but never \
             allows.",
            &json!({ "$ref": "#/$defs/ordered" }),
        ),
        "contains": per_param(
            "A text contains this text, a list this element, a mapping this key.",
            &json!({ "$ref": "#/$defs/value" }),
        ),
        "matches": per_param(
            "A regular expression is found in a text, or in a number as JSON writes it. No look-around, no \
             back-references.",
            &json!({ "type": "string", "maxLength": MAX_PATTERN }),
        ),
        "in": per_param(
            "The parameter equals one of these.",
            &one_of(),
        ),
        "not_in": per_param("The parameter is there and equals none of these.", &one_of()),
        "text": per_param(
            "A text begins, or ends, with this text.",
            &json!({ "type": "string", "minLength": 1, "examples": ["/home/", CALLER] }),
        ),
        "len": per_param(
            "The length: characters of a text, elements of a list, keys of a mapping.",
            &json!({ "anyOf": [
                { "$ref": "#/$defs/count" },
                {
                    "type": "object",
                    "properties": { "min": { "$ref": "#/$defs/count" }, "max": { "$ref": "#/$defs/count" } },
                    "minProperties": 1,
                    "additionalProperties": false,
                },
            ] }),
        ),
        "count": { "type": "integer", "minimum": 0 },
        "shapes": per_param(
            "A JSON Schema. A value that does not fit is unknown, which asks or blocks but never allows.",
            &json!({ "$ref": "#/$defs/shape" }),
        ),
        "shape": shape(),
        "exists": per_param("true: it is there and not null. false: it is not.", &json!({ "type": "boolean" })),
    })
}

fn secrets() -> Value {
    json!({
        "description": "What is masked although nobody named it, in parameters and in every text: what is called, or \
            looks, like a secret.",
        "type": "object",
        "properties": {
            "defaults": {
                "description": "Whether the usual secrets are masked: passwords, tokens, keys.",
                "type": "boolean",
                "default": true,
            },
            "names": {
                "description": "Globs over the names of parameters, in any case: *iban*, {iban,bic}.",
                "type": "array",
                "maxItems": MAX_SECRETS,
                "items": { "$ref": "#/$defs/glob", "minLength": 1 },
            },
            "patterns": {
                "description": "Regular expressions. Of one with groups, the groups are masked.",
                "type": "array",
                "maxItems": MAX_SECRETS,
                "items": { "type": "string", "maxLength": MAX_PATTERN },
            },
        },
        "additionalProperties": false,
    })
}

/// What a rule or a limit is about.
fn matching() -> Value {
    json!({
        "description": "What it is about. What is left out matches everything.",
        "type": "object",
        "properties": {
            "type": { "description": "The type of the action.", "$ref": "#/$defs/globs" },
            "target": { "description": "What the action acts on.", "$ref": "#/$defs/globs" },
            "target_path": {
                "description": "The same, read as a path or URL: `..`, escapes and the case of a host are \
                    resolved first. What has no one reading is unknown.",
                "$ref": "#/$defs/globs",
            },
            "actor": {
                "description": "Who proposes. On auto, confirm and on_timeout: allow only an authenticated \
                    name counts.",
                "$ref": "#/$defs/globs",
            },
        },
        "additionalProperties": false,
    })
}

/// A limit: of a rule, or standing alone.
fn limit(alone: bool) -> Value {
    let mut limit = json!({
        "description": "How often, or how much, it may happen. The daemon counts what it allows.",
        "type": "object",
        "properties": {
            "max": {
                "description": "The most that may be spent. A whole number, unless `sum` names a parameter.",
                "type": "number",
                "minimum": 0.000_001,
                "maximum": 1_000_000_000_000_u64,
            },
            "per": {
                "description": "The time in which it may be spent, which slides: 30s, 5m, 1h, 7d. Left out: until \
                    somebody resets it.",
                "type": "string",
                "pattern": "^[1-9][0-9]*[smhd]$",
                "maxLength": 32,
            },
            "by": {
                "description": "What has a count of its own. Left out: one count of everything.",
                "anyOf": [
                    { "$ref": "#/$defs/by" },
                    { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/by" } },
                ],
            },
            "sum": {
                "description": "Add this parameter, instead of counting actions. What is not a number from 0 to 10^12 \
                    exceeds the limit.",
                "$ref": "#/$defs/param",
            },
            "count": {
                "description": "What is counted: actions that are allowed, or reports of failures in a row.",
                "enum": ["actions", "failures"],
                "default": "actions",
            },
            "approval": {
                "description": "What must happen before an action may run that would exceed it.",
                "enum": ["confirm", "approve", "block"],
                "default": "block",
            },
            "risk_level": { "$ref": "#/$defs/risk_level" },
            "release_on": {
                "description": "The reported results that give back what the action spent. The agent reports them.",
                "type": "array",
                "items": { "enum": ["failed", "skipped", "rolled_back"] },
            },
        },
        "required": ["max"],
        "additionalProperties": false,
        "if": { "not": { "required": ["sum"] } },
        "then": { "properties": { "max": { "type": "integer" } } },
        "dependentSchemas": { "sum": { "properties": { "count": { "enum": ["actions"] } } } },
        "allOf": [{
            "if": { "properties": { "count": { "const": "failures" } }, "required": ["count"] },
            "then": { "properties": { "release_on": { "maxItems": 0 } } },
        }],
    });
    if alone {
        limit["properties"]["name"] = json!({ "type": "string", "minLength": 1, "maxLength": MAX_NAME });
        limit["properties"]["match"] = json!({ "$ref": "#/$defs/match" });
        limit["properties"]["conditions"] = json!({ "$ref": "#/$defs/conditions" });
        limit["required"] = json!(["name", "max"]);
    }
    limit
}

fn rule() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {
                "description": "What the record calls it. A later layer replaces the rule of this name in an earlier \
                    one.",
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_NAME,
                "not": { "const": DEFAULT_RULE },
            },
            "match": { "$ref": "#/$defs/match" },
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
                "description": "What becomes of an approval that nobody answered. allow is not possible on high or \
                    critical risk.",
                "enum": ["deny", "allow"],
                "default": "deny",
            },
            "redact": {
                "description": "Parameters that are masked before they are stored or shown.",
                "$ref": "#/$defs/params",
            },
            "limit": limit(false),
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
                "description": "The zone that time_after, time_before and weekdays are read in: a name of the IANA \
                    database. UTC if left out.",
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
            "param_not_in": { "$ref": "#/$defs/not_in" },
            "param_starts": with("A text begins with this.", &json!({ "$ref": "#/$defs/text" })),
            "param_ends": with("A text ends with this.", &json!({ "$ref": "#/$defs/text" })),
            "param_len": { "$ref": "#/$defs/len" },
            "param_schema": { "$ref": "#/$defs/shapes" },
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

/// A list of values, or a set.
fn one_of() -> Value {
    json!({ "anyOf": [
        { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/value" } },
        { "$ref": "#/$defs/set" },
    ] })
}

/// A JSON Schema as `param_schema` takes it.
fn shape() -> Value {
    let shape = json!({ "$ref": "#/$defs/shape" });
    let shapes = json!({ "type": "array", "minItems": 1, "items": shape });
    let named = json!({ "type": "object", "additionalProperties": shape });
    let count = json!({ "$ref": "#/$defs/count" });
    let number = json!({ "type": "number" });
    let types = json!({ "enum": Type::ALL.map(|(word, _)| word) });
    json!({
        "description": "A part of JSON Schema (draft 2020-12), without $ref and format.",
        "type": ["object", "boolean"],
        "properties": {
            "type": { "anyOf": [types, { "type": "array", "minItems": 1, "items": types }] },
            "enum": { "type": "array", "minItems": 1 },
            "const": true,
            "minimum": number,
            "maximum": number,
            "exclusiveMinimum": number,
            "exclusiveMaximum": number,
            "minLength": count,
            "maxLength": count,
            "pattern": { "type": "string", "maxLength": MAX_PATTERN },
            "items": shape,
            "prefixItems": shapes,
            "contains": shape,
            "minItems": count,
            "maxItems": count,
            "uniqueItems": { "type": "boolean" },
            "properties": named,
            "patternProperties": named,
            "additionalProperties": shape,
            "propertyNames": shape,
            "required": { "type": "array", "items": { "type": "string" } },
            "minProperties": count,
            "maxProperties": count,
            "allOf": shapes,
            "anyOf": shapes,
            "oneOf": shapes,
            "not": shape,
            "description": { "type": "string" },
        },
        "additionalProperties": false,
    })
}

/// A mapping from the names of parameters to the expected value of each.
fn per_param(description: &str, expected: &Value) -> Value {
    json!({
        "description": description,
        "type": "object",
        "minProperties": 1,
        "propertyNames": { "minLength": 1 },
        "additionalProperties": expected,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::policy::{Policy, STARTER, Source};

    fn validator() -> jsonschema::Validator {
        jsonschema::draft202012::new(&schema()).unwrap()
    }

    fn loads(policy: &Value) -> Result<(), String> {
        let source = Source { name: "p".to_owned(), text: policy.to_string() };
        Policy::load(&[source]).map(drop).map_err(|errors| errors.to_string())
    }

    fn as_json(yaml: &str) -> Value {
        let mut value: serde_yaml::Value = serde_yaml::from_str(yaml).unwrap();
        value.apply_merge().unwrap();
        serde_json::to_value(value).unwrap()
    }

    #[test]
    fn the_schema_is_a_schema_and_describes_what_we_write() {
        jsonschema::meta::validate(&schema()).unwrap();
        for policy in [STARTER, include_str!("../../tests/data/everything.yaml")] {
            let policy = as_json(policy);
            assert!(
                validator().is_valid(&policy),
                "{:?}",
                validator().iter_errors(&policy).map(|e| e.to_string()).collect::<Vec<_>>()
            );
        }
    }

    /// Values that some places accept and others refuse.
    fn odd() -> impl Strategy<Value = Value> {
        let scalars = [json!(null), json!(true), json!(0), json!(1), json!(-1), json!(2.5)];
        let values = json!(["", "x", "09:00", "1", [], {}, [null], ["x"], {"x": 1}, {"x": null}, {"": 1}]);
        select([&scalars[..], values.as_array().map_or(&[], Vec::as_slice)].concat())
    }

    fn mostly(right: Value) -> impl Strategy<Value = Value> {
        let Value::Array(right) = right else { unreachable!("every place has a list of values") };
        prop_oneof![9 => select(right), 1 => odd()]
    }

    /// A mapping with some of these keys, each with a value of its own, and now and then an unknown key.
    fn some(keys: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
        let fields: Vec<_> = keys
            .into_iter()
            .map(|(key, value)| {
                prop::option::weighted(0.4, value).prop_map(move |value| value.map(|value| (key, value)))
            })
            .collect();
        let unknown = prop::option::weighted(0.03, select(vec!["nmae", "x-y", "x", "limt"]));
        (fields, unknown)
            .prop_map(|(fields, unknown)| {
                let mut map: serde_json::Map<_, _> =
                    fields.into_iter().flatten().map(|(key, value)| (key.to_owned(), value)).collect();
                map.extend(unknown.map(|key| (key.to_owned(), json!(1))));
                Value::Object(map)
            })
            .boxed()
    }

    fn leaves() -> Vec<(&'static str, BoxedStrategy<Value>)> {
        let ordered = || mostly(json!([{"n": 1}, {"n": "a", "m": 0.5}, {"n": true}, {"n": []}, {"n": {}}])).boxed();
        vec![
            ("time_after", mostly(json!(["09:00", "9:30", "23:59", "24:00", "9:5", "09:00:00"])).boxed()),
            ("time_before", mostly(json!(["10:00", "00:00", "7:60", " 10:00"])).boxed()),
            ("weekdays", mostly(json!([[1], [7, 2], [0], [8], [1, 1], ["1"]])).boxed()),
            ("timezone", mostly(json!(["UTC", "Europe/Berlin"])).boxed()),
            ("param_eq", mostly(json!([{"n": 1}, {"n": [null]}, {"n": {"a": null}}, {"n": true}])).boxed()),
            ("param_gt", ordered()),
            ("param_lte", ordered()),
            ("param_contains", mostly(json!([{"n": 1}, {"n": {"a": 1}}])).boxed()),
            ("param_matches", mostly(json!([{"n": "^a"}, {"n": ""}])).boxed()),
            ("param_in", mostly(json!([{"n": [1]}, {"n": [1, null]}, {"n": []}])).boxed()),
            ("param_exists", mostly(json!([{"n": true}, {"n": false}])).boxed()),
            ("param_not_in", mostly(json!([{"n": [1]}, {"n": {"set": "s"}}, {"n": {"st": "s"}}, {"n": []}])).boxed()),
            ("param_starts", mostly(json!([{"n": "a"}, {"n": ""}, {"n": CALLER}])).boxed()),
            (
                "param_len",
                mostly(json!([{"n": 0}, {"n": {"min": 1, "max": 2}}, {"n": {}}, {"n": -1}, {"n": 1.5}])).boxed(),
            ),
            ("param_schema", shapes()),
        ]
    }

    fn shapes() -> BoxedStrategy<Value> {
        let leaf = some(vec![
            ("type", mostly(json!(["string", ["null", "array"], [], "text", ["integer"]])).boxed()),
            ("enum", mostly(json!([[1, null], []])).boxed()),
            ("const", mostly(json!([null, {"a": 1}])).boxed()),
            ("minimum", mostly(json!([1, 1.5])).boxed()),
            ("maxLength", mostly(json!([1, -1])).boxed()),
            ("pattern", mostly(json!(["^a"])).boxed()),
            ("uniqueItems", mostly(json!([true, false])).boxed()),
            ("required", mostly(json!([["a"], [], [1]])).boxed()),
            ("description", mostly(json!(["d"])).boxed()),
            ("format", prop_oneof![20 => Just(Value::Null), 1 => Just(json!("date"))].boxed()),
        ]);
        let leaf = leaf.prop_map(|mut shape| {
            // An unknown keyword is rare.
            if shape.get("format").is_some_and(Value::is_null) {
                shape.as_object_mut().unwrap().remove("format");
            }
            shape
        });
        let shape = leaf.prop_recursive(2, 6, 2, |inner| {
            let named = || inner.clone().prop_map(|inner| json!({"a": inner})).boxed();
            let list = || prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from).boxed();
            some(vec![
                ("items", inner.clone().boxed()),
                ("prefixItems", list()),
                ("properties", named()),
                ("additionalProperties", any::<bool>().prop_map(Value::from).boxed()),
                ("anyOf", list()),
                ("not", inner.clone().boxed()),
            ])
        });
        prop_oneof![9 => shape.prop_map(|shape| json!({"n": shape})), 1 => odd()].boxed()
    }

    fn conditions() -> BoxedStrategy<Value> {
        some(leaves())
            .prop_recursive(2, 8, 2, |inner| {
                let groups = || {
                    prop_oneof![9 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from), 1 => odd()]
                        .boxed()
                };
                let mut keys = leaves();
                keys.truncate(5);
                keys.extend([("all", groups()), ("any", groups()), ("not", inner.clone().boxed())]);
                some(keys)
            })
            .boxed()
    }

    fn limit(own: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
        let keys = vec![
            ("max", mostly(json!([1, 3, 2.5, 0, -1, 1e13, 0.000_000_1, "3"])).boxed()),
            ("per", mostly(json!(["30s", "1h", "7d", "0s", "1w", "1h30m", 5, "h"])).boxed()),
            ("by", mostly(json!(["target", ["actor", "actor"], [], "actors", [1]])).boxed()),
            ("sum", mostly(json!(["amount", "a.b", "a[0]", "", 1])).boxed()),
            ("count", mostly(json!(["actions", "failures", "Failures"])).boxed()),
            ("approval", mostly(json!(["block", "approve", "auto", "deny"])).boxed()),
            ("risk_level", mostly(json!(["high", "HIGH"])).boxed()),
            ("release_on", mostly(json!([["failed"], [], ["failed", "skipped", "failed"], ["success"]])).boxed()),
        ];
        some(keys.into_iter().chain(own).collect())
    }

    fn policies() -> impl Strategy<Value = Value> {
        let level = || mostly(json!(["low", "medium", "high", "critical", "LOW", " low"])).boxed();
        let approval = || mostly(json!(["auto", "confirm", "approve", "block", "Block", "deny"])).boxed();
        let globs = || {
            mostly(json!(["*", "a[", "", "read*", ["a", "b*"], [], [1], {"set": "s"}, {"set": 1}, {"st": "s"}])).boxed()
        };
        let redact = || {
            mostly(json!([["a.b"], [], ["a", "a"], ["a.0"], [""], [1], ["a[0]"], ["a.*.b"], ["a..b"], ["$.a"], ["$"]]))
                .boxed()
        };
        let matching = some(vec![("type", globs()), ("target", globs()), ("target_path", globs()), ("actor", globs())]);
        let rule = some(vec![
            ("name", mostly(json!(["<default", "é"])).boxed()),
            ("match", matching),
            ("conditions", prop_oneof![9 => conditions(), 1 => odd()].boxed()),
            ("risk_level", level()),
            ("approval", approval()),
            ("reason", mostly(json!(["because"])).boxed()),
            ("constraints", mostly(json!([{}, {"a": [null]}])).boxed()),
            ("timeout", mostly(json!(["30s", "5m", "720h", "0s", "05m", "1d", "1h ", 5])).boxed()),
            ("on_timeout", mostly(json!(["deny", "allow"])).boxed()),
            ("redact", redact()),
            ("limit", limit(Vec::new())),
        ]);
        let own = vec![
            ("name", mostly(json!(["a", "é", "", 1])).boxed()),
            ("match", some(vec![("type", globs())])),
            ("conditions", conditions()),
        ];
        let limits = prop::collection::vec(limit(own), 0..2).prop_map(Value::from);
        some(vec![
            ("limits", prop_oneof![9 => limits, 1 => odd()].boxed()),
            ("version", mostly(json!(["1", 1, "2", 2])).boxed()),
            ("defaults", some(vec![("risk_level", level()), ("approval", approval())])),
            ("rules", prop_oneof![9 => prop::collection::vec(rule, 0..2).prop_map(Value::from), 1 => odd()].boxed()),
            ("redact", redact()),
            (
                "secrets",
                some(vec![
                    ("defaults", mostly(json!([true, false])).boxed()),
                    ("names", mostly(json!([["*a*"], ["A"], [""], [1], []])).boxed()),
                    ("patterns", mostly(json!([["a+"], [1], []])).boxed()),
                ]),
            ),
            ("sets", mostly(json!([{"s": ["a"]}, {"s": [1, true]}, {}, {"s": []}, {"s": [[]]}, {"": ["a"]}])).boxed()),
            ("x-any", odd().boxed()),
        ])
    }

    /// Whether an error is one of the exceptions that `$comment` lists.
    fn is_beyond(error: &str) -> bool {
        error.contains("no time at all")
            || error.contains("no time zone of the IANA database")
            || error.contains("a key must be text")
            || error.contains("there is no set")
            || error.contains("is already that of a limit above")
            || error.contains(".set[") && error.contains("must be text (in quotes)")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn what_loads_is_valid_and_what_is_valid_loads(policy in policies()) {
            let loaded = loads(&policy);
            prop_assume!(loaded.as_ref().err().is_none_or(|errors| !errors.lines().all(is_beyond)));
            let is_valid = VALIDATOR.with(|validator| validator.is_valid(&policy));
            prop_assert_eq!(loaded.is_ok(), is_valid, "{:?} of {}", loaded, policy);
        }
    }

    thread_local! {
        static VALIDATOR: jsonschema::Validator = validator();
    }
}
