//! The access table: which roles may call which route, for every protocol. A route without a row is refused.
//!
//! Every method of the API has a row. The daemon checks the table against the protobuf descriptors when it starts, and
//! does not start if a method has no row.

use std::borrow::Cow;

use prost::Message as _;

use crate::domain::{CallError, ErrorCode, Identity, Role, Roles};
use crate::proto::FILE_DESCRIPTOR_SET;

/// The route of a call, in its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// A gRPC method by its path: `/aegis.v1.GovernanceService/Propose`.
    Grpc(&'a str),
    /// Any other HTTP request, by its method and path.
    Http(&'a str, &'a str),
}

/// The name of a route, for metrics and spans. A REST operation has the template of its path, so that ids make no
/// names. What has no row in the table is `other`, because what a caller sends makes no names either.
pub(crate) fn name(route: Route<'_>) -> Cow<'_, str> {
    match route {
        _ if required(route) == Access::Unknown => "other".into(),
        Route::Grpc(path) => path.trim_start_matches('/').into(),
        Route::Http(method, path) => {
            let template = operation(method, path).map_or("?", |operation| operation.path);
            format!("{method} {template}").into()
        }
    }
}

/// What a route requires of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Open to every caller, without a credential: health and reflection.
    Open,
    /// One of these roles.
    AnyOf(Roles),
    /// Closed: the table has no row for it.
    Unknown,
}

/// What this route requires of its caller.
pub fn required(route: Route<'_>) -> Access {
    match route {
        Route::Grpc(path) => match path.strip_prefix('/').and_then(|path| path.split_once('/')) {
            Some((service, method)) => grpc(service, method),
            None => Access::Unknown,
        },
        Route::Http(method, path) => operation(method, path).map_or(Access::Unknown, |operation| operation.access),
    }
}

/// An operation of the REST API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its HTTP method. What may be read with GET may be asked for with HEAD.
    pub method: &'static str,
    /// Its path. A step in braces stands for any one step that is not empty.
    pub path: &'static str,
    /// What it requires of its caller.
    pub access: Access,
}

const fn open(method: &'static str, path: &'static str) -> Operation {
    Operation { method, path, access: Access::Open }
}

const fn of(roles: &[Role], method: &'static str, path: &'static str) -> Operation {
    Operation { method, path, access: Access::AnyOf(Roles::of(roles)) }
}

/// Every operation of the REST API.
pub const OPERATIONS: &[Operation] = &[
    open("GET", "/health"),
    open("GET", "/openapi.json"),
    open("GET", "/docs"),
    of(&[Role::Agent, Role::Auditor, Role::Admin], "POST", "/api/v1/evaluate"),
    of(&[Role::Agent], "POST", "/api/v1/execute"),
    of(&[Role::Agent], "POST", "/api/v1/governance/propose"),
    of(&[Role::Agent], "GET", "/api/v1/governance/decisions/{decision_id}"),
    of(&[Role::Agent], "POST", "/api/v1/governance/decisions/{decision_id}/result"),
    of(&[Role::Agent], "POST", "/api/v1/governance/decisions/{decision_id}/cancel"),
    of(&[Role::Reviewer], "GET", "/api/v1/approvals"),
    of(&[Role::Reviewer], "GET", "/api/v1/approvals/stream"),
    of(&[Role::Reviewer], "GET", "/api/v1/approvals/{approval_id}"),
    of(&[Role::Reviewer], "POST", "/api/v1/approvals/{approval_id}/approve"),
    of(&[Role::Reviewer], "POST", "/api/v1/approvals/{approval_id}/deny"),
    of(&[Role::Auditor], "GET", "/api/v1/audit"),
    of(&[Role::Auditor], "GET", "/api/v1/audit/decisions"),
    of(&[Role::Auditor], "GET", "/api/v1/audit/decisions/{id}"),
    of(&[Role::Admin], "POST", "/api/v1/audit/decisions/{id}/redact"),
    of(&[Role::Auditor], "GET", "/api/v1/audit/records"),
    of(&[Role::Auditor], "GET", "/api/v1/stats"),
    of(&[Role::Auditor], "GET", "/api/v1/log/checkpoint"),
    of(&[Role::Auditor], "GET", "/api/v1/log/inclusion-proof"),
    of(&[Role::Auditor], "GET", "/api/v1/log/consistency-proof"),
    of(&[Role::Admin], "POST", "/api/v1/log/rotate-key"),
    of(&[Role::Auditor, Role::Admin], "GET", "/api/v1/policy"),
    of(&[Role::Admin], "PUT", "/api/v1/policy"),
    of(&[Role::Auditor, Role::Admin], "POST", "/api/v1/policy/validate"),
    of(&[Role::Auditor, Role::Admin], "GET", "/api/v1/tokens"),
    of(&[Role::Admin], "POST", "/api/v1/tokens"),
    of(&[Role::Admin], "DELETE", "/api/v1/tokens/{token}"),
    of(&[Role::Auditor, Role::Admin], "GET", "/api/v1/halts"),
    of(&[Role::Admin], "POST", "/api/v1/halts"),
    of(&[Role::Admin], "POST", "/api/v1/halts/resume"),
    of(&[Role::Auditor, Role::Admin], "GET", "/api/v1/limits"),
    of(&[Role::Admin], "POST", "/api/v1/limits/reset"),
    of(&Role::ALL, "GET", "/api/v1/identity"),
    of(&[Role::Reviewer, Role::Auditor, Role::Admin], "POST", "/api/v1/sign-in-codes"),
    open("POST", "/api/v1/sign-in-codes/exchange"),
    open("GET", "/"),
    open("GET", "/console"),
    open("GET", "/console/"),
    open("GET", "/console/console.js"),
    open("GET", "/console/console.css"),
    open("GET", "/console/icon.svg"),
];

/// The operation that this method has at this path.
pub(crate) fn operation(method: &str, path: &str) -> Option<&'static Operation> {
    let method = if method == "HEAD" { "GET" } else { method };
    OPERATIONS.iter().find(|operation| operation.method == method && is_at(operation.path, path))
}

/// The methods of the operations at this path, for `Allow`.
pub(crate) fn methods_at(path: &str) -> Vec<&'static str> {
    OPERATIONS.iter().filter(|operation| is_at(operation.path, path)).map(|operation| operation.method).collect()
}

fn is_at(template: &str, path: &str) -> bool {
    let (mut templates, mut steps) = (template.split('/'), path.split('/'));
    loop {
        match (templates.next(), steps.next()) {
            (None, None) => return true,
            (Some(template), Some(step)) if template == step || (template.starts_with('{') && !step.is_empty()) => {}
            _ => return false,
        }
    }
}

/// Whether a gRPC call sends messages for as long as it goes on, instead of one.
pub(crate) fn sends_a_stream(path: &str) -> bool {
    path.ends_with(".ServerReflection/ServerReflectionInfo")
}

/// Whether the answer to a call is sent while it is made, and not written out before.
pub(crate) fn answers_with_a_stream(route: Route<'_>) -> bool {
    match route {
        Route::Grpc(path) => {
            let method = path.rsplit('/').next().unwrap_or_default();
            matches!(
                method,
                "StreamApprovals" | "StreamAudit" | "StreamBackup" | "Watch" | "WatchPolicy" | "ServerReflectionInfo"
            )
        }
        Route::Http(_, path) => {
            matches!(path, "/api/v1/approvals/stream" | "/api/v1/audit" | "/api/v1/audit/records")
        }
    }
}

/// Whether a call reads so much of the record that its answer takes more than a moment to write. A list of approvals
/// does not count: a reviewer must not wait for those who do.
pub(crate) fn reads_much(route: Route<'_>) -> bool {
    match route {
        Route::Grpc(path) => {
            let method = path.rsplit('/').next().unwrap_or_default();
            matches!(method, "ListDecisions" | "StreamAudit" | "StreamBackup" | "GetStats")
        }
        Route::Http(_, path) => {
            matches!(path, "/api/v1/audit" | "/api/v1/audit/decisions" | "/api/v1/audit/records" | "/api/v1/stats")
        }
    }
}

/// Whether a call works for long on a message of few bytes: it can ask for many evaluations.
pub(crate) fn works_long(route: Route<'_>) -> bool {
    match route {
        Route::Grpc(path) => path.ends_with("/Evaluate"),
        Route::Http(_, path) => path == "/api/v1/evaluate",
    }
}

fn grpc(service: &str, method: &str) -> Access {
    let roles: &[Role] = match (service, method) {
        ("aegis.v1.GovernanceService", "Propose" | "AwaitDecision" | "ReportResult" | "CancelProposal") => {
            &[Role::Agent]
        }
        ("aegis.v1.GovernanceService", "Evaluate") => &[Role::Agent, Role::Auditor, Role::Admin],
        ("aegis.v1.ApprovalService", "StreamApprovals" | "ListApprovals" | "GetApproval" | "Approve" | "Deny") => {
            &[Role::Reviewer]
        }
        (
            "aegis.v1.AuditService",
            "StreamAudit"
            | "GetDecision"
            | "ListDecisions"
            | "GetStats"
            | "GetCheckpoint"
            | "GetInclusionProof"
            | "GetConsistencyProof",
        ) => &[Role::Auditor],
        (
            "aegis.v1.AdminService",
            "CreateToken" | "RevokeToken" | "RotateLogKey" | "RedactDecision" | "Halt" | "Resume" | "ResetLimit"
            | "StreamBackup",
        )
        | ("aegis.v1.PolicyService", "UpdatePolicy") => &[Role::Admin],
        // An auditor reads the policies, the tokens, the halts and the counts too, and changes nothing.
        ("aegis.v1.AdminService", "ListTokens" | "ListHalts" | "ListCounts")
        | ("aegis.v1.PolicyService", "GetPolicy" | "ValidatePolicy" | "WatchPolicy") => &[Role::Auditor, Role::Admin],
        ("grpc.health.v1.Health", "Check" | "Watch" | "List")
        | (
            "grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection",
            "ServerReflectionInfo",
        ) => return Access::Open,
        _ => return Access::Unknown,
    };
    Access::AnyOf(Roles::of(roles))
}

/// The error for an authenticated caller without a required role.
pub(crate) fn role_required(identity: &Identity, allowed: Roles) -> CallError {
    let message = format!("{} has the roles {}, and this needs one of: {allowed}", identity.subject, identity.roles);
    CallError::new(ErrorCode::RoleRequired, message)
}

/// The roles that may ask for explanations, and evaluate at another time. Both can show the gaps of a policy.
const EXPLAINS: Roles = Roles::of(&[Role::Auditor, Role::Admin]);

/// Refuses a caller who may evaluate, but not ask why or for another time.
pub(crate) fn check_explains(identity: &Identity) -> Result<(), CallError> {
    if identity.roles.meets(EXPLAINS) { Ok(()) } else { Err(role_required(identity, EXPLAINS)) }
}

/// A method of the API has no row in the table.
#[derive(Debug, thiserror::Error)]
#[error("{0} has no row in the access table: add one in server::access")]
pub struct UnknownMethod(String);

/// Every method of the API as `/service/method`, from the descriptors.
pub fn methods() -> Vec<String> {
    // The descriptors are compiled in. The test below proves that they decode.
    let set = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    let mut methods = Vec::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                methods.push(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    methods
}

/// Checks that every method of the API has a row in the table.
pub fn check() -> Result<(), UnknownMethod> {
    match methods().into_iter().find(|path| required(Route::Grpc(path)) == Access::Unknown) {
        Some(path) => Err(UnknownMethod(path)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_api_is_in_the_table() {
        let ours = methods().into_iter().filter(|path| path.starts_with("/aegis.v1.")).count();
        assert!(ours >= 16, "the descriptors are empty");
        check().unwrap();
    }

    #[test]
    fn what_the_table_does_not_name_is_refused_whatever_the_protocol() {
        for path in ["/aegis.v1.NewService/New", "/other.Service/Method", "/", "", "/health", "health", "//", "/a"] {
            assert_eq!(required(Route::Grpc(path)), Access::Unknown, "{path}");
        }
        for (method, path) in [
            ("GET", "//"),
            ("GET", "/console/x"),
            ("POST", "/console/"),
            ("GET", "health"),
            ("GET", "/health/"),
            ("GET", "//health"),
            ("POST", "/health"),
            ("OPTIONS", "/health"),
            ("get", "/health"),
            ("GET", "/api/v1/governance/decisions/"),
            ("GET", "/api/v1/governance/decisions/a/b"),
            ("DELETE", "/api/v1/policy"),
        ] {
            assert_eq!(required(Route::Http(method, path)), Access::Unknown, "{method} {path}");
        }
        assert_eq!(required(Route::Http("HEAD", "/health")), Access::Open);
        assert_eq!(methods_at("/api/v1/policy"), ["GET", "PUT"]);
        assert!(methods_at("/api/v1/policy/").is_empty());
        for path in methods() {
            let service = path.rsplit_once('/').unwrap().0;
            assert_eq!(required(Route::Grpc(&format!("{service}/NewMethod"))), Access::Unknown, "{service}");
            for method in ["GET", "POST", "PUT", "PRI"] {
                assert_eq!(required(Route::Http(method, &path)), Access::Unknown, "{method} {path}");
            }
        }
    }

    #[test]
    fn agents_reach_nothing_but_governance() {
        for path in methods() {
            let Access::AnyOf(roles) = required(Route::Grpc(&path)) else { continue };
            assert_eq!(roles.has(Role::Agent), path.starts_with("/aegis.v1.GovernanceService/"), "{path}");
        }
    }

    #[test]
    fn an_operation_stands_in_the_table_once() {
        for (i, operation) in OPERATIONS.iter().enumerate() {
            assert!(
                OPERATIONS[..i].iter().all(|other| (other.method, other.path) != (operation.method, operation.path))
            );
        }
    }

    #[test]
    fn health_and_reflection_need_nothing() {
        assert_eq!(required(Route::Grpc("/grpc.health.v1.Health/Check")), Access::Open);
        assert_eq!(required(Route::Grpc("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")), Access::Open);
    }
}
