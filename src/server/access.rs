//! Who may call what: one table from method to roles, asked in one place.
//!
//! Every method has a row, by its name. The table is checked against the descriptors when the daemon starts: with a method that
//! has no row, the daemon does not start.

use prost::Message as _;

use crate::domain::{Role, Roles};
use crate::proto::FILE_DESCRIPTOR_SET;

/// What a caller must be to call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a credential: health and reflection.
    Open,
    /// Whoever has one of these roles.
    AnyOf(Roles),
    /// Nobody: the method is not in the table.
    Nobody,
}

/// Services that need no credential, whatever the listener.
const OPEN_SERVICES: [&str; 3] =
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// The package whose methods are all in the table.
const PACKAGE: &str = "aegis.v1.";

/// What a caller must be to call the method with this path (`/aegis.v1.GovernanceService/Propose`).
pub fn required(path: &str) -> Access {
    let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else {
        return Access::Open;
    };
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
        ("aegis.v1.PolicyService", "GetPolicy" | "UpdatePolicy" | "ValidatePolicy" | "WatchPolicy")
        | ("aegis.v1.AdminService", "CreateToken" | "ListTokens" | "RevokeToken" | "RotateLogKey" | "RedactDecision") => {
            &[Role::Admin]
        }
        (service, _) if OPEN_SERVICES.contains(&service) => return Access::Open,
        (service, _) if service.starts_with(PACKAGE) => return Access::Nobody,
        // Not ours: the router answers UNIMPLEMENTED, which tells nothing.
        _ => return Access::Open,
    };
    Access::AnyOf(Roles::of(roles))
}

/// A method of the API that the table does not know.
#[derive(Debug, thiserror::Error)]
#[error("nobody may call {0}: give it a row in server::access")]
pub struct UnknownMethod(String);

/// Every method of the API, as `/service/method`, from its descriptors.
pub fn methods() -> Vec<String> {
    // The descriptors are compiled in; that they decode is proved by the test below.
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
    match methods().into_iter().find(|path| required(path) == Access::Nobody) {
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
    fn a_method_that_the_table_does_not_know_is_for_nobody() {
        assert_eq!(required("/aegis.v1.NewService/New"), Access::Nobody);
        for path in methods() {
            let service = path.rsplit_once('/').unwrap().0;
            assert_eq!(required(&format!("{service}/NewMethod")), Access::Nobody, "a new method of {service}");
        }
    }

    #[test]
    fn agents_reach_nothing_but_governance() {
        for path in methods() {
            let Access::AnyOf(roles) = required(&path) else { continue };
            assert_eq!(roles.has(Role::Agent), path.starts_with("/aegis.v1.GovernanceService/"), "{path}");
        }
    }

    #[test]
    fn health_and_reflection_need_nothing() {
        assert_eq!(required("/grpc.health.v1.Health/Check"), Access::Open);
        assert_eq!(required("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"), Access::Open);
    }
}
