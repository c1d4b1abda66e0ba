//! tonic's codec for prost, with one difference. A message that cannot be decoded is the sender's fault, so the status
//! is INVALID_ARGUMENT with the path of the field, not INTERNAL.

use std::collections::HashMap;
use std::marker::PhantomData;

use bytes::Buf as _;
use prost::{DecodeError, Message};
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::ProstEncoder;
use tonic_types::{ErrorDetails, StatusExt as _};

/// The most steps of a field's path in an error: errors travel in headers, whose size is limited.
const PATH_STEPS: usize = 12;

/// Encodes `T` and decodes `U`.
#[derive(Debug)]
pub struct StrictCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for StrictCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for StrictCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = StrictDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        StrictDecoder(PhantomData)
    }
}

/// Decodes `U`.
#[derive(Debug)]
pub struct StrictDecoder<U>(PhantomData<U>);

impl<U: Message + Default> Decoder for StrictDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let message = buffer.copy_to_bytes(buffer.remaining());
        U::decode(message).map(Some).map_err(|error| unreadable(&error))
    }
}

/// prost gives the path of the field, innermost first, and `recursion limit reached` past 100 levels of nesting.
fn unreadable(error: &DecodeError) -> Status {
    let text = error.to_string();
    let text = text.strip_prefix("failed to decode Protobuf message: ").unwrap_or(&text);
    let mut steps: Vec<&str> = text.split(": ").collect();
    let is_step = |step: &&str| step.contains('.') && !step.contains(' ');
    let why = steps.iter().position(|step| !is_step(step)).map_or_else(Vec::new, |at| steps.split_off(at)).join(": ");
    // `Action.r#type: ProposeRequest.action` is `action.type`.
    let names = steps.iter().rev().filter_map(|step| step.split_once('.'));
    let mut names: Vec<&str> = names.map(|(_, name)| name.strip_prefix("r#").unwrap_or(name)).collect();
    if names.len() > PATH_STEPS {
        names.truncate(PATH_STEPS);
        names.push("...");
    }
    let field = names.join(".");

    let mut details = ErrorDetails::with_error_info("INVALID_REQUEST", "aegis", HashMap::new());
    let at = if field.is_empty() { String::new() } else { format!("{field}: ") };
    let message = format!("the message cannot be read: {at}{why}");
    if !field.is_empty() {
        details.add_bad_request_violation(field, why);
    }
    Status::with_error_details(Code::InvalidArgument, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::ProposeRequest;

    #[test]
    fn a_field_that_cannot_be_decoded_is_named_by_its_path() {
        let not_text = [2 << 3 | 2, 4, 1 << 3 | 2, 2, 0xff, 0xff];
        let status = unreadable(&ProposeRequest::decode(&not_text[..]).unwrap_err());
        let violation = status.get_details_bad_request().unwrap().field_violations.remove(0);
        assert_eq!(violation.field, "action.type");
        assert!(violation.description.contains("UTF-8"), "{}", violation.description);
        assert!(status.message().starts_with("the message cannot be read: action.type: "), "{}", status.message());

        let no_message = unreadable(&ProposeRequest::decode(&[0xff_u8; 64][..]).unwrap_err());
        assert!(no_message.get_details_bad_request().is_none());
        assert_eq!(no_message.get_details_error_info().unwrap().reason, "INVALID_REQUEST");
    }
}
