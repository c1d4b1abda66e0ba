/** A real daemon in a directory of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createClient } from "@connectrpc/connect";
import { AegisClient, type ClientOptions } from "../client.js";
import { AegisError } from "../errors.js";
import { pause } from "../pause.js";
import { PolicyService } from "../proto/policy_pb.js";
import { endsWithParent, findBinary } from "./binary.js";
import { endsWithThisProcess } from "./running.js";

/** What to start. */
export interface SidecarOptions {
    /** The policy, as YAML. The daemon's built-in starter policy. */
    readonly policy?: string | undefined;
    /** The daemon's program. `AEGIS_BIN`, else the build output of this repository, else `aegis` on the PATH. */
    readonly binary?: string | undefined;
    /** More arguments for `aegis serve`. */
    readonly args?: readonly string[] | undefined;
}

/** How long the daemon has for what it is asked to do, in seconds: longer than anything takes on a busy machine. */
const PATIENCE = 60;

/** A running daemon. Its directory and everything in it are gone once it is stopped. */
export class Sidecar implements AsyncDisposable {
    /** The directory that holds policy and data. */
    readonly home: string;
    readonly #binary: string;
    readonly #args: readonly string[];
    #child: ChildProcess | undefined;
    #endpoint = "";
    #log = "";

    /** Use {@link startSidecar}. */
    constructor(home: string, binary: string, args: readonly string[]) {
        this.home = home;
        this.#binary = binary;
        this.#args = args;
    }

    /** The main listener, where everybody is an anonymous agent: `http://127.0.0.1:PORT`. */
    get endpoint(): string {
        return this.#endpoint;
    }

    /** The same on a unix socket: `unix:/PATH`. */
    get unixEndpoint(): string {
        return `unix:${join(this.home, "agent.sock")}`;
    }

    /** The socket in the data directory, where the daemon's own user is reviewer, auditor and admin. */
    get peopleEndpoint(): string {
        return `unix:${join(this.dataDir, "aegis.sock")}`;
    }

    /** The data directory. */
    get dataDir(): string {
        return join(this.home, "data");
    }

    /** The policy file. */
    get policyFile(): string {
        return join(this.home, "policy.yaml");
    }

    /** What the daemon has logged. */
    get log(): string {
        return this.#log;
    }

    /** An agent's client: anonymous, and quick to try again. Close it yourself. */
    client(options: ClientOptions = {}): AegisClient {
        return new AegisClient({ endpoint: this.endpoint, apiKey: "", retryDelay: 0.05, ...options });
    }

    /** A client that is reviewer, auditor and admin. Close it yourself. */
    people(options: ClientOptions = {}): AegisClient {
        return new AegisClient({ endpoint: this.peopleEndpoint, apiKey: "", retryDelay: 0.05, ...options });
    }

    /** Starts the daemon, again on the same port and data where it ran before. Returns once it listens. */
    async start(): Promise<void> {
        const policy = existsSync(this.policyFile) ? [this.policyFile] : [];
        const port = this.#endpoint === "" ? "0" : new URL(this.#endpoint).port;
        const child = spawn(
            this.#binary,
            [
                "serve",
                ...policy,
                // Who says where to listen says the port as well.
                ...(this.#args.includes("--listen") ? [] : ["--port", port]),
                "--data-dir",
                this.dataDir,
                "--uds",
                join(this.home, "agent.sock"),
                ...["--admin-listen", "off"],
                ...(endsWithParent(this.#binary) ? ["--ends-with-parent"] : []),
                ...this.#args,
            ],
            // The pipe that nobody writes to: the daemon ends when this process does, even by SIGKILL.
            { stdio: ["pipe", "pipe", "pipe"], env: environment() },
        );
        child.stdin.on("error", () => undefined);
        this.#child = child;
        endsWithThisProcess(child, this.home);
        const failed = new Promise<never>((_, reject) => {
            child.once("error", (error) => {
                reject(new AegisError(`${this.#binary} cannot be started: ${error.message}`, { cause: error }));
            });
            child.once("close", () => {
                reject(new AegisError(`the daemon did not start:\n${this.#log}`));
            });
        });
        failed.catch(() => undefined);
        createInterface({ input: child.stderr }).on("line", (line) => (this.#log += `${line}\n`));
        const lines = createInterface({ input: child.stdout });
        const [line] = (await Promise.race([once(lines, "line"), failed])) as [string];
        this.#endpoint = line.replace(/^listening on /, "");
    }

    /** Kills the daemon as a crash would: SIGKILL. `start` starts it again. */
    async kill(): Promise<void> {
        await this.#end("SIGKILL");
    }

    /** Changes the policy file. Returns once the new policy is in force. */
    async setPolicy(yaml: string): Promise<void> {
        await using admin = this.people();
        const policies = createClient(PolicyService, admin.transport);
        const { valid, revision, errors } = await policies.validatePolicy({ layers: [{ name: "policy.yaml", yaml }] });
        if (!valid) {
            throw new AegisError(errors.map(({ line, message }) => `policy.yaml:${line}: ${message}`).join("\n"));
        }
        // In one step: the daemon watches the file, and half a policy is none.
        await writeFile(`${this.policyFile}.new`, yaml);
        await rename(`${this.policyFile}.new`, this.policyFile);
        const end = performance.now() + PATIENCE * 1000;
        while ((await policies.getPolicy({})).policy?.revision !== revision) {
            if (performance.now() > end) throw new AegisError(`the new policy never came into force:\n${this.#log}`);
            await pause(0.01);
        }
    }

    /** Stops the daemon and removes its directory. */
    async stop(): Promise<void> {
        await this.#end("SIGKILL");
        await rm(this.home, { recursive: true, force: true });
    }

    /** The same as {@link Sidecar.stop}: `await using sidecar = await startSidecar()`. */
    async [Symbol.asyncDispose](): Promise<void> {
        await this.stop();
    }

    async #end(signal: NodeJS.Signals): Promise<void> {
        const child = this.#child;
        if (child === undefined) return;
        this.#child = undefined;
        const ended = child.exitCode === null && child.signalCode === null ? once(child, "close") : undefined;
        child.kill(signal);
        await ended;
    }
}

/** Starts a daemon with this policy. Returns once it listens. */
export async function startSidecar(options: SidecarOptions = {}): Promise<Sidecar> {
    const binary = options.binary ?? findBinary();
    // Short: the path of a unix socket has to fit into 108 bytes.
    const home = await mkdtemp(join(tmpdir(), "aegis-"));
    const sidecar = new Sidecar(home, binary, options.args ?? []);
    try {
        if (options.policy !== undefined) await writeFile(sidecar.policyFile, options.policy);
        await sidecar.start();
        return sidecar;
    } catch (error) {
        await sidecar.stop();
        throw error;
    }
}

/** What the daemon needs of the environment, and nothing of AEGIS_*, which would change what it is. */
function environment(): NodeJS.ProcessEnv {
    return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("AEGIS_")));
}
