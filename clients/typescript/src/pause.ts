/** Waiting between two tries, so that an abort ends it. */
import { onAbort, throwIfAborted } from "./abort.js";
import { AbortError } from "./errors.js";

/** The longest pause between two tries, in seconds. */
export const LONGEST_PAUSE = 30;
/** The shortest one between two calls, in seconds, whatever options and daemons say. */
export const SHORTEST_PAUSE = 0.02;

/** How long to wait before try `n`, counted from 0, in seconds: `base · 2^n`, at most 30; of that, half up to all. */
export function backoff(base: number, n: number, random: () => number = Math.random): number {
    return Math.min(base * 2 ** n, LONGEST_PAUSE) * (0.5 + random() / 2);
}

/** How long to wait where the daemon says so, in seconds: at most 30, and up to a quarter more, to spread the load. */
export function advised(delay: number, random: () => number = Math.random): number {
    return Math.min(delay, LONGEST_PAUSE) * (1 + random() / 4);
}

/** Waits this many seconds. An abort of one of the signals ends it with an error. */
export async function pause(seconds: number, ...signals: readonly (AbortSignal | undefined)[]): Promise<void> {
    signals.forEach(throwIfAborted);
    const forget: (() => void)[] = [];
    try {
        await new Promise<void>((resolve, reject) => {
            const timer = setTimeout(resolve, seconds * 1000);
            for (const signal of signals) {
                if (signal === undefined) continue;
                forget.push(
                    onAbort(signal, () => {
                        clearTimeout(timer);
                        reject(new AbortError(signal.reason));
                    }),
                );
            }
        });
    } finally {
        for (const one of forget) one();
    }
}
