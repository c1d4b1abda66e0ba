/**
 * What waits for a reviewer is withdrawn when this process is told to end: nobody is asked for what nobody waits for.
 *
 * The process then ends as it would have without this, by the same signal. A signal that the program handles itself is
 * left to the program.
 */

const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
/** How long withdrawing may hold up the end, in milliseconds. */
const LONGEST = 2000;

const WAITING = new Set<() => Promise<unknown>>();

/** Waits for something, and withdraws it when the process is told to end meanwhile. */
export async function withdrawnAtTheEnd<T>(withdraw: () => Promise<unknown>, wait: () => Promise<T>): Promise<T> {
    if (WAITING.size === 0) for (const signal of SIGNALS) process.once(signal, end);
    WAITING.add(withdraw);
    try {
        return await wait();
    } finally {
        WAITING.delete(withdraw);
        if (WAITING.size === 0) for (const signal of SIGNALS) process.off(signal, end);
    }
}

function end(signal: NodeJS.Signals): void {
    const over = new Promise((resolve) => setTimeout(resolve, LONGEST));
    const all = Promise.allSettled([...WAITING].map(async (withdraw) => withdraw()));
    void Promise.race([all, over]).then(() => {
        // `once`: by now the listener is gone, and without another one the signal ends the process.
        if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    });
}
