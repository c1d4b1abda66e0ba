/** The record, as an auditor reads it. */
import type { Action, Actor, Identity, JsonObject, Mask } from "./action.js";
import type { ApprovalFilter, Ending } from "./approval.js";
import type { ActionResult, ApprovalMode, Outcome, ResultStatus, RiskLevel } from "./decision.js";

/** Which rows of the record are asked for: as approvals are, and more. */
export interface AuditFilter extends ApprovalFilter {
    /** What the policy asked for: one of these. */
    readonly approvalModes?: readonly ApprovalMode[] | undefined;
    /** The outcome as it stands: one of these. */
    readonly outcomes?: readonly Outcome[] | undefined;
    /** What became of the action: one of these. */
    readonly resultStatuses?: readonly ResultStatus[] | undefined;
    /** The decision. */
    readonly decisionId?: string | undefined;
    /** A record: the row of the decision that it is about. */
    readonly auditRef?: string | undefined;
}

/** One decision with its approval and result folded in. */
export interface AuditRow {
    /** Its place among the decisions, from 1. */
    readonly number: number;
    /** The session, or empty. */
    readonly sessionId: string;
    /** When the decision was given: RFC 3339, UTC. */
    readonly timestamp: string;
    /** What was proposed, masked as the policy says. */
    readonly action: Action;
    /** What is masked in the action, and where it stands. */
    readonly masked: readonly Mask[];
    /** How dangerous the policy said it was. */
    readonly riskLevel: RiskLevel;
    /** What the policy asked for. */
    readonly approvalMode: ApprovalMode;
    /** The rule that matched, or `<default>`. */
    readonly matchedRule: string;
    /** The outcome as it stands. */
    readonly outcome: Outcome;
    /** Why it was decided so. */
    readonly reason: string;
    /** How the approval ended; `undefined` where none was needed or it is pending. */
    readonly ending: Ending | undefined;
    /** What became of the action; `undefined` while nothing can be said. */
    readonly result: ActionResult | undefined;
    /** The decision. */
    readonly decisionId: string;
    /** The approval, where there was one. */
    readonly approvalId: string | undefined;
    /** Who proposed, as declared. */
    readonly actor: Required<Actor>;
    /** Who proposed, as authenticated. */
    readonly identity: Identity;
    /** The policy that decided. */
    readonly policyRevision: string;
    /** The digest of what was proposed, unmasked. */
    readonly actionDigest: string;
    /** The record that holds the decision. */
    readonly auditRef: string;
    /** The labels that came with the proposal. */
    readonly metadata: JsonObject;
    /** The W3C trace id of the call, or empty. */
    readonly traceId: string;
    /** Whether the decision was taken off the record, by an admin or by its age: what it said reads `[redacted]`. */
    readonly redacted: boolean;
}

/** A row that came before no longer matches the filter. */
export interface RowLeft {
    /** The row's number. */
    readonly number: number;
    /** The decision. */
    readonly decisionId: string;
}
