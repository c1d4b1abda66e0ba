/** What the adapters of tool-calling frameworks share. */
import { checkedAction } from "../action.js";
import { detached } from "../detached.js";
import { AegisError, InvalidActionError } from "../errors.js";
import { type GovernOptions, type Result } from "../govern/options.js";
import { executed, type Execution, perform } from "../govern/perform.js";
import { checkedJson, sameJson } from "../json.js";
import { errorText } from "../recordable.js";
import type { Action } from "../types.js";
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
    const describe = (): Action => readable(() => toolAction(tool, input, settings));
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
    let action: Action;
    try {
        ({ action } = toolCall(tool, input, options));
    } catch (error) {
        if (error instanceof InvalidActionError) return false;
        throw error;
    }
    const { outcome } = await client.evaluate({ action, actor }, { signal });
    return outcome === "REQUIRE_CONFIRMATION";
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
