/** The record, as an auditor reads it. */
import type { Action, Actor, Identity, Json, JsonObject } from "./action.js";
import type { Ending } from "./approval.js";
import type { ApprovalMode, Outcome, ResultStatus, RiskLevel } from "./decision.js";

/** Which rows of the record are asked for. Every part that is set must hold; texts match exactly. */
export interface AuditFilter {
    /** The session. */
    readonly sessionId?: string | undefined;
    /** The action's type. */
    readonly actionType?: string | undefined;
    /** The action's target. */
    readonly actionTarget?: string | undefined;
    /** The risk level. */
    readonly riskLevel?: RiskLevel | undefined;
    /** What the policy asked for. */
    readonly approval?: ApprovalMode | undefined;
    /** The outcome as it stands. */
    readonly outcome?: Outcome | undefined;
    /** What became of the action. */
    readonly resultStatus?: ResultStatus | undefined;
    /** The declared actor. */
    readonly actorId?: string | undefined;
    /** The decision. */
    readonly decisionId?: string | undefined;
    /** The rule that matched. */
    readonly matchedRule?: string | undefined;
    /** Not before this moment. */
    readonly since?: Date | undefined;
    /** Not after this moment. */
    readonly until?: Date | undefined;
}

/** One decision with its approval and result folded in. */
export interface AuditRow {
    /** Its place among the decisions, from 1. */
    readonly id: number;
    /** The session, or empty. */
    readonly sessionId: string;
    /** When the decision was given: RFC 3339, UTC. */
    readonly timestamp: string;
    /** What was proposed, masked as the policy says. */
    readonly action: Action;
    /** The parameters that are masked. */
    readonly masked: readonly string[];
    /** How dangerous the policy said it was. */
    readonly riskLevel: RiskLevel;
    /** What the policy asked for. */
    readonly approval: ApprovalMode;
    /** The rule that matched, or `<default>`. */
    readonly matchedRule: string;
    /** The outcome as it stands. */
    readonly outcome: Outcome;
    /** Why it was decided so. */
    readonly reason: string;
    /** How the approval ended; `undefined` where none was needed or it is pending. */
    readonly ending: Ending | undefined;
    /** What became of the action; `undefined` while nothing can be said. */
    readonly resultStatus: ResultStatus | undefined;
    /** What the action returned; `undefined` where nothing was reported. */
    readonly resultData: Json | undefined;
    /** What went wrong, or empty. */
    readonly resultError: string;
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
    /** Digests of the masked parameters, by their name: equal values of one store have equal digests. */
    readonly maskedDigests: Readonly<Record<string, string>>;
    /** Whether the decision was taken off the record, by an admin or by its age: what it said reads `[redacted]`. */
    readonly redacted: boolean;
}
