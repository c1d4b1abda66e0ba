/** Questions put to reviewers. */
import type { Action, Actor, Identity, JsonObject } from "./action.js";
import type { Outcome, ResultStatus, RiskLevel } from "./decision.js";

/** How an approval ended. */
export type EndingKind = "approved" | "denied" | "expired" | "cancelled";

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
     * `pending`: it waits; part of a snapshot before `snapshot_complete`, new after it. `ended`: it has ended, forget
     * it.
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
