//! The OpenAPI document: what the handlers say of themselves, with the descriptions of the protos.
//!
//! A message of the REST API that is also one of the protos has the same fields, so the comment in the proto file
//! describes both. A property without a description of its own gets that comment.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet, SourceCodeInfo};
use serde_json::{Map, Value, json};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, SecurityRequirement};

use crate::proto::FILE_DESCRIPTOR_SET;
use crate::server::access::{Access, OPERATIONS};

/// The messages of the protos that describe the properties of a message here, beside the one of the same name.
const ALSO: &[(&str, &[&str])] = &[
    ("AuditRow", &["Action", "Identity", "ActionResult"]),
    ("EvaluateAction", &["Action", "EvaluateItem"]),
    ("EvaluateOne", &["Action", "EvaluateItem"]),
    ("EvaluateSeveral", &["EvaluateRequest"]),
    ("Evaluation", &["Action"]),
    ("Explained", &["Evaluation", "EvaluateResponse", "Decision"]),
    ("ExecuteAction", &["Action", "ProposalContext", "ProposeRequest"]),
    ("ExecuteOne", &["Action", "ProposalContext", "ProposeRequest"]),
    ("Execution", &["Action"]),
    ("ProposedAction", &["Action"]),
    ("ResultReport", &["ActionResult"]),
    ("VoteRequest", &["ApproveRequest"]),
    ("Stats", &["GetStatsResponse"]),
    ("Checkpoint", &["GetCheckpointResponse"]),
    ("InclusionProof", &["GetInclusionProofResponse"]),
    ("ConsistencyProof", &["GetConsistencyProofResponse"]),
    ("SessionAction", &["Action"]),
    ("PolicyUpdated", &["Policy"]),
    ("PolicyYaml", &["UpdatePolicyRequest"]),
    ("PolicyRevision", &["UpdatePolicyRequest"]),
    ("Redaction", &["RedactDecisionRequest"]),
    ("RedactedDecision", &["RedactDecisionResponse"]),
    ("Rotation", &["RotateLogKeyRequest"]),
    ("RotatedKey", &["RotateLogKeyResponse"]),
    ("NewTokenRequest", &["CreateTokenRequest"]),
    ("MadeToken", &["CreateTokenResponse"]),
    ("Context", &["ProposalContext"]),
    ("Decisions", &["ListDecisionsResponse"]),
    ("DecisionLife", &["GetDecisionResponse"]),
    ("PolicyRule", &["Decision"]),
];

/// The names of properties here, and of the same fields in the protos.
const NAMES: &[(&str, &str)] = &[
    ("action_type", "type"),
    ("action_target", "target"),
    ("action_params", "params"),
    ("action_desc", "description"),
    ("approval", "approval_mode"),
    ("id", "number"),
    ("actions", "items"),
    ("result_data", "data"),
    ("result_error", "error"),
];

/// The title, the tags and the credentials.
pub(super) fn beginning() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Aegis")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "`sudo` for AI agents: every action is checked against a policy, a person is asked when the policy says \
             so, and every step is on a tamper-evident record first.",
        ))
        .license(Some(LicenseBuilder::new().name("MIT").identifier(Some("MIT")).build()));
    let tags = [
        ("actions", "Actions that the daemon evaluates, or runs itself"),
        ("proposals", "Proposals of agents that run their actions themselves"),
        ("approvals", "Questions for reviewers"),
        ("audit", "The record"),
        ("policy", "The policy in force"),
        ("tokens", "Credentials"),
        ("control", "Halts, and what is spent of limits"),
        ("daemon", "The daemon itself"),
    ];
    let tags = tags.map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build());
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of `aegis token create`, one of the identities file, or a JWT"))
        .build();
    let mut components = Components::new();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    OpenApiBuilder::new()
        .info(info)
        .tags(Some(tags))
        .components(Some(components))
        // A caller without a credential may do what the listener grants to all.
        .security(Some([SecurityRequirement::new("bearer", Vec::<String>::new()), SecurityRequirement::default()]))
        .build()
}

/// The whole document.
pub(super) fn finish(document: OpenApi) -> Value {
    // What utoipa makes always serializes.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    let comments = Comments::read();
    if let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        let about = schemas.iter().map(|(name, schema)| {
            let text = schema["description"].as_str().unwrap_or_default();
            (format!("#/components/schemas/{name}"), text.split("\n\n").next().unwrap_or_default().to_owned())
        });
        let about: HashMap<_, _> = about.collect();
        for (name, schema) in schemas {
            comments.describe(name, schema, &about);
        }
    }
    for operation in OPERATIONS {
        let place = format!("/paths/{}/{}", operation.path.replace('/', "~1"), operation.method.to_lowercase());
        if let Some(found) = document.pointer_mut(&place) {
            let roles = match operation.access {
                Access::AnyOf(roles) => roles.iter().map(crate::domain::Role::as_str).collect(),
                Access::Open | Access::Unknown => Vec::new(),
            };
            found["x-aegis-roles"] = json!(roles);
        }
    }
    document
}

/// The comments of the protos.
struct Comments {
    /// By message or enumeration, and by field or value; of the whole under an empty name.
    by_name: HashMap<(String, String), String>,
}

/// Field numbers of `FileDescriptorProto` and below, which make the paths of comments.
const MESSAGES: i32 = 4;
const ENUMS: i32 = 5;
const MEMBERS: i32 = 2;

impl Comments {
    fn read() -> Self {
        // The descriptors are compiled in. A test proves that they decode.
        let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
        let mut by_name = HashMap::new();
        for file in set.file.into_iter().filter(|file| file.package().starts_with("aegis.")) {
            let comments = by_path(file.source_code_info.unwrap_or_default());
            let mut add = |of: &str, member: &str, path: &[i32]| {
                if let Some(comment) = comments.get(path) {
                    by_name.insert((of.to_owned(), member.to_owned()), comment.clone());
                }
            };
            for (i, DescriptorProto { name, field, .. }) in (0..).zip(&file.message_type) {
                let name = name.as_deref().unwrap_or_default();
                add(name, "", &[MESSAGES, i]);
                for (j, field) in (0..).zip(field) {
                    add(name, field.name(), &[MESSAGES, i, MEMBERS, j]);
                }
            }
            for (i, EnumDescriptorProto { name, value, .. }) in (0..).zip(&file.enum_type) {
                let name = name.as_deref().unwrap_or_default();
                add(name, "", &[ENUMS, i]);
                for (j, value) in (0..).zip(value) {
                    add(name, value.name(), &[ENUMS, i, MEMBERS, j]);
                }
            }
        }
        Self { by_name }
    }

    /// Describes a schema, its properties, and its words. `about` has what is said of each schema, by its place.
    fn describe(&self, name: &str, schema: &mut Value, about: &HashMap<String, String>) {
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            let words: Vec<_> = words.iter().filter_map(|word| self.word(name, word.as_str()?)).collect();
            if !words.is_empty() {
                let whole = schema["description"].as_str().unwrap_or_default();
                schema["description"] = json!(format!("{whole}\n\n{}", words.join("\n")));
            }
        }
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
        for (property, schema) in properties {
            let Some(schema) = schema.as_object_mut() else { continue };
            if schema.contains_key("description") {
                continue;
            }
            // What may be null is one of two schemas, and utoipa puts the description on the first of them.
            let inner =
                schema.get("oneOf").and_then(|choices| choices.as_array()?.iter().find(|it| it["$ref"].is_string()));
            let inner = inner.cloned().unwrap_or_else(|| Value::Object(schema.clone()));
            let of_other = || inner["$ref"].as_str().and_then(|place| about.get(place)).map(String::as_str);
            let text = inner["description"].as_str().or_else(|| self.property(name, property)).or_else(of_other);
            if let Some(text) = text {
                describe(schema, text);
            }
        }
    }

    fn property(&self, message: &str, property: &str) -> Option<&str> {
        let also = ALSO.iter().find(|(name, _)| *name == message).map_or(&[][..], |(_, also)| also);
        let field = NAMES.iter().find(|(name, _)| *name == property).map_or(property, |(_, field)| field);
        std::iter::once(&message).chain(also).find_map(|message| {
            let comment = |field: &str| self.by_name.get(&((*message).to_owned(), field.to_owned()));
            comment(property).or_else(|| comment(field)).map(String::as_str)
        })
    }

    /// `- WORD: what it means`.
    fn word(&self, name: &str, word: &str) -> Option<String> {
        let mut prefix = String::new();
        for letter in name.chars() {
            if letter.is_uppercase() && !prefix.is_empty() {
                prefix.push('_');
            }
            prefix.extend(letter.to_uppercase());
        }
        let comment = self.by_name.get(&(name.to_owned(), format!("{prefix}_{}", word.to_uppercase())))?;
        Some(format!("- `{word}`: {comment}"))
    }
}

fn describe(schema: &mut Map<String, Value>, comment: &str) {
    schema.insert("description".to_owned(), json!(comment));
}

/// The comments of a file by the path of what they describe.
fn by_path(info: SourceCodeInfo) -> HashMap<Vec<i32>, String> {
    let comments = info.location.into_iter().filter_map(|location| {
        let comment = location.leading_comments?;
        let lines: Vec<&str> = comment.lines().map(str::trim).collect();
        Some((location.path, lines.join(" ").trim().to_owned()))
    });
    comments.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn document() -> Value {
        let (_, document) = super::super::router::operations().split_for_parts();
        finish(document)
    }

    #[test]
    fn the_document_has_the_operations_of_the_access_table_and_no_others() {
        let document = document();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}");
                assert!(operation["x-aegis-roles"].is_array(), "{method} {path}");
                described.insert((method.to_uppercase(), path.clone()));
            }
        }
        let is_page = |path: &str| !path.starts_with("/api/") && path != "/health";
        let table = OPERATIONS.iter().filter(|operation| !is_page(operation.path));
        let table: BTreeSet<_> = table.map(|row| (row.method.to_owned(), row.path.to_owned())).collect();
        assert_eq!(described, table);
    }

    #[test]
    fn everything_in_the_document_is_described() {
        let document = document();
        let mut missing = Vec::new();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            if schema["description"].is_null() {
                missing.push(name.clone());
            }
            for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
                if schema["description"].is_null() {
                    missing.push(format!("{name}.{property}"));
                }
            }
        }
        assert!(missing.is_empty(), "without a description: {missing:#?}");
        let outcome = document["components"]["schemas"]["Outcome"]["description"].as_str().unwrap();
        assert!(outcome.contains("- `ALLOW`: The action may run."), "{outcome}");
    }
}
