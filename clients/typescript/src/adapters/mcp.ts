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
import type { CallToolRequest, CallToolResult } from "@modelcontextprotocol/sdk/types.js";
import { AegisError } from "../errors.js";
import type { Execution } from "../govern/perform.js";
import { either, performTool, refusal, type ToolGovernOptions } from "./tools.js";

export { refusal, type ToolGovernOptions } from "./tools.js";

/** How calls of a server's tools are proposed. */
export interface McpGovernOptions extends ToolGovernOptions {
    /** What this server is called in the policy: the action's target unless `target` says otherwise. */
    readonly server: string;
}

type CallTool = Client["callTool"];

/**
 * The same client, where each `callTool` is proposed, waited for, made if it may be, and reported: type is the tool's
 * name, target the server.
 *
 * Where the answer is no, the result says why, with `isError`, as if the server had refused. A result with `isError`
 * is reported as failed. `request` with `tools/call` goes the same way; the experimental tasks, which call tools in
 * another way, are out of reach. Everything else is the client's own.
 */
export function governClient<C extends Client>(mcp: C, options: McpGovernOptions): C {
    const callTool: CallTool = async (params, schema, request) => {
        const call = async (): ReturnType<CallTool> => mcp.callTool(params, schema, request);
        const input = params.arguments ?? {};
        const result = await performTool(
            params.name,
            input,
            { ...options, target: options.target ?? options.server, signal: either(options.signal, request?.signal) },
            call,
            read,
        );
        switch (result.status) {
            case "blocked":
            case "denied":
                return { content: [{ type: "text", text: refusal(result) }], isError: true };
            default:
                if (result.data !== undefined) return result.data;
                throw result.cause;
        }
    };
    const request = async (
        message: { readonly method: string; readonly params?: unknown },
        ...rest: unknown[]
    ): Promise<unknown> => {
        const [schema, requestOptions] = rest as [Parameters<CallTool>[1], Parameters<CallTool>[2]];
        if (message.method === "tools/call") {
            return callTool(message.params as CallToolRequest["params"], schema, requestOptions);
        }
        return (mcp.request as (...args: unknown[]) => Promise<unknown>).call(mcp, message, ...rest);
    };
    return new Proxy(mcp, {
        get(target, property) {
            if (property === "callTool") return callTool;
            if (property === "request") return request;
            if (property === "experimental") {
                throw new AegisError(
                    "the experimental tasks call tools without asking: not through a governed client",
                    {
                        code: "UNIMPLEMENTED",
                    },
                );
            }
            const value: unknown = Reflect.get(target, property, target);
            return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
        },
    });
}

/** A server says in its result that a tool has failed. */
function read(data: Awaited<ReturnType<CallTool>>): Execution<Awaited<ReturnType<CallTool>>> {
    if (data.isError !== true) return { status: "success", data };
    const content = Array.isArray(data.content) ? (data.content as CallToolResult["content"]) : [];
    const error = content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n");
    return { status: "failed", data, error: error === "" ? "the server says that it failed" : error };
}
