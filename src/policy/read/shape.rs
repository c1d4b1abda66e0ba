//! A schema of `param_schema`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::fields::Reader;
use super::pattern::MAX_PATTERN;
use crate::policy::code::Code;
use crate::policy::diagnostic::{Path, quoted};
use crate::policy::pattern::Pattern;
use crate::policy::shape::{Check, Count, Shape, Type};
use crate::policy::yaml::{Node, Value};

/// The keywords of JSON Schema that say something here.
const KEYWORDS: [&str; 28] = [
    "type",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "items",
    "prefixItems",
    "contains",
    "minItems",
    "maxItems",
    "uniqueItems",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "required",
    "minProperties",
    "maxProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "description",
];

const SCHEMA: &str = "a schema: a mapping like { type: string, maxLength: 80 }";

/// The keywords that mean something only together.
#[derive(Default)]
struct Together {
    prefix: Vec<Shape>,
    items: Option<Box<Shape>>,
    named: BTreeMap<String, Shape>,
    patterns: Vec<(Pattern, Shape)>,
    additional: Option<Box<Shape>>,
}

impl Reader<'_> {
    /// A schema, or `None` if it is wrong in a way that leaves nothing.
    pub(super) fn shape(&mut self, node: &Node, path: &Path<'_>) -> Option<Shape> {
        if let Value::Bool(allowed) = node.value {
            return Some(Shape::new(node.to_json(), if allowed { Vec::new() } else { vec![Check::Never] }));
        }
        let entries = self.map(node, path, SCHEMA)?;
        let (mut checks, mut together) = (Vec::new(), Together::default());
        for entry in entries {
            let here = path.key(&entry.key);
            match entry.key.as_str() {
                "$ref" | "$defs" => {
                    let message = "a schema here refers to no other: write it out, or use an anchor of YAML";
                    self.error(entry.pos, &here, Code::UnknownKey, message);
                }
                "format" => {
                    let message = "is not checked, because validators understand it differently: write a `pattern`";
                    self.error(entry.pos, &here, Code::UnknownKey, message);
                }
                key if KEYWORDS.contains(&key) => {
                    checks.extend(self.keyword(key, &entry.value, &here, &mut together));
                }
                _ => self.unknown(entry, path, "keyword", &KEYWORDS),
            }
        }
        let Together { prefix, items, named, patterns, additional } = together;
        if !prefix.is_empty() || items.is_some() {
            checks.push(Check::Items { prefix, rest: items });
        }
        if !named.is_empty() || !patterns.is_empty() || additional.is_some() {
            checks.push(Check::Properties { named, patterns, rest: additional });
        }
        Some(Shape::new(node.to_json(), checks))
    }

    fn keyword(&mut self, key: &str, node: &Node, path: &Path<'_>, together: &mut Together) -> Option<Check> {
        let check = match key {
            "type" => Check::Types(self.types(node, path)?),
            "enum" => {
                let items = self.list(node, path, "a list of the values that it may have")?;
                if items.is_empty() {
                    self.error(node.pos, path, Code::EmptyValue, "must not be empty: nothing is in an empty list");
                }
                Check::Enum(items.iter().map(Node::to_json).collect())
            }
            "const" => Check::Enum(vec![node.to_json()]),
            "minimum" => self.bound(node, path, Ordering::is_ge)?,
            "maximum" => self.bound(node, path, Ordering::is_le)?,
            "exclusiveMinimum" => self.bound(node, path, Ordering::is_gt)?,
            "exclusiveMaximum" => self.bound(node, path, Ordering::is_lt)?,
            "minLength" => Check::Characters(Count::Min(self.count(node, path)?)),
            "maxLength" => Check::Characters(Count::Max(self.count(node, path)?)),
            "minItems" => Check::Elements(Count::Min(self.count(node, path)?)),
            "maxItems" => Check::Elements(Count::Max(self.count(node, path)?)),
            "minProperties" => Check::Keys(Count::Min(self.count(node, path)?)),
            "maxProperties" => Check::Keys(Count::Max(self.count(node, path)?)),
            "pattern" => {
                let text = self.any_text(node, path, MAX_PATTERN)?;
                Check::Pattern(self.exact_regex(text, node, path)?)
            }
            "uniqueItems" => match node.value {
                Value::Bool(true) => Check::Unique,
                Value::Bool(false) => return None,
                _ => {
                    self.wrong(node, path, "true or false");
                    return None;
                }
            },
            "required" => {
                let items = self.list(node, path, "a list of names")?;
                let names = items.iter().enumerate().map(|(i, item)| self.any_text(item, &path.item(i), usize::MAX));
                Check::Required(names.collect::<Vec<_>>().into_iter().flatten().map(str::to_owned).collect())
            }
            "contains" => Check::Contains(Box::new(self.shape(node, path)?)),
            "propertyNames" => Check::PropertyNames(Box::new(self.shape(node, path)?)),
            "not" => Check::Not(Box::new(self.shape(node, path)?)),
            "allOf" => Check::All(self.shapes(node, path)?),
            "anyOf" => Check::Any(self.shapes(node, path)?),
            "oneOf" => Check::One(self.shapes(node, path)?),
            _ => {
                self.part(key, node, path, together);
                return None;
            }
        };
        Some(check)
    }

    /// A keyword that means something only together with others, or nothing.
    fn part(&mut self, key: &str, node: &Node, path: &Path<'_>, together: &mut Together) {
        match key {
            "items" => together.items = self.shape(node, path).map(Box::new),
            "prefixItems" => together.prefix = self.shapes(node, path).unwrap_or_default(),
            "additionalProperties" => together.additional = self.shape(node, path).map(Box::new),
            "properties" | "patternProperties" => {
                let Some(entries) = self.map(node, path, "a mapping from names to schemas") else { return };
                for entry in entries {
                    let here = path.key(&entry.key);
                    let Some(shape) = self.shape(&entry.value, &here) else { continue };
                    if key == "properties" {
                        together.named.insert(entry.key.clone(), shape);
                    } else if let Some(pattern) = self.exact_regex(&entry.key, node, &here) {
                        together.patterns.push((pattern, shape));
                    }
                }
            }
            // The description says something to people alone.
            _ => {
                self.any_text(node, path, usize::MAX);
            }
        }
    }

    fn types(&mut self, node: &Node, path: &Path<'_>) -> Option<Vec<Type>> {
        let words = Type::ALL.map(|(word, _)| word);
        let items = match &node.value {
            Value::List(items) if items.is_empty() => {
                self.error(node.pos, path, Code::EmptyValue, "must not be empty: nothing is of no type");
                return None;
            }
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut types = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let place = path.item(i);
            let path = if std::ptr::eq(item, node) { path } else { &place };
            let synonyms =
                [("text", "string"), ("bool", "boolean"), ("list", "array"), ("map", "object"), ("int", "integer")];
            let word: Option<TypeWord> = self.word(item, path, "type", &words, &synonyms);
            types.push(word?.0);
        }
        Some(types)
    }

    fn bound(&mut self, node: &Node, path: &Path<'_>, holds: fn(Ordering) -> bool) -> Option<Check> {
        if let Value::Number(number) = &node.value {
            return Some(Check::Bound(number.clone(), holds));
        }
        self.wrong(node, path, "a number");
        None
    }

    /// A whole number that is not negative.
    pub(super) fn count(&mut self, node: &Node, path: &Path<'_>) -> Option<u64> {
        match &node.value {
            Value::Number(number) if number.as_u64().is_some() => number.as_u64(),
            Value::Number(_) => {
                self.error(node.pos, path, Code::InvalidValue, "must be a whole number from 0");
                None
            }
            _ => {
                self.wrong(node, path, "a whole number from 0");
                None
            }
        }
    }

    fn shapes(&mut self, node: &Node, path: &Path<'_>) -> Option<Vec<Shape>> {
        let items = self.list(node, path, "a list of schemas")?;
        if items.is_empty() {
            self.error(node.pos, path, Code::EmptyValue, "must not be empty: give it at least one schema");
        }
        let shapes: Vec<_> = items.iter().enumerate().map(|(i, item)| self.shape(item, &path.item(i))).collect();
        shapes.into_iter().collect()
    }

    /// A pattern of a schema: `$` is the very end, as JSON Schema has it.
    fn exact_regex(&mut self, text: &str, node: &Node, path: &Path<'_>) -> Option<Pattern> {
        match self.patterns.compile_exact(text) {
            Ok(pattern) => Some(pattern),
            Err(message) => {
                self.error(node.pos, path, Code::InvalidRegex, format!("`{}` {message}", quoted(text)));
                None
            }
        }
    }
}

struct TypeWord(Type);

impl std::str::FromStr for TypeWord {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Type::ALL.into_iter().find(|(known, _)| *known == word).map(|(_, meant)| Self(meant)).ok_or(())
    }
}
