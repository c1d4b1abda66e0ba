//! Messages as a client writes them, and what it reads of a refusal.

use std::collections::HashMap;

use aegis::proto::v1;
use tonic::{Code, Status};

/// A proposal of an action without parameters.
pub(crate) fn propose(r#type: &str, target: &str) -> v1::ProposeRequest {
    v1::ProposeRequest {
        actor: Some(v1::Actor { id: "agent-7".into(), r#type: "ai-agent".into() }),
        action: Some(v1::Action { r#type: r#type.into(), target: target.into(), ..v1::Action::default() }),
        ..v1::ProposeRequest::default()
    }
}

/// Parameters from JSON.
#[expect(clippy::unnecessary_wraps, reason = "a message's field is optional")]
pub(crate) fn params(json: serde_json::Value) -> Option<prost_types::Struct> {
    let serde_json::Value::Object(map) = json else { panic!("parameters are an object") };
    Some(prost_types::Struct { fields: map.into_iter().map(|(key, value)| (key, wire(value))).collect() })
}

fn wire(value: serde_json::Value) -> prost_types::Value {
    use prost_types::value::Kind;
    use serde_json::Value as J;
    prost_types::Value {
        kind: Some(match value {
            J::Null => Kind::NullValue(0),
            J::Bool(bool) => Kind::BoolValue(bool),
            J::Number(number) => Kind::NumberValue(number.as_f64().expect("a finite number")),
            J::String(text) => Kind::StringValue(text),
            J::Array(items) => {
                Kind::ListValue(prost_types::ListValue { values: items.into_iter().map(wire).collect() })
            }
            object @ J::Object(_) => Kind::StructValue(params(object).expect("an object")),
        }),
    }
}

/// How long to wait, as the wire has it.
#[expect(clippy::unnecessary_wraps, reason = "a message's field is optional")]
pub(crate) fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// The reason (`google.rpc.ErrorInfo`) of a refusal.
pub(crate) fn reason(status: &Status) -> String {
    use tonic_types::StatusExt as _;
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// The fields that a refusal names.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    use tonic_types::StatusExt as _;
    let violations = status.get_details_bad_request().map(|details| details.field_violations).unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}

/// The findings in a policy that a refusal has.
pub(crate) fn findings(status: &Status) -> v1::PolicyFindings {
    use prost::Message as _;
    let details = tonic_types::pb::Status::decode(status.details()).expect("details are a google.rpc.Status").details;
    let detail = details.iter().find(|detail| detail.type_url.ends_with("/aegis.v1.PolicyFindings"));
    v1::PolicyFindings::decode(&*detail.expect("the findings are there").value).expect("findings are readable")
}

/// A policy of one file to put in force.
pub(crate) fn update(yaml: impl Into<String>, expected_revision: &str) -> v1::UpdatePolicyRequest {
    let layers = vec![v1::PolicyLayer { name: String::new(), yaml: yaml.into() }];
    v1::UpdatePolicyRequest {
        source: Some(v1::update_policy_request::Source::Layers(v1::PolicyLayers { layers })),
        expected_revision: expected_revision.into(),
        ..v1::UpdatePolicyRequest::default()
    }
}

/// What a program reads of a refusal: the code and the documented reason.
pub(crate) fn refusal(status: &Status) -> (Code, String) {
    (status.code(), reason(status))
}

/// The metadata of a refusal's `ErrorInfo`.
pub(crate) fn details(status: &Status) -> HashMap<String, String> {
    use tonic_types::StatusExt as _;
    status.get_details_error_info().map(|info| info.metadata).unwrap_or_default()
}

pub(crate) fn sha256(text: &str) -> String {
    aegis::domain::Digest::of(text.as_bytes()).to_string()
}
