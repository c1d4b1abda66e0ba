/** What the adapters of tool-calling frameworks share. */
import { checkedAction } from "../action.js";
import { InvalidActionError } from "../errors.js";
import type { GovernOptions, Result } from "../govern/options.js";
import { executed, type Execution, perform } from "../govern/perform.js";
import { sameJson } from "../json.js";
import type { ActionInput } from "../types.js";

/** How a tool's calls are proposed. */
export interface ToolGovernOptions extends GovernOptions {
    /** The kind of action; or a function of the tool's name and input. The tool's name. */
    readonly type?: string | ((tool: string, input: unknown) => string) | undefined;
    /** What it acts on; or a function of the tool's name and input. `default`. */
    readonly target?: string | ((tool: string, input: unknown) => string) | undefined;
    /**
     * The parameters. The tool's input where it is an object; `{ input }` where it is not. Asked again right before
     * the tool runs, as `type` and `target` are: it must say the same then.
     */
    readonly params?: ((tool: string, input: unknown) => object) | undefined;
}

/** What a call of a tool proposes. */
export function toolAction(tool: string, input: unknown, options: ToolGovernOptions): ActionInput {
    const { type = tool, target = "default", params } = options;
    const of = (part: string | ((tool: string, input: unknown) => string)): string =>
        typeof part === "string" ? part : part(tool, input);
    return { type: of(type), target: of(target), params: params === undefined ? asObject(input) : params(tool, input) };
}

function asObject(input: unknown): object {
    if (input === undefined || input === null) return {};
    return typeof input === "object" && !Array.isArray(input) ? input : { input };
}

/** Proposes a call of a tool and runs it if it may. */
export async function performTool<T>(
    tool: string,
    input: unknown,
    options: ToolGovernOptions,
    run: () => T | Promise<T>,
    read: (data: T) => Execution<T> = (data) => ({ status: "success", data }),
): Promise<Result<T>> {
    const action = checkedAction(toolAction(tool, input, options));
    const unchanged = (): void => {
        if (sameJson({ ...action }, { ...checkedAction(toolAction(tool, input, options)) })) return;
        throw new InvalidActionError("params", "the input changed while the proposal waited: not run");
    };
    const execute = async (): Promise<Execution<T>> => {
        const execution = await executed(run);
        return execution.status === "success" ? read(execution.data as T) : execution;
    };
    return perform(action, options, execute, unchanged);
}

/** What a model is told where a tool has not run: that it has not, and why. */
export function refusal(result: Result): string {
    const why = result.error === "" ? "" : `: ${result.error}`;
    return `[AEGIS ${result.status.toUpperCase()}] \`${result.action.type}\` was not run${why}`;
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

/** Whether the agent's own user has to confirm this call, by the policy as it is now. Nothing is recorded. */
export async function wantsConfirmation(tool: string, input: unknown, options: ToolGovernOptions): Promise<boolean> {
    const { client, actor, signal } = options;
    const { outcome } = await client.evaluate({ action: toolAction(tool, input, options), actor }, { signal });
    return outcome === "REQUIRE_CONFIRMATION";
}

/** Both signals in one. */
export function either(a: AbortSignal | undefined, b: AbortSignal | null | undefined): AbortSignal | undefined {
    if (a === undefined || b === undefined || b === null) return a ?? b ?? undefined;
    return AbortSignal.any([a, b]);
}
