/** What the daemon answers. All of it is frozen, so that no code turns a no into a yes. */
import type { Json, JsonObject } from "./action.js";

/** The answer to a proposal. Anything but `ALLOW` means: do not run the action (yet). */
export type Outcome = "ALLOW" | "DENY" | "ESCALATE" | "REQUIRE_CONFIRMATION";

/** How dangerous an action is. */
export type RiskLevel = "low" | "medium" | "high" | "critical";

/** What a rule asks for before an action may run. */
export type ApprovalMode = "auto" | "confirm" | "approve" | "block";

/** What became of an action. */
export type ResultStatus = "success" | "failed" | "blocked" | "denied" | "skipped" | "rolled_back" | "unknown";

/** What an agent says became of an action; the other statuses are the daemon's. */
export type ReportStatus = "success" | "failed" | "skipped" | "rolled_back";

/** What made a decision what it is. One that this version does not know is passed on as text. */
export type DecisionCode =
    | ""
    | "POLICY"
    | "REVIEWER"
    | "TIMEOUT"
    | "POLICY_CHANGED"
    | "CANCELLED"
    | "HALTED"
    | "LIMIT"
    | "ALREADY_REPORTED"
    | (string & Record<never, never>);

/**
 * What became of an action, as it is on the record: what was reported, or what the daemon says of one that did not
 * run.
 */
export interface ActionResult {
    /** What became of it. */
    readonly status: ResultStatus;
    /** What it returned; `undefined` where there is nothing. */
    readonly data: Json | undefined;
    /** What went wrong; else empty. */
    readonly error: string;
    /** When it started: RFC 3339, UTC. */
    readonly startedAt: string | undefined;
    /** When it was over: RFC 3339, UTC. */
    readonly completedAt: string | undefined;
    /** When the daemon recorded the report: RFC 3339, UTC; `undefined` where nothing was reported. */
    readonly reportedAt: string | undefined;
    /** The record of the report; `undefined` where nothing was reported. */
    readonly auditRef: string | undefined;
}

/** The answer to a proposal, whole. */
export interface Decision {
    /** Names this decision: `dec_` and a UUIDv7. */
    readonly decisionId: string;
    /** The answer. Anything but `ALLOW` means: do not run the action (yet). */
    readonly outcome: Outcome;
    /** What made the outcome what it is. */
    readonly code: DecisionCode;
    /**
     * Whether an earlier proposal with the same idempotency key got this decision already. An `ALLOW` is for one run:
     * run it only where that proposal was a lost attempt of yours. `governed` and `Runtime` check that.
     */
    readonly replayed: boolean;
    /** Why, for people. */
    readonly reason: string;
    /** How dangerous the policy says the action is. */
    readonly riskLevel: RiskLevel;
    /** The risk as a number from 0 to 1: 0.2, 0.5, 0.8 or 1.0. */
    readonly riskScore: number;
    /** What the rule asks for. */
    readonly approvalMode: ApprovalMode;
    /** The rule that matched, or `<default>`. */
    readonly matchedRule: string;
    /** What the policy hands to the agent, for example `{ max_rows: 100 }`. */
    readonly constraints: JsonObject;
    /** The policy that decided: SHA-256 in hex of its canonical JSON. */
    readonly policyRevision: string;
    /** When the decision was given: RFC 3339, UTC. */
    readonly timestamp: string;
    /** The record that holds this decision: `aud_` and a UUIDv7. */
    readonly auditRef: string;
    /** SHA-256 in hex of `actionDigestSalt` (its bytes) and the RFC 8785 JSON of what was decided on. */
    readonly actionDigest: string;
    /** What `actionDigest` begins with: 32 hex digits. */
    readonly actionDigestSalt: string;
    /** What was reported of the action; `undefined` until it is. */
    readonly result: ActionResult | undefined;
    /** The question put to reviewers, where one was: `apr_` and a UUIDv7. */
    readonly approvalId: string | undefined;
    /** When the question, or the confirmation token, ends by itself: RFC 3339, UTC. */
    readonly expiresAt: string | undefined;
    /** On `REQUIRE_CONFIRMATION`: what the second proposal must carry. Single use, bound to this very action. */
    readonly confirmationToken: string | undefined;
}

/** Whether a condition holds. `doubt`: the parameters do not say. */
export type ConditionResult = "holds" | "fails" | "doubt";

/** How one condition fared. */
export interface ConditionTrace {
    /** Where it stands and what it asks for. */
    readonly condition: string;
    /** Whether it holds. */
    readonly result: ConditionResult;
    /** The value seen, as JSON; empty where there is none. */
    readonly seen: string;
    /** Why, where the result does not say it all. */
    readonly reason: string;
}

/** How one rule fared. */
export interface RuleTrace {
    /** The rule's name. */
    readonly rule: string;
    /** Whether it matched. */
    readonly matched: boolean;
    /** Why, or why not. */
    readonly reason: string;
    /** Its conditions, as far as they were looked at. */
    readonly conditions: readonly ConditionTrace[];
    /** The layer that it is written in. */
    readonly file: string;
    /** The line that it begins on, from 1. */
    readonly line: number;
}

/** What the policy would answer for one action. */
export interface Evaluation {
    /** What a proposal would be answered. */
    readonly outcome: Outcome;
    /** Why, for people. */
    readonly reason: string;
    /** How dangerous the policy says the action is. */
    readonly riskLevel: RiskLevel;
    /** The risk as a number from 0 to 1. */
    readonly riskScore: number;
    /** What the policy asks for. */
    readonly approvalMode: ApprovalMode;
    /** The rule that matched, or `<default>`. */
    readonly matchedRule: string;
    /** What the policy hands to the agent. */
    readonly constraints: JsonObject;
    /** The policy that answered. */
    readonly policyRevision: string;
    /** Every rule that was tried, in order, the matching one last. Empty without `explain`. */
    readonly trace: readonly RuleTrace[];
    /** How many rules were tried and left out of `trace` because their type or target did not match. */
    readonly rulesLeftOut: number;
}
