import { once } from "node:events";
import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import {
    AegisError,
    type Approval,
    CallbackApprovalHandler,
    CLIApprovalHandler,
    type Executor,
    ReportError,
    Runtime,
    type RuntimeOptions,
} from "../src/index.js";
import { AutoApprovalHandler } from "../src/testing.js";
import { eventually, stage } from "./support.js";

const echo: RuntimeOptions["executor"] = ({ type }) => `did ${type}`;

describe("a plan", () => {
    test("says what the policy would answer, and records nothing", async () => {
        await using world = await stage();
        await using runtime = new Runtime({ executor: echo, client: world.client });
        const plan = await runtime.plan([
            { type: "read", target: "crm", description: "Fetch contacts" },
            { type: "transfer", target: "bank\u00ad" },
            { type: "delete", target: "crm" },
        ]);
        expect(plan.summary()).toBe(
            [
                "  1. [   AUTO] read -> crm - Fetch contacts  (risk=LOW, rule=reads)",
                "  2. [APPROVE] transfer -> bank\\u{ad}  (risk=MEDIUM, rule=<default>)",
                "  3. [  BLOCK] delete -> crm  (risk=CRITICAL, rule=no_deletes)",
            ].join("\n"),
        );
        expect([plan.length, plan.hasBlocked, plan.requiresApproval, plan.autoOnly]).toEqual([3, true, true, false]);
        expect([...plan.filter({ allowedOnly: true })].map(({ action }) => action.type)).toEqual(["read", "transfer"]);
        expect(plan.filter({ riskLevel: "low", approvalMode: "auto" }).autoOnly).toBe(true);
        expect((JSON.parse(JSON.stringify(plan)) as unknown[])[2]).toMatchObject({ evaluation: { outcome: "DENY" } });
        expect(await world.rows()).toEqual([]);
        const [one] = await runtime.execute(plan.filter({ approvalMode: "auto" }));
        expect(one).toMatchObject({ status: "success", ok: true, data: "did read", decision: { outcome: "ALLOW" } });
    });

    test("runs as many actions at once as it may, and stops after a failure", async () => {
        await using world = await stage();
        let [now, most] = [0, 0];
        const executor: Executor["execute"] = async ({ params }) => {
            now += 1;
            most = Math.max(most, now);
            await eventually(() => (most === 3 ? true : undefined));
            now -= 1;
            if (params["n"] === 2) throw new Error("broken");
            return params["n"];
        };
        await using runtime = new Runtime({ executor, client: world.client, parallelism: 3 });
        const plan = await runtime.plan(Array.from({ length: 8 }, (_, n) => ({ type: "read", params: { n } })));
        const results = await runtime.execute(plan);
        expect(most).toBe(3);
        expect(results[2]).toMatchObject({ status: "failed", error: "broken" });
        expect(results.map(({ action }) => action.params["n"])).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
        expect(results.at(-1)?.status).toBe("skipped");
        expect(await world.rows()).toHaveLength(8);
    });

    test("that meets an error about no action throws it, and runs nothing more", async () => {
        await using world = await stage();
        const ran: string[] = [];
        const executor: Executor["execute"] = async ({ type }) => {
            ran.push(type);
            if (type === "read_b") await world.sidecar.kill();
        };
        await using runtime = new Runtime({ executor, client: world.client });
        const plan = await runtime.plan([{ type: "read_a" }, { type: "read_b" }, { type: "read_c" }]);
        await expect(runtime.execute(plan)).rejects.toThrow(ReportError);
        expect(ran).toEqual(["read_a", "read_b"]);
        await expect(runtime.execute(plan)).rejects.toThrow(AegisError);
        expect(ran).toEqual(["read_a", "read_b"]);
    });
});

describe("a runtime", () => {
    test("sets its executor up once and tears it down once", async () => {
        await using world = await stage();
        const calls: string[] = [];
        const executor: Executor = {
            setUp: () => calls.push("set up"),
            execute: ({ type }) => calls.push(type),
            tearDown: () => calls.push("tear down"),
        };
        const runtime = new Runtime({ executor, client: world.client });
        await runtime.runOne({ type: "read_a" });
        await runtime.runOne({ type: "read_b" }, { dryRun: true });
        await runtime.execute(await runtime.plan([{ type: "read_c" }]));
        await runtime.close();
        await runtime.close();
        expect(calls).toEqual(["set up", "read_a", "read_c", "tear down"]);
        await expect(runtime.runOne({ type: "read" })).rejects.toThrow("the runtime is closed");
        expect(await world.record()).toHaveLength(2);
    });

    test("calls its hooks in order, and one that throws stops what has not run", async () => {
        await using world = await stage();
        const calls: string[] = [];
        const options: RuntimeOptions = {
            client: world.client,
            executor: echo,
            onDecision: async ({ type }, { outcome }) => Promise.resolve(calls.push(`decision ${type} ${outcome}`)),
            onApproval: (_, { outcome }) => calls.push(`approval ${outcome}`),
            onExecute: (_, { status }) => calls.push(`execute ${status}`),
        };
        await using runtime = new Runtime(options);
        const running = runtime.runOne({ type: "transfer" });
        await world.answer(true);
        expect((await running).status).toBe("success");
        expect((await runtime.runOne({ type: "delete" })).status).toBe("blocked");
        expect(calls).toEqual([
            "decision transfer ESCALATE",
            "approval ALLOW",
            "execute success",
            "decision delete DENY",
        ]);

        const broken = new Error("the hook broke");
        const breaks = (): never => {
            throw broken;
        };
        for (const hook of ["onDecision", "onApproval", "onExecute"] as const) {
            await using other = new Runtime({ client: world.client, executor: echo, [hook]: breaks });
            const failing = expect(other.runOne({ type: "transfer" })).rejects.toBe(broken);
            if (hook !== "onDecision") await world.answer(true);
            await failing;
        }
        expect((await world.record()).slice(2)).toEqual([
            "transfer DENY skipped",
            "transfer ALLOW skipped",
            "transfer ALLOW success",
        ]);
    });

    test("keeps a failure on the record where its rollback cannot be asked for", async () => {
        await using world = await stage();
        await using runtime = new Runtime({
            client: world.client,
            executor: () => Promise.reject(new Error("broken")),
            rollback: () => ({ type: "" }),
        });
        await expect(runtime.runOne({ type: "read" })).rejects.toThrow("type: must not be empty");
        expect(await world.record()).toEqual(["read ALLOW failed"]);
        await using none = new Runtime({
            client: world.client,
            executor: () => Promise.reject(new Error("broken")),
            rollback: () => undefined,
        });
        expect((await none.runOne({ type: "read" })).status).toBe("failed");
    });

    test("reads the record as an auditor, and says so where it is none", async () => {
        await using world = await stage();
        await using runtime = new Runtime({ executor: echo, client: world.client, auditor: world.people });
        await runtime.runOne({ type: "read", target: "crm" });
        await runtime.runOne({ type: "delete" });
        expect(await runtime.audit.rows({ actionType: "read" })).toMatchObject([
            { number: 1, result: { data: "did read" } },
        ]);
        expect(JSON.parse(await runtime.audit.json({ resultStatuses: ["blocked"] }))).toMatchObject([
            { action: { type: "delete" } },
        ]);
        const lines = (await runtime.audit.jsonl({ newestFirst: true })).trimEnd().split("\n");
        expect(lines.map((line) => (JSON.parse(line) as { number: number }).number)).toEqual([2, 1]);
        const blind = new Runtime({ executor: echo, client: world.client });
        await expect(blind.audit.rows()).rejects.toThrow("an auditor's credential");
        await using agent = new Runtime({ executor: echo, client: world.client, auditor: world.client });
        await expect(agent.audit.rows()).rejects.toThrow(expect.objectContaining({ code: "UNAUTHENTICATED" }) as Error);
    });

    test.each([
        ["maxRetries", { maxRetries: -1 }],
        ["parallelism", { parallelism: 0 }],
        ["retryBackoff", { retryBackoff: 1000 }],
    ])("refuses a %s that makes no sense", async (name, options) => {
        await using world = await stage();
        expect(() => new Runtime({ executor: echo, client: world.client, ...options })).toThrow(name);
    });
});

describe("an approval handler", () => {
    test("answers as the reviewer it is given, and without one says so", async () => {
        await using world = await stage();
        const shown: Approval[] = [];
        const answers = [true, { approved: false, reason: "too much" }, "yes" as unknown as boolean];
        const approvalHandler = new CallbackApprovalHandler((approval) => {
            shown.push(approval);
            return answers.shift() ?? false;
        });
        const options = { executor: echo, client: world.client, approvalHandler };
        expect(() => new Runtime(options)).toThrow("a reviewer's credential");
        await using runtime = new Runtime({ ...options, reviewer: world.people });
        const action = { type: "transfer", params: { sum: 5 } };
        expect((await runtime.runOne(action)).status).toBe("success");
        expect(await runtime.runOne(action)).toMatchObject({
            status: "denied",
            error: expect.stringContaining("too much") as string,
        });
        expect((await runtime.runOne(action)).status).toBe("denied");
        expect(shown[0]?.action.params).toEqual({ sum: 5 });
        await using auto = new Runtime({
            ...options,
            approvalHandler: new AutoApprovalHandler(),
            reviewer: world.people,
        });
        expect((await auto.runOne(action)).status).toBe("success");
        // An agent is no reviewer, whatever it is called.
        await using self = new Runtime({
            ...options,
            approvalHandler: new AutoApprovalHandler(),
            reviewer: world.client,
        });
        await expect(self.runOne(action)).rejects.toThrow(
            expect.objectContaining({ code: "UNAUTHENTICATED" }) as Error,
        );
        expect((await world.record()).at(-1)).toBe("transfer DENY skipped");
    });

    test("is told when another reviewer was faster", async () => {
        await using world = await stage();
        let told = false;
        const approvalHandler = new CallbackApprovalHandler(async (_, signal) => {
            const aborted = once(signal, "abort");
            await world.answer(true);
            await aborted;
            told = true;
            return false;
        });
        await using runtime = new Runtime({
            executor: echo,
            client: world.client,
            approvalHandler,
            reviewer: world.people,
        });
        expect((await runtime.runOne({ type: "transfer" })).status).toBe("success");
        await eventually(() => told || undefined);
    });

    test("that throws ends the call, and nothing runs", async () => {
        await using world = await stage();
        const approvalHandler = new CallbackApprovalHandler(() => Promise.reject(new Error("the chat is away")));
        await using runtime = new Runtime({
            executor: echo,
            client: world.client,
            approvalHandler,
            reviewer: world.people,
        });
        await expect(runtime.runOne({ type: "transfer" })).rejects.toThrow("the chat is away");
        expect(await world.record()).toEqual(["transfer DENY skipped"]);
    });

    test("on the terminal asks one question at a time, and shows what an agent would hide", async () => {
        await using world = await stage();
        const [input, output] = [new PassThrough(), new PassThrough()];
        let screen = "";
        output.on("data", (chunk: Buffer) => (screen += chunk.toString()));
        const approvalHandler = new CLIApprovalHandler({ input, output });
        await using runtime = new Runtime({
            executor: echo,
            client: world.client,
            approvalHandler,
            reviewer: world.people,
            parallelism: 2,
        });
        const type = async (asked: string, line: string): Promise<void> => {
            await eventually(() => (screen.includes(asked) ? true : undefined));
            screen = "";
            input.write(`${line}\n`);
        };
        const plan = await runtime.plan([
            { type: "transfer", target: "bank\u00ad", params: { note: "\x1b[2J" }, description: "please" },
            { type: "transfer", target: "shop" },
        ]);
        const executing = runtime.execute(plan);
        await eventually(() => (screen.includes("[y/n]") ? true : undefined));
        expect(screen.match(/asks to run/g)).toHaveLength(1);
        const first = screen.includes("bank") ? "bank" : "shop";
        if (first === "bank") {
            expect(screen).toContain("transfer on bank\\u{ad}");
            expect(screen).toContain('note: "\\u001b[2J"');
            expect(screen).toContain("it says: please");
        }
        await type("[y/n]", "maybe");
        await type("[y/n]", "y");
        await type("Why?", "fine");
        await type("[y/n]", "n");
        await type("Why?", "not this one");
        const results = await executing;
        expect(results.map(({ status }) => status).sort()).toEqual(["denied", "success"]);
        const reasons = (await world.rows()).map(({ ending }) => ending?.reason);
        expect(reasons.sort()).toEqual(["fine", "not this one"]);

        const last = runtime.runOne({ type: "transfer" });
        await eventually(() => (screen.includes("[y/n]") ? true : undefined));
        input.end();
        expect((await last).status).toBe("denied");
    });
});

test("a plan that was restored from JSON runs as it was proposed, whatever becomes of it", async () => {
    await using world = await stage();
    const ran: unknown[] = [];
    await using runtime = new Runtime({
        client: world.client,
        log: () => undefined,
        executor: ({ type, params }) => void ran.push([type, params]),
    });
    const plan = await runtime.plan([{ type: "pay", params: { to: "ada" } }]);
    const restored = { steps: JSON.parse(JSON.stringify(plan)) as { action: { type: string; params: object } }[] };
    const executing = runtime.execute(restored as never);
    for await (const event of world.people.streamApprovals()) {
        if (event.kind !== "pending") continue;
        for (const { action } of restored.steps) Object.assign(action, { type: "delete_all", params: { to: "eve" } });
        await world.people.approve(event.approval);
        break;
    }
    await executing;
    expect(ran).toEqual([["pay", { to: "ada" }]]);
});
