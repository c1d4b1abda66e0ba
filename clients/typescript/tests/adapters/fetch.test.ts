import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { governedFetch } from "../../src/adapters/fetch.js";
import { ActionDenied, AegisError, InvalidActionError } from "../../src/index.js";
import { eventually, stage } from "../support.js";

/** What a server has seen of a request. */
interface Seen {
    readonly method: string;
    readonly path: string;
    readonly headers: IncomingMessage["headers"];
    readonly body: string;
}

/** A server in this process, and what it has seen. */
async function serve(
    answer: (seen: Seen, response: Parameters<RequestListener>[1]) => void,
): Promise<{ readonly origin: string; readonly seen: Seen[] } & AsyncDisposable> {
    const seen: Seen[] = [];
    const server = createServer((request, response) => {
        const chunks: Buffer[] = [];
        request.on("data", (chunk: Buffer) => chunks.push(chunk));
        request.on("end", () => {
            const { method = "", url: path = "", headers } = request;
            const one = { method, path, headers, body: Buffer.concat(chunks).toString() };
            seen.push(one);
            answer(one, response);
        });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return {
        origin: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
        seen,
        [Symbol.asyncDispose]: async () => {
            server.closeAllConnections();
            await new Promise((resolve) => server.close(resolve));
        },
    };
}

const POLICY = `
version: "1"
defaults: { risk_level: medium, approval: block }
rules:
  - { name: no_admin, match: { target: "*/admin" }, approval: block, reason: Not the admin pages. }
  - { name: no_patch, match: { type: "patch" }, risk_level: high, approval: block }
  - { name: no_bulk, match: { type: "post" }, conditions: { param_gt: { body.count: 100 } }, approval: block }
  - { name: http, match: { target: "http://127.0.0.1:*" }, risk_level: low, approval: auto }
`;

test("what is proposed is the method and the URL that go over the wire", async () => {
    await using world = await stage(POLICY);
    await using server = await serve((_, response) => response.end("hello"));
    const fetch = governedFetch({ client: world.client });
    const response = await fetch(`${server.origin.toUpperCase()}/a/../users?page=2&tag=x&tag=y#part`);
    expect(await response.text()).toBe("hello");
    await fetch(new URL(server.origin), {
        method: "post",
        body: JSON.stringify({ count: 3 }),
        headers: { "content-type": "application/json" },
    });
    expect(server.seen.map(({ method, path, body }) => [method, path, body])).toEqual([
        ["GET", "/users?page=2&tag=x&tag=y", ""],
        ["POST", "/", '{"count":3}'],
    ]);
    const [get, post] = await world.rows();
    expect(get).toMatchObject({
        action: {
            type: "get",
            target: `${server.origin}/users`,
            params: { query: { page: ["2"], tag: ["x", "y"] } },
        },
        result: { status: "success", data: { status_code: 200 } },
    });
    expect(post).toMatchObject({
        action: { type: "post", params: { body: { count: 3 } } },
        result: { status: "success" },
    });
});

test("neither case, nor dots, nor a body dodges a rule", async () => {
    await using world = await stage(POLICY);
    await using server = await serve((_, response) => response.end());
    const fetch = governedFetch({ client: world.client });
    const json = { "content-type": "application/json" };
    const attempts: [path: string, init: RequestInit][] = [
        ["/users", { method: "patch" }],
        ["/users", { method: "PaTcH" }],
        ["/x/../admin", {}],
        ["/x/%2e%2e/admin", {}],
        ["/%61dmin", {}],
        ["/admin?x=1", {}],
        ["/bulk", { method: "post", headers: json, body: JSON.stringify({ count: 101 }) }],
    ];
    for (const [path, init] of attempts) {
        await expect(fetch(server.origin + path, init), path).rejects.toThrow(ActionDenied);
    }
    await expect(fetch("data:text/plain,hello")).rejects.toThrow(InvalidActionError);
    expect(server.seen).toEqual([]);
    expect((await world.record()).filter((row) => row.endsWith("DENY blocked"))).toHaveLength(attempts.length);
});

test("each redirect is a proposal of its own", async () => {
    await using world = await stage(POLICY);
    await using server = await serve(({ path }, response) => {
        const to: Record<string, [number, string]> = {
            "/one": [302, "/two"],
            "/two": [307, "/three"],
            "/in": [303, "/admin?x"],
        };
        const [status, location] = to[path] ?? [200, ""];
        response.writeHead(status, location === "" ? {} : { location }).end(path);
    });
    const fetch = governedFetch({ client: world.client });
    const response = await fetch(`${server.origin}/one`, {
        method: "post",
        body: "{}",
        headers: { "content-type": "text/plain" },
    });
    expect([await response.text(), response.redirected, response.url]).toEqual([
        "/three",
        true,
        `${server.origin}/three`,
    ]);
    await expect(fetch(`${server.origin}/in`)).rejects.toThrow("Not the admin pages.");
    expect(server.seen.map(({ method, path, body }) => `${method} ${path} ${body}`)).toEqual([
        "POST /one {}",
        "GET /two ",
        "GET /three ",
        "GET /in ",
    ]);
    expect(
        (await world.rows()).map(
            ({ action, result }) => `${action.type} ${new URL(action.target).pathname} ${String(result?.status)}`,
        ),
    ).toEqual(["post /one success", "get /two success", "get /three success", "get /in success", "get /admin blocked"]);
    const manual = await fetch(`${server.origin}/one`, { redirect: "manual" });
    expect(manual.status).toBe(302);
    await expect(fetch(`${server.origin}/one`, { redirect: "error" })).rejects.toThrow(TypeError);
});

test("a redirect with a body keeps it where it should, and credentials stay at their origin", async () => {
    await using world = await stage(POLICY);
    await using other = await serve(({ body }, response) => response.end(body));
    await using server = await serve((_, response) =>
        response.writeHead(308, { location: `${other.origin}/next` }).end(),
    );
    const fetch = governedFetch({ client: world.client });
    const headers = {
        authorization: "Bearer secret",
        cookie: "session=secret",
        "x-api-key": "secret",
        "content-type": "text/plain",
        accept: "text/plain",
    };
    const response = await fetch(server.origin, { method: "PUT", headers, body: "the body" });
    expect(await response.text()).toBe("the body");
    expect(server.seen[0]?.headers).toMatchObject(headers);
    expect(other.seen[0]?.method).toBe("PUT");
    expect(JSON.stringify(other.seen[0]?.headers)).not.toContain("secret");
    expect(other.seen[0]?.headers).toMatchObject({ accept: "text/plain", "content-type": "text/plain" });
    expect(JSON.stringify(await world.rows())).not.toContain("secret");
});

test("redirects end, and statuses of failure are on the record", async () => {
    await using world = await stage(POLICY);
    await using server = await serve(({ path }, response) => {
        if (path === "/loop") response.writeHead(302, { location: "/loop" }).end();
        else response.writeHead(404).end("nothing here");
    });
    const fetch = governedFetch({ client: world.client, maxRedirects: 3 });
    await expect(fetch(`${server.origin}/loop`)).rejects.toThrow("more than 3 redirects");
    const missing = await fetch(`${server.origin}/missing`);
    expect([missing.status, await missing.text()]).toEqual([404, "nothing here"]);
    const rows = await world.rows();
    expect(rows).toHaveLength(5);
    expect(rows.at(-1)).toMatchObject({
        result: { status: "failed", error: "HTTP 404", data: { status_code: 404 } },
    });
    await expect(fetch("http://127.0.0.1:1/")).rejects.toThrow();
    expect((await world.rows()).at(-1)).toMatchObject({ result: { status: "failed" } });
});

test("without a daemon nothing is fetched", async () => {
    await using world = await stage(POLICY);
    await using server = await serve((_, response) => response.end());
    await world.sidecar.kill();
    await expect(governedFetch({ client: world.client })(server.origin)).rejects.toThrow(AegisError);
    expect(server.seen).toEqual([]);
});

test("the global fetch may be replaced by a governed one", async () => {
    await using world = await stage(POLICY);
    await using server = await serve((_, response) => response.end("hello"));
    const before = globalThis.fetch;
    globalThis.fetch = governedFetch({ client: world.client });
    try {
        expect(await (await globalThis.fetch(server.origin)).text()).toBe("hello");
    } finally {
        globalThis.fetch = before;
    }
    expect(server.seen).toHaveLength(1);
    expect(await world.record()).toEqual(["get ALLOW success"]);
});

test("an abort while a reviewer thinks is thrown as `fetch` throws it", async () => {
    await using world = await stage();
    await using server = await serve((_, response) => response.end());
    const fetch = governedFetch({ client: world.client, log: () => undefined });
    const controller = new AbortController();
    const fetching = expect(fetch(server.origin, { method: "PUT", signal: controller.signal })).rejects.toMatchObject({
        name: "AbortError",
    });
    await eventually(async () => ((await world.people.listApprovals()).length > 0 ? true : undefined));
    controller.abort();
    await fetching;
    // As `AbortSignal.timeout` aborts, but once the question is there.
    const timer = new AbortController();
    const late = expect(fetch(server.origin, { method: "PUT", signal: timer.signal })).rejects.toMatchObject({
        name: "TimeoutError",
    });
    await eventually(async () => ((await world.people.listApprovals()).length > 0 ? true : undefined));
    timer.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
    await late;
    expect(server.seen).toEqual([]);
    expect(await world.record()).toEqual(["put DENY skipped", "put DENY skipped"]);
});

test("who is shown a request cannot change what is sent, and what is no request is a URL as text", async () => {
    await using world = await stage(POLICY);
    await using server = await serve((_, response) => response.end());
    const fetch = governedFetch({
        client: world.client,
        action: ({ url, headers, body }) => {
            const target = url.href;
            url.pathname = "/admin";
            headers.set("x-http-method-override", "delete");
            body?.fill(0);
            return { type: "post", target };
        },
    });
    await fetch(`${server.origin}/safe`, { method: "POST", body: "text", headers: { "content-type": "text/plain" } });
    expect(server.seen.map(({ path, body, headers }) => [path, body, headers["x-http-method-override"]])).toEqual([
        ["/safe", "text", undefined],
    ]);
    let reads = 0;
    const turning = {
        url: `${server.origin}/safe`,
        toString: () => `${server.origin}/${(reads += 1) === 1 ? "first" : "admin"}`,
    };
    await governedFetch({ client: world.client })(turning as unknown as string);
    expect(server.seen.at(-1)?.path).toBe("/first");
});

test("a response that nobody gets is cancelled", async () => {
    await using world = await stage(POLICY);
    let cancelled = false;
    const body = new ReadableStream({
        cancel: () => {
            cancelled = true;
        },
    });
    const fetch = governedFetch({
        client: world.client,
        fetch: () => Promise.resolve(new Response(body)),
        onExecute: () => {
            throw new RangeError("the hook failed");
        },
    });
    await expect(fetch("http://127.0.0.1:1/")).rejects.toThrow(RangeError);
    expect(cancelled).toBe(true);
});
