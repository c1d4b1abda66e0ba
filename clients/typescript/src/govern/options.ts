/** How a governed call goes, as its caller says, and what comes of it. */
import type { AegisClient } from "../client.js";
import { AegisError } from "../errors.js";
import type { ApprovalHandler } from "../handlers.js";
import type { Action, Actor, ContextInput, Decision, ResultStatus } from "../types.js";

/** What came of an action. */
export interface Result<T = unknown> {
    /** What was proposed. */
    readonly action: Action;
    /** What became of it. */
    readonly status: ResultStatus;
    /** Whether it ran and worked. */
    readonly ok: boolean;
    /** What it returned; `undefined` where it did not run or threw. */
    readonly data: T | undefined;
    /** What went wrong, or why it did not run; else empty. */
    readonly error: string;
    /** What it threw, where it did. */
    readonly cause: unknown;
    /** The decision as it stands; `undefined` in a dry run. */
    readonly decision: Decision | undefined;
}

/**
 * Functions that watch. Each is waited for. What they return is not looked at, and what they are given is frozen:
 * none can turn a no into a yes. One that throws ends the call with what it threw, and an action that has not run by
 * then does not.
 */
export interface Hooks {
    /** The daemon has answered the proposal. */
    readonly onDecision?: ((action: Action, decision: Decision) => unknown) | undefined;
    /** A reviewer, or the clock, has ended the approval. */
    readonly onApproval?: ((action: Action, decision: Decision) => unknown) | undefined;
    /** The action ran, and what came of it is on the record. */
    readonly onExecute?: ((action: Action, result: Result) => unknown) | undefined;
}

/** How a governed call goes. */
export interface GovernOptions extends Hooks {
    /** The agent's client. */
    readonly client: AegisClient;
    /** Who proposes, as declared. The client's. */
    readonly actor?: Actor | undefined;
    /** Where proposals come from. The client's. */
    readonly context?: ContextInput | undefined;
    /**
     * How long to wait for a reviewer, in seconds; then the proposal is withdrawn. Until the approval ends by itself.
     */
    readonly deadline?: number | undefined;
    /** Ends the call. A proposal that waits is withdrawn; an action that runs is left to run, and reported. */
    readonly signal?: AbortSignal | undefined;
    /** Asks the agent's own user, where the policy wants that. Only `true` is a yes; without it the answer is no. */
    readonly confirm?: ((action: Action, decision: Decision) => boolean | Promise<boolean>) | undefined;
    /** Asks a reviewer from within this process. Needs `reviewer`. Without it, reviewers answer from elsewhere. */
    readonly approvalHandler?: ApprovalHandler | undefined;
    /** A client with a reviewer's credential, for `approvalHandler` to answer with. */
    readonly reviewer?: AegisClient | undefined;
}

/** Refuses options that cannot work, before anything is proposed. */
export function checkOptions(options: Pick<GovernOptions, "approvalHandler" | "reviewer">): void {
    if (options.approvalHandler === undefined || options.reviewer !== undefined) return;
    throw new AegisError(
        "an approval handler answers as a reviewer: give `reviewer`, a client with a reviewer's credential " +
            "(`aegis token create --role reviewer`), beside `approvalHandler`",
        { code: "INVALID_ARGUMENT" },
    );
}
