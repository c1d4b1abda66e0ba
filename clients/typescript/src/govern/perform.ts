/**
 * The one way from a proposal to a run: propose, confirm or wait, run, report. The wrapper, the runtime and the
 * adapters all go through {@link perform}.
 */
import { checkedAction } from "../action.js";
import type { AegisClient } from "../client.js";
import { ActionDenied, AegisError, ReportError } from "../errors.js";
import { errorText } from "../recordable.js";
import type { Action, ActionInput, Decision, ReportStatus } from "../types.js";
import { checkOptions, type GovernOptions, type Result } from "./options.js";
import { settle } from "./settle.js";
import { guarded } from "./withdraw.js";

/** What an execution came to, before it is reported. */
export interface Execution<T> {
    readonly status: Exclude<ReportStatus, "skipped">;
    readonly data?: T;
    readonly error?: string;
    readonly cause?: unknown;
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

/**
 * What a result stands for where a function has to return or throw: the data, what was thrown, or {@link
 * ActionDenied}.
 */
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
