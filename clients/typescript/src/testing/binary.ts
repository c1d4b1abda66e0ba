/** Finds the daemon's program. */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { AegisError } from "../errors.js";

/** `AEGIS_BIN`, else what the repository around the working directory has built, else `aegis` on the PATH. */
export function findBinary(): string {
    const named = process.env["AEGIS_BIN"];
    if (named !== undefined && named !== "") {
        if (!isProgram(named)) throw new AegisError(`AEGIS_BIN names ${named}, which is no program`);
        return named;
    }
    const root = repository(process.cwd());
    const built =
        root === undefined ? [] : ["release", "debug"].map((profile) => join(root, "target", profile, "aegis"));
    const onPath = (process.env["PATH"] ?? "")
        .split(delimiter)
        .filter(Boolean)
        .map((directory) => join(directory, "aegis"));
    const found = [...built, ...onPath].find(isProgram);
    if (found !== undefined) return found;
    throw new AegisError("there is no `aegis`: put it on the PATH, or name it with AEGIS_BIN");
}

/** The repository of the daemon that a directory is in. */
function repository(directory: string): string | undefined {
    for (let at = directory; ; at = dirname(at)) {
        const manifest = join(at, "Cargo.toml");
        if (existsSync(manifest) && /^name = "aegis"$/m.test(readFileSync(manifest, "utf8"))) return at;
        if (dirname(at) === at) return undefined;
    }
}

const ENDS = new Map<string, boolean>();

/** Whether this daemon can end with its parent: older ones cannot, and are ended by this process where it lives to. */
export function endsWithParent(binary: string): boolean {
    const known = ENDS.get(binary);
    if (known !== undefined) return known;
    const { stdout } = spawnSync(binary, ["serve", "--help"], { encoding: "utf8", timeout: 10_000 });
    const ends = ((stdout as string | null) ?? "").includes("--ends-with-parent");
    ENDS.set(binary, ends);
    return ends;
}

function isProgram(path: string): boolean {
    try {
        accessSync(path, constants.X_OK);
        return true;
    } catch {
        return false;
    }
}
