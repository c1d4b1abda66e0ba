/** Plans of actions over an executor. */
import { checkedAction } from "./action.js";
import { Audit } from "./audit.js";
import type { AegisClient } from "./client.js";
import { seconds } from "./connection.js";
import { AegisError } from "./errors.js";
import { checkedOptions, type GovernOptions, type Result } from "./govern/options.js";
import { executed, type Execution, perform } from "./govern/perform.js";
import { withdraw } from "./govern/withdraw.js";
import { LONGEST_PAUSE, pause } from "./pause.js";
import { ExecutionPlan } from "./plan.js";
import { errorText } from "./recordable.js";
import type { Action, ActionInput, Decision, Evaluation, Json } from "./types.js";

/** Runs actions: the part that is yours. */
export interface Executor {
    /** Runs an action that may run. What it returns is the result's data; what it throws makes the action failed. */
    execute(action: Action, decision: Decision): unknown;
    /** Says whether what an action returned is what was wanted. Anything but `true` makes it failed. */
    verify?(action: Action, data: unknown): boolean | Promise<boolean>;
    /** Is called once, before the first action. */
    setUp?(): unknown;
    /** Is called once, when the runtime is closed, if `setUp` was. */
    tearDown?(): unknown;
}

/** How a runtime goes about its actions. All times are in seconds. */
export interface RuntimeOptions extends Omit<GovernOptions, "signal"> {
    /** Runs the actions; a function is an executor that only executes. */
    readonly executor: Executor | ((action: Action, decision: Decision) => unknown);
    /** How often a failed action is tried again, under the same decision. 0. */
    readonly maxRetries?: number | undefined;
    /** How long to wait before the first of those, in seconds; it doubles each time up to 30. 1. */
    readonly retryBackoff?: number | undefined;
    /**
     * What undoes an action that has failed for good; or a function that says so, where `undefined` is nothing. It is a
     * proposal of its own: what the policy blocks is not undone.
     */
    readonly rollback?: ActionInput | ((failed: Action, error: string) => ActionInput | undefined) | undefined;
    /** How many actions of a plan may be under way at once. 1: one after the other. */
    readonly parallelism?: number | undefined;
    /** A client with an auditor's credential, for {@link Runtime.audit}. */
    readonly auditor?: AegisClient | undefined;
}

/** How to execute a plan. */
export interface ExecuteOptions {
    /** Whether to ask only what the policy would answer: nothing runs, is recorded or asked of anybody. `false`. */
    readonly dryRun?: boolean | undefined;
    /** Ends the execution with an error; see {@link GovernOptions.signal}. */
    readonly signal?: AbortSignal | undefined;
    /**
     * Makes executions with the same key, in the same session, one run, also after a crash. An action that is reported
     * already does not run again: its result is that of the record. One that an earlier execution may still run throws
     * {@link AlreadyClaimed}. In a plan, the action at place `i`, from 0, has the key and `/i`. New keys.
     */
    readonly idempotencyKey?: string | undefined;
}

/**
 * Executes plans of actions: each is proposed, waited for, run if it may, verified, tried again, undone and reported.
 *
 * ```ts
 * await using runtime = new Runtime({ executor: (action) => crm.run(action), client: new AegisClient() });
 * const plan = await runtime.plan([{ type: "read", target: "crm" }, { type: "delete", target: "crm" }]);
 * console.log(plan.summary());
 * const results = await runtime.execute(plan);
 * ```
 */
export class Runtime implements AsyncDisposable {
    /** The record. Needs `auditor`. */
    readonly audit: Audit;
    readonly #options: RuntimeOptions;
    readonly #executor: Executor;
    readonly #retries: number;
    readonly #backoff: number;
    readonly #parallelism: number;
    #ready: Promise<unknown> | undefined;
    #closed = false;

    /** Does not connect yet. Throws {@link AegisError} where an option makes no sense. */
    constructor(given: RuntimeOptions) {
        const options = checkedOptions(given);
        this.#options = options;
        const { executor } = options;
        this.#executor = typeof executor === "function" ? { execute: executor } : executor;
        this.#retries = whole(options.maxRetries ?? 0, "maxRetries", 0);
        this.#parallelism = whole(options.parallelism ?? 1, "parallelism", 1);
        this.#backoff = seconds(options.retryBackoff ?? 1, "retryBackoff", LONGEST_PAUSE, 0);
        this.audit = new Audit(options.auditor);
    }

    /** Asks what the policy would answer to each action. Nothing is recorded. */
    async plan(actions: readonly ActionInput[], options: Pick<ExecuteOptions, "signal"> = {}): Promise<ExecutionPlan> {
        const checked = actions.map(checkedAction);
        const evaluations = await this.#evaluate(checked, options.signal);
        return new ExecutionPlan(evaluations.map((evaluation, i) => ({ action: checked[i] as Action, evaluation })));
    }

    /**
     * Executes a plan, and returns a result per step, in order.
     *
     * A blocked step does not end the plan. A failed, rolled back or denied one does: what comes after is proposed
     * and at once reported as skipped. An error that is about no action (the daemon is gone, a hook threw) is thrown
     * once what is under way has ended; what ran until then is on the record.
     */
    async execute(plan: ExecutionPlan, options: ExecuteOptions = {}): Promise<Result[]> {
        // Copies: a plan that was restored from JSON can change while a reviewer thinks.
        const actions = plan.steps.map(({ action }) => checkedAction(action));
        if (options.dryRun === true)
            return (await this.#evaluate(actions, options.signal)).map((found, i) => dry(actions[i] as Action, found));
        const key = options.idempotencyKey;
        const results = new Array<Result>(actions.length);
        const errors: unknown[] = [];
        let [next, stopped] = [0, false];
        const worker = async (): Promise<void> => {
            while (next < actions.length && errors.length === 0) {
                const i = next;
                next += 1;
                const action = actions[i] as Action;
                try {
                    const result = stopped
                        ? await this.#skip(action, options.signal)
                        : await this.#run(action, options.signal, key === undefined ? undefined : `${key}/${i}`);
                    results[i] = result;
                    if (!result.ok && result.status !== "blocked") stopped = true;
                } catch (error) {
                    errors.push(error);
                }
            }
        };
        await Promise.all(Array.from({ length: Math.min(this.#parallelism, actions.length) }, worker));
        if (errors.length > 0) throw errors[0];
        return results;
    }

    /** Proposes and executes one action. */
    async runOne(action: ActionInput, options: ExecuteOptions = {}): Promise<Result> {
        const checked = checkedAction(action);
        if (options.dryRun !== true) return this.#run(checked, options.signal, options.idempotencyKey);
        const [evaluation] = await this.#evaluate([checked], options.signal);
        return dry(checked, evaluation as Evaluation);
    }

    /** Tears the executor down. The clients are left open: they are not the runtime's own. */
    async close(): Promise<void> {
        this.#closed = true;
        const ready = this.#ready;
        this.#ready = undefined;
        if (ready === undefined) return;
        await ready;
        await this.#executor.tearDown?.();
    }

    /** The same as {@link Runtime.close}: `await using runtime = new Runtime(…)`. */
    async [Symbol.asyncDispose](): Promise<void> {
        await this.close();
    }

    async #evaluate(actions: readonly Action[], signal: AbortSignal | undefined): Promise<Evaluation[]> {
        const { client, actor } = this.#options;
        const evaluations: Evaluation[] = [];
        // As many as one call takes.
        for (let i = 0; i < actions.length; i += 1000) {
            evaluations.push(
                ...(await client.evaluateMany({ actions: actions.slice(i, i + 1000), actor }, { signal })),
            );
        }
        return evaluations;
    }

    async #run(action: Action, signal: AbortSignal | undefined, idempotencyKey?: string): Promise<Result> {
        if (this.#closed) throw new AegisError("the runtime is closed", { code: "FAILED_PRECONDITION" });
        await (this.#ready ??= Promise.resolve(this.#executor.setUp?.()));
        // A rollback that cannot even be asked for does not keep the failure off the record.
        const problems: unknown[] = [];
        const options = { ...this.#options, signal, idempotencyKey };
        const result = await perform(action, options, async (checked, decision) => {
            const execution = await this.#attempt(checked, decision, signal);
            if (execution.status !== "failed") return execution;
            try {
                const undone = await this.#undo(action, execution.error ?? "", signal);
                return undone ? { ...execution, status: "rolled_back" } : execution;
            } catch (problem) {
                problems.push(problem);
                return execution;
            }
        });
        if (problems.length > 0) throw problems[0];
        return result;
    }

    /** Tries an action until it works or its retries are over, and verifies what it returned. */
    async #attempt(action: Action, decision: Decision, signal: AbortSignal | undefined): Promise<Execution<unknown>> {
        for (let n = 0; ; n += 1) {
            const execution = await executed(async () => this.#executor.execute(action, decision));
            if (execution.status === "success") return this.#verified(action, execution);
            if (execution.status !== "failed" || n >= this.#retries || signal?.aborted === true) return execution;
            try {
                await pause(Math.min(this.#backoff * 2 ** n, LONGEST_PAUSE), signal);
            } catch {
                return execution;
            }
        }
    }

    async #verified(action: Action, execution: Execution<unknown>): Promise<Execution<unknown>> {
        if (this.#executor.verify === undefined) return execution;
        try {
            const verified: unknown = await this.#executor.verify(action, execution.data);
            return verified === true ? execution : { ...execution, status: "failed", error: "the verification failed" };
        } catch (cause) {
            return { ...execution, status: "failed", error: `the verification failed: ${errorText(cause)}`, cause };
        }
    }

    /** Proposes what undoes a failed action, and says whether it ran and worked. */
    async #undo(failed: Action, error: string, signal: AbortSignal | undefined): Promise<boolean> {
        const { rollback } = this.#options;
        const action = typeof rollback === "function" ? rollback(failed, error) : rollback;
        if (action === undefined) return false;
        const undone = await perform(action, { ...this.#options, signal }, async (checked, decision) =>
            executed(async () => this.#executor.execute(checked, decision)),
        );
        return undone.ok;
    }

    /** Puts an action on the record that is not tried any more. */
    async #skip(action: Action, signal: AbortSignal | undefined): Promise<Result> {
        const { client, actor, context } = this.#options;
        const error = "skipped after an earlier failure";
        const decision = await client.propose({ action, actor, context }, { signal });
        await withdraw(client, decision, error);
        return Object.freeze({
            action,
            status: "skipped",
            ok: false,
            data: undefined,
            error,
            cause: undefined,
            decision,
        });
    }
}

/** What a dry run says of an action. */
function dry(action: Action, { approvalMode, outcome, reason }: Evaluation): Result {
    const blocked = outcome === "DENY";
    const data: Json = {
        dryRun: true,
        ...(approvalMode === "auto" ? { wouldExecute: true } : { approvalRequired: true }),
    };
    return Object.freeze({
        action,
        status: blocked ? "blocked" : "success",
        ok: !blocked,
        data: blocked ? undefined : data,
        error: blocked ? reason : "",
        cause: undefined,
        decision: undefined,
    });
}

function whole(value: number, name: string, least: number): number {
    if (Number.isInteger(value) && value >= least) return value;
    throw new AegisError(`${name}: ${value} is not a whole number of ${least} or more`, { code: "INVALID_ARGUMENT" });
}
