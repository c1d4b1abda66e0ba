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
import { AegisError } from "../errors.js";
import { own } from "../values.js";
import { either, isBadInput, performTool, sendable, type ToolGovernOptions, toolOutput } from "./tools.js";

export { recordRefusal, type Refusal, refusal, type ToolGovernOptions } from "./tools.js";

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
    readonly lc_kwargs?: object;
    readonly responseFormat?: string;
}

/**
 * The same tool, each call proposed, waited for, run if it may, and reported. What is proposed is the input as the
 * tool's schema has parsed it, and the tool runs with a copy of just that.
 *
 * Where the answer is no, or the input cannot be proposed, the model reads why: a call of the model's is answered by a
 * `ToolMessage` of the status `error`, any other call by the text. Where the policy wants a confirmation, `confirm` is
 * asked. A tool that LangGraph's `interrupt` ends is on the record as skipped, and as another proposal when the run
 * goes on. What a person refuses in a middleware of the framework never gets to the tool: {@link recordRefusal} puts
 * it on the record.
 */
export function governTool<T extends LangChainTool>(tool: T, given: ToolGovernOptions): T {
    const options = own(given);
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
    // An artifact is not for the model, and what the framework takes as it is (a message, a command) is not to be
    // written.
    const output = (data: unknown): unknown => {
        if (typeof data === "object" && data !== null && Reflect.get(data, "lc_direct_tool_output") === true)
            return data;
        const isPair = original.responseFormat === "content_and_artifact" && Array.isArray(data) && data.length === 2;
        return isPair ? [output(data[0]), data[1] as unknown] : sendable(data);
    };
    const call: Callable["_call"] = async (input, runManager, config) => {
        const settings = { ...options, signal: either(options.signal, config?.signal) };
        const run = async (copy: unknown): Promise<unknown> => last(await original._call(copy, runManager, config));
        try {
            const result = await performTool(tool.name, input, settings, run);
            if (result.status === "blocked" || result.status === "denied") {
                return refused(toolOutput(result) as string, config);
            }
            return output(toolOutput(result));
        } catch (error) {
            if (!isBadInput(error)) throw error;
            return refused(`Error: ${error.message}`, config);
        }
    };
    const governed = Object.create(tool) as T;
    Object.defineProperty(governed, "_call", { value: call });
    // What a tool that was made of a function runs is not to be had from the governed one.
    if (original.func !== undefined) {
        Object.defineProperty(governed, "func", { value: call });
        // The framework keeps what a tool was made of, to make it again.
        Object.defineProperty(governed, "lc_kwargs", { value: { ...original.lc_kwargs, func: call } });
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
