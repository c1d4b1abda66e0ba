/**
 * LangChain tools that ask before they run.
 *
 * ```ts
 * import { governTool } from "aegis-sidecar/langchain";
 * const search = governTool(new DuckDuckGoSearch(), { client, target: "web" });
 * ```
 *
 * @packageDocumentation
 */
import { ToolMessage } from "@langchain/core/messages";
import type { StructuredToolInterface } from "@langchain/core/tools";
import { AegisError, InvalidActionError } from "../errors.js";
import { either, performTool, sendable, type ToolGovernOptions, toolOutput } from "./tools.js";

export { refusal, type ToolGovernOptions } from "./tools.js";

/** What any tool of the framework has. Not the class itself, whose types fail under `exactOptionalPropertyTypes`. */
export type LangChainTool = Pick<StructuredToolInterface, "name" | "description" | "lc_namespace">;

interface CallConfig {
    readonly signal?: AbortSignal;
    readonly toolCall?: { readonly id?: string };
}

/** The part of a tool that runs it. Protected in the framework, for subclasses: this is one in all but name. */
interface Callable {
    _call(input: unknown, runManager?: unknown, config?: CallConfig): unknown;
    readonly func?: unknown;
    readonly responseFormat?: string;
}

/**
 * The same tool, each call proposed, waited for, run if it may, and reported. What is proposed is the input as the
 * tool's schema has parsed it, and the tool runs with a copy of just that.
 *
 * Where the answer is no, or the input cannot be proposed, the model reads why: a call of the model's is answered by a
 * `ToolMessage` of the status `error`, any other call by the text. Where the policy wants a confirmation, `confirm` is
 * asked.
 */
export function governTool<T extends LangChainTool>(tool: T, options: ToolGovernOptions): T {
    const original = tool as unknown as Callable;
    if (typeof original._call !== "function") {
        throw new AegisError(`${tool.name} is no StructuredTool: it cannot be governed`, { code: "INVALID_ARGUMENT" });
    }
    const refused = (text: string, config: CallConfig | undefined): unknown => {
        const id = config?.toolCall?.id;
        const told =
            id === undefined
                ? text
                : new ToolMessage({ content: text, tool_call_id: id, name: tool.name, status: "error" });
        return original.responseFormat === "content_and_artifact" ? [told, undefined] : told;
    };
    const call: Callable["_call"] = async (input, runManager, config) => {
        const settings = { ...options, signal: either(options.signal, config?.signal) };
        const run = async (copy: unknown): Promise<unknown> => last(await original._call(copy, runManager, config));
        try {
            const result = await performTool(tool.name, input, settings, run);
            if (result.status === "blocked" || result.status === "denied") {
                return refused(toolOutput(result) as string, config);
            }
            return sendable(toolOutput(result));
        } catch (error) {
            if (!(error instanceof InvalidActionError)) throw error;
            return refused(`Error: ${error.message}`, config);
        }
    };
    const governed = Object.create(tool) as T;
    Object.defineProperty(governed, "_call", { value: call });
    // What a tool that was made of a function runs is not to be had from the governed one.
    if (original.func !== undefined) {
        Object.defineProperty(governed, "func", { value: call });
    }
    return governed;
}

/** The same for many tools. */
export function governTools<Tools extends readonly LangChainTool[]>(
    tools: readonly [...Tools],
    options: ToolGovernOptions,
): [...Tools] {
    return tools.map((tool) => governTool(tool, options)) as [...Tools];
}

/** What a tool that yields events while it runs returns in the end. */
async function last(output: unknown): Promise<unknown> {
    if (typeof output !== "object" || output === null || !(Symbol.asyncIterator in output)) return output;
    const events = (output as AsyncIterable<unknown, unknown>)[Symbol.asyncIterator]();
    for (;;) {
        const { done, value } = await events.next();
        if (done === true) return value;
    }
}
