/**
 * Approval handlers: ways to ask a person from within the agent's process.
 *
 * They answer as a reviewer, with the reviewer's client that they are given beside: an agent cannot approve itself.
 * Give that process a reviewer's credential only where the agent's code can be trusted with it.
 */
import { createInterface } from "node:readline/promises";
import type { Approval } from "./types.js";
import { visible } from "./visible.js";

/** An answer, and why. */
export interface ApprovalAnswer {
    /** Whether the action may run. */
    readonly approved: boolean;
    /** Why, for the record and the agent. */
    readonly reason?: string | undefined;
}

/** Asks somebody. */
export interface ApprovalHandler {
    /**
     * Answers, with `true`, `false` or more words. Only `true` is a yes.
     *
     * The signal is aborted once the answer is not needed any more: another reviewer was faster, or the time is over.
     */
    requestApproval(
        approval: Approval,
        signal: AbortSignal,
    ): Promise<boolean | ApprovalAnswer> | boolean | ApprovalAnswer;
}

/** Asks a function. */
export class CallbackApprovalHandler implements ApprovalHandler {
    readonly #ask: ApprovalHandler["requestApproval"];

    /** Asks this function. */
    constructor(ask: ApprovalHandler["requestApproval"]) {
        this.#ask = ask;
    }

    /** Asks it. */
    async requestApproval(approval: Approval, signal: AbortSignal): Promise<boolean | ApprovalAnswer> {
        return this.#ask(approval, signal);
    }
}

/** Asks on the terminal: one question at a time, `y` or `n`, and why. */
export class CLIApprovalHandler implements ApprovalHandler {
    readonly #input: NodeJS.ReadableStream;
    readonly #output: NodeJS.WritableStream;
    #turn: Promise<unknown> = Promise.resolve();

    /** Asks on standard input and output, or on these streams. */
    constructor(options: { readonly input?: NodeJS.ReadableStream; readonly output?: NodeJS.WritableStream } = {}) {
        this.#input = options.input ?? process.stdin;
        this.#output = options.output ?? process.stdout;
    }

    /** Shows the action and asks. The end of the input is a no. */
    requestApproval(approval: Approval, signal: AbortSignal): Promise<ApprovalAnswer> {
        const answer = this.#turn.then(() => this.#ask(approval, signal));
        this.#turn = answer.catch(() => undefined);
        return answer;
    }

    async #ask(approval: Approval, signal: AbortSignal): Promise<ApprovalAnswer> {
        signal.throwIfAborted();
        this.#output.write(`\n${describe(approval)}\n`);
        const terminal = createInterface({ input: this.#input, output: this.#output });
        const ended = new Promise<undefined>((resolve) => terminal.once("close", () => resolve(undefined)));
        const question = async (text: string): Promise<string | undefined> =>
            Promise.race([terminal.question(text, { signal }), ended]);
        try {
            for (;;) {
                const answer = (await question("Approve? [y/n] "))?.trim().toLowerCase();
                if (answer === undefined) return { approved: false, reason: "the input ended without an answer" };
                const approved = answer === "y" || answer === "yes";
                if (!approved && answer !== "n" && answer !== "no") continue;
                const reason = (await question("Why? (may be empty) "))?.trim();
                return { approved, reason };
            }
        } finally {
            terminal.close();
        }
    }
}

/** An approval for a person: every text that an agent controls is made visible. */
export function describe(approval: Approval): string {
    const { action, actor, identity } = approval;
    const declared = actor.id === "" ? "" : ` (says it is ${visible(actor.id)})`;
    const reason = approval.reason === "" ? "" : `: ${visible(approval.reason)}`;
    const lines = [
        `${visible(identity.subject)}${declared} asks to run`,
        `  ${visible(action.type)}${action.target === "" ? "" : ` on ${visible(action.target)}`}`,
        ...Object.entries(action.params).map(
            ([key, value]) => `    ${visible(key)}: ${visible(JSON.stringify(value))}`,
        ),
        ...(action.description === "" ? [] : [`  it says: ${visible(action.description)}`]),
        `  risk ${approval.riskLevel}, rule ${visible(approval.matchedRule)}${reason}`,
        `  until ${approval.expiresAt}${approval.timeoutAllows ? ", and runs if nobody answers" : ""}`,
    ];
    return lines.join("\n");
}
