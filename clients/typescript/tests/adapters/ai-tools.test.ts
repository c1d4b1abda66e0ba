/** What tools of the AI SDK may be and return: none of it ends a run, and all of it is governed. */
import { generateText, simulateReadableStream, stepCountIs, streamText, tool, type ToolSet } from "ai";
import { MockLanguageModelV3 } from "ai/test";
import { expect, test } from "vitest";
import { z } from "zod";
import { governTools } from "../../src/adapters/ai.js";
import { stage } from "../support.js";

type Generated = Awaited<ReturnType<MockLanguageModelV3["doGenerate"]>>;
type Streamed =
    Awaited<ReturnType<MockLanguageModelV3["doStream"]>>["stream"] extends ReadableStream<infer Part> ? Part : never;

const usage: Generated["usage"] = {
    inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: 1, text: 1, reasoning: 0 },
};

/** Calls the tools with these inputs in one step, and returns what the model was told of each, in order. */
async function called(
    tools: ToolSet,
    ...calls: readonly (readonly [name: string, input: string])[]
): Promise<string[]> {
    let told: string[] = [];
    const model = new MockLanguageModelV3({
        doGenerate: async ({ prompt }) => {
            const newest = prompt.at(-1);
            const content: Generated["content"] =
                newest?.role === "tool"
                    ? [{ type: "text", text: "over" }]
                    : calls.map(([toolName, input], i) => ({
                          type: "tool-call",
                          toolCallId: `call_${i}`,
                          toolName,
                          input,
                      }));
            if (newest?.role === "tool")
                told = newest.content.map((part) => JSON.stringify("output" in part && part.output));
            const unified = newest?.role === "tool" ? "stop" : "tool-calls";
            return Promise.resolve({ content, finishReason: { unified, raw: undefined }, usage, warnings: [] });
        },
    });
    const { text } = await generateText({ model, tools, prompt: "go", stopWhen: stepCountIs(3), maxRetries: 0 });
    expect(text).toBe("over");
    return told;
}

test("one input that cannot be proposed is told to the model, and the call beside it runs", async () => {
    await using world = await stage();
    const read = tool({ inputSchema: z.object({ id: z.unknown() }), execute: ({ id }) => `post ${String(id)}` });
    const tools = governTools({ read }, { client: world.client });
    const told = await called(
        tools,
        ["read", '{"id":725653563933458432}'],
        ["read", '{"id":"\\ud800"}'],
        ["read", '{"id":1}'],
    );
    expect(told[0]).toMatch(/"error-text".*params\.id: .*beyond/);
    expect(told[1]).toMatch(/"error-text".*params\.id: .*surrogate/);
    expect(told[2]).toContain("post 1");
    expect(await world.record()).toEqual(["read ALLOW success"]);
});

test("a schema that makes a Date, or an object that shows nothing, of the input", async () => {
    await using world = await stage();
    class Hidden {
        readonly #at = 1;
        get(): number {
            return this.#at;
        }
    }
    const read = tool({
        inputSchema: z.object({ at: z.string().transform((text) => new Date(text)) }),
        execute: ({ at }) => at.getUTCFullYear(),
    });
    const readHidden = tool({
        inputSchema: z.object({ at: z.string().transform(() => new Hidden()) }),
        execute: ({ at }) => at.get(),
    });
    const tools = governTools({ read, read_hidden: readHidden }, { client: world.client });
    const told = await called(tools, ["read", '{"at":"2026-01-31"}'], ["read_hidden", '{"at":"x"}']);
    expect(told[0]).toContain("2026");
    expect(told[1]).toMatch(/"error-text".*params\.at: a Hidden is not JSON/);
    expect((await world.rows()).map(({ action }) => action.params)).toEqual([{ at: "2026-01-31T00:00:00Z" }]);
});

test("a tool that says itself what the model reads is asked only about what it returned", async () => {
    await using world = await stage();
    const options = {
        inputSchema: z.object({}),
        execute: () => ({ rows: [1, 2] }),
        toModelOutput: ({ output }: { output: { rows: number[] } }) => ({
            type: "text" as const,
            value: `${output.rows.length} rows`,
        }),
    };
    const tools = governTools({ read: tool(options), delete_all: tool(options) }, { client: world.client });
    const told = await called(tools, ["read", "{}"], ["delete_all", "{}"]);
    expect(told[0]).toContain("2 rows");
    expect(told[1]).toMatch(/"error-text".*AEGIS BLOCKED/);
});

test("a tool that is an object of a class keeps its `this`", async () => {
    await using world = await stage();
    class Crm {
        readonly description = "…";
        readonly inputSchema = z.object({});
        readonly #name = "crm";
        execute(): string {
            return this.#name;
        }
    }
    const read = new Crm();
    expect(await called(governTools({ read }, { client: world.client }), ["read", "{}"])).toEqual([
        expect.stringContaining("crm"),
    ]);
});

test("a result that has no JSON is told as text, and ends nothing", async () => {
    await using world = await stage();
    const cycle: Record<string, unknown> = { n: 1n };
    cycle["itself"] = cycle;
    const tools = governTools(
        {
            read_big: tool({ inputSchema: z.object({}), execute: () => ({ n: 2n ** 64n }) }),
            read_cycle: tool({ inputSchema: z.object({}), execute: () => cycle }),
        },
        { client: world.client },
    );
    const told = await called(tools, ["read_big", "{}"], ["read_cycle", "{}"]);
    expect(told[0]).toContain("18446744073709551616");
    expect(told[1]).toContain("[circular]");
    // They run side by side.
    expect((await world.record()).sort()).toEqual(["read_big ALLOW success", "read_cycle ALLOW success"]);
});

test("a streaming tool yields its preliminary results, and is on the record as what it came to", async () => {
    await using world = await stage();
    async function* execute() {
        yield "one";
        yield await Promise.resolve("one, two");
    }
    const inputSchema = z.object({});
    const tools = governTools(
        { read: tool({ inputSchema, execute }), delete_all: tool({ inputSchema, execute }) },
        { client: world.client },
    );
    const parts = (calls: readonly string[]): Streamed[] => [
        { type: "stream-start", warnings: [] },
        ...calls.map((toolName): Streamed => ({
            type: "tool-call",
            toolCallId: `call_${toolName}`,
            toolName,
            input: "{}",
        })),
        { type: "finish", finishReason: { unified: "tool-calls", raw: undefined }, usage },
    ];
    const model = new MockLanguageModelV3({
        doStream: async () =>
            Promise.resolve({ stream: simulateReadableStream({ chunks: parts(["read", "delete_all"]) }) }),
    });
    const results: unknown[] = [];
    for await (const part of streamText({ model, tools, prompt: "go" }).fullStream) {
        if (part.type === "tool-result") results.push([part.toolName, part.output, part.preliminary === true]);
    }
    const refused = "[AEGIS BLOCKED] `delete_all` was not run: Deleting is a person's job.";
    const of = (name: string) => results.filter((result) => (result as unknown[])[0] === name);
    expect(of("read")).toEqual([
        ["read", "one", true],
        ["read", "one, two", true],
        ["read", "one, two", false],
    ]);
    expect(of("delete_all").at(-1)).toEqual(["delete_all", refused, false]);
    expect(new Set(await world.record())).toEqual(new Set(["read ALLOW success", "delete_all DENY blocked"]));
    expect((await world.rows()).find(({ outcome }) => outcome === "ALLOW")?.result?.data).toBe("one, two");
});

test("a streaming tool that breaks off is on the record as failed", async () => {
    await using world = await stage();
    const read = tool({
        inputSchema: z.object({}),
        async *execute() {
            yield await Promise.resolve("one");
            throw new Error("the database is away");
        },
    });
    const { execute } = governTools({ read }, { client: world.client }).read;
    const call = { toolCallId: "call_1", messages: [] };
    const seen: unknown[] = [];
    const reading = async (): Promise<void> => {
        for await (const part of execute?.({}, call) as AsyncIterable<unknown>) seen.push(part);
    };
    await expect(reading()).rejects.toThrow("the database is away");
    expect(seen).toEqual(["one"]);
    for await (const part of execute?.({}, call) as AsyncIterable<unknown>) if (part === "one") break;
    expect((await world.rows()).map(({ result }) => [result?.status, result?.error])).toEqual([
        ["failed", "the database is away"],
        ["failed", "its reader has left before its end"],
    ]);
});
