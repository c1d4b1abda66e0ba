/** Sends the requests of the table that all SDKs share, tests/sdk/http.yaml, as tests/sdk/README.md reads it. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { governedFetch } from "../../src/adapters/fetch.js";
import { type Stage, stage } from "../support.js";

interface Case {
    readonly says: string;
    readonly method?: string;
    readonly url: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly body_base64?: string;
    readonly body_size?: number;
    readonly allow_encoded_slashes?: boolean;
    readonly refused?: boolean;
    readonly type?: string;
    readonly target?: string;
    readonly params?: Readonly<Record<string, unknown>>;
}

const KEYS =
    "says allow_encoded_slashes method url headers body body_base64 body_size refused type target params".split(" ");
const { cases } = parse(readFileSync(new URL("../../../../tests/sdk/http.yaml", import.meta.url), "utf8")) as {
    readonly cases: readonly Case[];
};

let world: Stage;
beforeAll(async () => {
    world = await stage('version: "1"\ndefaults: { risk_level: low, approval: auto }\nrules: []\n');
});
afterAll(async () => world[Symbol.asyncDispose]());

test("the table is whole", () => {
    expect(cases.length).toBeGreaterThan(25);
    for (const one of cases) expect(KEYS).toEqual(expect.arrayContaining(Object.keys(one)));
});

function content(one: Case): Uint8Array<ArrayBuffer> | undefined {
    if (one.body_size !== undefined) return new Uint8Array(one.body_size).fill(0x78);
    if (one.body_base64 !== undefined) return new Uint8Array(Buffer.from(one.body_base64, "base64"));
    return one.body === undefined ? undefined : new TextEncoder().encode(one.body);
}

test.each(cases)("$says", async (one) => {
    const before = (await world.rows()).length;
    const sent: { readonly url: string; readonly init: RequestInit | undefined }[] = [];
    const fetch = governedFetch({
        client: world.client,
        allowEncodedSlashes: one.allow_encoded_slashes,
        fetch: async (url, init) => {
            sent.push({ url: url instanceof Request ? url.url : String(url), init });
            return Promise.resolve(new Response());
        },
    });
    const body = content(one);
    const call = fetch(one.url, {
        method: one.method ?? "GET",
        headers: one.headers ?? {},
        ...(body !== undefined && { body }),
    });
    if (one.refused === true) {
        await expect(call).rejects.toThrow();
        expect(sent).toEqual([]);
        expect(await world.rows()).toHaveLength(before);
        return;
    }
    await call;
    const rows = (await world.rows()).slice(before);
    expect(rows.map(({ action }) => ({ type: action.type, target: action.target, params: action.params }))).toEqual([
        { type: one.type ?? "get", target: one.target, params: one.params ?? {} },
    ]);
    expect(sent.map(({ url, init }) => [url.split("?", 1)[0], init?.method, init?.body ?? undefined])).toEqual([
        [one.target, (one.type ?? "get").toUpperCase(), body],
    ]);
});
