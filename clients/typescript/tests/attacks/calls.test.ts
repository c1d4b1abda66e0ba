/** The attacks on calls: the wrapper, the runtime, each adapter of a framework whose model sends arguments, and MCP. */
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { CallToolRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { tool as langchainTool } from "@langchain/core/tools";
import { RunContext } from "@openai/agents";
import { jsonSchema, tool as aiTool } from "ai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { governTool as governAiTool } from "../../src/adapters/ai.js";
import { governToolCall } from "../../src/adapters/anthropic.js";
import { governTool as governLangChainTool } from "../../src/adapters/langchain.js";
import { governClient } from "../../src/adapters/mcp.js";
import { governedTool } from "../../src/adapters/openai-agents.js";
import { ActionDenied, type GovernOptions, governed, InvalidActionError, Runtime } from "../../src/index.js";
import { type Stage, stage } from "../support.js";
import { apply, type Attack, made, type Params, readTable, SEATS } from "./table.js";

const { attacks, policy } = readTable();

let world: Stage;
beforeAll(async () => {
    world = await stage(policy);
});
afterAll(async () => world[Symbol.asyncDispose]());

/** One call: what the caller holds, how it is governed, what runs, and the hooks that change something meanwhile. */
interface Call {
    readonly row: Attack;
    readonly held: Params;
    readonly options: GovernOptions;
    /** What runs, with what it was given. */
    readonly run: (given: object) => string;
    /** Between the making of a plan and its execution. */
    readonly planned: () => void;
}

type Way = (call: Call) => Promise<unknown>;

const open = { type: "object" as const, additionalProperties: true as const, properties: {}, required: [] as string[] };

const WAYS: Readonly<Record<string, Readonly<Record<string, Way>>>> = {
    wrap: {
        governed: async ({ row, held, options, run }) =>
            governed((params: Params) => run(params), { type: "act", target: row.target, ...options })(held),
    },
    executor: {
        runtime: async ({ row, held, options, run, planned }) => {
            await using runtime = new Runtime({
                ...options,
                maxRetries: row.retries ?? 0,
                retryBackoff: 0,
                executor: ({ params }) => run(params),
            });
            const plan = await runtime.plan([{ type: "act", target: row.target, params: held }]);
            planned();
            const [result] = await runtime.execute(plan);
            if (result?.status === "denied" || result?.status === "blocked") return `[AEGIS ${result.status}]`;
            if (result?.status !== "success") throw result?.cause;
            return result.data;
        },
    },
    tool: {
        ai: async ({ row, held, options, run }) => {
            const act = aiTool({ inputSchema: jsonSchema<Params>(open), execute: (input: Params) => run(input) });
            const { needsApproval, execute } = governAiTool("act", act, { target: row.target, ...options });
            const call = { toolCallId: "call_1", messages: [] };
            // What ends the model's run is an error here; one of the tool itself is told to the model.
            expect(typeof needsApproval === "function" && (await needsApproval(held, call))).toBe(false);
            const output = execute?.(held, call) as Promise<unknown>;
            return output.catch((error: unknown) => `Error: ${String(error)}`);
        },
        anthropic: async ({ row, held, options, run }) => {
            const block = { id: "toolu_1", name: "act", input: held };
            return governToolCall(block, (input: Params) => run(input), { target: row.target, ...options });
        },
        langchain: async ({ row, held, options, run }) => {
            const act = langchainTool((input: unknown) => run(input as object), {
                name: "act",
                description: "…",
                schema: open,
            });
            return governLangChainTool(act, { target: row.target, ...options }).invoke(held);
        },
        "openai-agents": async ({ row, held, options, run }) => {
            const act = governedTool(
                {
                    name: "act",
                    description: "…",
                    parameters: open,
                    strict: false,
                    execute: (input) => run(input as object),
                },
                { target: row.target, ...options },
            );
            const context = new RunContext();
            expect(await act.needsApproval(context, held, "call_1")).toBe(false);
            return act.invoke(context, JSON.stringify(held));
        },
    },
    mcp: {
        client: async ({ row, held, options, run }) => {
            // The newer class wants a schema of the arguments, and takes only what that knows.
            // eslint-disable-next-line @typescript-eslint/no-deprecated
            const server = new Server({ name: "server", version: "1" }, { capabilities: { tools: {} } });
            server.setRequestHandler(CallToolRequestSchema, ({ params }) => ({
                content: [{ type: "text", text: run(params.arguments ?? {}) }],
            }));
            const [one, other] = InMemoryTransport.createLinkedPair();
            const mcp = new Client({ name: "agent", version: "1" });
            await Promise.all([server.connect(one), mcp.connect(other)]);
            const session = governClient(mcp, { server: row.target ?? "", ...options });
            try {
                return await session.callTool({ name: "act", arguments: held });
            } finally {
                await session.close();
            }
        },
    },
};

const REFUSED = /\[AEGIS (?:BLOCKED|DENIED)\]/i;

async function attempt(row: Attack, way: Way): Promise<void> {
    const before = (await world.rows()).length;
    const held = made(row.params) as Params;
    const { change } = row;
    const now = (when: string, given?: object): void => {
        if (change?.when === when) apply(change, change.of === "given" ? (given ?? {}) : held);
    };
    const ran: unknown[] = [];
    const call: Call = {
        row,
        held,
        options: {
            client: world.client,
            log: () => undefined,
            confirm: () => {
                now("confirming");
                return true;
            },
            onDecision: ({ params }) => now("on_decision", params),
        },
        run: (given) => {
            ran.push(structuredClone(given));
            if (ran.length > (row.retries ?? 0)) return "done";
            now("first_attempt", given);
            throw new Error("the first attempt fails");
        },
        planned: () => now("planned"),
    };
    const answering = change?.when === "reviewing" || row.reviewer !== undefined ? review(row, held) : undefined;
    const ended = await way(call).then(
        (returned) => ({ returned, threw: undefined }),
        (threw: unknown) => ({ returned: undefined, threw }),
    );
    await answering;
    const rows = (await world.rows()).slice(before);
    expect(ran).toEqual(row.ran ?? []);
    if (row.denied === true) {
        if (ended.threw !== undefined) expect(ended.threw).toBeInstanceOf(ActionDenied);
        else expect(JSON.stringify(ended.returned)).toMatch(REFUSED);
    } else if (row.refused !== undefined) {
        expect(ended.threw).toBeInstanceOf(InvalidActionError);
        expect(ended.threw).toMatchObject({ path: row.refused });
        expect(rows).toEqual([]);
    } else if (row.told === true) {
        expect(ended.threw).toBeUndefined();
        expect(JSON.stringify(ended.returned)).toMatch(/beyond|nested|deep/);
        expect(rows).toEqual([]);
    } else {
        expect(ended.threw).toBeUndefined();
    }
    if (row.proposed !== undefined) expect(rows.at(-1)?.action.params).toEqual(row.proposed);
}

/** Waits until the question is there, changes what the caller holds, and answers it. */
async function review(row: Attack, held: object): Promise<void> {
    for await (const event of world.people.streamApprovals()) {
        if (event.kind !== "pending") continue;
        if (row.change?.when === "reviewing") apply(row.change, held);
        await (row.reviewer === "deny" ? world.people.deny(event.approval) : world.people.approve(event.approval));
        return;
    }
}

const cases = attacks.flatMap((row) =>
    row.seats.flatMap((seat) =>
        Object.entries(WAYS[seat] ?? {}).map(([name, way]) => ({ says: `${row.name} (${seat}: ${name})`, row, way })),
    ),
);

test("every seat of the table has a runner", () => {
    for (const seat of SEATS) expect([...Object.keys(WAYS), "http", "browser"]).toContain(seat);
    expect(cases.length).toBeGreaterThan(40);
});

describe("attacks", () => {
    test.each(cases)("$says", async ({ row, way }) => attempt(row, way));
});
