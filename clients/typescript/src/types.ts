/** The words of the API, as plain values. What comes from the daemon is frozen: nobody turns a no into a yes. */

/** What JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;

/** A JSON object. */
export interface JsonObject {
    readonly [key: string]: Json;
}

/** What an agent wants to do. */
export interface Action {
    /** The kind of action, for example `bulk_update`. Rules match it with globs. */
    readonly type: string;
    /** What it acts on, for example `crm`; may be empty. Rules match it with globs. */
    readonly target: string;
    /** Its arguments. */
    readonly params: JsonObject;
    /** The agent's own words for a reviewer. No rule looks at it. */
    readonly description: string;
}

/**
 * An action as it is given to this package.
 *
 * Its parameters must be what JSON holds exactly: no integer beyond ±(2^53 - 1), `NaN`, `undefined` in an array, `Date`,
 * function or cycle; those are an {@link InvalidActionError}. A property that is `undefined` counts as absent.
 */
export type ActionInput =
    | {
          /** The kind of action, for example `bulk_update`. Not empty. */
          readonly type: string;
          /** What it acts on, for example `crm`. Empty without it. */
          readonly target?: string | undefined;
          /** Its arguments. None without it. */
          readonly params?: object | undefined;
          /** The agent's own words for a reviewer. */
          readonly description?: string | undefined;
      }
    | {
          /** The same as `type`. */
          readonly capability: string;
          /** The same as `params`. */
          readonly parameters?: object | undefined;
          /** What it acts on. Empty without it. */
          readonly target?: string | undefined;
          /** The agent's own words for a reviewer. */
          readonly description?: string | undefined;
      };

/** Who proposes, as declared. */
export interface Actor {
    /** The declared id, for example `agent-7`. */
    readonly id: string;
    /** The declared kind; `ai-agent` without it. */
    readonly type?: string | undefined;
}

/** Where a proposal comes from. */
export interface Context {
    /** The agent's session: what one run of an agent did is found by it. */
    readonly sessionId?: string | undefined;
    /** Free labels that go to the record. Checked as parameters are. */
    readonly metadata?: object | undefined;
}

/**
 * A context as it is given to this package. `session_id` is taken for `sessionId`, as in the other SDKs.
 */
export type ContextInput = Context & {
    /** The same as `sessionId`. */
    readonly session_id?: string | undefined;
};

/** Who called, as the daemon authenticated it. */
export interface Identity {
    /** The subject, or `anonymous`. */
    readonly subject: string;
    /** How it was established: `anonymous`, `unix_peer`, `bootstrap_credential`, `token`, `certificate`, `jwt`. */
    readonly how: string;
    /** The one actor that the credential may act for. Empty: any. */
    readonly actor: string;
}

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

/** How an approval ended. */
export type EndingKind = "approved" | "denied" | "expired" | "cancelled";

/** The answer to a proposal, whole. */
export interface Decision {
    /** Names this decision: `dec_` and a UUIDv7. */
    readonly decisionId: string;
    /** The answer. Anything but `ALLOW` means: do not run the action (yet). */
    readonly outcome: Outcome;
    /** Why, for people. */
    readonly reason: string;
    /** How dangerous the policy says the action is. */
    readonly riskLevel: RiskLevel;
    /** The risk as a number from 0 to 1: 0.2, 0.5, 0.8 or 1.0. */
    readonly riskScore: number;
    /** What the rule asks for. */
    readonly approval: ApprovalMode;
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
    /** SHA-256 in hex of the canonical JSON of what was decided on. */
    readonly actionDigest: string;
    /** The question put to reviewers, where one was: `apr_` and a UUIDv7. */
    readonly approvalId: string | undefined;
    /** When the question, or the confirmation token, ends by itself: RFC 3339, UTC. */
    readonly expiresAt: string | undefined;
    /** On `REQUIRE_CONFIRMATION`: what the second proposal must carry. Single use, bound to this very action. */
    readonly confirmationToken: string | undefined;
}

/** How one condition fared. */
export interface ConditionTrace {
    /** Where it stands and what it asks for. */
    readonly condition: string;
    /** `holds`, `does not hold` or `indeterminate`. */
    readonly result: string;
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
    readonly approval: ApprovalMode;
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

/** The end of an approval. There is exactly one. */
export interface Ending {
    /** How it ended. */
    readonly kind: EndingKind;
    /** Whether the action may run now. */
    readonly allows: boolean;
    /** The authenticated subject who ended it. Empty where time or the policy did. */
    readonly by: string;
    /** When: RFC 3339, UTC. */
    readonly at: string;
    /** Why, in the reviewer's words or the daemon's. */
    readonly reason: string;
    /** Where the daemon itself decided: `POLICY_CHANGED` or `TIMEOUT`. Else empty. */
    readonly code: string;
}

/** Something that a session did before. */
export interface SessionAction {
    /** When it was decided: RFC 3339, UTC. */
    readonly time: string;
    /** The kind of action. */
    readonly type: string;
    /** What it acted on. */
    readonly target: string;
    /** How it was answered, as it stands. */
    readonly outcome: Outcome;
    /** What became of it; `undefined` while nothing can be said. */
    readonly status: ResultStatus | undefined;
}

/**
 * A question put to reviewers: everything that a person needs to answer it.
 *
 * Action, actor and context hold text that an agent controls: show it through {@link visible}.
 */
export interface Approval {
    /** Names it: `apr_` and a UUIDv7. */
    readonly approvalId: string;
    /** The decision that waits for it. */
    readonly decisionId: string;
    /** Who proposed, as declared. */
    readonly actor: Required<Actor>;
    /** Who proposed, as authenticated. */
    readonly identity: Identity;
    /** What is proposed. Masked parameters read `[masked, N characters]`. */
    readonly action: Action;
    /** The parameters that are masked. */
    readonly masked: readonly string[];
    /** The agent's session, or empty. */
    readonly sessionId: string;
    /** The labels that came with the proposal. */
    readonly metadata: JsonObject;
    /** What an answer must carry: the digest of exactly this action. */
    readonly actionDigest: string;
    /** The rule that asks, or `<default>`. */
    readonly matchedRule: string;
    /** Why it asks. */
    readonly reason: string;
    /** How dangerous the policy says the action is. */
    readonly riskLevel: RiskLevel;
    /** The policy that asked. */
    readonly policyRevision: string;
    /** When the question was put: RFC 3339, UTC. */
    readonly requestedAt: string;
    /** When it ends by itself: RFC 3339, UTC. */
    readonly expiresAt: string;
    /** Whether the action may run when nobody answers. */
    readonly timeoutAllows: boolean;
    /** How it ended; `undefined` while it is pending. */
    readonly ending: Ending | undefined;
    /** What this session did before, newest first, at most 10 rows. Only from `getApproval`. */
    readonly history: readonly SessionAction[];
}

/** Which approvals are asked for. Every part that is set must hold; texts match exactly. */
export interface ApprovalFilter {
    /** The session. */
    readonly sessionId?: string | undefined;
    /** The action's type. */
    readonly actionType?: string | undefined;
    /** The declared actor. */
    readonly actorId?: string | undefined;
    /** At least this risk. */
    readonly minRiskLevel?: RiskLevel | undefined;
}

/** An approval has come or gone. */
export interface ApprovalChange {
    /**
     * `pending`: it waits; part of a snapshot before `snapshot_complete`, new after it. `ended`: it has ended, forget it.
     */
    readonly kind: "pending" | "ended";
    /** The approval. */
    readonly approval: Approval;
}

/** The snapshot is complete. */
export interface SnapshotComplete {
    /** Says so. */
    readonly kind: "snapshot_complete";
    /** How many approvals it held. */
    readonly count: number;
}

/** Changes were missed: the connection broke, or the reader fell behind. Forget everything, a snapshot follows. */
export interface StreamReset {
    /** Says so. */
    readonly kind: "reset";
}

/** One event of a stream of approvals. */
export type ApprovalEvent = ApprovalChange | SnapshotComplete | StreamReset;

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
