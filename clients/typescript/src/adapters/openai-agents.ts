/**
 * Tools of the OpenAI Agents SDK that ask before they run.
 *
 * ```ts
 * import { governedTool } from "aegis-sidecar/openai-agents";
 * const updateContact = governedTool(
 *   { name: "update_contact", description: "…", parameters: z.object({ name: z.string() }), execute },
 *   { client, target: "crm" },
 * );
 * ```
 *
 * @packageDocumentation
 */
import { type FunctionTool, type RunContext, tool, type ToolInputParameters, type ToolOptions } from "@openai/agents";
import { AegisError } from "../errors.js";
import { errorText } from "../recordable.js";
import { own } from "../values.js";
import {
    either,
    performTool,
    recordRefusal,
    sendable,
    type ToolGovernOptions,
    toolOutput,
    wantsConfirmation,
} from "./tools.js";

export { recordRefusal, type Refusal, refusal, type ToolGovernOptions } from "./tools.js";

type Details = Parameters<FunctionTool["invoke"]>[2];

/**
 * Makes a function tool, from the same definition as `tool` of the framework, whose calls are proposed, waited for,
 * run if they may, and reported.
 *
 * Where the answer is no the model reads why; a tool with an `outputSchema` therefore fits in only where that allows
 * text. Where the policy wants a confirmation of the agent's own user, the run is interrupted by the framework's own
 * `needsApproval`, and `state.approve(interruption)` confirms. Reviewers are waited for while the tool runs.
 *
 * `state.reject(interruption)` is on the record once the run goes on, as an action that was skipped. Not where the run
 * goes on in another process, nor what a standing `alwaysReject` refuses: there the framework says no without a word
 * to the tool, and {@link recordRefusal} is yours to call.
 */
export function governedTool<Input extends ToolInputParameters = undefined, Context = unknown, Returned = string>(
    definition: ToolOptions<Input, Context>,
    given: ToolGovernOptions,
): FunctionTool<Context, Input, Returned | string> {
    const options = own(given);
    // The framework derives a name from the function where none is given.
    const name = definition.name ?? definition.execute.name;
    const { execute, needsApproval } = definition;
    // And it writes the name in its own way (`send mail` becomes `send_mail`): that is what its user says yes to.
    let known = name;

    const attempt = async (input: unknown, context?: RunContext<Context>, details?: Details): Promise<unknown> => {
        const callId = details?.toolCall?.callId;
        const approved = callId !== undefined && context?.isToolApproved({ toolName: known, callId }) === true;
        const result = await performTool(
            name,
            input,
            {
                ...options,
                signal: either(options.signal, details?.signal),
                confirm: options.confirm ?? (() => approved),
            },
            async (copy) => execute.call(definition, copy as never, context, details),
        );
        return sendable(toolOutput(result));
    };
    const governed: typeof attempt = async (...call) => {
        try {
            return await attempt(...call);
        } catch (error) {
            // Newer releases keep the text of errors from the model, which has to read what was wrong with its input.
            if (!(error instanceof AegisError) || definition.errorFunction !== undefined) throw error;
            return `Error: ${error.message}`;
        }
    };

    const asked = new WeakMap<RunContext, Map<string, unknown>>();
    const asks = async (context: RunContext, input: unknown, callId?: string): Promise<boolean> => {
        const wants =
            typeof needsApproval === "function" ? await needsApproval(context, input as never, callId) : needsApproval;
        // With a `confirm` of the caller's, that one is asked, and not twice.
        const wanted =
            wants === true || (options.confirm === undefined && (await wantsConfirmation(name, input, options)));
        if (wanted && callId !== undefined) {
            const calls = asked.get(context) ?? new Map<string, unknown>();
            asked.set(context, calls.set(callId, input));
        }
        return wanted;
    };

    // A call that its user refused is not made. The framework looks at its tools before a run goes on: by then it has
    // the no.
    const recordRefusals = async (context: RunContext): Promise<void> => {
        const calls = asked.get(context) ?? new Map<string, unknown>();
        for (const [callId, input] of calls) {
            const answer = context.isToolApproved({ toolName: known, callId });
            if (answer !== undefined) calls.delete(callId);
            if (answer !== false) continue;
            const reason = context.getRejectionMessage(known, callId);
            try {
                await recordRefusal(name, input, options, { reason });
            } catch (error) {
                // It does not run either way: the run goes on without the row.
                (options.log ?? console.error)(`aegis: a refusal of ${name} is not on the record: ${errorText(error)}`);
            }
        }
    };
    const { isEnabled = true } = definition;
    const enabled: Exclude<typeof isEnabled, boolean> = async (about) => {
        await recordRefusals(about.runContext);
        return typeof isEnabled === "function" ? isEnabled(about) : isEnabled;
    };

    const made = tool<Input, Context, Returned | string>({
        ...definition,
        name,
        execute: governed,
        needsApproval: asks,
        isEnabled: enabled,
    } as ToolOptions<Input, Context>);
    known = made.name;
    return made;
}
