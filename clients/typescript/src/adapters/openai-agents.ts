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
import { either, performTool, sendable, type ToolGovernOptions, toolOutput, wantsConfirmation } from "./tools.js";

export { refusal, type ToolGovernOptions } from "./tools.js";

type Details = Parameters<FunctionTool["invoke"]>[2];

/**
 * Makes a function tool, from the same definition as `tool` of the framework, whose calls are proposed, waited for,
 * run if they may, and reported.
 *
 * Where the answer is no the model reads why; a tool with an `outputSchema` therefore fits in only where that allows
 * text. Where the policy wants a confirmation of the agent's own user, the run is interrupted by the framework's own
 * `needsApproval`, and `state.approve(interruption)` confirms. Reviewers are waited for while the tool runs.
 */
export function governedTool<Input extends ToolInputParameters = undefined, Context = unknown, Returned = string>(
    definition: ToolOptions<Input, Context>,
    options: ToolGovernOptions,
): FunctionTool<Context, Input, Returned | string> {
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

    const asks = async (context: RunContext, input: unknown, callId?: string): Promise<boolean> => {
        const own =
            typeof needsApproval === "function" ? await needsApproval(context, input as never, callId) : needsApproval;
        // With a `confirm` of the caller's, that one is asked, and not twice.
        return own === true || (options.confirm === undefined && (await wantsConfirmation(name, input, options)));
    };

    const made = tool<Input, Context, Returned | string>({
        ...definition,
        name,
        execute: governed,
        needsApproval: asks,
    } as ToolOptions<Input, Context>);
    known = made.name;
    return made;
}
