/** Every way that a client has to a tool: each asks first, or is refused. */
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { Protocol } from "@modelcontextprotocol/sdk/shared/protocol.js";
import { CallToolResultSchema } from "@modelcontextprotocol/sdk/types.js";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { governClient } from "../../src/adapters/mcp.js";
import { type Stage, stage } from "../support.js";

let world: Stage;
let governed: Client;
const ran: string[] = [];
beforeAll(async () => {
    world = await stage();
    const server = new McpServer({ name: "crm", version: "1" });
    for (const name of ["delete_all", "pay", "read"]) {
        const inputSchema = { path: z.string().optional(), n: z.number().optional() };
        server.registerTool(name, { inputSchema }, (given) => {
            ran.push(`${name} ${JSON.stringify(given)}`);
            return { content: [{ type: "text", text: "done" }] };
        });
    }
    const [one, other] = InMemoryTransport.createLinkedPair();
    const mcp = new Client({ name: "agent", version: "1" });
    // As over a wire: in memory, an object would arrive as itself.
    const send = other.send.bind(other);
    other.send = async (message, options) => send(JSON.parse(JSON.stringify(message)) as typeof message, options);
    await Promise.all([server.connect(one), mcp.connect(other)]);
    governed = governClient(mcp, { client: world.client, server: "files", log: () => undefined });
});
beforeEach(() => void ran.splice(0));
afterAll(async () => {
    await governed.close();
    await world[Symbol.asyncDispose]();
});

const message = { method: "tools/call", params: { name: "delete_all", arguments: {} } } as const;
const sent = { jsonrpc: "2.0", id: 999, ...message } as const;
/** A message that says another method each time that it is read. */
const turning = () => {
    let reads = 0;
    return {
        get method() {
            reads += 1;
            return reads === 1 ? "ping" : "tools/call";
        },
        params: message.params,
    };
};

const all = async (parts: AsyncIterable<unknown>): Promise<unknown[]> => {
    const found: unknown[] = [];
    for await (const part of parts) found.push(part);
    return found;
};

const WAYS: Readonly<Record<string, () => unknown>> = {
    callTool: () => governed.callTool(message.params),
    "callTool with a task": () => governed.callTool(message.params, undefined, { task: { ttl: 1 } }),
    request: () => governed.request(message, CallToolResultSchema),
    "request by a method of the server's own": () =>
        governed.request({ ...message, method: "tools/run" }, CallToolResultSchema),
    "request by a task": () => governed.request({ ...message, method: "tasks/run" }, CallToolResultSchema),
    "a notification of the server's own": () => governed.notification({ ...message, method: "tools/run" }),
    "the transport, by a method of the server's own": () => governed.transport?.send({ ...sent, method: "tools/run" }),
    "request with a method that changes": () => governed.request(turning(), CallToolResultSchema),
    "callTool with a toJSON": () =>
        governed.callTool({ name: "read", arguments: { path: "/" }, toJSON: () => message.params } as never),
    "callTool with metadata that has one": () =>
        governed.callTool({ name: "read", _meta: { toJSON: () => message.params } }),
    "request with a toJSON": () =>
        governed.request({ method: "ping", toJSON: () => sent } as never, CallToolResultSchema),
    "request with a method that is an object": () =>
        governed.request({ ...message, method: new String("tools/call") } as never, CallToolResultSchema),
    "request with a method that writes itself": () =>
        governed.request({ ...message, method: { toJSON: () => "tools/call" } } as never, CallToolResultSchema),
    "notification with a toJSON": () => governed.notification({ method: "ping", toJSON: () => sent } as never),
    "the prototype's callTool": () => Client.prototype.callTool.call(governed, message.params),
    "the prototype's request": () => Protocol.prototype.request.call(governed, message, CallToolResultSchema),
    requestStream: () => all((governed as unknown as Streams).requestStream(message, CallToolResultSchema)),
    "requestStream with a task": () =>
        all((governed as unknown as Streams).requestStream(message, CallToolResultSchema, { task: { ttl: 1 } })),
    notification: () => governed.notification(message),
    "the prototype's notification": () => Protocol.prototype.notification.call(governed, message as never),
    "the transport": () => governed.transport?.send(sent),
    "the transport with a method that changes": () =>
        governed.transport?.send(
            Object.defineProperty({ ...sent }, "method", { get: () => "tools/call", enumerable: true }),
        ),
    "the transport's batch": () => governed.transport?.send([sent] as never),
    "the transport's property": () =>
        (Object.getOwnPropertyDescriptor(governed, "_transport")?.value as Client["transport"])?.send(sent),
    "the tasks": () => all(governed.experimental.tasks.callToolStream(message.params)),
    "a method that is put in its place": () => {
        Reflect.set(governed, "callTool", undefined);
        return governed.callTool(message.params);
    },
};

interface Streams {
    requestStream(...args: unknown[]): AsyncIterable<unknown>;
}

test.each(Object.entries(WAYS))("%s", async (_, way) => {
    // Blocked or refused: whichever, the server has run nothing.
    await Promise.resolve()
        .then(way)
        .catch(() => undefined);
    // An answer to a later call shows that an earlier message, if there was one, has arrived.
    await governed.callTool({ name: "read", arguments: { n: 1 } });
    expect(ran.filter((call) => call !== "read {}")).toEqual(['read {"n":1}']);
});

test("what is refused says what would be right, and the rest of the client works", async () => {
    await expect(governed.transport?.send(sent)).rejects.toThrow("a tool is called with `callTool`, which asks first");
    expect((await governed.listTools()).tools).toHaveLength(3);
    expect(await governed.ping()).toEqual({});
    expect(governed).toBeInstanceOf(Client);
    const parts = await all(
        (governed as unknown as Streams).requestStream({ ...message, params: { name: "read" } }, CallToolResultSchema),
    );
    expect(JSON.stringify(parts)).toContain("done");
});

test("arguments that cannot be proposed are answered as the server would, and what is sent is what was proposed", async () => {
    const before = (await world.rows()).length;
    for (const bad of [{ n: 2 ** 60 }, { path: "\ud800" }, { path: () => 1 }]) {
        const result = await governed.callTool({ name: "read", arguments: bad });
        expect(result.isError).toBe(true);
        expect(JSON.stringify(result.content)).toMatch(/Error: params\.(n|path)/);
    }
    expect(await world.rows()).toHaveLength(before);
    await governed.callTool({ name: "read", arguments: { path: new Date(0), n: 3n } });
    expect(ran).toEqual(['read {"path":"1970-01-01T00:00:00Z","n":3}']);
});

test("what changes while a reviewer thinks is not what runs", async () => {
    const params = { name: "pay", arguments: { path: "/safe" } };
    const calling = governed.callTool(params);
    for await (const event of world.people.streamApprovals()) {
        if (event.kind !== "pending") continue;
        params.name = "delete_all";
        params.arguments.path = "/etc";
        await world.people.approve(event.approval);
        break;
    }
    await calling;
    expect(ran).toEqual(['pay {"path":"/safe"}']);
});
