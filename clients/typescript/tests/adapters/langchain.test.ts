import { DynamicTool, tool } from "@langchain/core/tools";
import { ToolMessage } from "@langchain/core/messages";
import { expect, test } from "vitest";
import { z } from "zod";
import { governTool, governTools, recordRefusal } from "../../src/adapters/langchain.js";
import { AegisError } from "../../src/index.js";
import { stage } from "../support.js";

test("a tool runs where it may, and answers a model's call with its message", async () => {
    await using world = await stage();
    const read = tool(({ name }) => `${name} is a contact`, {
        name: "read_contact",
        description: "Reads a contact.",
        schema: z.object({ name: z.string().transform((text) => text.toLowerCase()) }),
    });
    const governed: typeof read = governTool(read, { client: world.client, target: "crm" });
    const call = { type: "tool_call", id: "call_1", name: "read_contact", args: { name: "ADA" } } as const;
    const message: unknown = await governed.invoke(call);
    expect(message).toBeInstanceOf(ToolMessage);
    expect(message).toMatchObject({ content: "ada is a contact", tool_call_id: "call_1" });
    expect((await world.rows())[0]).toMatchObject({
        action: { type: "read_contact", target: "crm", params: { name: "ada" } },
        result: { status: "success", data: "ada is a contact" },
    });
    // The tool itself is as it was.
    expect(await read.invoke({ name: "Bob" })).toBe("bob is a contact");
    expect(await world.rows()).toHaveLength(1);
});

test("blocked and denied tools do not run, are on the record, and the model reads why", async () => {
    await using world = await stage();
    const ran: string[] = [];
    const named = (name: string) =>
        tool(() => void ran.push(name), {
            name,
            description: "…",
            schema: z.object({}),
            responseFormat: "content_and_artifact",
        });
    const [remove, wire] = governTools([named("delete_contact"), named("wire_money")], { client: world.client });
    const call = { type: "tool_call", id: "call_1", args: {} } as const;
    const blocked: unknown = await remove.invoke({ ...call, name: "delete_contact" });
    expect(blocked).toMatchObject({
        content: "[AEGIS BLOCKED] `delete_contact` was not run: Deleting is a person's job.",
    });
    const denying = wire.invoke({ ...call, name: "wire_money" });
    await world.answer(false, "not today");
    expect(await denying).toHaveProperty("content", expect.stringMatching(/^\[AEGIS DENIED\] .*: not today$/));
    expect(ran).toEqual([]);
    expect(await world.record()).toEqual(["delete_contact DENY blocked", "wire_money DENY denied"]);
});

test("a tool of one string, one that throws, and one without a daemon", async () => {
    await using world = await stage();
    const echo = new DynamicTool({
        name: "read_text",
        description: "…",
        func: (text) => Promise.resolve(text.toUpperCase()),
    });
    expect(await governTool(echo, { client: world.client }).invoke("hello")).toBe("HELLO");
    const broken = new DynamicTool({
        name: "read_broken",
        description: "…",
        func: () => Promise.reject(new Error("the database is away")),
    });
    await expect(governTool(broken, { client: world.client }).invoke("x")).rejects.toThrow("the database is away");
    expect((await world.rows()).map(({ action, result }) => [action.params, result?.status])).toEqual([
        [{ input: "hello" }, "success"],
        [{ input: "x" }, "failed"],
    ]);
    await world.sidecar.kill();
    await expect(governTool(echo, { client: world.client }).invoke("hello")).rejects.toThrow(AegisError);
});

test("a confirmation is asked of `confirm`", async () => {
    await using world = await stage();
    const send = tool(({ to }) => `sent to ${to}`, {
        name: "send_mail",
        description: "…",
        schema: z.object({ to: z.string() }),
    });
    const without = governTool(send, { client: world.client });
    expect(await without.invoke({ to: "ada" })).toContain("[AEGIS DENIED]");
    const confirmed = governTool(send, { client: world.client, confirm: (action) => action.params["to"] === "ada" });
    expect(await confirmed.invoke({ to: "ada" })).toBe("sent to ada");
    expect(await confirmed.invoke({ to: "eve" })).toContain("not confirmed");
});

test("a refused call of a model's is a message of the status `error`, and the function is not to be had", async () => {
    await using world = await stage();
    const ran: unknown[] = [];
    const remove = tool((input) => void ran.push(input), {
        name: "delete_contact",
        description: "…",
        schema: z.object({ id: z.unknown() }),
    });
    const governed = governTool(remove, { client: world.client });
    const call = { type: "tool_call", id: "call_1", name: "delete_contact" } as const;
    const blocked: unknown = await governed.invoke({ ...call, args: { id: 1 } });
    expect(blocked).toMatchObject({ status: "error", content: expect.stringContaining("AEGIS BLOCKED") as unknown });
    const bad: unknown = await governed.invoke({ ...call, args: { id: 2 ** 60 } });
    expect(bad).toMatchObject({ status: "error", content: expect.stringContaining("params.id") as unknown });
    expect(await governed.func({ id: 1 })).toContain("AEGIS BLOCKED");
    const madeOf = governed.lc_kwargs as { readonly func: typeof governed.func };
    expect(await madeOf.func({ id: 1 })).toContain("AEGIS BLOCKED");
    expect(ran).toEqual([]);
});

test("a tool that the framework pauses has not failed, and what a person refuses is recorded by hand", async () => {
    await using world = await stage();
    // As LangGraph's `interrupt` throws: its own package marks the error so.
    class GraphInterrupt extends Error {
        override readonly name = "GraphInterrupt";
        readonly is_bubble_up = true;
    }
    const asking = tool(
        () => {
            throw new GraphInterrupt("what is your name?");
        },
        { name: "read_name", description: "…", schema: z.object({}) },
    );
    const options = { client: world.client, target: "crm" };
    await expect(governTool(asking, options).invoke({})).rejects.toThrow(GraphInterrupt);
    await recordRefusal("read_contacts", { limit: 5 }, options, { reason: "too many" });
    expect(await world.rows()).toMatchObject([
        { result: { status: "skipped", error: "the framework paused the run: GraphInterrupt" } },
        {
            action: { params: { limit: 5 } },
            result: { status: "skipped", error: "the agent's user refused it: too many" },
        },
    ]);
});

test("a refusal of what cannot be proposed is not recorded, and of what is blocked stands as blocked", async () => {
    await using world = await stage();
    await recordRefusal("read", { id: 2 ** 60 }, { client: world.client });
    await recordRefusal("delete_all", {}, { client: world.client });
    await recordRefusal("pay", {}, { client: world.client });
    expect(await world.record()).toEqual(["delete_all DENY blocked", "pay DENY skipped"]);
    expect(await world.people.listApprovals()).toEqual([]);
});

test("an artifact stays what it is, and so does what the framework takes as its own", async () => {
    await using world = await stage();
    const artifact = { rows: [1n] };
    const answer = Object.assign(new ToolMessage({ content: "done", tool_call_id: "call_1" }), { rows: [1n] });
    const options = { name: "read", description: "…", schema: z.object({}) };
    const [reading, answering] = governTools(
        [
            tool(() => ["one row", artifact] as const, { ...options, responseFormat: "content_and_artifact" }),
            tool(() => answer, options),
        ],
        { client: world.client },
    );
    const call = { type: "tool_call", id: "call_1", name: "read", args: {} } as const;
    const message = await reading.invoke(call);
    expect(message.content).toBe("one row");
    expect(message.artifact).toBe(artifact);
    expect(await answering.invoke(call)).toBe(answer);
});
