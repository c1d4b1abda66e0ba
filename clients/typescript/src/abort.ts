/** Aborts, as the platform has them: the error that callers expect, and one signal that ends any number of calls. */
import { AbortError } from "./errors.js";

/** Throws where the signal was aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
    if (signal?.aborted === true) throw new AbortError(signal.reason);
}

/** What is to be done when a signal is aborted. One listener for each signal: Node.js warns of more than ten. */
const WAITING = new WeakMap<AbortSignal, Set<() => void>>();

/** Does something when the signal is aborted, or at once where it is already. Returns what forgets it. */
export function onAbort(signal: AbortSignal, act: () => void): () => void {
    if (signal.aborted) {
        act();
        return () => undefined;
    }
    const known = WAITING.get(signal);
    const waiting = known ?? new Set();
    if (known === undefined) {
        WAITING.set(signal, waiting);
        signal.addEventListener("abort", () => [...waiting].forEach((one) => one()), { once: true });
    }
    const one = (): void => act();
    waiting.add(one);
    return () => void waiting.delete(one);
}

/** A signal for one call, which any of several others aborts. Release it when the call is over. */
export class JoinedSignal {
    readonly #controller = new AbortController();
    readonly #forget: readonly (() => void)[];

    constructor(...signals: readonly (AbortSignal | undefined)[]) {
        this.#forget = signals.map((signal) =>
            signal === undefined ? (): void => undefined : onAbort(signal, () => this.#controller.abort(signal.reason)),
        );
    }

    get signal(): AbortSignal {
        return this.#controller.signal;
    }

    release(): void {
        for (const forget of this.#forget) forget();
    }
}
