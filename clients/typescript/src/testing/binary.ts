/** Finds the daemon's program. */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { AegisError } from "../errors.js";

/** The program that `AEGIS_BIN` names, else the build output of this repository, else `aegis` on the PATH. */
export function findBinary(): string {
    const named = process.env["AEGIS_BIN"];
    if (named !== undefined && named !== "") {
        if (!isProgram(named)) throw new AegisError(`AEGIS_BIN names ${named}, which is no program`);
        return named;
    }
    // In the repository, this file is clients/typescript/{src,dist}/testing/binary.*.
    const root = join(dirname(fileURLToPath(import.meta.url)), "../../../..");
    const built = existsSync(join(root, "Cargo.toml"))
        ? ["release", "debug"].map((profile) => join(root, "target", profile, "aegis"))
        : [];
    const onPath = (process.env["PATH"] ?? "")
        .split(delimiter)
        .filter(Boolean)
        .map((directory) => join(directory, "aegis"));
    const found = [...built, ...onPath].find(isProgram);
    if (found !== undefined) return found;
    throw new AegisError("there is no `aegis`: put it on the PATH, or name it with AEGIS_BIN");
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
