//! Weighs a request before it is decoded: about how much memory it will take then.
//!
//! A few bytes can become many. Two bytes are an empty element of a list, which takes a hundred when it is decoded, and
//! eight are a map with one entry, which takes a kilobyte. So protobuf is walked first, by the descriptors of the API,
//! and JSON by its punctuation. A request that would take too much is refused with the field at which it does. The
//! others take their weight of the daemon's memory until they are answered.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use prost::Message as _;
use prost::encoding::decode_varint;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet, MessageOptions};

use crate::domain::Defence;
use crate::proto::FILE_DESCRIPTOR_SET;

/// What a text or a list in a message takes by itself, without its content.
const HEAD: usize = 24;
/// What an element of a list takes for each byte of its own: lists grow by doubling, and a copy in the domain follows.
const COPIES: usize = 3;
/// A map of one entry: a node of the tree has room for eleven. The copy in the domain has another.
const MAP: usize = 1300;
/// One more entry of a map: its part of those nodes, and its key.
const ENTRY: usize = 280;
/// A value of JSON.
const VALUE: usize = 40;
/// The most values of one request: messages, elements of lists, values of JSON. A member of an object is one as well.
pub(super) const MAX_VALUES: usize = 200_000;
/// The decoder follows no deeper, and fails there.
const DEPTH: usize = 100;

/// A field that is a message.
struct Nested {
    number: u32,
    name: String,
    of: usize,
    element: Element,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    /// It stands in its message, which has room for it.
    One,
    /// It is one of many.
    Repeated,
    /// It is an entry of a map.
    Entry,
}

/// What is known of a type of message.
struct Known {
    nested: Vec<Nested>,
    /// What one takes, without what it contains.
    size: usize,
    /// Whether it is one of protobuf's own, whose fields say nothing to a caller.
    is_protobufs: bool,
}

/// The messages of the API.
struct Api {
    types: Vec<Known>,
    /// The type that each method takes.
    inputs: HashMap<String, usize>,
}

/// A request takes too much memory.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooHeavy {
    /// The field at which it does; empty in JSON.
    pub(super) field: String,
    /// Whether it has too many values, however small.
    pub(super) is_many: bool,
}

static API: LazyLock<Api> = LazyLock::new(|| Api::read(FILE_DESCRIPTOR_SET));

/// The memory in bytes that the message to this method will take, at most `limit`. What is no method of the API weighs
/// what it measures: health and reflection take small messages only.
pub(super) fn message(path: &str, message: &[u8], limit: usize) -> Result<usize, TooHeavy> {
    let api = &*API;
    let Some(&of) = api.inputs.get(path) else { return Ok(message.len()) };
    let mut scale = Scale { api, weight: message.len(), values: 0, limit };
    scale.message(of, message, DEPTH).map_err(|mut steps| {
        steps.reverse();
        TooHeavy { field: steps.join("."), is_many: is_many(scale.values) }
    })?;
    Ok(scale.weight)
}

/// The memory in bytes that a body of JSON will take, at most `limit`. Any other body weighs what it measures.
pub(super) fn json(body: &[u8], limit: usize) -> Result<usize, TooHeavy> {
    if !body.trim_ascii_start().starts_with(b"{") && !body.trim_ascii_start().starts_with(b"[") {
        return Ok(body.len());
    }
    let (mut weight, mut values) = (body.len(), 1);
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in body {
        let takes = match byte {
            _ if is_escaped => {
                is_escaped = false;
                continue;
            }
            b'\\' if is_text => {
                is_escaped = true;
                continue;
            }
            b'"' => {
                is_text = !is_text;
                continue;
            }
            _ if is_text => continue,
            b'{' => MAP,
            b'[' => HEAD,
            b':' => ENTRY,
            b',' => VALUE * COPIES,
            _ => continue,
        };
        values += 1;
        weight += takes;
        if weight > limit || is_many(values) {
            return Err(TooHeavy { field: String::new(), is_many: is_many(values) });
        }
    }
    Ok(weight)
}

fn is_many(values: usize) -> bool {
    values > MAX_VALUES && Defence::ManyValues.on()
}

struct Scale<'a> {
    api: &'a Api,
    weight: usize,
    values: usize,
    limit: usize,
}

impl Scale<'_> {
    /// Adds what this message contains. The error has the path to the field, innermost first.
    ///
    /// What cannot be read ends the walk as it ends the decoder.
    fn message(&mut self, of: usize, mut bytes: &[u8], depth: usize) -> Result<(), Vec<String>> {
        if depth == 0 {
            return Ok(());
        }
        let known = &self.api.types[of];
        let mut entries = 0_usize;
        while !bytes.is_empty() {
            let Ok(key) = decode_varint(&mut bytes) else { return Ok(()) };
            let nested = known.nested.iter().find(|nested| u64::from(nested.number) == key >> 3);
            let length = match key & 7 {
                0 => {
                    let Ok(_) = decode_varint(&mut bytes) else { return Ok(()) };
                    continue;
                }
                1 => 8,
                2 => match decode_varint(&mut bytes).map(usize::try_from) {
                    Ok(Ok(length)) => length,
                    _ => return Ok(()),
                },
                5 => 4,
                // A group begins or ends: no field of the API is one, and what is in it is walked as if it were here.
                _ => continue,
            };
            let Some((content, rest)) = bytes.split_at_checked(length) else { return Ok(()) };
            bytes = rest;
            if key & 7 != 2 {
                continue;
            }
            let Some(Nested { name, of, element, .. }) = nested else {
                self.add(HEAD).map_err(|()| Vec::new())?;
                continue;
            };
            let nested = &self.api.types[*of];
            let weight = match element {
                Element::One => 0,
                Element::Repeated => nested.size * COPIES,
                Element::Entry => {
                    entries += 1;
                    if entries % 6 == 1 { MAP } else { ENTRY }
                }
            };
            let walked = self.add(weight).map_err(|()| Vec::new());
            walked.and_then(|()| self.message(*of, content, depth - 1)).map_err(|mut steps| {
                if nested.is_protobufs {
                    steps.clear();
                }
                steps.push(name.clone());
                steps
            })?;
        }
        Ok(())
    }

    fn add(&mut self, weight: usize) -> Result<(), ()> {
        self.values += 1;
        self.weight = self.weight.saturating_add(weight);
        if self.weight > self.limit || is_many(self.values) { Err(()) } else { Ok(()) }
    }
}

impl Api {
    fn read(descriptors: &[u8]) -> Self {
        // The descriptors are compiled in; a test proves that they decode.
        let set = FileDescriptorSet::decode(descriptors).unwrap_or_default();
        let mut all = BTreeMap::new();
        for file in &set.file {
            let package = format!(".{}", file.package());
            file.message_type.iter().for_each(|message| collect(&package, message, &mut all));
        }
        let numbers: HashMap<&str, usize> = all.keys().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let types = all.iter().map(|(name, message)| known(name, message, &all, &numbers)).collect();
        let mut inputs = HashMap::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    inputs.extend(numbers.get(method.input_type()).map(|of| (path, *of)));
                }
            }
        }
        Self { types, inputs }
    }
}

/// Messages by their full name.
type Messages<'d> = BTreeMap<String, &'d DescriptorProto>;

fn collect<'d>(scope: &str, message: &'d DescriptorProto, into: &mut Messages<'d>) {
    let name = format!("{scope}.{}", message.name());
    message.nested_type.iter().for_each(|nested| collect(&name, nested, into));
    into.insert(name, message);
}

fn known(name: &str, message: &DescriptorProto, all: &Messages<'_>, numbers: &HashMap<&str, usize>) -> Known {
    let nested = message.field.iter().filter(|field| field.r#type() == Type::Message).filter_map(|field| {
        let of = all.get(field.type_name())?;
        let element = match field.label() {
            Label::Repeated if of.options.as_ref().is_some_and(MessageOptions::map_entry) => Element::Entry,
            Label::Repeated => Element::Repeated,
            _ => Element::One,
        };
        let number = u32::try_from(field.number()).ok()?;
        Some(Nested { number, name: field.name().to_owned(), of: *numbers.get(field.type_name())?, element })
    });
    let is_protobufs = name.starts_with(".google.protobuf.");
    Known { nested: nested.collect(), size: size(message, all, DEPTH), is_protobufs }
}

/// What a message takes without what it points to. Of a choice, the largest counts.
fn size(message: &DescriptorProto, all: &Messages<'_>, depth: usize) -> usize {
    let (mut sum, mut choices) = (8, HashMap::<i32, usize>::new());
    for field in &message.field {
        let size = match field.r#type() {
            _ if field.label() == Label::Repeated => HEAD,
            Type::Message if depth > 0 => all.get(field.type_name()).map_or(HEAD, |of| size(of, all, depth - 1)),
            Type::String | Type::Bytes => HEAD,
            _ => 8,
        };
        match field.oneof_index {
            Some(choice) => {
                let largest = choices.entry(choice).or_default();
                *largest = size.max(*largest);
            }
            None => sum += size,
        }
    }
    sum + choices.values().sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;

    const PROPOSE: &str = "/aegis.v1.GovernanceService/Propose";
    const MUCH: usize = 32 << 20;

    fn with_params(value: prost_types::Value) -> Vec<u8> {
        let params = prost_types::Struct { fields: [("a".to_owned(), value)].into() };
        let action = v1::Action { r#type: "read".into(), params: Some(params), ..v1::Action::default() };
        v1::ProposeRequest { action: Some(action), ..v1::ProposeRequest::default() }.encode_to_vec()
    }

    fn list(values: Vec<prost_types::Value>) -> prost_types::Value {
        let kind = prost_types::value::Kind::ListValue(prost_types::ListValue { values });
        prost_types::Value { kind: Some(kind) }
    }

    fn map() -> prost_types::Value {
        let fields = [(String::new(), prost_types::Value::from(true))].into();
        prost_types::Value { kind: Some(prost_types::value::Kind::StructValue(prost_types::Struct { fields })) }
    }

    #[test]
    fn the_descriptors_have_every_method_and_every_message() {
        let api = &*API;
        let of = |method: &str| &api.types[api.inputs[method]];
        for method in crate::server::access::methods() {
            assert!(of(&method).size > 0, "{method}");
        }
        let field = |known: &'static Known, name: &str| {
            let nested = known.nested.iter().find(|nested| nested.name == name).unwrap();
            (&api.types[nested.of], nested.element == Element::Entry)
        };
        let propose = of(PROPOSE);
        let (fields, is_map) = field(field(field(propose, "action").0, "params").0, "fields");
        assert!(is_map);
        assert!(field(fields, "value").0.size >= size_of::<prost_types::Value>());
        let (item, _) = field(of("/aegis.v1.GovernanceService/Evaluate"), "items");
        assert!(item.size >= size_of::<v1::EvaluateItem>());
    }

    #[test]
    fn what_is_small_on_the_wire_and_large_in_memory_is_refused_at_its_field() {
        let at = |bytes: &[u8], path: &str| message(path, bytes, MUCH).unwrap_err().field;
        assert_eq!(at(&with_params(list(vec![map(); 30_000])), PROPOSE), "action.params");
        assert_eq!(at(&with_params(list(vec![prost_types::Value::default(); 1_000_000])), PROPOSE), "action.params");
        let items = v1::EvaluateRequest { items: vec![v1::EvaluateItem::default(); 500_000], ..Default::default() };
        assert_eq!(at(&items.encode_to_vec(), "/aegis.v1.GovernanceService/Evaluate"), "items");
    }

    #[test]
    fn json_is_weighed_by_its_punctuation() {
        let params = |value: &str| format!(r#"{{"action": {{"type": "read", "params": {{"a": [{value}]}}}}}}"#);
        for (value, is_many) in [("{\"a\":1},".repeat(30_000), false), ("1,".repeat(250_000), true)] {
            let heavy = json(params(&value).as_bytes(), MUCH).unwrap_err();
            assert_eq!(heavy, TooHeavy { field: String::new(), is_many });
        }
        let text = format!(r#""{}""#, r#"{[,:\"]}"#.repeat(100_000));
        assert!(json(params(&text).as_bytes(), MUCH).unwrap() < 2 << 20, "a text is one value");
        assert_eq!(json(b"rules: [a, b, c]", MUCH).unwrap(), 16, "a policy is no JSON");
        for broken in [&b"{"[..], b"[[[[", b"{\"", b"{\"\\", b""] {
            json(broken, MUCH).unwrap();
        }
    }

    #[test]
    fn what_people_send_is_let_through() {
        for (bytes, least) in [
            (with_params(prost_types::Value::from("x".repeat(1 << 20))), 1 << 20),
            (with_params(list(vec![prost_types::Value::from(1.5); 100_000])), 3_200_000),
            (with_params(list(vec![map(); 10_000])), 10_000_000),
            (with_params(prost_types::Value::from("crm")), 20),
        ] {
            let weight = message(PROPOSE, &bytes, MUCH).unwrap();
            assert!(weight >= least, "{weight}");
        }
        let item = v1::EvaluateItem { actor: None, action: Some(v1::Action::default()) };
        let batch = v1::EvaluateRequest { items: vec![item; 1000], ..Default::default() };
        message("/aegis.v1.GovernanceService/Evaluate", &batch.encode_to_vec(), MUCH).unwrap();
    }

    #[test]
    fn what_is_no_message_ends_the_walk_and_is_left_to_the_decoder() {
        for bytes in
            [&[0xff; 64][..], &[2 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0x0f], &[2 << 3 | 3, 2 << 3 | 4], &[2 << 3]]
        {
            message(PROPOSE, bytes, MUCH).unwrap();
        }
        let deep = (0..10_000).fold(Vec::new(), |inner: Vec<u8>, _| {
            let mut bytes = vec![2 << 3 | 2];
            prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
            [bytes, inner].concat()
        });
        message(PROPOSE, &deep, MUCH).unwrap();
    }
}
