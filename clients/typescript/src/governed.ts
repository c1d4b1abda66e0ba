/** The wrapper: a function that asks before it runs. */
import { checkedAction } from "./action.js";
import { AegisError, InvalidActionError } from "./errors.js";
import type { GovernOptions } from "./govern/options.js";
import { executed, perform, unwrap } from "./govern/perform.js";
import { sameJson } from "./json.js";
import type { ActionInput } from "./types.js";

/** What a call of a governed function proposes, and how. */
export interface GovernedOptions<Arguments extends unknown[]> extends GovernOptions {
    /** The kind of action, for example `bulk_update`; or a function of the arguments. */
    readonly type: string | ((...args: Arguments) => string);
    /** What it acts on, for example `crm`; or a function of the arguments. Empty. */
    readonly target?: string | ((...args: Arguments) => string) | undefined;
    /**
     * The parameters, from the arguments. Without it: the argument itself where there is one and it is an object,
     * nothing where there is none, and `{ args: [...] }` otherwise.
     *
     * Asked again right before the function runs, as `type`, `target` and `description` are: it must say the same then.
     */
    readonly params?: ((...args: Arguments) => object) | undefined;
    /** The agent's own words for a reviewer; or a function of the arguments. */
    readonly description?: string | ((...args: Arguments) => string) | undefined;
}

/**
 * Wraps a function: each call is proposed, waited for, run if it may, and reported. The wrapper takes the same
 * arguments and returns the same, as a promise.
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
    options: GovernedOptions<Arguments>,
): (this: This, ...args: Arguments) => Promise<Awaited<Returned>> {
    if (Object.prototype.toString.call(fn).includes("Generator")) {
        // Its body runs while its values are read, after it was reported.
        throw new AegisError(`${fn.name}: a generator cannot be governed; govern a function that reads it to its end`, {
            code: "INVALID_ARGUMENT",
        });
    }
    const wrapper = async function (this: This, ...args: Arguments): Promise<Awaited<Returned>> {
        const action = checkedAction(proposed(args, options));
        // Somebody may have thought about it for an hour: what runs is what was shown.
        const unchanged = (): void => {
            const now = checkedAction(proposed(args, options));
            if (sameJson({ ...action }, { ...now })) return;
            throw new InvalidActionError("params", "the arguments changed while the proposal waited: not run");
        };
        const run = async (): Promise<Awaited<Returned>> => await fn.apply(this, args);
        const result = await perform(action, options, async () => executed(run), unchanged);
        return unwrap(result);
    };
    Object.defineProperty(wrapper, "name", { value: fn.name });
    return wrapper;
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
    const [only] = args;
    if (args.length === 0) return {};
    if (args.length === 1 && typeof only === "object" && only !== null && !Array.isArray(only)) return only;
    // A last argument that was left out is absent, not `undefined`.
    return {
        args: args.filter((arg, i) => arg !== undefined || args.slice(i + 1).some((later) => later !== undefined)),
    };
}
