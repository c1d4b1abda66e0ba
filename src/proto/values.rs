//! Counts what a request holds before it is decoded.
//!
//! A value of two bytes takes dozens of bytes of memory once it is decoded. So a request with too many values is
//! refused while it is still bytes. The descriptors say which fields hold messages; everything else is skipped.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::{Label, Type};

use super::FILE_DESCRIPTOR_SET;

/// The most values of one request: messages, and elements of lists of texts. A JSON value is one, and so is a member of
/// an object.
pub(super) const MAX_VALUES: usize = 200_000;

/// What a field holds that takes memory of its own.
enum Field {
    /// A message of this type.
    Message(String),
    /// A text or bytes in a list.
    Element,
}

/// The fields of each message type, by number.
static TYPES: LazyLock<HashMap<String, HashMap<u32, Field>>> = LazyLock::new(|| {
    let mut types = HashMap::new();
    // It is built in, and a test decodes it.
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    for file in files.file {
        let package = file.package.unwrap_or_default();
        let mut left: Vec<_> = file.message_type.into_iter().map(|message| (package.clone(), message)).collect();
        while let Some((parent, message)) = left.pop() {
            let name = format!("{parent}.{}", message.name.unwrap_or_default());
            left.extend(message.nested_type.into_iter().map(|nested| (name.clone(), nested)));
            let fields = message.field.into_iter().filter_map(|field| {
                let held = match field.r#type() {
                    Type::Message => Field::Message(field.type_name().trim_start_matches('.').to_owned()),
                    Type::String | Type::Bytes if field.label() == Label::Repeated => Field::Element,
                    _ => return None,
                };
                Some((u32::try_from(field.number()).ok()?, held))
            });
            types.insert(name, fields.collect());
        }
    }
    types
});

/// Whether an encoded message of this type (`aegis.v1.ProposeRequest`) has more values than this. A message that cannot
/// be read is counted up to its fault.
pub(super) fn has_more_than(limit: usize, type_name: &str, bytes: &[u8]) -> bool {
    let mut left = limit;
    count(type_name, bytes, &mut left, 0).is_none()
}

/// The deepest nesting that decoding follows.
const MAX_DEPTH: usize = 100;

/// `None` if there are too many values.
fn count(type_name: &str, mut bytes: &[u8], left: &mut usize, depth: usize) -> Option<()> {
    let (Some(fields), true) = (TYPES.get(type_name), depth <= MAX_DEPTH) else { return Some(()) };
    while !bytes.is_empty() {
        let Ok((number, wire)) = decode_key(&mut bytes) else { return Some(()) };
        let held = fields.get(&number).filter(|_| wire == WireType::LengthDelimited);
        let Some(held) = held else {
            if skip_field(wire, number, &mut bytes, DecodeContext::default()).is_err() {
                return Some(());
            }
            continue;
        };
        let length = decode_varint(&mut bytes).ok().and_then(|length| usize::try_from(length).ok());
        let Some((content, rest)) = length.and_then(|length| bytes.split_at_checked(length)) else { return Some(()) };
        *left = left.checked_sub(1)?;
        if let Field::Message(type_name) = held {
            count(type_name, content, left, depth + 1)?;
        }
        bytes = rest;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;

    fn list(count: usize) -> prost_types::Value {
        let values = vec![prost_types::Value { kind: None }; count];
        let kind = prost_types::value::Kind::ListValue(prost_types::ListValue { values });
        prost_types::Value { kind: Some(kind) }
    }

    #[test]
    fn values_are_counted_wherever_they_stand() {
        let params = prost_types::Struct { fields: [("list".to_owned(), list(1000))].into() };
        let action = v1::Action { params: Some(params.clone()), ..v1::Action::default() };
        let propose = v1::ProposeRequest { action: Some(action.clone()), ..v1::ProposeRequest::default() };
        // The action, the object, its member, the value, the list, and its elements.
        let bytes = propose.encode_to_vec();
        assert!(has_more_than(1004, "aegis.v1.ProposeRequest", &bytes));
        assert!(!has_more_than(1005, "aegis.v1.ProposeRequest", &bytes));
        let items = vec![v1::EvaluateItem::default(); 1000];
        let evaluate = v1::EvaluateRequest { items, ..v1::EvaluateRequest::default() };
        assert!(has_more_than(999, "aegis.v1.EvaluateRequest", &evaluate.encode_to_vec()));
        assert!(!has_more_than(1000, "aegis.v1.EvaluateRequest", &evaluate.encode_to_vec()));
        let long = v1::Action { description: "x".repeat(100_000), ..v1::Action::default() };
        let propose = v1::ProposeRequest { action: Some(long), ..v1::ProposeRequest::default() };
        assert!(!has_more_than(1, "aegis.v1.ProposeRequest", &propose.encode_to_vec()), "a text is not read");
    }

    #[test]
    fn what_cannot_be_read_is_no_reason_to_panic() {
        for bytes in [&[0xff; 64][..], &[2 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0x0f], &[2 << 3 | 2], &[0]] {
            assert!(!has_more_than(10, "aegis.v1.ProposeRequest", bytes));
        }
    }

    #[test]
    fn every_request_is_known() {
        let requests = TYPES.keys().filter(|name| name.starts_with("aegis.v1.") && name.ends_with("Request"));
        assert!(requests.count() > 10);
        assert!(TYPES.contains_key("google.protobuf.Struct.FieldsEntry"), "what values are made of is known");
    }
}
