/** The attacks on requests: each with a URL and its options, and with a `Request`. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { governedFetch } from "../../src/adapters/fetch.js";
import { ActionDenied } from "../../src/index.js";
import { type Stage, stage } from "../support.js";
import { type Attack, type Change, readTable, type Request as Asked } from "./table.js";

const { attacks, policy } = readTable();

let world: Stage;
beforeAll(async () => {
    world = await stage(policy);
});
afterAll(async () => world[Symbol.asyncDispose]());

/** What a caller passes to `fetch`, and what it can change of that. */
interface Held {
    readonly call: Parameters<typeof globalThis.fetch>;
    readonly change: (change: Change) => void;
}

function withOptions({ url, method = "GET", headers = {}, body }: Asked): Held {
    const where = new URL(url);
    const bytes = body === undefined ? undefined : new TextEncoder().encode(body);
    const init: RequestInit & { headers: Headers } = { method, headers: new Headers(headers), body: bytes ?? null };
    return {
        call: [where, init],
        change: ({ set = {} }) => {
            for (const [path, value] of Object.entries(set)) {
                const text = String(value);
                if (path === "url") where.href = text;
                else if (path === "body") bytes?.set(new TextEncoder().encode(text).subarray(0, bytes.length));
                else if (path.startsWith("headers.")) init.headers.set(path.slice("headers.".length), text);
                else Reflect.set(init, path, value);
            }
        },
    };
}

function withRequest({ url, method = "GET", headers = {}, body }: Asked): Held {
    const request = new Request(url, { method, headers, body: body ?? null });
    return {
        call: [request],
        change: ({ set = {} }) => {
            for (const [path, value] of Object.entries(set)) {
                const name = path.startsWith("headers.") ? path.slice("headers.".length) : undefined;
                if (name !== undefined) request.headers.set(name, String(value));
                // As far as the language lets it: these are getters of the class, which an instance can hide.
                else Object.defineProperty(request, path, { value });
            }
        },
    };
}

const WAYS = { "a URL and its options": withOptions, "a Request": withRequest };

const cases = attacks
    .filter(({ seats }) => seats.includes("http"))
    .flatMap((row) => Object.entries(WAYS).map(([name, way]) => ({ says: `${row.name}: ${name}`, row, way })));

test("there are attacks on requests", () => expect(cases.length).toBeGreaterThan(10));

test.each(cases)("$says", async ({ row, way }) => {
    const sent: { readonly url: string; readonly method: string; readonly body: string; readonly headers: Headers }[] =
        [];
    const fetch = governedFetch({
        client: world.client,
        log: () => undefined,
        fetch: async (url, init) => {
            const request = new Request(url, init);
            const { method, headers } = request;
            sent.push({ url: request.url, method, headers, body: await request.text() });
            const to = sent.length === 1 ? row.redirects_to : undefined;
            return to === undefined ? new Response() : new Response(null, { status: 302, headers: { location: to } });
        },
    });
    const held = way(row.request as Asked);
    const answering = row.change === undefined ? undefined : review(row, held);
    const threw = await fetch(...held.call).then(
        () => undefined,
        (error: unknown) => error,
    );
    await answering;
    if (row.denied === true) expect(threw).toBeInstanceOf(ActionDenied);
    else if (row.or_refused !== true || threw === undefined) expect(threw).toBeUndefined();
    const expected = row.or_refused === true && threw !== undefined ? [] : (row.sent ?? []);
    expect(sent).toHaveLength(expected.length);
    for (const [i, { without, ...wanted }] of expected.entries()) {
        expect(sent[i]).toMatchObject(wanted);
        if (without !== undefined) expect(sent[i]?.headers.has(without)).toBe(false);
    }
});

async function review(row: Attack, held: Held): Promise<void> {
    for await (const event of world.people.streamApprovals()) {
        if (event.kind !== "pending") continue;
        held.change(row.change as Change);
        await world.people.approve(event.approval);
        return;
    }
}
