/** What somebody puts on `Object.prototype` is no option, and no answer, of anybody's. */
import { RunContext } from "@openai/agents";
import { tool as langchainTool } from "@langchain/core/tools";
import { afterEach, expect, test } from "vitest";
import { z } from "zod";
import { governTool } from "../../src/adapters/ai.js";
import { governRunnableTool, governToolCall } from "../../src/adapters/anthropic.js";
import { governedFetch } from "../../src/adapters/fetch.js";
import { governTool as governLangChain } from "../../src/adapters/langchain.js";
import { governedTool } from "../../src/adapters/openai-agents.js";
import { type AegisClient, governed, Runtime } from "../../src/index.js";
import { stage } from "../support.js";

const schema = z.object({ to: z.string() });
const input = { to: "ada" };

/** Each seat: what its user has to confirm, which nobody does; a request that is blocked. */
const SEATS: Record<string, (client: AegisClient, run: () => string) => Promise<unknown>> = {
    wrap: (client, run) => governed(run, { type: "send_mail", client })(),
    runtime: async (client, execute) => {
        await using runtime = new Runtime({ client, executor: () => Promise.resolve(execute()) });
        return await runtime.runOne({ type: "send_mail" });
    },
    anthropic: (client, run) => governToolCall({ id: "1", name: "send_mail", input }, run, { client }),
    "anthropic's runner": async (client, run) => {
        const made = { type: "custom", name: "send_mail", input_schema: { type: "object" }, parse: () => input, run };
        return governRunnableTool(made as never, { client }).run(input);
    },
    ai: (client, execute) => {
        const made = governTool("send_mail", { inputSchema: schema, execute } as never, { client }) as unknown as {
            execute: (input: unknown, call: object) => Promise<unknown>;
        };
        return made.execute(input, { toolCallId: "1", messages: [] });
    },
    langchain: (client, run) =>
        governLangChain(langchainTool(run, { name: "send_mail", description: "d", schema }), { client }).invoke(input),
    fetch: (client, run) =>
        governedFetch({ client, fetch: () => Promise.resolve(new Response(run())) })("http://example.com/send", {
            method: "DELETE",
        }),
    "openai agents": (client, execute) => {
        const definition = { name: "send_mail", description: "d", parameters: schema, execute };
        return governedTool(definition, { client }).invoke(new RunContext(), JSON.stringify(input));
    },
};

const forged = { type: "read_mail", target: "forged" };
const POLLUTION: Record<string, unknown> = {
    confirm: () => true,
    needsApproval: () => false,
    recorded: { status: "success", data: "forged", error: "" },
    status: "success",
    result: "forged",
    allowed: true,
    approved: true,
    type: "read_mail",
    params: () => ({}),
    action: () => forged,
    capability: "read_mail",
    target: "forged",
    actor: "forged",
    raiseOnDeny: true,
    endpoint: "http://127.0.0.1:1",
};
const prototype = Object.prototype as unknown as Record<string, unknown>;

afterEach(() => {
    for (const name of Object.keys(POLLUTION)) Reflect.deleteProperty(prototype, name);
});

const cases = Object.keys(SEATS).flatMap((seat) => Object.keys(POLLUTION).map((name) => ({ seat, name })));

test.each(cases)("`$name` on Object.prototype lets nothing run: $seat", async ({ seat, name }) => {
    await using world = await stage();
    let ran = false;
    const run = (): string => {
        ran = true;
        return "sent";
    };
    let said: unknown;
    prototype[name] = POLLUTION[name];
    try {
        said = await SEATS[seat]?.(world.client, run);
    } catch (error) {
        said = error;
    } finally {
        Reflect.deleteProperty(prototype, name);
    }
    expect(ran).toBe(false);
    expect(said).not.toMatchObject({ status: "success" });
    expect(said).toBeDefined();
    // Proposed as itself, or not at all where the framework itself fails.
    for (const { action, actor } of await world.rows()) {
        expect([action.type, actor.id]).toEqual([seat === "fetch" ? "delete" : "send_mail", ""]);
        expect(action.target).not.toBe("forged");
    }
});
