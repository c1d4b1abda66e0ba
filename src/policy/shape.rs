//! The shape of a value: what `param_schema` says, in JSON Schema (draft 2020-12).
//!
//! It is a part of JSON Schema, read strictly: an unknown keyword is refused, because a validator would ignore it and a
//! misspelt `requird` would guard nothing. `$ref` is not in it (YAML anchors do that), nor is `format`, which most
//! validators do not check. Patterns run in linear time, and nothing is fetched. The tests compare the answers with
//! those of the `jsonschema` crate. That crate itself reads schemas leniently and without places in a file, and would
//! bring a second engine for regular expressions, which backtracks.
//!
//! The depth of schemas and of values is bounded where they enter, so the recursion is bounded too.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Number, Value};

use super::pattern::Pattern;
use super::value;

/// What a value must be like.
#[derive(Clone, Debug)]
pub struct Shape {
    source: Value,
    checks: Vec<Check>,
}

/// One demand on a value. A demand on one type is met by every value of another, as JSON Schema has it.
#[derive(Clone, Debug)]
pub(super) enum Check {
    /// Nothing passes.
    Never,
    Types(Vec<Type>),
    Enum(Vec<Value>),
    /// The number is in one of these orders to the limit.
    Bound(Number, fn(Ordering) -> bool),
    Characters(Count),
    Elements(Count),
    Keys(Count),
    Pattern(Pattern),
    Items {
        prefix: Vec<Shape>,
        rest: Option<Box<Shape>>,
    },
    Contains(Box<Shape>),
    Unique,
    Required(Vec<String>),
    Properties {
        named: BTreeMap<String, Shape>,
        patterns: Vec<(Pattern, Shape)>,
        rest: Option<Box<Shape>>,
    },
    PropertyNames(Box<Shape>),
    All(Vec<Shape>),
    Any(Vec<Shape>),
    One(Vec<Shape>),
    Not(Box<Shape>),
}

/// A bound of a length.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Min(u64),
    Max(u64),
}

/// A type of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Boolean,
    /// A number without a fraction; 1.0 is one.
    Integer,
    Number,
    String,
    Array,
    Object,
}

impl Type {
    pub(super) const ALL: [(&'static str, Self); 7] = [
        ("null", Self::Null),
        ("boolean", Self::Boolean),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("string", Self::String),
        ("array", Self::Array),
        ("object", Self::Object),
    ];

    fn has(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Null, Value::Null)
            | (Self::Boolean, Value::Bool(_))
            | (Self::Number, Value::Number(_))
            | (Self::String, Value::String(_))
            | (Self::Array, Value::Array(_))
            | (Self::Object, Value::Object(_)) => true,
            (Self::Integer, Value::Number(number)) => {
                !number.is_f64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
            }
            _ => false,
        }
    }
}

impl Count {
    fn has(self, length: usize) -> bool {
        match self {
            Self::Min(min) => length as u64 >= min,
            Self::Max(max) => length as u64 <= max,
        }
    }
}

impl Shape {
    pub(super) fn new(source: Value, checks: Vec<Check>) -> Self {
        Self { source, checks }
    }

    /// The schema as the policy writes it.
    pub fn source(&self) -> &Value {
        &self.source
    }

    /// Whether a value fits.
    pub fn fits(&self, value: &Value) -> bool {
        self.checks.iter().all(|check| check.passes(value))
    }
}

impl Check {
    fn passes(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Never, _) => false,
            (Self::Types(types), value) => types.iter().any(|wanted| wanted.has(value)),
            (Self::Enum(values), value) => values.iter().any(|one| value::equal(one, value)),
            (Self::All(shapes), value) => shapes.iter().all(|shape| shape.fits(value)),
            (Self::Any(shapes), value) => shapes.iter().any(|shape| shape.fits(value)),
            (Self::One(shapes), value) => shapes.iter().filter(|shape| shape.fits(value)).take(2).count() == 1,
            (Self::Not(shape), value) => !shape.fits(value),
            (Self::Bound(limit, holds), Value::Number(_)) => {
                value::compare(value, &Value::Number(limit.clone())).is_some_and(holds)
            }
            (Self::Characters(count), Value::String(text)) => count.has(text.chars().count()),
            (Self::Pattern(pattern), Value::String(text)) => pattern.is_match(text),
            (Self::Elements(count), Value::Array(items)) => count.has(items.len()),
            (Self::Items { prefix, rest }, Value::Array(items)) => {
                let (first, others) = items.split_at(prefix.len().min(items.len()));
                first.iter().zip(prefix).all(|(item, shape)| shape.fits(item))
                    && rest.as_ref().is_none_or(|rest| others.iter().all(|item| rest.fits(item)))
            }
            (Self::Contains(shape), Value::Array(items)) => items.iter().any(|item| shape.fits(item)),
            (Self::Unique, Value::Array(items)) => {
                items.iter().enumerate().all(|(i, one)| !items[..i].iter().any(|other| value::equal(one, other)))
            }
            (Self::Keys(count), Value::Object(map)) => count.has(map.len()),
            (Self::Required(names), Value::Object(map)) => names.iter().all(|name| map.contains_key(name)),
            (Self::Properties { named, patterns, rest }, Value::Object(map)) => map.iter().all(|(name, value)| {
                let own = named.get(name);
                let mut matching = patterns.iter().filter(|(pattern, _)| pattern.is_match(name)).peekable();
                let is_known = own.is_some() || matching.peek().is_some();
                own.is_none_or(|shape| shape.fits(value))
                    && matching.all(|(_, shape)| shape.fits(value))
                    && (is_known || rest.as_ref().is_none_or(|rest| rest.fits(value)))
            }),
            (Self::PropertyNames(shape), Value::Object(map)) => {
                map.keys().all(|name| shape.fits(&Value::from(name.as_str())))
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::json;

    use super::*;
    use crate::policy::{Condition, Policy, Source, Test};

    /// The shape, as a policy gives it.
    fn shape(schema: &Value) -> Option<Shape> {
        let text = json!({"rules": [{"conditions": {"param_schema": {"n": schema}}}]}).to_string();
        let policy = Policy::load(&[Source { name: "p".to_owned(), text }]).ok()?;
        match policy.rules()[0].conditions.first() {
            Some(Condition::Param(_, Test::Schema(shape))) => Some((**shape).clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_end_of_a_pattern_is_the_very_end() {
        let shape = shape(&json!({"pattern": "^prod$"})).unwrap();
        assert!(shape.fits(&json!("prod")) && !shape.fits(&json!("prod\n")));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = select(vec![
            json!(null),
            json!(true),
            json!(0),
            json!(1),
            json!(1.0),
            json!(1.5),
            json!(-3),
            json!(""),
            json!("a"),
            json!("äb"),
            json!("abc"),
        ]);
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(select(vec!["a", "b", "ab"]), inner, 0..3).prop_map(|map| json!(map)),
            ]
        })
    }

    fn schemas() -> impl Strategy<Value = Value> {
        let types = select(vec!["null", "boolean", "integer", "number", "string", "array", "object"]);
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            types.clone().prop_map(|kind| json!({"type": kind})),
            prop::collection::vec(types, 1..3).prop_map(|kinds| {
                let kinds: std::collections::BTreeSet<_> = kinds.into_iter().collect();
                json!({"type": kinds})
            }),
            values().prop_map(|value| json!({"const": value})),
            prop::collection::vec(values(), 1..3).prop_map(|values| json!({"enum": values})),
            (select(vec!["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]), -2..3_i32)
                .prop_map(|(key, limit)| json!({key: limit})),
            (
                select(vec!["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"]),
                0..4_u32,
            )
                .prop_map(|(key, count)| json!({key: count})),
            select(vec!["^a", "b$", "^$", "."]).prop_map(|pattern| json!({"pattern": pattern})),
            Just(json!({"uniqueItems": true})),
            Just(json!({"required": ["a"]})),
        ];
        leaf.prop_recursive(3, 10, 3, |inner| {
            let list = || prop::collection::vec(inner.clone(), 1..3);
            prop_oneof![
                (select(vec!["allOf", "anyOf", "oneOf", "prefixItems"]), list())
                    .prop_map(|(key, shapes)| json!({key: shapes})),
                (select(vec!["not", "items", "contains", "additionalProperties", "propertyNames"]), inner.clone())
                    .prop_map(|(key, shape)| json!({key: shape})),
                (inner.clone(), inner.clone()).prop_map(|(one, other)| json!({"prefixItems": [one], "items": other})),
                (inner.clone(), inner.clone(), inner.clone()).prop_map(|(one, other, rest)| {
                    json!({"properties": {"a": one}, "patternProperties": {"b": other}, "additionalProperties": rest})
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn a_value_fits_if_a_validator_of_json_schema_says_so(
            schema in schemas(), values in prop::collection::vec(values(), 8),
        ) {
            let shape = shape(&schema);
            prop_assert!(shape.is_some(), "{} does not load", schema);
            let validator = jsonschema::draft202012::new(&schema).unwrap();
            for value in values {
                let fits = shape.as_ref().is_some_and(|shape| shape.fits(&value));
                prop_assert_eq!(fits, validator.is_valid(&value), "{} against {}", value, schema);
            }
        }
    }
}
