/**
 * The generated stubs: services, messages and enumerations of `aegis.v1`, for what the client does not cover, such as
 * tokens and policies. Make clients of them with the transport of an `AegisClient`:
 *
 * ```ts
 * import { createClient } from "@connectrpc/connect";
 * import { PolicyService } from "aegis-sidecar/proto";
 * const policies = createClient(PolicyService, client.transport);
 * ```
 *
 * @packageDocumentation
 */
export * from "./proto/admin_pb.js";
export * from "./proto/approval_pb.js";
export * from "./proto/audit_pb.js";
export * from "./proto/error_pb.js";
export * from "./proto/governance_pb.js";
export * from "./proto/policy_pb.js";
export * from "./proto/types_pb.js";
