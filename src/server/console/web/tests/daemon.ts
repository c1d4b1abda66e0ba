/** A daemon of a test's own, and calls of its REST API. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { text as readAll } from "node:stream/consumers";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Approval, Row } from "../src/words";

export const AEGIS = process.env["AEGIS_BIN"] ?? join(import.meta.dirname, "../../../../../target/debug/aegis");

export const POLICY = `
defaults: {risk_level: medium, approval: approve}
rules:
  - {name: reading, match: {type: "read*"}, risk_level: low, approval: auto}
  - {name: never, match: {type: "delete*", target: "prod*"}, risk_level: critical, approval: block, reason: Never.}
  - {name: brief, match: {type: "brief*"}, risk_level: high, approval: approve, timeout: 2s}
  - {name: shell, match: {type: "shell*"}, risk_level: critical, approval: approve, reason: A command can do anything.}
`;

export interface Proposal {
    type: string;
    target?: string;
    params?: unknown;
    description?: string;
    session?: string;
    metadata?: Record<string, unknown>;
    actor?: string;
}

export interface Decision {
    decision_id: string;
    approval_id: string;
    outcome: string;
}

export class Daemon {
    readonly #home = mkdtempSync(join(tmpdir(), "aegis-console-"));
    readonly #flags: string[];
    #process: ChildProcess | null = null;
    url = "";

    private constructor(policy: string, flags: string[]) {
        this.#flags = flags;
        writeFileSync(join(this.#home, "policy.yaml"), policy);
    }

    static async start(policy = POLICY, ...flags: string[]): Promise<Daemon> {
        const daemon = new Daemon(policy, flags);
        await daemon.run("127.0.0.1:0");
        return daemon;
    }

    get dataDir(): string {
        return join(this.#home, "data");
    }

    get credential(): string {
        return readFileSync(join(this.dataDir, "credential"), "utf8").trim();
    }

    /** Starts it; it says on its standard output when it listens. */
    async run(listen: string): Promise<void> {
        const flags = ["--data-dir", this.dataDir, "--listen", listen, "--admin-listen", "127.0.0.1:0", ...this.#flags];
        const program = spawn(AEGIS, ["serve", join(this.#home, "policy.yaml"), ...flags], {
            stdio: ["ignore", "pipe", "pipe"],
        });
        this.#process = program;
        let said = "";
        let errors = "";
        program.stderr.on("data", (data: Buffer) => (errors += data.toString()));
        await new Promise<void>((resolve, reject) => {
            program.on("exit", (code) => reject(new Error(`the daemon ended with ${String(code)}: ${errors}`)));
            program.stdout.on("data", (data: Buffer) => {
                said += data.toString();
                if (said.includes("aegis review")) resolve();
            });
        });
        this.url = readFileSync(join(this.dataDir, "endpoint"), "utf8").trim();
    }

    async halt(): Promise<void> {
        const program = this.#process;
        this.#process = null;
        if (!program || program.exitCode !== null) return;
        program.removeAllListeners("exit");
        const ended = once(program, "exit");
        program.kill("SIGTERM");
        await ended;
    }

    /** Starts it again, on the same port. */
    async restart(): Promise<void> {
        const { host } = new URL(this.url);
        await this.halt();
        await this.run(host);
    }

    async stop(): Promise<void> {
        await this.halt();
        rmSync(this.#home, { recursive: true, force: true });
    }

    /** Calls over a connection of its own: nobody may review what came over the same one. */
    async call<T>(method: string, path: string, token: string | null, body?: unknown): Promise<T> {
        const headers: Record<string, string> = { "content-type": "application/json" };
        if (token !== null) headers["authorization"] = `Bearer ${token}`;
        const sent = request(this.url + path, { method, headers, agent: false });
        sent.end(body === undefined ? "" : JSON.stringify(body));
        const [answer] = (await once(sent, "response")) as [IncomingMessage];
        const text = await readAll(answer);
        if ((answer.statusCode ?? 0) >= 300) throw new Error(`${method} ${path}: ${answer.statusCode ?? 0} ${text}`);
        return JSON.parse(text) as T;
    }

    /** Proposes an action as an agent without a credential. */
    async propose(proposal: Proposal): Promise<Decision> {
        const {
            type,
            target = "",
            params = {},
            description = "",
            session = "s",
            metadata = {},
            actor = "agent-7",
        } = proposal;
        return this.call("POST", "/api/v1/governance/propose", null, {
            actor: { id: actor, type: "ai-agent" },
            action: { capability: type, target, parameters: params, description },
            context: { session_id: session, metadata },
        });
    }

    approval(id: string): Promise<Approval> {
        return this.call("GET", `/api/v1/approvals/${id}`, this.credential);
    }

    async row(decision: string): Promise<Row> {
        const [row] = await this.call<Row[]>("GET", `/api/v1/audit?decision_id=${decision}`, this.credential);
        if (!row) throw new Error(`no row of ${decision}`);
        return row;
    }

    /** A new token with these roles. */
    async token(name: string, ...roles: string[]): Promise<string> {
        const made = await this.call<{ secret: string }>("POST", "/api/v1/tokens", this.credential, { name, roles });
        return made.secret;
    }

    async vote(id: string, verdict: "approve" | "deny", token: string): Promise<void> {
        const { action_digest } = await this.approval(id);
        await this.call("POST", `/api/v1/approvals/${id}/${verdict}`, token, { expected_action_digest: action_digest });
    }

    /** What `aegis console` prints. */
    console(...flags: string[]): string {
        const { stdout, stderr, status } = spawnSync(AEGIS, ["console", "--data-dir", this.dataDir, ...flags]);
        if (status !== 0) throw new Error(stderr.toString());
        return stdout.toString().trim();
    }
}
