/** What the adapters of tool-calling frameworks share. */
import { checkedAction } from "../action.js";
import { detached } from "../detached.js";
import { AegisError, GovernanceError, InvalidActionError } from "../errors.js";
import { checkedOptions, type GovernOptions, type Result } from "../govern/options.js";
import { executed, type Execution, perform } from "../govern/perform.js";
import { withdraw } from "../govern/withdraw.js";
import { checkedJson, sameJson } from "../json.js";
import { ErrorReason } from "../reasons.js";
import { errorText } from "../recordable.js";
import type { Action, Decision } from "../types.js";
import { own } from "../values.js";

/** How a tool's calls are proposed. */
export interface ToolGovernOptions extends GovernOptions {
    /** The kind of action; or a function of the tool's name and input. The tool's name. */
    readonly type?: string | ((tool: string, input: unknown) => string) | undefined;
    /** What it acts on; or a function of the tool's name and input. `default`. */
    readonly target?: string | ((tool: string, input: unknown) => string) | undefined;
    /**
     * The parameters. The tool's input where it is an object; `{ input }` where it is not. Asked again right before the
     * tool runs, as `type` and `target` are: it must say the same then.
     */
    readonly params?: ((tool: string, input: unknown) => object) | undefined;
}

/** One call of a tool, as it will be proposed and run. */
export interface ToolCall<Input> {
    /** A copy of what the model supplied: the tool runs with it. */
    readonly input: Input;
    /** What is proposed. */
    readonly action: Action;
    /** Throws where the copy is not what was proposed any more. */
    readonly unchanged: () => void;
}

/** Copies the input of a call and describes it. Throws {@link InvalidActionError} where it cannot be proposed. */
export function toolCall<Input>(tool: string, given: Input, options: ToolGovernOptions): ToolCall<Input> {
    const settings = own(options);
    const input = readable(() => detached(given));
    // Whoever describes it gets another copy: what is kept of that changes nothing that runs.
    const describe = (): Action => readable(() => toolAction(tool, detached(input), settings));
    const action = describe();
    const unchanged = (): void => {
        if (sameJson({ ...action }, { ...describe() })) return;
        throw new InvalidActionError("params", "the input changed while the proposal waited: not run");
    };
    return { input, action, unchanged };
}

/** Whatever goes wrong while an input is read makes it an input that cannot be proposed. */
function readable<T>(read: () => T): T {
    try {
        return read();
    } catch (error) {
        if (error instanceof AegisError) throw error;
        throw new InvalidActionError("params", `cannot be read: ${errorText(error)}`);
    }
}

function toolAction(tool: string, input: unknown, options: ToolGovernOptions): Action {
    const { type = tool, target = "default", params } = options;
    const of = (part: string | ((tool: string, input: unknown) => string)): string =>
        typeof part === "string" ? part : part(tool, input);
    return checkedAction({
        type: of(type),
        target: of(target),
        params: params === undefined ? asObject(input) : params(tool, input),
    });
}

function asObject(input: unknown): object {
    if (input === undefined || input === null) return {};
    const json = checkedJson(input, "params");
    return typeof json === "object" && json !== null && !Array.isArray(json) ? json : { input: json };
}

/**
 * Whether an error says that a call was not proposed because of its input: the SDK refused that, or the daemon (too
 * deep, too large). The model is told, and can send another one.
 */
export function isBadInput(error: unknown): error is GovernanceError {
    if (!(error instanceof GovernanceError)) return false;
    return (
        error instanceof InvalidActionError ||
        error.reason === ErrorReason.INVALID_REQUEST ||
        error.reason === ErrorReason.MESSAGE_TOO_LARGE
    );
}

/** Proposes a call of a tool, and runs it with the copy of its input if it may. */
export async function performTool<Input, T>(
    tool: string,
    given: Input,
    options: ToolGovernOptions,
    run: (input: Input) => T | Promise<T>,
    read: (data: T) => Execution<T> = (data) => ({ status: "success", data }),
): Promise<Result<T>> {
    const { input, action, unchanged } = toolCall(tool, given, options);
    const execute = async (): Promise<Execution<T>> => {
        const execution = await executed(async () => run(input));
        return execution.status === "success" ? read(execution.data as T) : execution;
    };
    return perform(action, options, execute, unchanged);
}

/** What is known of a refusal by the agent's own user. */
export interface Refusal {
    /** What the user said. */
    readonly reason?: string | undefined;
    /** Makes two records of one refusal one. A new key with each. Without a credential at least 16 characters. */
    readonly idempotencyKey?: string | undefined;
}

/**
 * Puts on the record that the agent's own user refused a call of a tool, where a framework asks the user by its own
 * means and then does not call the tool: the call is proposed, and withdrawn at once. It runs in no case.
 *
 * An input that cannot be proposed is not recorded.
 */
export async function recordRefusal(
    tool: string,
    input: unknown,
    options: ToolGovernOptions,
    { reason = "", idempotencyKey }: Refusal = {},
): Promise<void> {
    const { client, actor, context, signal } = checkedOptions(options);
    let decision: Decision;
    try {
        const { action } = toolCall(tool, input, options);
        decision = await client.propose({ action, actor, context, idempotencyKey }, { signal });
    } catch (error) {
        if (isBadInput(error)) return;
        throw error;
    }
    await withdraw(client, decision, `the agent's user refused it${reason === "" ? "" : `: ${reason}`}`);
}

/** What a model reads where a tool has not run: that it has not, and why. */
export function refusal(result: Result): string {
    const why = result.error === "" ? "" : `: ${result.error}`;
    return `[AEGIS ${result.status.toUpperCase()}] \`${result.action.type}\` was not run${why}`;
}

/** Whether a tool's output is such a text. */
export function isRefusal(output: unknown): output is string {
    return typeof output === "string" && /^\[AEGIS (?:BLOCKED|DENIED)\] /.test(output);
}

/** What a framework's tool comes to: what it returned, or what the model is told. A tool that threw throws on. */
export function toolOutput<T>(result: Result<T>): T | string {
    switch (result.status) {
        case "success":
            return result.data as T;
        case "blocked":
        case "denied":
            return refusal(result);
        default:
            throw result.cause;
    }
}

/**
 * Whether the agent's own user has to confirm this call, by the policy as it is now. Nothing is recorded. An input that
 * cannot be proposed needs none: the call itself refuses it, in words that the model reads.
 */
export async function wantsConfirmation(tool: string, input: unknown, options: ToolGovernOptions): Promise<boolean> {
    const { client, actor, signal } = own(options);
    try {
        const { action } = toolCall(tool, input, options);
        const { outcome } = await client.evaluate({ action, actor }, { signal });
        return outcome === "REQUIRE_CONFIRMATION";
    } catch (error) {
        if (isBadInput(error)) return false;
        throw error;
    }
}

/** Both signals in one. */
export function either(a: AbortSignal | undefined, b: AbortSignal | null | undefined): AbortSignal | undefined {
    if (a === undefined || b === undefined || b === null) return a ?? b ?? undefined;
    return AbortSignal.any([a, b]);
}

/**
 * A result as text for a model, where its framework would have to write it as JSON and cannot: it contains itself, or
 * holds a `BigInt`. Everything else stays as it is.
 */
export function sendable<T>(data: T): T | string {
    try {
        JSON.stringify(data);
        return data;
    } catch {
        return jsonText(data);
    }
}

/** A result as JSON text, with a `bigint` as its digits and `[circular]` where an object contains itself. */
export function jsonText(data: unknown): string {
    const around: unknown[] = [];
    const replace = function (this: unknown, _: string, item: unknown): unknown {
        if (typeof item === "bigint") return item.toString();
        if (typeof item !== "object" || item === null) return item;
        // `this` is the object around the item: what is further inside has been left by now.
        while (around.length > 0 && around.at(-1) !== this) around.pop();
        if (around.includes(item)) return "[circular]";
        around.push(item);
        return item;
    };
    try {
        const json: unknown = JSON.stringify(data, replace);
        return typeof json === "string" ? json : String(data);
    } catch (error) {
        return `[a result that cannot be written as JSON: ${errorText(error)}]`;
    }
}
