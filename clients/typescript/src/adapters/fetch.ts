/**
 * A `fetch` that asks before each request.
 *
 * ```ts
 * import { governedFetch } from "aegis-sidecar/fetch";
 * const fetch = governedFetch({ client });
 * await fetch("https://api.example.com/users/1", { method: "delete" });   // proposes `delete` on that URL
 * ```
 *
 * @packageDocumentation
 */
import { InvalidActionError } from "../errors.js";
import { executed, type Execution, type GovernOptions, perform, unwrap } from "../govern.js";
import type { ActionInput } from "../types.js";

/** One request, as it is about to be made. */
export interface Hop {
    /** The method, in capitals. */
    readonly method: string;
    /** The URL, normalised, without a fragment. */
    readonly url: URL;
    /** The headers that will be sent. Keep credentials off the record. */
    readonly headers: Headers;
    /** The body, if there is one. */
    readonly body: Uint8Array | undefined;
}

/** How requests are proposed, and made. */
export interface FetchGovernOptions extends GovernOptions {
    /** Makes the requests. The global `fetch`. It is never asked to follow a redirect. */
    readonly fetch?: typeof globalThis.fetch | undefined;
    /**
     * What a request proposes, where not everything of it is wanted. Without it: the method in small letters as the type, the
     * URL as the target, and as parameters `host`, `path`, `query` and, where there is one, `body`: as JSON or text up to
     * 16 KiB, else its size. No headers.
     */
    readonly action?: ((hop: Hop) => ActionInput) | undefined;
    /** How many redirects are followed. 20. */
    readonly maxRedirects?: number | undefined;
}

const BODY_BYTES = 16 * 1024;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** What may be sent to an origin that the caller did not name: nothing that could be a credential. */
const HARMLESS: ReadonlySet<string> = new Set([
    "accept",
    "accept-language",
    "content-language",
    "content-type",
    "user-agent",
]);
/** What describes a body, and goes with it. */
const OF_BODY = ["content-type", "content-language", "content-encoding", "content-location", "content-length"];

/**
 * A function like `fetch`, each request of which is proposed, waited for, made if it may be, and reported.
 *
 * What is proposed is what is sent: methods are in capitals on the wire whatever the caller wrote, URLs are normalised, and
 * redirects are followed here, each hop a proposal of its own. Only harmless headers go on to another origin. A response of
 * 400 and more is reported as failed, and returned as `fetch` returns it. A no is thrown as `ActionDenied`. The body is
 * read into memory before it is sent, since a redirect may want it again. What only one `fetch` knows of its second argument
 * (a `dispatcher`, for example) goes into a `fetch` option of your own.
 */
export function governedFetch(options: FetchGovernOptions): typeof globalThis.fetch {
    return async (input, init) => {
        const request = new Request(input, init);
        const body = request.body === null ? undefined : new Uint8Array(await request.arrayBuffer());
        let hop: Hop = {
            method: request.method.toUpperCase(),
            url: target(request.url),
            headers: new Headers(request.headers),
            body,
        };
        const most = options.maxRedirects ?? 20;
        for (let redirects = 0; ; redirects += 1) {
            const response = await send(hop, request, options);
            const location = REDIRECTS.has(response.status) ? response.headers.get("location") : null;
            if (redirects > 0) Object.defineProperty(response, "redirected", { value: true });
            if (location === null || request.redirect === "manual") return response;
            await response.body?.cancel();
            if (request.redirect === "error")
                throw new TypeError(`fetch failed: ${hop.url.href} redirects to ${location}`);
            if (redirects >= most) throw new TypeError(`fetch failed: more than ${most} redirects`);
            hop = next(hop, response.status, location);
        }
    };
}

async function send(hop: Hop, request: Request, options: FetchGovernOptions): Promise<Response> {
    const { method, url, headers, body } = hop;
    const make = options.fetch ?? globalThis.fetch;
    const signals = [request.signal, ...(options.signal === undefined ? [] : [options.signal])];
    const signal = AbortSignal.any(signals);
    const { cache, credentials, integrity, keepalive, mode, referrer, referrerPolicy } = request;
    const settings = { cache, credentials, integrity, keepalive, mode, referrer, referrerPolicy };
    const result = await perform(
        options.action?.(hop) ?? proposed(hop),
        { ...options, signal },
        async (): Promise<Execution<Response>> => {
            const execution = await executed(async () =>
                make(url, { ...settings, method, headers, body: body ?? null, signal, redirect: "manual" }),
            );
            const { data: response } = execution;
            if (response === undefined) return execution;
            // A response has no JSON; what is recorded of it has.
            Object.defineProperty(response, "toJSON", { value: () => ({ status: response.status, url: url.href }) });
            return response.status < 400
                ? execution
                : { ...execution, status: "failed", error: `HTTP ${response.status}` };
        },
    );
    return result.data ?? unwrap(result);
}

/** What a request proposes. */
function proposed({ method, url, headers, body }: Hop): ActionInput {
    const query: Record<string, string | string[]> = {};
    for (const name of new Set(url.searchParams.keys())) {
        const values = url.searchParams.getAll(name);
        // The only name that an object cannot hold safely; the whole URL is the target anyway.
        if (name !== "__proto__") query[name] = values.length === 1 ? (values[0] ?? "") : values;
    }
    const params = {
        host: url.host,
        path: url.pathname,
        query,
        ...(body && { body: shown(body, headers.get("content-type")) }),
    };
    return { type: method.toLowerCase(), target: url.href, params };
}

/** A body, as a rule and a reviewer can read it. */
function shown(body: Uint8Array, type: string | null): unknown {
    const size = `[${body.byteLength} bytes]`;
    if (body.byteLength > BODY_BYTES) return size;
    try {
        const text = new TextDecoder("utf-8", { fatal: true }).decode(body);
        if (!/^application\/([a-z.-]+\+)?json\b/i.test(type ?? "")) return text;
        const json: unknown = JSON.parse(text, (key, value: unknown) => {
            // Not what a rule may look at: a number that is rounded, a name that is lost. Such a body is shown as its text.
            if (
                key === "__proto__" ||
                (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value))
            ) {
                throw new SyntaxError("not exact");
            }
            return value;
        });
        return json;
    } catch {
        try {
            return new TextDecoder("utf-8", { fatal: true }).decode(body);
        } catch {
            return size;
        }
    }
}

/** Where a request goes: an `http` or `https` URL without a fragment. */
function target(href: string): URL {
    const url = new URL(href);
    url.hash = "";
    if (url.protocol === "http:" || url.protocol === "https:") return url;
    throw new InvalidActionError("url", `a governed fetch speaks http and https, not ${url.protocol}`);
}

/** The request that a redirect asks for, as the Fetch standard has it. */
function next(hop: Hop, status: number, location: string): Hop {
    if (!URL.canParse(location, hop.url.href))
        throw new TypeError(`fetch failed: \`${location}\` is no URL to redirect to`);
    const url = target(new URL(location, hop.url).href);
    if (url.username !== "" || url.password !== "")
        throw new TypeError("fetch failed: a redirect with credentials in its URL");
    const headers = new Headers(hop.headers);
    if (url.origin !== hop.url.origin) {
        for (const name of [...headers.keys()]) if (!HARMLESS.has(name)) headers.delete(name);
    }
    const asGet = status === 303 ? !["GET", "HEAD"].includes(hop.method) : status < 303 && hop.method === "POST";
    if (!asGet) return { ...hop, url, headers };
    for (const name of OF_BODY) headers.delete(name);
    return { method: "GET", url, headers, body: undefined };
}
