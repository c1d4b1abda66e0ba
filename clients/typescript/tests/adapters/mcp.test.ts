import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { CallToolResultSchema } from "@modelcontextprotocol/sdk/types.js";
import { expect, test } from "vitest";
import { z } from "zod";
import { governClient } from "../../src/adapters/mcp.js";
import { AegisError } from "../../src/index.js";
import { stage } from "../support.js";

/** A server with three tools, in this process, and a client of it. */
async function connected(): Promise<{ readonly mcp: Client; readonly called: string[] }> {
    const called: string[] = [];
    const server = new McpServer({ name: "crm", version: "1" });
    const text = (value: string) => ({ content: [{ type: "text" as const, text: value }] });
    server.registerTool("read_contact", { inputSchema: { name: z.string() } }, ({ name }) => {
        called.push("read_contact");
        return text(`${name} is a contact`);
    });
    server.registerTool("delete_contact", {}, () => {
        called.push("delete_contact");
        return text("gone");
    });
    server.registerTool("read_broken", {}, () => ({ ...text("the database is away"), isError: true }));
    const [one, other] = InMemoryTransport.createLinkedPair();
    const mcp = new Client({ name: "agent", version: "1" });
    await Promise.all([server.connect(one), mcp.connect(other)]);
    return { mcp, called };
}

test("tools are called where they may be, and everything else of the client is its own", async () => {
    await using world = await stage();
    const { mcp, called } = await connected();
    const governed = governClient(mcp, { client: world.client, server: "crm" });
    expect((await governed.listTools()).tools.map(({ name }) => name)).toContain("read_contact");
    const result = await governed.callTool({ name: "read_contact", arguments: { name: "ada" } });
    expect(result.content).toEqual([{ type: "text", text: "ada is a contact" }]);
    expect(called).toEqual(["read_contact"]);
    expect((await world.rows())[0]).toMatchObject({
        action: { type: "read_contact", target: "crm", params: { name: "ada" } },
        result: { status: "success" },
    });
    await governed.close();
});

test("a blocked call does not reach the server, is on the record, and the result says why", async () => {
    await using world = await stage();
    const { mcp, called } = await connected();
    const governed = governClient(mcp, { client: world.client, server: "crm" });
    const refused = [
        { type: "text", text: "[AEGIS BLOCKED] `delete_contact` was not run: Deleting is a person's job." },
    ];
    expect(await governed.callTool({ name: "delete_contact" })).toEqual({ content: refused, isError: true });
    const request = { method: "tools/call", params: { name: "delete_contact" } } as const;
    expect(await governed.request(request, CallToolResultSchema)).toEqual({ content: refused, isError: true });
    expect(() => governed.experimental).toThrow(AegisError);
    expect(called).toEqual([]);
    expect(await world.record()).toEqual(["delete_contact DENY blocked", "delete_contact DENY blocked"]);
});

test("a failure that the server reports is on the record, and a daemon that is gone lets nothing through", async () => {
    await using world = await stage();
    const { mcp, called } = await connected();
    const governed = governClient(mcp, { client: world.client, server: "crm" });
    expect((await governed.callTool({ name: "read_broken" })).isError).toBe(true);
    const [row] = await world.rows();
    expect(row).toMatchObject({ result: { status: "failed", error: "the database is away" } });
    await world.sidecar.kill();
    await expect(governed.callTool({ name: "read_contact", arguments: { name: "ada" } })).rejects.toThrow(AegisError);
    expect(called).toEqual([]);
});
