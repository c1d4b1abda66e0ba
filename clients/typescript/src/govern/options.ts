/** How a governed call goes, as its caller says, and what comes of it. */
import type { AegisClient } from "../client.js";
import { AegisError } from "../errors.js";
import type { ApprovalHandler } from "../handlers.js";
import type { Action, Actor, ProposalContextInput, Decision, ResultStatus } from "../types.js";
import { kindOf, own } from "../values.js";

/** What came of an action. */
export interface Result<T = unknown> {
    /** What was proposed. */
    readonly action: Action;
    /** What became of it. */
    readonly status: ResultStatus;
    /** Whether it ran and worked. */
    readonly ok: boolean;
    /** What it returned; `undefined` where it did not run or threw. */
    readonly data: T | undefined;
    /** What went wrong, or why it did not run; else empty. */
    readonly error: string;
    /** What it threw, where it did. */
    readonly cause: unknown;
    /** The decision as it stands; `undefined` in a dry run. */
    readonly decision: Decision | undefined;
}

/**
 * Functions that watch. The call waits for each. What they return is ignored, and what they are given is frozen: none
 * can turn a no into a yes. A hook that throws ends the call with what it threw; an action that has not run by then
 * does not run.
 */
export interface Hooks {
    /** The daemon has answered the proposal. */
    readonly onDecision?: ((action: Action, decision: Decision) => unknown) | undefined;
    /** A reviewer, or the clock, has ended the approval. */
    readonly onApproval?: ((action: Action, decision: Decision) => unknown) | undefined;
    /** The action ran, and what came of it is on the record. */
    readonly onExecute?: ((action: Action, result: Result) => unknown) | undefined;
}

/** How a governed call goes. */
export interface GovernOptions extends Hooks {
    /** The agent's client. */
    readonly client: AegisClient;
    /** Who proposes, as declared. The client's. */
    readonly actor?: Actor | undefined;
    /** Where proposals come from. The client's. */
    readonly context?: ProposalContextInput | undefined;
    /**
     * How long to wait for a reviewer, in seconds; then the proposal is withdrawn. Until the approval ends by itself.
     */
    readonly deadline?: number | undefined;
    /** Ends the call. A proposal that waits is withdrawn; an action that runs is left to run, and reported. */
    readonly signal?: AbortSignal | undefined;
    /** Asks the agent's own user, where the policy wants that. Only `true` is a yes; without it the answer is no. */
    readonly confirm?: ((action: Action, decision: Decision) => boolean | Promise<boolean>) | undefined;
    /** Asks a reviewer from within this process. Needs `reviewer`. Without it, reviewers answer from elsewhere. */
    readonly approvalHandler?: ApprovalHandler | undefined;
    /** A client with a reviewer's credential, for `approvalHandler` to answer with. */
    readonly reviewer?: AegisClient | undefined;
    /**
     * Is told in one line when the call begins to wait for a reviewer, with the approval's id. Writes it to standard
     * error without this option.
     */
    readonly log?: ((line: string) => void) | undefined;
}

/** How one governed call goes that may be one run with others. */
export interface RunOptions extends GovernOptions {
    /**
     * Makes calls with the same key within 24 hours one run, also after a crash. The first one runs; others throw
     * {@link AlreadyClaimed} until it is reported, and have what is on the record after that. A new key with each call.
     * Without a credential at least 16 characters.
     */
    readonly idempotencyKey?: string | undefined;
}

const wrong = (problem: string): AegisError => new AegisError(problem, { code: "INVALID_ARGUMENT" });

/** A copy of options, and an error that says what is wrong with them before anything is proposed. */
export function checkedOptions<Options extends Partial<GovernOptions>>(given: Options): Options {
    if (typeof (given as unknown) !== "object" || (given as unknown) === null) {
        throw wrong(`the options must be an object with a \`client\`, not ${kindOf(given)}`);
    }
    const options = own(given);
    isClient(options.client, "client", "new AegisClient()");
    for (const name of ["confirm", "onDecision", "onApproval", "onExecute", "log"] as const) {
        const hook: unknown = options[name];
        if (hook !== undefined && typeof hook !== "function") {
            throw wrong(`\`${name}\` must be a function, not ${kindOf(hook)}`);
        }
    }
    const { deadline, signal, approvalHandler, reviewer } = options as Readonly<Record<string, unknown>>;
    if (deadline !== undefined && !(typeof deadline === "number" && deadline >= 0)) {
        throw wrong("`deadline` must be a number of seconds, 0 or more");
    }
    if (signal !== undefined && !(signal instanceof AbortSignal)) {
        throw wrong(`\`signal\` must be an AbortSignal, not ${kindOf(signal)}`);
    }
    if (approvalHandler === undefined) return options;
    if (!hasMethod(approvalHandler, "requestApproval")) {
        throw wrong(
            "`approvalHandler` must have a method `requestApproval`: CallbackApprovalHandler makes one of a function",
        );
    }
    if (reviewer === undefined) {
        throw wrong(
            "an approval handler answers as a reviewer: give `reviewer`, a client with a reviewer's credential " +
                "(`aegis token create --role reviewer`), beside `approvalHandler`",
        );
    }
    isClient(reviewer, "reviewer", "new AegisClient({ apiKey })");
    return options;
}

function isClient(value: unknown, name: string, example: string): void {
    if (hasMethod(value, "propose")) return;
    throw wrong(`\`${name}\` must be an AegisClient (\`${example}\`), not ${kindOf(value)}`);
}

const hasMethod = (value: unknown, name: string): boolean =>
    typeof value === "object" && value !== null && typeof Reflect.get(value, name) === "function";
