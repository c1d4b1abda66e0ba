/**
 * The one way from a proposal to a run: propose, confirm or wait, run, report. The wrapper, the runtime and the
 * adapters all go through {@link perform} or {@link performStream}.
 *
 * What runs is a copy that was made before it was proposed (`detached.ts`). Where something of the caller's own must
 * run, it is described again right before, by `unchanged`, which throws where the description differs.
 */
import { checkedAction } from "../action.js";
import type { AegisClient } from "../client.js";
import { ActionDenied, AegisError, AlreadyReported, ReportError } from "../errors.js";
import { isLazy } from "../lazy.js";
import { errorText } from "../recordable.js";
import type { Action, ActionInput, ActionResult, Decision, ReportStatus } from "../types.js";
import { checkedOptions, type GovernOptions, type Result, type RunOptions } from "./options.js";
import { settle } from "./settle.js";
import { withdraw } from "./withdraw.js";

/** What an execution came to, before it is reported. */
export interface Execution<T> {
    readonly status: ReportStatus;
    readonly data?: T;
    readonly error?: string;
    readonly cause?: unknown;
}

/**
 * Proposes an action and executes it if it may run. A no is a result; everything that goes wrong on the way is thrown.
 *
 * `unchanged` is the last word before it runs, with nothing in between: where it throws, the action does not run.
 */
export async function perform<T>(
    input: ActionInput,
    given: RunOptions,
    execute: (action: Action, decision: Decision) => Promise<Execution<T>>,
    unchanged?: () => void | Promise<void>,
): Promise<Result<T>> {
    const options = checkedOptions(given);
    const { allowed, result: ended } = await proposed<T>(checkedAction(input), options);
    if (allowed === undefined) return ended;
    const { action, decision } = allowed;
    try {
        // Not awaited where it need not be: nothing happens between the last word and the run.
        const asking = unchanged?.();
        if (asking !== undefined) await asking;
    } catch (error) {
        throw await notRun(options.client, decision, error);
    }
    const startedAt = new Date();
    return reported(allowed, options, startedAt, await execute(action, decision));
}

/**
 * The same for what yields its result bit by bit: each part is passed on as it comes, and the last one is what is
 * reported. A reader who leaves before the end leaves a failed action on the record.
 */
export async function* performStream<T>(
    input: ActionInput,
    given: GovernOptions,
    open: () => AsyncIterable<T> | Iterable<T>,
    unchanged?: () => void,
): AsyncGenerator<T, Result<T>, undefined> {
    const options = checkedOptions(given);
    const { allowed, result: ended } = await proposed<T>(checkedAction(input), options);
    if (allowed === undefined) return ended;
    try {
        unchanged?.();
    } catch (error) {
        throw await notRun(options.client, allowed.decision, error);
    }
    const startedAt = new Date();
    let execution: Execution<T> = { status: "failed", error: "its reader has left before its end" };
    let result: Result<T> | undefined;
    try {
        let last: T | undefined;
        for await (const part of open()) {
            last = part;
            yield part;
        }
        execution = { status: "success", data: last as T };
    } catch (cause) {
        execution = thrown(cause);
    } finally {
        result = await reported(allowed, options, startedAt, execution);
    }
    return result;
}

interface Allowed {
    readonly action: Action;
    readonly decision: Decision;
}

/** Each part is there, as what is not could come from `Object.prototype`. */
type Proposed<T> =
    | { readonly allowed: Allowed; readonly result: undefined }
    | { readonly allowed: undefined; readonly result: Result<T> };

/** The yes to an action, or what a no comes to. */
async function proposed<T>(action: Action, options: RunOptions): Promise<Proposed<T>> {
    const verdict = await settle(action, options);
    const { decision } = verdict;
    if (verdict.allowed) return { allowed: { action, decision }, result: undefined };
    if (verdict.recorded !== undefined) {
        return { allowed: undefined, result: recorded<T>(action, decision, verdict.recorded) };
    }
    const { status, reason } = verdict;
    const result = { action, status, ok: false, data: undefined, error: reason, cause: undefined, decision };
    return { allowed: undefined, result };
}

/** What the record has of an action that ran once. */
function recorded<T>(action: Action, decision: Decision, result: ActionResult): Result<T> {
    const { status, data, error } = result;
    const ok = status === "success";
    const cause = ok ? undefined : new AlreadyReported(action, decision, result);
    return { action, status, ok, data: data as T | undefined, error, cause, decision };
}

/** Gives up an action that may run and does not, because of this error. */
async function notRun(client: AegisClient, decision: Decision, error: unknown): Promise<unknown> {
    await withdraw(client, decision, `not run: ${errorText(error)}`).catch(() => undefined);
    return error;
}

async function reported<T>(
    { action, decision }: Allowed,
    options: GovernOptions,
    startedAt: Date,
    execution: Execution<T>,
): Promise<Result<T>> {
    const { status, data, error = "", cause } = execution;
    try {
        await options.client.report(decision, { status, data, error, startedAt, completedAt: new Date() });
    } catch (problem) {
        // Not another error than ours: `report` converts before it sends.
        throw new ReportError(decision, { result: data, error: cause }, problem as AegisError);
    }
    const result = Object.freeze({ action, status, ok: status === "success", data, error, cause, decision });
    await options.onExecute?.(action, result);
    return result;
}

/** Runs a function and says what came of it. */
export async function executed<T>(run: () => T | Promise<T>): Promise<Execution<T>> {
    try {
        const data = await run();
        if (!isLazy(data)) return { status: "success", data };
        // Nothing of its body has run, and the report would say that all of it has.
        await (data as Partial<AsyncIterator<unknown> | Iterator<unknown>>).return?.(undefined);
        throw new AegisError(
            "it returned a generator, whose body runs only while it is read: govern a function that reads all of it",
            { code: "INVALID_ARGUMENT" },
        );
    } catch (cause) {
        return thrown(cause);
    }
}

/**
 * What an action comes to that threw. A framework that pauses its run by that, as LangGraph's `interrupt`, is no
 * failure.
 */
function thrown(cause: unknown): Execution<never> {
    if (cause instanceof Error && Reflect.get(cause, "is_bubble_up") === true) {
        return { status: "skipped", error: `the framework paused the run: ${cause.name}`, cause };
    }
    return { status: "failed", error: errorText(cause), cause };
}

/** What a result means where a function must return or throw: the data, what was thrown, or {@link ActionDenied}. */
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
