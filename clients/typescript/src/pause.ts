/** Waiting: how long between two tries, and so that an abort ends it. */
import { AegisError } from "./errors.js";

/** The longest pause between two tries, in seconds. */
export const LONGEST_PAUSE = 30;

/**
 * How long to wait before try `n`, counted from 0, in seconds: `base · 2^n`, at most 30, of that between half and
 * all.
 */
export function backoff(base: number, n: number, random: () => number = Math.random): number {
    return Math.min(base * 2 ** n, LONGEST_PAUSE) * (0.5 + random() / 2);
}

/** Waits this many seconds. An abort ends it with an error. */
export async function pause(seconds: number, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    await new Promise<void>((resolve, reject) => {
        const onAbort = (): void => {
            clearTimeout(timer);
            reject(aborted(signal));
        };
        const timer = setTimeout(() => {
            signal?.removeEventListener("abort", onAbort);
            resolve();
        }, seconds * 1000);
        signal?.addEventListener("abort", onAbort, { once: true });
    });
}

/** The error of a signal that was aborted. */
function aborted(signal: AbortSignal | undefined): AegisError {
    return new AegisError("the call was aborted", { code: "CANCELLED", cause: signal?.reason });
}

/** Throws where the signal was aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
    if (signal?.aborted === true) throw aborted(signal);
}
