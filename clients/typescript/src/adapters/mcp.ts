/**
 * Tools of MCP servers, asked for before they are called.
 *
 * ```ts
 * import { governClient } from "aegis-sidecar/mcp";
 * const mail = governClient(mcpClient, { client, server: "mail" });
 * await mail.callTool({ name: "send", arguments: { to: "ada@example.com" } });
 * ```
 *
 * @packageDocumentation
 */
import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import type { CallToolRequest, CallToolResult } from "@modelcontextprotocol/sdk/types.js";
import { AegisError } from "../errors.js";
import { type Result } from "../govern/options.js";
import { type Execution } from "../govern/perform.js";
import { checkedJson } from "../json.js";
import { own } from "../values.js";
import { either, isBadInput, performTool, refusal, type ToolGovernOptions } from "./tools.js";

export { refusal, type ToolGovernOptions } from "./tools.js";

/** How calls of a server's tools are proposed. */
export interface McpGovernOptions extends ToolGovernOptions {
    /** What this server is called in the policy: the action's target unless `target` says otherwise. */
    readonly server: string;
}

type CallTool = Client["callTool"];
type Called = Awaited<ReturnType<CallTool>>;

/** The method by which a server is asked to run a tool. */
const TOOLS_CALL = "tools/call";
/** What is known to call no tool. What a server takes besides may be a way to one. */
const HARMLESS: ReadonlySet<string> = new Set(["initialize", "ping", "server/discover", "tools/list"]);
const HARMLESS_KINDS = [
    "notifications/",
    "prompts/",
    "resources/",
    "roots/",
    "completion/",
    "logging/",
    "subscriptions/",
];

const isHarmless = (method: unknown): boolean =>
    typeof method === "string" && (HARMLESS.has(method) || HARMLESS_KINDS.some((kind) => method.startsWith(kind)));

/**
 * The same client, where each `callTool` is proposed, waited for, made if it may be, and reported: type is the tool's
 * name, target the server.
 *
 * Where the answer is no, or the arguments cannot be proposed, the result says why, with `isError`, as if the server
 * had refused. A result with `isError` is reported as failed. What is sent is the JSON that was proposed.
 *
 * Every other way to a tool goes the same way (`request`, `requestStream`) or is refused: tasks, notifications,
 * messages that are given to the transport, and methods that are not known to call no tool. Everything else is the
 * client's own.
 */
export function governClient<C extends Client>(mcp: C, options: McpGovernOptions): C {
    const callTool = governedCallTool(mcp, options);
    const request = async (message: object, ...rest: unknown[]): Promise<unknown> => {
        // Each part is read once: a getter may answer differently the next time.
        const given = { ...message } as Message;
        const copy = given.method === TOOLS_CALL ? given : written(given);
        if (copy.method !== TOOLS_CALL) {
            refuseUnknown(copy);
            return (mcp.request as (...args: unknown[]) => Promise<unknown>).call(mcp, copy, ...rest);
        }
        const [schema, requestOptions] = rest as [Parameters<CallTool>[1], Parameters<CallTool>[2]];
        return callTool(copy.params as CallToolRequest["params"], schema, requestOptions);
    };
    const notification = async (message: object, ...rest: unknown[]): Promise<void> => {
        const copy = written(message);
        refuseUnknown(copy);
        return (mcp.notification as (...args: unknown[]) => Promise<void>).call(mcp, copy, ...rest);
    };
    const replaced = new Map<PropertyKey, unknown>([
        ["callTool", callTool],
        ["request", request],
        ["notification", notification],
    ]);
    // The client's own methods run with the proxy as `this`: what they call in turn is governed as well.
    return new Proxy(mcp, {
        get(target, property, receiver) {
            if (replaced.has(property)) return replaced.get(property);
            if (property === "experimental" || property === "_experimental") throw tasks();
            const value: unknown = Reflect.get(target, property, receiver);
            if (
                (property === "transport" || property === "_transport") &&
                typeof value === "object" &&
                value !== null
            ) {
                return governedTransport(value as Transport);
            }
            return value;
        },
        // Nobody takes the governed methods away, or puts something in their place.
        set(target, property, value) {
            return !replaced.has(property) && Reflect.set(target, property, value, target);
        },
        defineProperty(target, property, descriptor) {
            return !replaced.has(property) && Reflect.defineProperty(target, property, descriptor);
        },
        // A descriptor would hand out the transport itself.
        getOwnPropertyDescriptor(target, property) {
            const descriptor = Reflect.getOwnPropertyDescriptor(target, property);
            if (property !== "_transport" || descriptor === undefined) return descriptor;
            return { ...descriptor, value: governedTransport(descriptor.value as Transport) };
        },
    });
}

interface Message {
    readonly method: unknown;
    readonly params?: unknown;
}

/** A message as a transport writes it: no getter and no `toJSON` makes another one of it when it is sent. */
const written = <M>(message: M): M & Message => JSON.parse(JSON.stringify(message)) as M & Message;

const tasks = (): AegisError =>
    new AegisError("the experimental tasks call tools without asking: not through a governed client", {
        code: "UNIMPLEMENTED",
    });

/** `callTool`, asked for first. */
function governedCallTool(mcp: Client, given: McpGovernOptions): CallTool {
    const options = own(given);
    return async (params, schema, request) => {
        // Each part is read once. What is sent is JSON, and so is what is proposed: the same copy.
        const { name, arguments: input, ...others } = own(params);
        if (others.task !== undefined || request?.task !== undefined) throw tasks();
        const settings = {
            ...options,
            target: options.target ?? options.server,
            signal: either(options.signal, request?.signal),
        };
        let result: Result<Called>;
        try {
            const sent = input === undefined ? {} : checkedJson(input, "params");
            // What else is sent is data as well: a `toJSON` among it would be asked for the whole of the parameters.
            const beside = Object.entries(others)
                .filter(([, value]) => value !== undefined)
                .map(([key, value]) => [key, checkedJson(value, `params.${key}`)] as const);
            const meta = Object.fromEntries(beside);
            result = await performTool(
                name,
                sent,
                settings,
                // The client's types want an object; what else a caller gives the server refuses.
                async (copy) =>
                    mcp.callTool(
                        { ...meta, name, ...(input !== undefined && { arguments: copy as Record<string, unknown> }) },
                        schema,
                        request,
                    ),
                read,
            );
        } catch (error) {
            if (!isBadInput(error)) throw error;
            return { content: [{ type: "text", text: `Error: ${error.message}` }], isError: true };
        }
        switch (result.status) {
            case "blocked":
            case "denied":
                return { content: [{ type: "text", text: refusal(result) }], isError: true };
            default:
                if (result.data !== undefined) return result.data;
                throw result.cause;
        }
    };
}

/** The transport, which sends anything but calls of tools. Those are the client's, and it has asked before. */
function governedTransport(transport: Transport): Transport {
    return new Proxy(transport, {
        get(target, property) {
            const value: unknown = Reflect.get(target, property, target);
            if (typeof value !== "function") return value;
            const method = value as (...args: unknown[]) => unknown;
            if (property !== "send") return method.bind(target);
            return async (message: unknown, ...rest: unknown[]) => {
                const copy: unknown = written(message);
                for (const one of Array.isArray(copy) ? (copy as unknown[]) : [copy]) refuseUnknown(one);
                return method.call(target, copy, ...rest);
            };
        },
    });
}

/** Refuses a message that could call a tool without asking. An answer has no method, and calls none. */
function refuseUnknown(message: unknown): void {
    if (typeof message !== "object" || message === null) return;
    const method: unknown = Reflect.get(message, "method");
    if (method === undefined || isHarmless(method)) return;
    const why =
        method === TOOLS_CALL
            ? "a tool is called with `callTool`, which asks first: not by a message of one's own"
            : `the method ${JSON.stringify(method)} is not known to call no tool: it is not sent`;
    throw new AegisError(why, { code: "PERMISSION_DENIED" });
}

/** A server says in its result that a tool has failed. */
function read(data: Called): Execution<Called> {
    if (data.isError !== true) return { status: "success", data };
    const content = Array.isArray(data.content) ? (data.content as CallToolResult["content"]) : [];
    const error = content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n");
    return { status: "failed", data, error: error === "" ? "the server says that it failed" : error };
}
