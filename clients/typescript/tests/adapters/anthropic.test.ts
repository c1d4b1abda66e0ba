import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import type { Message, ToolUseBlock } from "@anthropic-ai/sdk/resources/messages";
import { expect, test } from "vitest";
import { z } from "zod";
import { governRunnableTool, governToolCalls } from "../../src/adapters/anthropic.js";
import { stage } from "../support.js";

const uses = (...blocks: readonly (readonly [id: string, name: string, input?: object])[]): Message["content"] =>
    blocks.map(([id, name, input = {}]): ToolUseBlock => ({
        type: "tool_use",
        id,
        name,
        input,
        caller: { type: "direct" },
    }));

/** A client whose model calls the tools of `content`, and then says what it was told. Nothing leaves the process. */
function fakeAnthropic(content: Message["content"]): Anthropic {
    return new Anthropic({
        apiKey: "none",
        maxRetries: 0,
        fetch: (_url, init) => {
            const { messages } = JSON.parse(init?.body as string) as Anthropic.MessageCreateParams;
            const newest = messages.at(-1)?.content ?? "";
            const told =
                typeof newest === "string" ? undefined : newest.filter((block) => block.type === "tool_result");
            const text = told?.map((result) => JSON.stringify(result)).join("\n") ?? "";
            const message = {
                id: "msg_1",
                type: "message",
                role: "assistant",
                model: "fake",
                content: told === undefined ? content : [{ type: "text", text }],
                stop_reason: told === undefined ? "tool_use" : "end_turn",
                usage: { input_tokens: 1, output_tokens: 1 },
            };
            return Promise.resolve(Response.json(message));
        },
    });
}

test("every tool_use of a message is answered with the tool_result of its id", async () => {
    await using world = await stage();
    const anthropic = fakeAnthropic(
        uses(
            ["toolu_1", "read_contact", { name: "ada" }],
            ["toolu_2", "delete_contact"],
            ["toolu_3", "read_broken"],
            ["toolu_4", "nothing"],
        ),
    );
    const ask = async (messages: Anthropic.MessageParam[]): Promise<Message> =>
        anthropic.messages.create({ model: "fake", max_tokens: 10, messages });
    const first = await ask([{ role: "user", content: "hello" }]);
    let deleted = false;
    const results = await governToolCalls(
        first,
        {
            read_contact: ({ name }: { name: string }) => ({ name, mail: `${name}@example.com` }),
            delete_contact: () => (deleted = true),
            read_broken: () => {
                throw new Error("the database is away");
            },
        },
        { client: world.client, target: "crm" },
    );
    expect(results).toEqual([
        { type: "tool_result", tool_use_id: "toolu_1", content: '{"name":"ada","mail":"ada@example.com"}' },
        {
            type: "tool_result",
            tool_use_id: "toolu_2",
            content: "[AEGIS BLOCKED] `delete_contact` was not run: Deleting is a person's job.",
            is_error: true,
        },
        { type: "tool_result", tool_use_id: "toolu_3", content: "Error: the database is away", is_error: true },
        { type: "tool_result", tool_use_id: "toolu_4", content: "Error: there is no tool `nothing`", is_error: true },
    ]);
    expect(deleted).toBe(false);
    expect(await world.record()).toEqual([
        "read_contact ALLOW success",
        "delete_contact DENY blocked",
        "read_broken ALLOW failed",
    ]);
    // The API takes them as they are.
    const last = await ask([
        { role: "user", content: "hello" },
        { role: "assistant", content: first.content },
        { role: "user", content: results },
    ]);
    expect(last.stop_reason).toBe("end_turn");
});

test("the SDK's own tool runner goes through the daemon", async () => {
    await using world = await stage();
    let deleted = false;
    const read = betaZodTool({
        name: "read_contact",
        description: "…",
        inputSchema: z.object({ name: z.string() }),
        run: ({ name }) => `${name} is a contact`,
    });
    const remove = betaZodTool({
        name: "delete_contact",
        description: "…",
        inputSchema: z.object({}),
        run: () => {
            deleted = true;
            return "gone";
        },
    });
    const anthropic = fakeAnthropic(uses(["toolu_1", "read_contact", { name: "ada" }], ["toolu_2", "delete_contact"]));
    const options = { client: world.client };
    const message = await anthropic.beta.messages.toolRunner({
        model: "fake",
        max_tokens: 10,
        messages: [{ role: "user", content: "hello" }],
        tools: [governRunnableTool(read, options), governRunnableTool(remove, options)],
    });
    const [text] = message.content;
    expect(text).toMatchObject({ type: "text" });
    expect(JSON.stringify(text)).toContain("ada is a contact");
    expect(JSON.stringify(text)).toContain("[AEGIS BLOCKED]");
    expect(deleted).toBe(false);
    expect((await world.record()).sort()).toEqual(["delete_contact DENY blocked", "read_contact ALLOW success"]);
});

test("a block that is replaced while a reviewer thinks runs as it was proposed, and so does the next one", async () => {
    await using world = await stage();
    const content = uses(["toolu_1", "pay", { to: "ada" }], ["toolu_2", "read", { id: 1 }]) as ToolUseBlock[];
    const ran: unknown[] = [];
    const run = (input: object) => void ran.push(input);
    const calling = governToolCalls(
        { content },
        { pay: run, read: run },
        { client: world.client, log: () => undefined },
    );
    for await (const event of world.people.streamApprovals()) {
        if (event.kind !== "pending") continue;
        for (const block of content) block.input = { to: "eve" };
        await world.people.approve(event.approval);
        break;
    }
    expect((await calling).map(({ is_error }) => is_error)).toEqual([undefined, undefined]);
    expect(ran).toEqual([{ to: "ada" }, { id: 1 }]);
    expect((await world.rows()).map(({ action }) => action.params)).toEqual([{ to: "ada" }, { id: 1 }]);
});

test("neither an input that cannot be proposed nor a result that has no JSON ends the turn", async () => {
    await using world = await stage();
    const cycle: Record<string, unknown> = {};
    cycle["itself"] = cycle;
    const results = await governToolCalls(
        {
            content: uses(
                ["toolu_1", "read", { id: 2 ** 60 }],
                ["toolu_2", "read", { text: "\ud800" }],
                ["toolu_3", "read_big"],
                ["toolu_4", "read_cycle"],
                ["toolu_5", "read_parts"],
            ),
        },
        {
            read: () => "never",
            read_big: () => ({ n: 2n ** 64n }),
            read_cycle: () => cycle,
            read_parts: function* () {
                yield 1;
            },
        },
        { client: world.client },
    );
    expect(results.map(({ content, is_error }) => [is_error === true, content])).toEqual([
        [true, expect.stringMatching(/^Error: params\.id: .*beyond/)],
        [true, expect.stringMatching(/^Error: params\.text: .*surrogate/)],
        [false, '{"n":"18446744073709551616"}'],
        [false, '{"itself":"[circular]"}'],
        [true, expect.stringContaining("it returned a generator")],
    ]);
    expect(await world.record()).toEqual([
        "read_big ALLOW success",
        "read_cycle ALLOW success",
        "read_parts ALLOW failed",
    ]);
});
