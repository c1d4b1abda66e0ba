//! A JSON-RPC message of MCP, read strictly and written anew.
//!
//! Only the members that JSON-RPC names are passed on, each once. A server whose parser ignores case or takes the last
//! of two equal keys therefore reads the same call that the policy checked. Results keep their own text, because a
//! parsed number may lose digits.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::domain::json::parse_strict;

/// The codes of errors: those of JSON-RPC, and one for refusals of the proxy.
pub(super) const PARSE_ERROR: i64 = -32_700;
pub(super) const INVALID_REQUEST: i64 = -32_600;
pub(super) const METHOD_NOT_FOUND: i64 = -32_601;
pub(super) const INVALID_PARAMS: i64 = -32_602;
pub(super) const INTERNAL_ERROR: i64 = -32_603;
pub(super) const REFUSED: i64 = -32_001;

/// The longest id of a request that is kept, as JSON.
const MAX_ID: usize = 256;

/// The id of a request: a text or a number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Id(Value);

impl Id {
    /// Equal ids have equal texts, and a number is not the text that reads like it.
    pub(super) fn key(&self) -> String {
        self.0.to_string()
    }
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        Self(number.into())
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) code: i64,
    pub(super) message: String,
    pub(super) data: Option<Value>,
}

impl Fault {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    fn to_json(&self) -> Value {
        match &self.data {
            None => json!({"code": self.code, "message": self.message}),
            Some(data) => json!({"code": self.code, "message": self.message, "data": data}),
        }
    }
}

/// What a request is answered with: a result or an error, each as the JSON that is sent.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Result(Box<RawValue>),
    Error(Box<RawValue>),
}

impl Outcome {
    /// A result that the proxy wrote.
    pub(super) fn result(value: &Value) -> Self {
        raw(value).map_or_else(|| Self::fault(&unwritable()), Self::Result)
    }

    /// An error that the proxy wrote.
    pub(super) fn fault(fault: &Fault) -> Self {
        Self::Error(raw(&fault.to_json()).unwrap_or_else(|| RawValue::NULL.to_owned()))
    }
}

fn unwritable() -> Fault {
    Fault::new(INTERNAL_ERROR, "the answer cannot be written as JSON")
}

fn raw(value: &Value) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(value).ok()
}

/// A message.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Request { id: Id, method: String, params: Map<String, Value> },
    Notification { method: String, params: Map<String, Value> },
    Response { id: Id, outcome: Outcome },
}

/// A message that cannot be used, with its id if that is known.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) id: Option<Id>,
    pub(super) fault: Fault,
}

/// The members of a message. Others are not passed on.
#[derive(Deserialize)]
struct Members {
    jsonrpc: Option<Value>,
    id: Option<Value>,
    method: Option<Value>,
    params: Option<Value>,
    result: Option<Box<RawValue>>,
    error: Option<Box<RawValue>>,
}

impl Message {
    /// Reads a message. Refuses a key that is there twice, and a batch.
    pub(super) fn read(text: &str) -> Result<Self, Unreadable> {
        let wrong = |id: &Option<Id>, code, message: String| {
            Err(Unreadable { id: id.clone(), fault: Fault::new(code, message) })
        };
        if text.trim_start().starts_with('[') {
            return wrong(&None, INVALID_REQUEST, "a batch is not accepted: send each message by itself".to_owned());
        }
        let members: Members = match parse_strict(text) {
            Ok(members) => members,
            Err(error) => return wrong(&None, PARSE_ERROR, format!("the message is not acceptable JSON: {error}")),
        };
        let id = match members.id {
            None => None,
            Some(id @ (Value::String(_) | Value::Number(_))) if id.to_string().len() <= MAX_ID => Some(Id(id)),
            Some(_) => {
                let message = format!("`id` must be a text or a number of at most {MAX_ID} bytes");
                return wrong(&None, INVALID_REQUEST, message);
            }
        };
        if members.jsonrpc.as_ref().and_then(Value::as_str) != Some("2.0") {
            return wrong(&id, INVALID_REQUEST, "`jsonrpc` must be \"2.0\"".to_owned());
        }
        let method = match (members.method, id) {
            (None, Some(id)) => {
                let outcome = match (members.result, members.error) {
                    (Some(result), None) => Outcome::Result(result),
                    (None, Some(error)) => Outcome::Error(error),
                    _ => Outcome::fault(&Fault::new(INVALID_REQUEST, "an answer has either `result` or `error`")),
                };
                return Ok(Self::Response { id, outcome });
            }
            (None, None) => return wrong(&None, INVALID_REQUEST, "a message has a `method` or an `id`".to_owned()),
            (Some(Value::String(method)), id) => (method, id),
            (Some(_), id) => return wrong(&id, INVALID_REQUEST, "`method` must be a text".to_owned()),
        };
        let (method, id) = method;
        let params = match members.params {
            None => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return wrong(&id, INVALID_PARAMS, "`params` must be an object".to_owned()),
        };
        Ok(match id {
            Some(id) => Self::Request { id, method, params },
            None => Self::Notification { method, params },
        })
    }

    /// The message as one line, without its end.
    pub(super) fn line(&self) -> String {
        let written = match self {
            Self::Request { id, method, params } => {
                let mut message = json!({"jsonrpc": "2.0", "id": id.0, "method": method});
                if !params.is_empty() {
                    message["params"] = Value::Object(params.clone());
                }
                return message.to_string();
            }
            Self::Notification { method, params } => {
                let mut message = json!({"jsonrpc": "2.0", "method": method});
                if !params.is_empty() {
                    message["params"] = Value::Object(params.clone());
                }
                return message.to_string();
            }
            Self::Response { id, outcome } => {
                let (result, error) = match outcome {
                    Outcome::Result(result) => (Some(&**result), None),
                    Outcome::Error(error) => (None, Some(&**error)),
                };
                serde_json::to_string(&Answer { jsonrpc: "2.0", id: &id.0, result, error })
            }
        };
        // A parsed text and a value can always be written.
        written.unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    jsonrpc: &'static str,
    id: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RawValue>,
}

/// The answer to a message that cannot be read. Without an id it is `null`, as JSON-RPC says.
pub(super) fn complaint(unreadable: &Unreadable) -> String {
    let id = unreadable.id.as_ref().map_or(&Value::Null, |id| &id.0);
    json!({"jsonrpc": "2.0", "id": id, "error": unreadable.fault.to_json()}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_members_of_json_rpc_are_passed_on() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","extra":1,"params":{"a":1}}"#;
        let line = Message::read(text).unwrap().line();
        assert_eq!(line, r#"{"id":1,"jsonrpc":"2.0","method":"ping","params":{"a":1}}"#);
    }

    #[test]
    fn a_result_keeps_every_digit_and_stays_on_one_line() {
        let text = "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"n\":123456789012345678901234567890.50}}";
        assert!(Message::read(text).unwrap().line().contains("123456789012345678901234567890.50"));
    }

    #[test]
    fn what_two_parsers_may_read_differently_is_refused() {
        for (text, id) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#, false),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#, false),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, false),
            (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, false),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, true),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#, true),
            (r#"{"id":1,"method":"ping"}"#, true),
            (r#"{"jsonrpc":"2.0"}"#, false),
            ("nonsense", false),
        ] {
            let refused = Message::read(text).expect_err(text);
            assert_eq!(refused.id.is_some(), id, "{text}");
            assert!(complaint(&refused).starts_with('{'));
        }
    }

    #[test]
    fn a_text_and_a_number_are_two_ids() {
        assert_ne!(Id(json!("1")).key(), Id(json!(1)).key());
    }
}
