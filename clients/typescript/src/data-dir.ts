/** The data directory of a daemon on this machine, found as the command line finds it. */
import { statSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { variable } from "./environment.js";

/** The data directory that `aegis serve` uses by default; `undefined` where there is no home for it. */
function defaultDataDir(): string | undefined {
    const named = variable("AEGIS_DATA_DIR");
    if (named !== undefined) return resolve(named);
    // The XDG specification says that a relative path is to be ignored.
    const absolute = (name: string): string | undefined => {
        const path = variable(name);
        return path !== undefined && isAbsolute(path) ? path : undefined;
    };
    const [state, home] = [absolute("XDG_STATE_HOME"), absolute("HOME")];
    if (state !== undefined) return join(state, "aegis");
    if (home !== undefined) return join(home, ".local/state/aegis");
    return process.geteuid?.() === 0 ? "/var/lib/aegis" : undefined;
}

/**
 * The socket for agents in the default data directory, as an endpoint; `undefined` where there is none.
 *
 * Only who may write to that directory can put a socket there. A port is anybody's who is first.
 */
export function agentEndpoint(): string | undefined {
    const directory = defaultDataDir();
    if (directory === undefined) return undefined;
    const socket = join(directory, "agent.sock");
    try {
        return statSync(socket).isSocket() ? `unix:${socket}` : undefined;
    } catch {
        // It is not there, or an agent of another user may not look into the directory.
        return undefined;
    }
}
