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
import type { StructuredToolInterface } from "@langchain/core/tools";
import { AegisError } from "../errors.js";
import { either, performTool, type ToolGovernOptions, toolOutput } from "./tools.js";

export { refusal, type ToolGovernOptions } from "./tools.js";

/** What any tool of the framework has. Not the class itself, whose types fail under `exactOptionalPropertyTypes`. */
export type LangChainTool = Pick<StructuredToolInterface, "name" | "description" | "lc_namespace">;

/** The part of a tool that runs it. Protected in the framework, for subclasses: this is one in all but name. */
interface Callable {
    _call(input: unknown, runManager?: unknown, config?: { readonly signal?: AbortSignal }): unknown;
}

/**
 * The same tool, each call proposed, waited for, run if it may, and reported. What is proposed is the input as the
 * tool's schema has parsed it.
 *
 * Where the answer is no the model reads why. Where the policy wants a confirmation, `confirm` is asked.
 */
export function governTool<T extends LangChainTool>(tool: T, options: ToolGovernOptions): T {
    const original = tool as unknown as Callable & { readonly responseFormat?: string };
    if (typeof original._call !== "function") {
        throw new AegisError(`${tool.name} is no StructuredTool: it cannot be governed`, { code: "INVALID_ARGUMENT" });
    }
    const governed = Object.create(tool) as T & Callable;
    Object.defineProperty(governed, "_call", {
        value: (async (input, runManager, config) => {
            const result = await performTool(
                tool.name,
                input,
                { ...options, signal: either(options.signal, config?.signal) },
                async () => last(await original._call(input, runManager, config)),
            );
            const output = toolOutput(result);
            const paired = original.responseFormat === "content_and_artifact" && !result.ok;
            return paired ? [output, undefined] : output;
        }) satisfies Callable["_call"],
    });
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
