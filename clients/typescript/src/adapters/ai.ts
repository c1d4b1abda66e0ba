/**
 * Tools of the Vercel AI SDK that ask before they run.
 *
 * ```ts
 * import { governTools } from "aegis-sidecar/ai";
 * const { text } = await generateText({ model, tools: governTools({ sendMail, readInbox }, { client }), prompt });
 * ```
 *
 * @packageDocumentation
 */
import type { AssistantContent, ModelMessage, Tool, ToolApprovalResponse, ToolExecutionOptions, ToolSet } from "ai";
import { performStream } from "../govern/perform.js";
import { own, withMethods } from "../values.js";
import {
    either,
    isRefusal,
    performTool,
    recordRefusal,
    sendable,
    toolCall,
    type ToolGovernOptions,
    toolOutput,
    wantsConfirmation,
} from "./tools.js";

export { recordRefusal, type Refusal, refusal, type ToolGovernOptions } from "./tools.js";

/**
 * The same tools under the same names, each call proposed, waited for, run if it may, and reported.
 *
 * Where the answer is no the model reads why; where the input cannot be proposed it reads that, as a tool error. Where
 * the policy wants a confirmation of the agent's own user, the call is stopped by the framework's own `needsApproval`,
 * and a `tool-approval-response` confirms. (One that does not goes on the record by {@link recordDenials}.) Reviewers
 * are waited for while the tool runs. A tool without `execute` runs elsewhere and is left as it is.
 *
 * A tool that is an async generator function (`async *execute`) yields its preliminary results as before.
 */
export function governTools<Tools extends ToolSet>(tools: Tools, options: ToolGovernOptions): Tools {
    const governed = Object.entries(tools).map(([name, tool]) => [name, governTool(name, tool, options)]);
    return Object.fromEntries(governed) as Tools;
}

/** One such tool, under the name that it has in the set of tools. */
export function governTool<T extends ToolSet[string]>(name: string, tool: T, given: ToolGovernOptions): T {
    const options = own(given);
    const { execute, needsApproval, toModelOutput } = tool as Tool<unknown, unknown>;
    if (execute === undefined) return tool;
    const run = (input: unknown, call: ToolExecutionOptions): unknown => execute.call(tool, input, call);

    const settings = (call: ToolExecutionOptions): ToolGovernOptions => {
        const approved = confirmedBy(call.messages, call.toolCallId);
        const signal = either(options.signal, call.abortSignal);
        return { ...options, signal, confirm: options.confirm ?? (() => approved) };
    };
    // Where the tool says itself what the model reads, its output is its own affair.
    const output = (data: unknown): unknown => (toModelOutput === undefined ? sendable(data) : data);

    const once = async (input: unknown, call: ToolExecutionOptions): Promise<unknown> => {
        const result = await performTool(name, input, settings(call), async (copy) => last(await run(copy, call)));
        return output(toolOutput(result));
    };
    const stream = async function* (received: unknown, call: ToolExecutionOptions): AsyncGenerator {
        const { input, action, unchanged } = toolCall(name, received, options);
        const open = (): AsyncIterable<unknown> => run(input, call) as AsyncIterable<unknown>;
        const parts = performStream(action, settings(call), open, unchanged);
        try {
            for (;;) {
                const { done, value } = await parts.next();
                if (done !== true) {
                    yield output(value);
                    continue;
                }
                // Of a success the parts have said everything. What a refusal says, or throws, is the whole output.
                const told = toolOutput(value);
                if (value.status !== "success") yield told;
                return;
            }
        } finally {
            await parts.return(undefined as never);
        }
    };

    const asks: Extract<typeof needsApproval, (...args: never) => unknown> = async (input, call) => {
        const asked = typeof needsApproval === "function" ? await needsApproval.call(tool, input, call) : needsApproval;
        // With a `confirm` of the caller's, that one is asked, and not twice.
        return asked === true || (options.confirm === undefined && (await wantsConfirmation(name, input, options)));
    };

    const told = (result: { readonly output: unknown }): unknown =>
        isRefusal(result.output)
            ? { type: "error-text", value: result.output }
            : (toModelOutput as ((result: unknown) => unknown) | undefined)?.call(tool, result);

    const isStream = Object.prototype.toString.call(execute) === "[object AsyncGeneratorFunction]";
    return withMethods(tool, {
        execute: isStream ? stream : once,
        needsApproval: asks,
        ...(toModelOutput !== undefined && { toModelOutput: told }),
    });
}

/** What a tool that yields its output bit by bit comes to: the last of it. */
async function last(output: unknown): Promise<unknown> {
    if (typeof output !== "object" || output === null || !(Symbol.asyncIterator in output)) return output;
    let found: unknown;
    for await (const part of output as AsyncIterable<unknown>) found = part;
    return found;
}

/**
 * Puts on the record what the agent's own user refused in the newest message: each `tool-approval-response` that does
 * not approve. The framework calls no tool then, so nothing of it goes through the tools themselves. Call it with the
 * messages that you give to the model, and the options that the tools were governed with. Called again with the same
 * messages, it records nothing twice.
 */
export async function recordDenials(messages: readonly ModelMessage[], options: ToolGovernOptions): Promise<void> {
    const calls = new Map<string, { readonly toolName: string; readonly input: unknown }>();
    const requests = new Map<string, string>();
    for (const part of partsOf(messages)) {
        if (part.type === "tool-call") calls.set(part.toolCallId, part);
        if (part.type === "tool-approval-request") requests.set(part.approvalId, part.toolCallId);
    }
    for (const { approvalId, approved, reason } of answersIn(messages)) {
        const call = calls.get(requests.get(approvalId) ?? "");
        if (approved || call === undefined) continue;
        const idempotencyKey = `refused-by-the-user-${approvalId}`;
        await recordRefusal(call.toolName, call.input, options, { reason, idempotencyKey });
    }
}

/** Whether the agent's user has answered yes to this very call, in the newest message. */
function confirmedBy(messages: readonly ModelMessage[], toolCallId: string): boolean {
    const asked = new Set(
        partsOf(messages).flatMap((part) =>
            part.type === "tool-approval-request" && part.toolCallId === toolCallId ? [part.approvalId] : [],
        ),
    );
    return answersIn(messages).some(({ approved, approvalId }) => approved && asked.has(approvalId));
}

/** What the model has said and asked for. */
const partsOf = (messages: readonly ModelMessage[]): Exclude<AssistantContent, string> =>
    messages.flatMap(({ role, content }) => (role === "assistant" && typeof content !== "string" ? content : []));

/** What the agent's user has answered, in the newest message. */
function answersIn(messages: readonly ModelMessage[]): ToolApprovalResponse[] {
    const newest = messages.at(-1);
    return newest?.role === "tool" ? newest.content.filter((part) => part.type === "tool-approval-response") : [];
}
