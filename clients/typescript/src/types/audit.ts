/** The record, as an auditor reads it. */
import type { Action, Actor, Identity, JsonObject, Mask } from "./action.js";
import type { Approval, ApprovalFilter, Ending } from "./approval.js";
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

/** A record of the log, by its id and its place. */
export interface RecordReference {
    /** Its place in the log, from 1. */
    readonly sequence: number;
    /** Its id; empty where it is redacted. */
    readonly auditRef: string;
    /** What it is, for example `decision`, `approval_ended` or `result`; empty where it is redacted. */
    readonly kind: string;
    /** When it was written: RFC 3339, UTC; `undefined` where it is redacted. */
    readonly recordedAt: string | undefined;
}

/** The whole life of a decision. */
export interface DecisionLife {
    /** The decision, as it is now. */
    readonly row: AuditRow;
    /** Its approval, with the votes; `undefined` where none was needed. */
    readonly approval: Approval | undefined;
    /** Its records, in the order of the log. */
    readonly records: readonly RecordReference[];
}

/** Totals of the whole record. */
export interface Stats {
    /** How many decisions there are. */
    readonly decisions: number;
    /** How many records there are. */
    readonly records: number;
    /** How many approvals are pending now. */
    readonly pendingApprovals: number;
    /** Decisions by risk level: `LOW` to `CRITICAL`. */
    readonly byRiskLevel: Readonly<Record<string, number>>;
    /** Decisions by outcome, as it stands. */
    readonly byOutcome: Readonly<Record<string, number>>;
    /** Decisions by what became of the action. */
    readonly byResultStatus: Readonly<Record<string, number>>;
    /** The most frequent action types. */
    readonly topActionTypes: Readonly<Record<string, number>>;
    /** The most frequent rules. */
    readonly topRules: Readonly<Record<string, number>>;
}
