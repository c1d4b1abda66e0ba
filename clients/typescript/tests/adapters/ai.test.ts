import { generateText, type ModelMessage, stepCountIs, tool } from "ai";
import { MockLanguageModelV3 } from "ai/test";
import { expect, test } from "vitest";
import { z } from "zod";
import { governTools, recordDenials } from "../../src/adapters/ai.js";
import { stage } from "../support.js";

type Generated = Awaited<ReturnType<MockLanguageModelV3["doGenerate"]>>;

const usage: Generated["usage"] = {
    inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: 1, text: 1, reasoning: 0 },
};

/** A model that calls one tool, and then says what it was told. */
const fakeModel = (toolName: string, input: object): MockLanguageModelV3 =>
    new MockLanguageModelV3({
        doGenerate: async ({ prompt }) => {
            const newest = prompt.at(-1);
            const told =
                newest?.role === "tool" ? newest.content.find((part) => part.type === "tool-result") : undefined;
            const result: Generated =
                told === undefined
                    ? {
                          content: [
                              { type: "tool-call", toolCallId: "call_1", toolName, input: JSON.stringify(input) },
                          ],
                          finishReason: { unified: "tool-calls", raw: undefined },
                          usage,
                          warnings: [],
                      }
                    : {
                          content: [
                              {
                                  type: "text",
                                  text: "value" in told.output ? textOf(told.output.value) : told.output.type,
                              },
                          ],
                          finishReason: { unified: "stop", raw: undefined },
                          usage,
                          warnings: [],
                      };
            return Promise.resolve(result);
        },
    });

const textOf = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

const settings = { stopWhen: stepCountIs(3), maxRetries: 0 };

test("a tool runs where it may, and its types are its own", async () => {
    await using world = await stage();
    const readContact = tool({
        description: "Reads a contact.",
        inputSchema: z.object({ name: z.string() }),
        execute: ({ name }) => `${name} is a contact`,
    });
    const tools = governTools({ read_contact: readContact }, { client: world.client, target: "crm" });
    const typed: typeof readContact = tools.read_contact;
    expect(typed).toBeDefined();
    const { text } = await generateText({
        ...settings,
        model: fakeModel("read_contact", { name: "ada" }),
        tools,
        prompt: "hello",
    });
    expect(text).toBe("ada is a contact");
    const [row] = await world.rows();
    expect(row).toMatchObject({
        action: { type: "read_contact", target: "crm", params: { name: "ada" } },
        result: { status: "success", data: "ada is a contact" },
    });
});

test("blocked and denied tools do not run, are on the record, and the model reads why", async () => {
    await using world = await stage();
    const ran: string[] = [];
    const named = (name: string) =>
        tool({ description: "…", inputSchema: z.object({}), execute: () => void ran.push(name) });
    const tools = governTools(
        { delete_contact: named("delete_contact"), wire_money: named("wire_money") },
        { client: world.client },
    );
    const blocked = await generateText({ ...settings, model: fakeModel("delete_contact", {}), tools, prompt: "hello" });
    expect(blocked.text).toBe("[AEGIS BLOCKED] `delete_contact` was not run: Deleting is a person's job.");
    const denying = generateText({ ...settings, model: fakeModel("wire_money", {}), tools, prompt: "hello" });
    await world.answer(false, "not today");
    expect((await denying).text).toMatch(/^\[AEGIS DENIED\] `wire_money` was not run: .*not today$/);
    expect(ran).toEqual([]);
    expect(await world.record()).toEqual(["delete_contact DENY blocked", "wire_money DENY denied"]);
});

test("a tool that throws, and one that yields, are reported as they are", async () => {
    await using world = await stage();
    const tools = governTools(
        {
            read_broken: tool({
                description: "…",
                inputSchema: z.object({}),
                execute: (): string => {
                    throw new Error("the database is away");
                },
            }),
            read_slowly: tool({
                description: "…",
                inputSchema: z.object({}),
                async *execute() {
                    yield await Promise.resolve("one");
                    yield "one, two";
                },
            }),
        },
        { client: world.client },
    );
    const broken = await generateText({ ...settings, model: fakeModel("read_broken", {}), tools, prompt: "hello" });
    expect(broken.text).toContain("the database is away");
    const slow = await generateText({ ...settings, model: fakeModel("read_slowly", {}), tools, prompt: "hello" });
    expect(slow.text).toBe("one, two");
    expect(await world.record()).toEqual(["read_broken ALLOW failed", "read_slowly ALLOW success"]);
});

test("a confirmation of the agent's user is the framework's own approval", async () => {
    await using world = await stage();
    const tools = governTools(
        {
            send_mail: tool({
                description: "…",
                inputSchema: z.object({ to: z.string() }),
                execute: ({ to }) => `sent to ${to}`,
            }),
        },
        { client: world.client },
    );
    const model = fakeModel("send_mail", { to: "ada" });
    const messages: ModelMessage[] = [{ role: "user", content: "hello" }];
    const first = await generateText({ ...settings, model, tools, messages });
    const request = first.content.find((part) => part.type === "tool-approval-request");
    expect(request).toBeDefined();
    expect(await world.record()).toEqual([]);
    messages.push(...first.response.messages);
    const answer = (approved: boolean): ModelMessage[] => [
        ...messages,
        {
            role: "tool",
            content: [
                {
                    type: "tool-approval-response",
                    approvalId: request?.approvalId ?? "",
                    approved,
                    reason: "not to her",
                },
            ],
        },
    ];

    const denied = await generateText({ ...settings, model, tools, messages: answer(false) });
    expect(denied.text).not.toContain("sent to");
    expect(await world.record()).toEqual([]);
    // The framework does not say so to the tool. Whoever has the messages does.
    for (const messages of [answer(false), answer(false), answer(true)]) {
        await recordDenials(messages, { client: world.client, target: "mail" });
    }
    const [row, ...others] = await world.rows();
    expect(row).toMatchObject({
        action: { type: "send_mail", target: "mail", params: { to: "ada" } },
        outcome: "DENY",
        result: { status: "skipped" },
    });
    expect(others).toEqual([]);

    const confirmed = await generateText({ ...settings, model, tools, messages: answer(true) });
    expect(confirmed.text).toBe("sent to ada");
    expect((await world.record()).slice(1)).toEqual(["send_mail REQUIRE_CONFIRMATION -", "send_mail ALLOW success"]);
});
