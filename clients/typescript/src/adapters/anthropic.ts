/**
 * Tool use of the Anthropic SDK, asked for before it runs.
 *
 * ```ts
 * import { governToolCalls } from "aegis-sidecar/anthropic";
 * const results = await governToolCalls(message, { read_inbox: readInbox }, { client, target: "mail" });
 * messages.push({ role: "assistant", content: message.content }, { role: "user", content: results });
 * ```
 *
 * @packageDocumentation
 */
import type { Message, ToolResultBlockParam, ToolUseBlock } from "@anthropic-ai/sdk/resources/messages";
import type { BetaRunnableTool } from "@anthropic-ai/sdk/lib/tools/BetaRunnableTool";
import { errorText } from "../recordable.js";
import { own, withMethods } from "../values.js";
import { detached } from "../detached.js";
import type { Result } from "../govern/options.js";
import { either, isBadInput, jsonText, performTool, refusal, sendable, type ToolGovernOptions } from "./tools.js";

export { refusal, type ToolGovernOptions } from "./tools.js";

/** What a tool may return: content as the API takes it, or anything else, which is sent as JSON. */
export type ToolFunction = (input: never) => unknown;

/**
 * Proposes one `tool_use`, runs it if it may, reports it, and returns the `tool_result` that belongs to it. A no and a
 * tool that threw are results too, with `is_error`, so that the conversation can go on.
 */
export async function governToolCall(
    toolUse: Pick<ToolUseBlock, "id" | "input" | "name">,
    run: ToolFunction,
    options: ToolGovernOptions,
): Promise<ToolResultBlockParam> {
    // Each read once: the block is the caller's, who may change it while a reviewer thinks.
    const { id, name, input } = toolUse;
    const block = { type: "tool_result", tool_use_id: id } as const;
    let result: Result;
    try {
        result = await performTool(name, input, options, async (copy) => run(copy as never));
    } catch (error) {
        if (!isBadInput(error)) throw error;
        return { ...block, content: `Error: ${error.message}`, is_error: true };
    }
    switch (result.status) {
        case "success":
            return { ...block, ...contentOf(result.data) };
        case "blocked":
        case "denied":
            return { ...block, content: refusal(result), is_error: true };
        default:
            return { ...block, content: `Error: ${result.error}`, is_error: true };
    }
}

/**
 * Proposes and runs every `tool_use` of a message, one after the other, and returns the results in the same order. A
 * tool that is not among these is answered with an error, and nothing is proposed.
 */
export async function governToolCalls(
    message: Pick<Message, "content">,
    tools: Readonly<Record<string, ToolFunction>>,
    options: ToolGovernOptions,
): Promise<ToolResultBlockParam[]> {
    const results: ToolResultBlockParam[] = [];
    // A copy of all of them before the first is proposed: waiting for one must not change the next.
    const blocks = message.content.flatMap((block) =>
        block.type === "tool_use" ? [{ id: block.id, name: block.name, input: copyOf(block.input) }] : [],
    );
    for (const block of blocks) {
        const run = Object.hasOwn(tools, block.name) ? tools[block.name] : undefined;
        if (run === undefined) {
            const content = `Error: there is no tool \`${block.name}\``;
            results.push({ type: "tool_result", tool_use_id: block.id, content, is_error: true });
            continue;
        }
        results.push(await governToolCall(block, run, options));
    }
    return results;
}

/**
 * The same tool for `client.beta.messages.toolRunner`, each call proposed, waited for, run if it may, and reported. A
 * no is thrown, as that runner wants it: the model reads why, in a `tool_result` with `is_error`.
 */
export function governRunnableTool<Input>(
    tool: BetaRunnableTool<Input>,
    given: ToolGovernOptions,
): BetaRunnableTool<Input> {
    const options = own(given);
    const run: BetaRunnableTool<Input>["run"] = async (input, context) => {
        const signal = either(options.signal, context?.signal);
        const result = await performTool(tool.name, input, { ...options, signal }, async (copy) =>
            tool.run(copy, context),
        );
        if (result.status === "success") return sendable(result.data ?? "");
        if (result.status === "blocked" || result.status === "denied") throw new Error(refusal(result));
        throw result.cause instanceof Error ? result.cause : new Error(errorText(result.cause));
    };
    return withMethods(tool, { run });
}

/** Content as the API takes it. */
function contentOf(data: unknown): Pick<ToolResultBlockParam, "content"> {
    if (data === undefined) return {};
    if (typeof data === "string") return { content: data };
    const isBlock = (item: unknown): boolean =>
        typeof item === "object" && item !== null && Object.hasOwn(item, "type");
    if (Array.isArray(data) && data.length > 0 && data.every(isBlock)) {
        return { content: data as NonNullable<Extract<ToolResultBlockParam["content"], unknown[]>> };
    }
    return { content: jsonText(data) };
}

/** A copy, or the input itself where it cannot even be read: proposing it says what is wrong with it. */
function copyOf(input: unknown): unknown {
    try {
        return detached(input);
    } catch {
        return input;
    }
}
