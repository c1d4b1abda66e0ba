/** The daemons that run now, and their directories. None of them outlives this process. */
import type { ChildProcess } from "node:child_process";
import { rmSync } from "node:fs";

const RUNNING = new Map<ChildProcess, string>();

const endAll = (): void => {
    for (const [child, home] of RUNNING) {
        child.kill("SIGKILL");
        rmSync(home, { recursive: true, force: true });
    }
};

/** Ends this daemon, and removes its directory, when this process exits. */
export function endsWithThisProcess(child: ChildProcess, home: string): void {
    if (RUNNING.size === 0) process.once("exit", endAll);
    RUNNING.set(child, home);
    child.once("close", () => {
        RUNNING.delete(child);
        if (RUNNING.size === 0) process.off("exit", endAll);
    });
}
