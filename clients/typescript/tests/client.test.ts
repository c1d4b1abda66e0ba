import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type ConnectRouter, Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
    ActionDenied,
    AegisClient,
    AegisError,
    type AuditRow,
    type ClientOptions,
    GovernanceError,
} from "../src/index.js";
import { ErrorInfoSchema, RetryInfoSchema } from "../src/proto/error_details_pb.js";
import { GovernanceService } from "../src/proto/governance_pb.js";
import { ApprovalMode, type DecisionCode, Outcome, RiskLevel } from "../src/proto/types_pb.js";
import { startSidecar } from "../src/testing.js";
import { sealed } from "./stub.js";
import { eventually, stage } from "./support.js";
import { certificates } from "./tls.js";

afterEach(() => void vi.unstubAllEnvs());

const fails = (fields: Partial<AegisError>): AegisError => expect.objectContaining(fields) as AegisError;

/** A directory that ends with the test. */
async function temporary(): Promise<{ path: string } & AsyncDisposable> {
    const path = await mkdtemp(join(tmpdir(), "aegis-home-"));
    return { path, [Symbol.asyncDispose]: async () => rm(path, { recursive: true }) };
}

/** A server in this process that answers as it is told. */
async function answering(routes: (router: ConnectRouter) => void): Promise<{ endpoint: string } & AsyncDisposable> {
    return listening(createHttp2Server(connectNodeAdapter({ grpc: true, routes })));
}

async function listening(server: Server): Promise<{ endpoint: string } & AsyncDisposable> {
    const sockets = new Set<Socket>();
    server.on("connection", (socket) => sockets.add(socket));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return {
        endpoint: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
        [Symbol.asyncDispose]: async () => {
            for (const socket of sockets) socket.destroy();
            await new Promise((resolve) => server.close(resolve));
        },
    };
}

const decision = {
    decisionId: "dec_0",
    outcome: Outcome.ALLOW,
    riskLevel: RiskLevel.LOW,
    approvalMode: ApprovalMode.AUTO,
};
const action = { type: "read_contacts" };

describe("the client's options", () => {
    test.each<[string, ClientOptions]>([
        ["everybody on the way could read it", { endpoint: "http://aegis.example.com:50051", apiKey: "secret" }],
        ["is not an endpoint", { endpoint: "aegis.example.com:50051" }],
        ["is not an endpoint", { endpoint: "http://127.0.0.1:1/path" }],
        ["has no path", { endpoint: "unix:" }],
        ["not milliseconds", { timeout: 30_000 }],
        ["not milliseconds", { retryDelay: 1000 }],
        ["timeout", { timeout: 0 }],
        ["timeout", { timeout: NaN }],
        ["retries", { retries: -1 }],
        ["belong together", { endpoint: "https://127.0.0.1:1", tlsCert: "/nowhere" }],
        ["cannot read /nowhere", { endpoint: "https://127.0.0.1:1", tlsCa: "/nowhere" }],
        ["characters that no credential has", { apiKey: "a\nb" }],
    ])("that make no sense are refused: %s", (message, options) => {
        expect(() => new AegisClient(options)).toThrow(AegisError);
        expect(() => new AegisClient(options)).toThrow(message);
    });

    test("come from the environment where they are not given", async () => {
        await using world = await stage();
        vi.stubEnv("AEGIS_ENDPOINT", world.sidecar.endpoint);
        vi.stubEnv("AEGIS_TOKEN", `aegis_${"A".repeat(43)}`);
        await using wrong = new AegisClient();
        await expect(wrong.propose({ action })).rejects.toThrow(
            fails({ code: "UNAUTHENTICATED", reason: "CREDENTIAL_INVALID" }),
        );
        // An empty key is none, whatever the variable says.
        await using anonymous = new AegisClient({ apiKey: "" });
        expect((await anonymous.propose({ action })).outcome).toBe("ALLOW");
        vi.stubEnv("AEGIS_ENDPOINT", "http://127.0.0.1:1");
        await using explicit = new AegisClient({ endpoint: world.sidecar.unixEndpoint, apiKey: "" });
        expect(await explicit.health()).toBe(true);
    });
});

describe("without an endpoint", () => {
    const nowhere = ["AEGIS_ENDPOINT", "AEGIS_DATA_DIR", "XDG_STATE_HOME", "HOME", "AEGIS_TOKEN", "AEGIS_API_KEY"];
    beforeEach(() => {
        for (const name of nowhere) vi.stubEnv(name, "");
    });
    const found = (): string => {
        const client = new AegisClient();
        client.close();
        return client.endpoint;
    };

    test("a client finds the daemon's socket in the data directory, as the command line does", async () => {
        await using world = await stage();
        const { dataDir } = world.sidecar;
        const socket = `unix:${dataDir}/agent.sock`;
        vi.stubEnv("AEGIS_DATA_DIR", dataDir);
        await using client = new AegisClient();
        expect(client.endpoint).toBe(socket);
        expect((await client.propose({ action })).outcome).toBe("ALLOW");
        // The variable wins, and nothing falls back to the port from a socket that is there.
        vi.stubEnv("AEGIS_ENDPOINT", "http://127.0.0.1:1");
        expect(found()).toBe("http://127.0.0.1:1");
        vi.stubEnv("AEGIS_ENDPOINT", "");
        await world.sidecar.kill();
        expect(found()).toBe(socket);

        await using home = await temporary();
        for (const [variable, below] of [
            ["XDG_STATE_HOME", "state"],
            ["HOME", "home/.local/state"],
        ] as const) {
            const parent = join(home.path, below);
            await mkdir(parent, { recursive: true });
            await symlink(dataDir, join(parent, "aegis"));
            vi.stubEnv("AEGIS_DATA_DIR", "");
            vi.stubEnv(variable, join(home.path, below.split("/")[0] ?? ""));
            expect(found()).toBe(`unix:${parent}/aegis/agent.sock`);
            vi.stubEnv(variable, "");
        }
    });

    test("what is no socket is none, nor is a relative path of the system's variables", async () => {
        await using home = await temporary();
        vi.stubEnv("HOME", relative(process.cwd(), home.path));
        vi.stubEnv("AEGIS_DATA_DIR", home.path);
        expect(found()).toBe("http://127.0.0.1:50051");
        await writeFile(join(home.path, "agent.sock"), "");
        expect(found()).toBe("http://127.0.0.1:50051");
    });

    test("the platform's name for the credential counts where there is no token", async () => {
        await using world = await stage();
        vi.stubEnv("AEGIS_ENDPOINT", world.sidecar.endpoint);
        vi.stubEnv("AEGIS_API_KEY", `aegis_${"A".repeat(43)}`);
        await using wrong = new AegisClient();
        await expect(wrong.propose({ action })).rejects.toThrow(fails({ reason: "CREDENTIAL_INVALID" }));
        vi.stubEnv("AEGIS_TOKEN", "two words");
        expect(() => new AegisClient()).toThrow("characters that no credential has");
    });
});

describe("a proposal", () => {
    test("is as the other SDKs have it, and a denial is returned", async () => {
        await using world = await stage();
        await using aegis = new AegisClient({
            endpoint: world.sidecar.endpoint,
            apiKey: "",
            timeout: 30,
            retries: 3,
            retryDelay: 1,
        });
        const allowed = await aegis.propose({
            actor: { id: "agent-001", type: "ai-agent" },
            action: { capability: "read.query", parameters: { query: "SELECT 1", database: "production" } },
            context: { session_id: "sess_abc123", metadata: { source: "customer-support-bot" } },
        });
        expect(allowed).toMatchObject({ outcome: "ALLOW", riskScore: 0.2, riskLevel: "low", constraints: {} });
        expect(allowed.decisionId).toMatch(/^dec_/);
        expect(allowed.auditRef).toMatch(/^aud_/);
        expect(Date.parse(allowed.timestamp)).not.toBeNaN();
        const denied = await aegis.propose({ action: { capability: "delete.table" } });
        expect(denied).toMatchObject({ outcome: "DENY", reason: "Deleting is a person's job." });
        await expect(aegis.propose({ action: { type: "delete_all" }, raiseOnDeny: true })).rejects.toThrow(
            ActionDenied,
        );
        const [row] = await world.rows();
        expect(row).toMatchObject({
            sessionId: "sess_abc123",
            metadata: { source: "customer-support-bot" },
            actor: { id: "agent-001", type: "ai-agent" },
            action: { type: "read.query", target: "", params: { query: "SELECT 1", database: "production" } },
        });
    });

    test("is tried again with the same key where the failure passes, and only there", async () => {
        const keys: string[] = [];
        const failures = [
            new ConnectError("away", ConnectCode.Unavailable),
            // Whatever the reason is: the daemon says when.
            new ConnectError("slowly", ConnectCode.ResourceExhausted, undefined, [
                { desc: ErrorInfoSchema, value: { reason: "SOMETHING_NEW" } },
                { desc: RetryInfoSchema, value: { retryDelay: durationFromMs(10) } },
            ]),
        ];
        await using server = await answering((router) =>
            router.rpc(GovernanceService.method.propose, (request) => {
                keys.push(request.idempotencyKey);
                const failure = failures.shift();
                if (failure !== undefined) throw failure;
                return { decision: { ...decision, ...sealed(request) } };
            }),
        );
        await using client = new AegisClient({ endpoint: server.endpoint, apiKey: "", retryDelay: 0.01 });
        expect((await client.propose({ action })).outcome).toBe("ALLOW");
        expect(keys).toHaveLength(3);
        expect(new Set(keys).size).toBe(1);
        for (const failure of [
            new ConnectError("broken", ConnectCode.Internal),
            new ConnectError("full", ConnectCode.ResourceExhausted, undefined, [
                { desc: ErrorInfoSchema, value: { reason: "RATE_LIMITED" } },
            ]),
        ]) {
            failures.push(failure);
            await expect(client.propose({ action })).rejects.toThrow(AegisError);
            expect(failures).toEqual([]);
        }
        expect(keys).toHaveLength(5);
    });

    test("has its timeout for each attempt, and not for all of them together", async () => {
        const failures = [new ConnectError("away", ConnectCode.Unavailable)];
        await using server = await answering((router) =>
            router.rpc(GovernanceService.method.propose, (request) => {
                const failure = failures.shift();
                if (failure !== undefined) throw failure;
                return { decision: { ...decision, ...sealed(request) } };
            }),
        );
        // The pause alone takes longer than the timeout.
        await using client = new AegisClient({ endpoint: server.endpoint, apiKey: "", timeout: 0.4, retryDelay: 1 });
        expect((await client.propose({ action })).outcome).toBe("ALLOW");
    });

    test("ends at its deadline, and with its signal", async () => {
        // Takes connections, and says nothing.
        await using silent = await listening(createServer());
        await using client = new AegisClient({ endpoint: silent.endpoint, apiKey: "", timeout: 0.1 });
        await expect(client.propose({ action })).rejects.toThrow(fails({ code: "DEADLINE_EXCEEDED" }));
        const controller = new AbortController();
        const proposing = client.propose({ action }, { signal: controller.signal, timeout: 60 });
        controller.abort(new Error("enough"));
        await expect(proposing).rejects.toThrow(
            fails({ code: "CANCELLED", cause: controller.signal.reason as unknown }),
        );
        await expect(client.propose({ action }, { signal: AbortSignal.abort() })).rejects.toThrow(
            fails({ code: "CANCELLED" }),
        );
    });

    test("waits as long as the daemon says, and not as long as it would itself", async () => {
        const failures = [
            new ConnectError("busy", ConnectCode.ResourceExhausted, undefined, [
                { desc: RetryInfoSchema, value: { retryDelay: durationFromMs(20) } },
            ]),
        ];
        await using server = await answering((router) =>
            router.rpc(GovernanceService.method.propose, (request) => {
                const failure = failures.shift();
                if (failure !== undefined) throw failure;
                return { decision: { ...decision, ...sealed(request) } };
            }),
        );
        // Its own pause would outlast the test.
        await using client = new AegisClient({ endpoint: server.endpoint, apiKey: "", retryDelay: 30 });
        expect((await client.propose({ action })).outcome).toBe("ALLOW");
        failures.push(
            new ConnectError("busy", ConnectCode.ResourceExhausted, undefined, [
                { desc: RetryInfoSchema, value: { retryDelay: durationFromMs(20) } },
            ]),
        );
        await expect(client.propose({ action }, { retries: 0 })).rejects.toThrow(fails({ retryAfter: 0.02 }));
    });

    test("is answered by an outcome of this version or not at all; any other new word is text", async () => {
        const [riskLevel, code] = [99, 98] as unknown as [RiskLevel, DecisionCode];
        await using server = await answering((router) =>
            router.rpc(GovernanceService.method.propose, (request) =>
                request.action?.type === "none"
                    ? {}
                    : { decision: { ...decision, ...sealed(request), riskLevel, code } },
            ),
        );
        await using client = new AegisClient({ endpoint: server.endpoint, apiKey: "" });
        expect(await client.propose({ action })).toMatchObject({ riskLevel: "unknown(99)", code: "unknown(98)" });
        await expect(client.propose({ action: { type: "none" } })).rejects.toThrow(GovernanceError);
    });
});

describe("a report", () => {
    test("of more than the record takes says so instead", async () => {
        await using world = await stage();
        for (const data of ["x".repeat(2 << 20), nested(40), nested(64), nested(1000)]) {
            const allowed = await world.client.propose({ action });
            await world.client.report(allowed, { status: "success", data, error: "e".repeat(100_000) });
        }
        for (const row of await world.rows()) {
            expect(row.result?.status).toBe("success");
            expect(row.result?.data).toEqual({ not_recorded: expect.stringMatching(/./) as unknown });
            expect(row.result?.error).toMatch(/^e+\.\.\.$/);
        }
        const blocked = await world.client.propose({ action: { type: "delete" } });
        await expect(world.client.report(blocked, { status: "success" })).rejects.toThrow(
            fails({ reason: "NOT_REPORTABLE" }),
        );
    });

    const nested = (depth: number): object => (depth === 0 ? {} : { deeper: nested(depth - 1) });
});

describe("waiting", () => {
    test("ends at its deadline with what is known, and the proposal stays", async () => {
        await using world = await stage();
        const asked = await world.client.propose({ action: { type: "transfer" } });
        expect((await world.client.wait(asked, { deadline: 0.05 })).outcome).toBe("ESCALATE");
        expect(await world.people.listApprovals()).toHaveLength(1);
        const waiting = world.client.wait(asked.decisionId, { raiseOnDeny: true });
        const refused = expect(waiting).rejects.toThrow(ActionDenied);
        await world.answer(false, "no");
        await refused;
    });

    test("without a daemon ends when the deadline does, or the retries where no expiry is known", async () => {
        await using world = await stage();
        const asked = await world.client.propose({ action: { type: "transfer" } });
        await world.sidecar.kill();
        await expect(world.client.wait(asked, { deadline: 0.3 })).rejects.toThrow(fails({ code: "UNAVAILABLE" }));
        await expect(world.client.wait(asked.decisionId)).rejects.toThrow(fails({ code: "UNAVAILABLE" }));
        const controller = new AbortController();
        const waiting = world.client.wait(asked, { signal: controller.signal });
        controller.abort();
        await expect(waiting).rejects.toThrow(fails({ code: "CANCELLED" }));
    });

    test("ends when the client is closed, and a closed client makes no calls", async () => {
        await using world = await stage();
        const asked = await world.client.propose({ action: { type: "transfer" } });
        const client = world.sidecar.client();
        const waiting = expect(client.wait(asked)).rejects.toThrow(AegisError);
        await eventually(async () => (await client.health()) || undefined);
        client.close();
        await waiting;
        await expect(client.propose({ action })).rejects.toThrow("the client is closed");
        await expect(client.streamAudit().next()).rejects.toThrow("the client is closed");
    });
});

describe("reviewing", () => {
    test("shows what a person needs, and the first answer counts", async () => {
        await using world = await stage();
        const context = { sessionId: "s-1", metadata: { source: "test" } };
        await world.client.propose({ action, context });
        const actor = { id: "agent-7" };
        await world.client.propose({
            actor,
            action: { type: "transfer", target: "bank", params: { sum: 5 } },
            context,
        });
        const [approval] = await world.people.listApprovals({ minRiskLevel: "medium", actorId: "agent-7" });
        expect(approval).toMatchObject({
            action: { type: "transfer", target: "bank", params: { sum: 5 } },
            actor: { id: "agent-7", type: "ai-agent" },
            identity: { subject: "anonymous" },
            sessionId: "s-1",
            metadata: { source: "test" },
            state: "pending",
            votes: [],
            masked: [],
            version: 1,
            ending: undefined,
        });
        expect(await world.people.listApprovals({ actorId: "somebody" })).toEqual([]);
        const shown = await world.people.getApproval(approval?.approvalId ?? "");
        expect(shown.history).toMatchObject([{ type: "read_contacts", outcome: "ALLOW", resultStatus: undefined }]);
        const other = { ...shown, actionDigest: "0".repeat(64) };
        await expect(world.people.approve(other)).rejects.toThrow(fails({ reason: "DIGEST_MISMATCH" }));
        const ended = await world.people.approve(shown, { reason: "fine" });
        expect(ended).toMatchObject({
            state: "approved",
            votes: [{ verdict: "approve", reason: "fine", actionDigest: shown.actionDigest }],
            ending: { kind: "approved", reason: "fine", by: { subject: ended.votes[0]?.by.subject } },
        });
        expect(ended.version).toBeGreaterThan(shown.version);
        expect(await world.people.listApprovals()).toEqual([]);
        const glob = { actionType: "trans*", target: "b?nk", states: ["approved"] } as const;
        expect(await world.people.listApprovals(glob)).toMatchObject([{ approvalId: shown.approvalId }]);
        const late = world.people.deny(shown);
        await expect(late).rejects.toThrow(GovernanceError);
        await expect(late).rejects.toThrow(fails({ code: "FAILED_PRECONDITION", reason: "ALREADY_DECIDED" }));
        await expect(late).rejects.toHaveProperty("metadata.ending", "approved");
    });

    test("the stream resumes by itself when the daemon is started again", async () => {
        await using world = await stage();
        await world.client.propose({ action: { type: "transfer", target: "one" } });
        const seen: string[] = [];
        for await (const event of world.people.streamApprovals({ actionType: "transfer" })) {
            seen.push("approval" in event ? `${event.kind} ${event.approval.action.target}` : event.kind);
            if (event.kind === "snapshot_complete" && seen.length === 2) {
                await world.sidecar.kill();
                await world.sidecar.start();
                await world.client.propose({ action: { type: "transfer", target: "two" } });
            }
            if (event.kind === "ended") break;
            const both = seen.filter((text) => text.startsWith("pending")).length === 3;
            if (both && event.kind === "snapshot_complete") await world.answer(true);
            else if (both && event.kind === "pending" && seen.includes("reset") && seen.at(-2) === "snapshot_complete")
                await world.answer(true);
        }
        expect(seen.slice(0, 4)).toEqual(["pending one", "snapshot_complete", "reset", "pending one"]);
        expect(seen.at(-1)).toMatch(/^ended/);
        expect(seen).toContain("pending two");
    });

    test("a stream that is left is over for the daemon too", async () => {
        await using sidecar = await startSidecar({ args: ["--max-streams", "1"] });
        await using people = sidecar.people();
        for (let i = 0; i < 3; i += 1) {
            for await (const event of people.streamApprovals()) if (event.kind === "snapshot_complete") break;
        }
        const controller = new AbortController();
        const first = people.streamApprovals({}, { signal: controller.signal });
        await first.next();
        await using impatient = sidecar.people({ retries: 0 });
        await expect(impatient.streamAudit({ follow: true }).next()).rejects.toThrow(
            fails({ reason: "TOO_MANY_STREAMS" }),
        );
        const next = first.next();
        controller.abort();
        await expect(next).rejects.toThrow(fails({ code: "CANCELLED" }));
    });
});

describe("the record", () => {
    test("is read with filters, from either end", async () => {
        await using world = await stage();
        for (const target of ["a", "b", "c", "d"]) await world.client.propose({ action: { ...action, target } });
        await world.client.propose({ action: { type: "delete" } });
        const targets = async (options: Parameters<AegisClient["streamAudit"]>[0]): Promise<string> => {
            let found = "";
            for await (const { action: recorded } of world.people.streamAudit(options)) found += recorded.target;
            return found;
        };
        expect(await targets({ actionType: "read_contacts" })).toBe("abcd");
        expect(await targets({ limit: 2, outcomes: ["ALLOW"] })).toBe("cd");
        expect(await targets({ limit: 2, newestFirst: true, riskLevels: ["low"], approvalModes: ["auto"] })).toBe("dc");
        expect(await targets({ resultStatuses: ["blocked"], since: new Date(0), until: new Date() })).toBe("");
        expect(await targets({ until: new Date(0) })).toBe("");
        await expect(targets({ outcomes: ["MAYBE" as "ALLOW"] })).rejects.toThrow("`MAYBE` is none of ALLOW, DENY");
    });

    test("is looked up by decision, in pages and in totals", async () => {
        await using world = await stage();
        const { client, people } = world;
        const context = { sessionId: "life" };
        const reads = [];
        for (const target of ["0", "1", "2"])
            reads.push(await client.propose({ action: { ...action, target }, context }));
        const asked = await client.propose({ action: { type: "ask", target: "a" }, context });
        await client.propose({ action: { type: "__proto__" } });
        await world.answer(false, "no");

        const found = await people.listDecisions({ sessionId: "life", actionType: "r*", limit: 2, newestFirst: true });
        expect(found.map((row) => row.action.target)).toEqual(["2", "1"]);
        expect(await people.listDecisions({ sessionId: "life", limit: 0 })).toEqual([]);
        expect(await people.listDecisions({ outcomes: ["DENY"] })).toMatchObject([{ decisionId: asked.decisionId }]);
        await expect(people.listDecisions({ outcomes: ["MAYBE" as "ALLOW"] })).rejects.toThrow("none of ALLOW, DENY");

        const life = await people.getDecision(asked.decisionId.slice(0, -2));
        expect(life).toMatchObject({
            row: { decisionId: asked.decisionId, outcome: "DENY", actionDigest: asked.actionDigest },
            approval: { approvalId: asked.approvalId, state: "denied", votes: [{ verdict: "deny", reason: "no" }] },
        });
        expect(life.records[0]).toMatchObject({ auditRef: asked.auditRef, kind: "decision" });
        expect(Date.parse(life.records[0]?.recordedAt ?? "")).toBeGreaterThan(0);
        const places = life.records.map(({ sequence }) => sequence);
        expect(places).toEqual([...places].sort((a, b) => a - b));
        const first = await people.getDecision(reads[0]?.auditRef ?? "");
        expect(first).toMatchObject({ row: { decisionId: reads[0]?.decisionId }, approval: undefined });
        await expect(people.getDecision("dec_00000000-0000")).rejects.toThrow(fails({ code: "NOT_FOUND" }));
        await expect(client.getDecision(asked.decisionId)).rejects.toThrow(fails({ code: "UNAUTHENTICATED" }));

        const stats = await people.getStats({ top: 2 });
        expect(stats).toMatchObject({
            decisions: 5,
            pendingApprovals: 1,
            byOutcome: { ALLOW: 3, DENY: 1, ESCALATE: 1 },
        });
        expect(Object.entries(stats.topActionTypes)).toHaveLength(2);
        expect((await people.getStats({ top: 100 })).topActionTypes).toHaveProperty(["__proto__"], 1);
    });

    test("is followed across a restart without a gap", async () => {
        await using world = await stage();
        await world.client.propose({ action: { ...action, target: "1" } });
        const rows: AuditRow[] = [];
        let caughtUp = 0;
        const onCaughtUp = (): void => void (caughtUp += 1);
        for await (const row of world.people.streamAudit({ follow: true, onCaughtUp })) {
            rows.push(row);
            const n = rows.length;
            if (n === 6) break;
            if (n === 3) {
                await world.sidecar.kill();
                await world.sidecar.start();
            }
            await world.client.propose({ action: { ...action, target: String(n + 1) } });
        }
        expect(rows.map(({ action: { target } }) => target)).toEqual(["1", "2", "3", "4", "5", "6"]);
        expect(caughtUp).toBe(1);
    });
});

test("an evaluation says why where it is asked by somebody who may know", async () => {
    await using world = await stage();
    const evaluation = await world.people.evaluate({ action: { type: "delete" }, explain: true, at: new Date() });
    expect(evaluation).toMatchObject({ outcome: "DENY", approvalMode: "block" });
    expect(evaluation.trace.at(-1)).toMatchObject({ rule: "no_deletes", matched: true });
    await expect(world.client.evaluate({ action, explain: true })).rejects.toThrow(fails({ reason: "ROLE_REQUIRED" }));
    expect(await world.client.evaluateMany({ actions: [] })).toEqual([]);
});

test("over TLS, with and without a certificate", async () => {
    const home = await mkdtemp(join(tmpdir(), "aegis-tls-"));
    try {
        const { ca, server, client: own } = await certificates(home);
        const tls = ["--tls-cert", server.cert, "--tls-key", server.key];
        await using oneWay = await startSidecar({ args: tls });
        const endpoint = oneWay.endpoint.replace("http:", "https:");
        await using trusting = new AegisClient({ endpoint, tlsCa: ca, apiKey: "" });
        expect(await trusting.health()).toBe(true);
        await using distrusting = new AegisClient({ endpoint, apiKey: "", retryDelay: 0.01 });
        await expect(distrusting.propose({ action })).rejects.toThrow(fails({ code: "UNAVAILABLE" }));

        const auth = join(home, "auth.yaml");
        await writeFile(
            auth,
            'version: "1"\ncertificates:\n  - { common_name: ada, subject: ada, roles: [reviewer] }\n',
        );
        await using twoWay = await startSidecar({ args: [...tls, "--tls-client-ca", ca, "--auth", auth] });
        const both = { endpoint: twoWay.endpoint.replace("http:", "https:"), tlsCa: ca, apiKey: "", retryDelay: 0.01 };
        await using reviewer = new AegisClient({ ...both, tlsCert: own.cert, tlsKey: own.key });
        expect(await reviewer.listApprovals()).toEqual([]);
        await using nobody = new AegisClient(both);
        await expect(nobody.listApprovals()).rejects.toThrow(fails({ code: "UNAVAILABLE" }));
    } finally {
        await rm(home, { recursive: true });
    }
});

test("an endpoint may be an IPv6 address", async () => {
    await using sidecar = await startSidecar({ args: ["--listen", "[::1]:0"] });
    expect(sidecar.endpoint).toMatch(/^http:\/\/\[::1\]:\d+$/);
    await using client = sidecar.client({ retries: 0 });
    expect(await client.health()).toBe(true);
});

test("an option that a client does not have says what was meant", () => {
    const made = (options: unknown) => () => new AegisClient(options as ClientOptions);
    expect(made({ token: "x" })).toThrow("`token` is no option of a client; did you mean `apiKey`?");
    expect(made({ endpiont: "x" })).toThrow("`endpiont` is no option of a client; these are: endpoint, apiKey");
    expect(made({ endpoint: new URL("http://a.example") })).toThrow("`endpoint` must be a string, not an URL");
    expect(made("http://a.example")).toThrow("the options of a client must be an object, not a string");
});
