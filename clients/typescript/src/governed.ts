/** The wrapper: a function that asks before it runs. */
import { checkedAction } from "./action.js";
import { detached } from "./detached.js";
import { AegisError, InvalidActionError } from "./errors.js";
import { checkedOptions, type GovernOptions } from "./govern/options.js";
import { executed, perform, unwrap } from "./govern/perform.js";
import { checkedJson, sameJson } from "./json.js";
import type { Action, ActionInput, Json } from "./types.js";
import { kindOf } from "./values.js";

/** What a call of a governed function proposes, and how. */
export interface GovernedOptions<Arguments extends unknown[]> extends GovernOptions {
    /** The kind of action, for example `bulk_update`; or a function of the arguments. */
    readonly type: string | ((...args: Arguments) => string);
    /** What it acts on, for example `crm`; or a function of the arguments. Empty. */
    readonly target?: string | ((...args: Arguments) => string) | undefined;
    /**
     * The parameters, from the arguments. Without it: the argument itself where there is one and it is an object,
     * nothing where there is none, and `{ args: [...] }` otherwise; an argument that is `undefined` is `null` there.
     *
     * Asked again right before the function runs, as `type`, `target` and `description` are: it must say the same then.
     */
    readonly params?: ((...args: Arguments) => object) | undefined;
    /** The agent's own words for a reviewer; or a function of the arguments. */
    readonly description?: string | ((...args: Arguments) => string) | undefined;
    /**
     * Makes calls with the same key within 24 hours one run, also after a crash; or a function of the arguments. The
     * first call runs. Others throw {@link AlreadyClaimed} until it is reported; after that they return the recorded
     * result of a success, and throw {@link AlreadyReported} otherwise. A new key with each call. Without a credential
     * at least 16 characters.
     */
    readonly idempotencyKey?: string | ((...args: Arguments) => string) | undefined;
}

/**
 * Wraps a function: each call is proposed, waited for, run if it may, and reported. The wrapper takes the same
 * arguments and returns the same, as a promise.
 *
 * The function runs with copies of its arguments, made before they are proposed: whatever changes meanwhile, what runs
 * is what was shown. An instance of a class cannot be copied: it is described again right before the function runs, and
 * the function does not run if it has changed.
 *
 * It throws {@link ActionDenied} where the answer is no, what the function threw where it did, and any other {@link
 * AegisError} where nothing is known: the function has not run then, except with a `ReportError`. Generators, whose
 * bodies run only when their values are read, are refused.
 *
 * ```ts
 * const client = new AegisClient();
 * const sendMail = governed(mailer.send, { type: "send_mail", target: "crm", client });
 * await sendMail({ to: "ada@example.com" });
 * ```
 */
export function governed<This, Arguments extends unknown[], Returned>(
    fn: (this: This, ...args: Arguments) => Returned,
    given: GovernedOptions<Arguments>,
): (this: This, ...args: Arguments) => Promise<Awaited<Returned>> {
    const options = checkedOptions(given);
    checkFunction(fn, options);
    const wrapper = async function (this: This, ...args: Arguments): Promise<Awaited<Returned>> {
        const copies = detached(args);
        // Whoever describes them gets other copies: what is kept of those changes nothing that runs.
        const describe = (): Action => checkedAction(proposed(detached(copies), options));
        const action = describe();
        const unchanged = (): void => {
            if (sameJson({ ...action }, { ...describe() })) return;
            throw new InvalidActionError("params", "the arguments changed while the proposal waited: not run");
        };
        const run = async (): Promise<Awaited<Returned>> => await fn.apply(this, copies);
        const { idempotencyKey: key } = options;
        const idempotencyKey = typeof key === "function" ? key(...detached(copies)) : key;
        const result = await perform(action, { ...options, idempotencyKey }, async () => executed(run), unchanged);
        return unwrap(result);
    };
    Object.defineProperty(wrapper, "name", { value: fn.name });
    return wrapper;
}

function checkFunction(fn: unknown, { type }: { readonly type: unknown }): void {
    const wrong = (problem: string): AegisError => new AegisError(problem, { code: "INVALID_ARGUMENT" });
    if (typeof fn !== "function") throw wrong(`only a function can be governed, not ${kindOf(fn)}`);
    if (typeof type !== "function" && (typeof type !== "string" || type === "")) {
        throw wrong(`\`type\` must name the kind of action, for example "send_mail", or be a function that does`);
    }
    if (Object.prototype.toString.call(fn).includes("Generator")) {
        // Its body runs while its values are read, after it was reported.
        throw wrong(`${fn.name}: a generator cannot be governed; govern a function that reads it to its end`);
    }
}

function proposed<Arguments extends unknown[]>(
    args: Arguments,
    { type, target, params, description }: GovernedOptions<Arguments>,
): ActionInput {
    const of = (part: string | ((...args: Arguments) => string)): string =>
        typeof part === "string" ? part : part(...args);
    return {
        type: of(type),
        target: of(target ?? ""),
        params: params === undefined ? named(args) : params(...args),
        description: of(description ?? ""),
    };
}

function named(args: readonly unknown[]): object {
    // A last argument that was left out is absent.
    const given = args.slice(0, args.findLastIndex((arg) => arg !== undefined) + 1);
    if (given.length === 0) return {};
    const [only] = given;
    if (given.length === 1 && typeof only === "object" && only !== null && !Array.isArray(only)) {
        const json = checkedJson(only, "params");
        if (typeof json === "object" && json !== null && !Array.isArray(json)) return json;
    }
    return { args: given.map((arg, i): Json => (arg === undefined ? null : checkedJson(arg, `params.args[${i}]`))) };
}
