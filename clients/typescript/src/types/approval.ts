/** Questions put to reviewers. */
import type { Action, Actor, Identity, JsonObject, Mask } from "./action.js";
import type { Outcome, ResultStatus, RiskLevel } from "./decision.js";

/** How an approval ended. */
export type EndingKind = "approved" | "denied" | "expired" | "cancelled";

/** Where an approval stands. One that this version does not know is passed on as text, and is not pending. */
export type ApprovalState = "pending" | EndingKind;

/** What a reviewer decides. */
export type Verdict = "approve" | "deny";

/** The vote of a reviewer. */
export interface Vote {
    /** Names it: the id of its record. */
    readonly voteId: string;
    /** What the reviewer decided. */
    readonly verdict: Verdict;
    /** The reviewer, as authenticated. */
    readonly by: Identity;
    /** When: RFC 3339, UTC. */
    readonly votedAt: string;
    /** Why, in the reviewer's words. */
    readonly reason: string;
    /** The digest that the reviewer sent: what was shown. */
    readonly actionDigest: string;
}

/** The end of an approval. There is exactly one. */
export interface Ending {
    /** How it ended. */
    readonly kind: EndingKind;
    /** Whether the action may run now. */
    readonly allows: boolean;
    /** Who ended it, as authenticated; `undefined` where time or the policy did. */
    readonly by: Identity | undefined;
    /** When: RFC 3339, UTC. */
    readonly endedAt: string;
    /** Why, in the reviewer's words or the daemon's. */
    readonly reason: string;
    /** Where the daemon itself decided: `POLICY_CHANGED` or `TIMEOUT`. Else empty. */
    readonly code: string;
}

/** Something that a session did before. */
export interface SessionAction {
    /** When it was decided: RFC 3339, UTC. */
    readonly decidedAt: string;
    /** The kind of action. */
    readonly type: string;
    /** What it acted on. */
    readonly target: string;
    /** How it was answered, as it stands. */
    readonly outcome: Outcome;
    /** What became of it; `undefined` while nothing can be said. */
    readonly resultStatus: ResultStatus | undefined;
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
    /** What is masked in the action, and where it stands. */
    readonly masked: readonly Mask[];
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
    /** Where it stands. */
    readonly state: ApprovalState;
    /** The votes of reviewers, oldest first. */
    readonly votes: readonly Vote[];
    /** 1 when it was made, and one more with each change: of two messages about it, the higher one is newer. */
    readonly version: number;
    /** Whether the proposer still waits for the answer; `undefined` where that is not known. */
    readonly callerWaiting: boolean | undefined;
    /** How it ended; `undefined` while it is pending. */
    readonly ending: Ending | undefined;
    /** What this session did before, newest first, at most 10 rows. Only from `getApproval`. */
    readonly history: readonly SessionAction[];
}

/**
 * Which approvals are asked for. Every part that is set must hold; of a list, one of its items. Globs are those of the
 * policy: a text without `*`, `?` and `[…]` matches exactly, as every other text does.
 */
export interface ApprovalFilter {
    /** The session. */
    readonly sessionId?: string | undefined;
    /** A glob that the action's type matches. */
    readonly actionType?: string | undefined;
    /** A glob that the action's target matches. */
    readonly target?: string | undefined;
    /** One of these risks. */
    readonly riskLevels?: readonly RiskLevel[] | undefined;
    /** At least this risk. */
    readonly minRiskLevel?: RiskLevel | undefined;
    /** The proposer, as declared. */
    readonly actorId?: string | undefined;
    /** The proposer, as authenticated. */
    readonly subject?: string | undefined;
    /** A reviewer who voted, as authenticated. Not on a stream: nobody has voted on what is pending. */
    readonly approver?: string | undefined;
    /** The rule that matched. */
    readonly matchedRule?: string | undefined;
    /** Not before this moment. */
    readonly since?: Date | undefined;
    /** Not after this moment. */
    readonly until?: Date | undefined;
}

/** Which approvals a list has. */
export interface ListApprovalsFilter extends ApprovalFilter {
    /** Where they stand: one of these. What is pending. */
    readonly states?: readonly ApprovalState[] | undefined;
}

/** An approval has come or gone. */
export interface ApprovalChange {
    /**
     * `pending`: it waits; part of a snapshot before `snapshot_complete`, new or changed after it. `ended`: it has
     * ended, forget it.
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
