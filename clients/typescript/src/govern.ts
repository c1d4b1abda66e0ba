/**
 * How a governed call goes: propose, confirm or wait, run, report. The wrapper, the runtime and the adapters all go
 * through {@link perform}: there is no other way from a proposal to an action.
 */
import { randomUUID } from "node:crypto";
import { checkedAction, errorText } from "./action.js";
import { type AegisClient, deniedOrBlocked, type ProposeRequest } from "./client.js";
import { ActionDenied, AegisError, ReportError } from "./errors.js";
import type { ApprovalHandler } from "./handlers.js";
import { throwIfAborted } from "./pause.js";
import type { Action, ActionInput, Actor, ContextInput, Decision, ReportStatus, ResultStatus } from "./types.js";

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
 * Functions that watch. Each is waited for. What they return is not looked at, and what they are given is frozen: none can
 * turn a no into a yes. One that throws ends the call with what it threw, and an action that has not run by then does not.
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
    /** How long to wait for a reviewer, in seconds; then the proposal is withdrawn. Until the approval ends by itself. */
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

/** What an execution came to, before it is reported. */
export interface Execution<T> {
    readonly status: Exclude<ReportStatus, "skipped">;
    readonly data?: T;
    readonly error?: string;
    readonly cause?: unknown;
}

type Verdict =
    | { readonly allowed: true; readonly decision: Decision }
    | {
          readonly allowed: false;
          readonly decision: Decision;
          readonly status: "blocked" | "denied";
          readonly reason: string;
      };

/** Refuses options that cannot work, before anything is proposed. */
export function checkOptions(options: Pick<GovernOptions, "approvalHandler" | "reviewer">): void {
    if (options.approvalHandler === undefined || options.reviewer !== undefined) return;
    throw new AegisError(
        "an approval handler answers as a reviewer: give `reviewer`, a client with a reviewer's credential " +
            "(`aegis token create --role reviewer`), beside `approvalHandler`",
        { code: "INVALID_ARGUMENT" },
    );
}

/**
 * Proposes an action and executes it if it may run. A no is a result; everything that goes wrong on the way is thrown.
 * `check` is the last word before it runs: where it throws, the action does not.
 */
export async function perform<T>(
    input: ActionInput,
    options: GovernOptions,
    execute: (action: Action, decision: Decision) => Promise<Execution<T>>,
    check?: () => void,
): Promise<Result<T>> {
    checkOptions(options);
    const action = checkedAction(input);
    const verdict = await settle(action, options);
    const { decision } = verdict;
    if (!verdict.allowed) {
        const { status, reason } = verdict;
        return { action, status, ok: false, data: undefined, error: reason, cause: undefined, decision };
    }
    if (check !== undefined) await guarded(options.client, decision, async () => check());
    const startedAt = new Date();
    const execution = await execute(action, decision);
    await report(options.client, decision, execution, startedAt);
    const { status, data, error = "", cause } = execution;
    const result = Object.freeze({ action, status, ok: status === "success", data, error, cause, decision });
    await options.onExecute?.(action, result);
    return result;
}

async function report<T>(
    client: AegisClient,
    decision: Decision,
    execution: Execution<T>,
    startedAt: Date,
): Promise<void> {
    const { status, data, error, cause } = execution;
    try {
        await client.report(decision, { status, data, error, startedAt, completedAt: new Date() });
    } catch (problem) {
        // Not another error than ours: `report` converts before it sends.
        throw new ReportError(decision, { result: data, error: cause }, problem as AegisError);
    }
}

/** Runs a function and says what came of it. */
export async function executed<T>(run: () => T | Promise<T>): Promise<Execution<T>> {
    try {
        return { status: "success", data: await run() };
    } catch (cause) {
        return { status: "failed", error: errorText(cause), cause };
    }
}

/** Proposes, and waits until it is settled whether the action may run. */
export async function settle(action: Action, options: GovernOptions): Promise<Verdict> {
    const { client, actor, context, signal } = options;
    const propose = async (confirmationToken?: string): Promise<Decision> => {
        throwIfAborted(signal);
        const proposal = { action, actor, context, confirmationToken, idempotencyKey: randomUUID() };
        try {
            return await client.propose(proposal, { signal });
        } catch (error) {
            // It may have arrived: by its key it is found again, so that nobody answers what nobody waits for.
            const late = error instanceof AegisError && error.code === "DEADLINE_EXCEEDED";
            if (signal?.aborted === true || late) await abandon(client, proposal).catch(() => undefined);
            throw error;
        }
    };
    let decision = await propose();
    await guarded(client, decision, async () => options.onDecision?.(action, decision));

    if (decision.outcome === "REQUIRE_CONFIRMATION") {
        const asked = decision;
        const confirmed = await guarded(client, asked, async () => options.confirm?.(action, asked));
        if (confirmed !== true) {
            const reason =
                options.confirm === undefined
                    ? "it needs a confirmation, and nobody can be asked: give `confirm`"
                    : "not confirmed";
            await withdraw(client, asked, reason);
            return { allowed: false, decision: asked, status: "denied", reason };
        }
        decision = await propose(asked.confirmationToken);
        // The policy has changed in between, or the action has: one question is enough.
        if (decision.outcome === "REQUIRE_CONFIRMATION") {
            const reason = "it needs another confirmation";
            await withdraw(client, decision, reason);
            return { allowed: false, decision, status: "denied", reason };
        }
    }

    if (decision.outcome === "ESCALATE") {
        const asked = decision;
        const reviewed = await guarded(client, asked, async () => review(asked, options));
        if (reviewed.outcome === "ESCALATE") {
            const reason = "nobody answered before the deadline";
            await withdraw(client, reviewed, reason);
            return { allowed: false, decision: reviewed, status: "denied", reason };
        }
        decision = reviewed;
        await guarded(client, reviewed, async () => options.onApproval?.(action, reviewed));
        if (decision.outcome === "DENY") return { allowed: false, decision, status: "denied", reason: decision.reason };
    }

    // Written so that nothing but this one word lets an action run.
    if (decision.outcome === "ALLOW") {
        const allowed = decision;
        await guarded(client, allowed, async () => throwIfAborted(signal));
        return { allowed: true, decision };
    }
    return { allowed: false, decision, status: deniedOrBlocked(decision), reason: decision.reason };
}

/** How long one attempt takes at most to withdraw what nobody waits for any longer, in seconds. */
const ABANDON_WITHIN = 5;

/** Gives up a proposal whose answer was not waited for. Quickly: somebody has asked to stop. */
async function abandon(client: AegisClient, proposal: ProposeRequest): Promise<void> {
    const timeout = Math.min(client.timeout, ABANDON_WITHIN);
    await withdraw(client, await client.propose(proposal, { timeout, retries: 0 }), "its caller has stopped waiting");
}

/** Waits for a reviewer, and asks the handler meanwhile. */
async function review(decision: Decision, options: GovernOptions): Promise<Decision> {
    const { client, deadline, approvalHandler, reviewer, signal } = options;
    const { approvalId } = decision;
    if (approvalHandler === undefined || reviewer === undefined || approvalId === undefined) {
        return client.wait(decision, { deadline, signal });
    }
    const over = new AbortController();
    const either = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal]);
    const waiting = client.wait(decision, { deadline, signal: either });
    const answering = answer(approvalId, approvalHandler, reviewer, either);
    try {
        return await Promise.race([waiting, answering.then(async () => waiting)]);
    } finally {
        over.abort();
        // Whichever is left over ends with an abort.
        await Promise.allSettled([waiting]);
        answering.catch(() => undefined);
    }
}

async function answer(
    approvalId: string,
    handler: ApprovalHandler,
    reviewer: AegisClient,
    signal: AbortSignal,
): Promise<void> {
    const approval = await reviewer.getApproval(approvalId, { signal });
    const said = await handler.requestApproval(approval, signal);
    const { approved, reason } = typeof said === "object" ? said : { approved: said, reason: undefined };
    try {
        // Only `true` is a yes, whatever a handler in JavaScript returns.
        if ((approved as unknown) === true) await reviewer.approve(approval, { reason, signal });
        else await reviewer.deny(approval, { reason, signal });
    } catch (error) {
        // Another reviewer was first, or the time was over: that is what counts.
        const ended = error instanceof AegisError && ["ALREADY_DECIDED", "EXPIRED"].includes(error.reason);
        if (!ended) throw error;
    }
}

/** Does something that may throw before the action runs; if it does, the proposal does not stay open. */
async function guarded<T>(client: AegisClient, decision: Decision, step: () => Promise<T>): Promise<T> {
    try {
        return await step();
    } catch (error) {
        // What went wrong first is what is thrown. A daemon that cannot be told ends the approval by its expiry.
        await withdraw(client, decision, `not run: ${errorText(error)}`).catch(() => undefined);
        throw error;
    }
}

/** Gives up a proposal, so that nobody answers what nobody waits for, and no allowed action stays unreported. */
export async function withdraw(client: AegisClient, decision: Decision, reason: string): Promise<void> {
    let now = decision;
    if (now.outcome === "ESCALATE" || now.outcome === "REQUIRE_CONFIRMATION") {
        try {
            now = await client.cancel(now, { reason });
        } catch (error) {
            if (!(error instanceof AegisError && error.code === "FAILED_PRECONDITION")) throw error;
            // Somebody decided just now.
            now = await client.wait(now, { deadline: 0 });
        }
    }
    if (now.outcome === "ALLOW") await client.report(now, { status: "skipped", error: reason });
}

/** What a result stands for where a function has to return or throw: the data, what was thrown, or {@link ActionDenied}. */
export function unwrap<T>(result: Result<T>): T {
    switch (result.status) {
        case "success":
            return result.data as T;
        case "blocked":
        case "denied":
            if (result.decision === undefined) break;
            throw new ActionDenied(result.action, result.decision, result.status, result.error);
        default:
            break;
    }
    // Whatever it was that the action threw.
    // eslint-disable-next-line @typescript-eslint/only-throw-error
    throw result.cause ?? new AegisError(result.error);
}
