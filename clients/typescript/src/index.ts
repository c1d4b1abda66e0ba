/**
 * `sudo` for AI agents: the TypeScript SDK of the Aegis sidecar.
 *
 * The sidecar decides and records; this package runs the action in the agent's process, only on an `ALLOW` that it
 * understood, and reports what came of it. All times are in seconds.
 *
 * @packageDocumentation
 */
export { Audit } from "./audit.js";
export type { CancelOptions, EvaluateManyRequest, EvaluateRequest, ProposeRequest, Report } from "./calls/agent.js";
export type { ListDecisionsOptions, StreamAuditOptions } from "./calls/auditor.js";
export type { ReviewOptions, Shown } from "./calls/reviewer.js";
export type { WaitOptions } from "./calls/wait.js";
export { AegisClient, type ClientOptions } from "./client.js";
export type { CallOptions, ConnectionOptions } from "./connection.js";
export type { TlsOptions } from "./endpoint.js";
export {
    AbortError,
    ActionDenied,
    AegisError,
    AlreadyClaimed,
    AlreadyReported,
    type Code,
    type ErrorDetails,
    GovernanceError,
    InvalidActionError,
    ReportError,
} from "./errors.js";
export type { GovernOptions, Hooks, Result } from "./govern/options.js";
export { governed, type GovernedOptions } from "./governed.js";
export {
    type ApprovalAnswer,
    type ApprovalHandler,
    CallbackApprovalHandler,
    CLIApprovalHandler,
    describe,
} from "./handlers.js";
export { ExecutionPlan, type PlanStep } from "./plan.js";
export { ErrorReason } from "./reasons.js";
export { type ExecuteOptions, type Executor, Runtime, type RuntimeOptions } from "./runtime.js";
export type * from "./types.js";
export { visible } from "./visible.js";
