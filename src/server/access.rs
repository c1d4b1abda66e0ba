//! The access table: which roles may call which route, for every protocol. A route without a row is refused.
//!
//! Every method of the API has a row. The daemon checks the table against the protobuf descriptors when it starts, and
//! does not start if a method has no row.

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
        // No interface supports this yet.
        Route::Http(..) => Access::Unknown,
    }
}

/// Whether a gRPC call sends messages for as long as it goes on, instead of one.
pub(crate) fn sends_a_stream(path: &str) -> bool {
    path.ends_with(".ServerReflection/ServerReflectionInfo")
}

/// Whether a gRPC call is answered with messages for as long as it goes on, instead of one.
pub(crate) fn answers_with_a_stream(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap_or_default();
    matches!(method, "StreamApprovals" | "StreamAudit" | "Watch" | "WatchPolicy" | "ServerReflectionInfo")
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
            "StreamAudit" | "GetStats" | "GetCheckpoint" | "GetInclusionProof" | "GetConsistencyProof",
        ) => &[Role::Auditor],
        ("aegis.v1.AdminService", "CreateToken" | "ListTokens" | "RevokeToken" | "RotateLogKey" | "RedactDecision")
        | ("aegis.v1.PolicyService", "GetPolicy" | "UpdatePolicy" | "ValidatePolicy" | "WatchPolicy") => &[Role::Admin],
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
    fn health_and_reflection_need_nothing() {
        assert_eq!(required(Route::Grpc("/grpc.health.v1.Health/Check")), Access::Open);
        assert_eq!(required(Route::Grpc("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")), Access::Open);
    }
}
