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
import { AbortError, AegisError, ReportError } from "../errors.js";
import { checkedOptions, type GovernOptions } from "../govern/options.js";
import { executed, type Execution, perform, unwrap } from "../govern/perform.js";
import type { ActionInput } from "../types.js";
import { own } from "../values.js";
import { copyOf, type Hop, proposal } from "./http/request.js";
import { normalUrl, type UrlOptions, writtenUrl } from "./http/url.js";

export type { Hop } from "./http/request.js";
export type { UrlOptions } from "./http/url.js";

/** How requests are proposed, and made. */
export interface FetchGovernOptions extends GovernOptions, UrlOptions {
    /** Makes the requests. The global `fetch` of the moment at which this one is made. It never follows a redirect. */
    readonly fetch?: typeof globalThis.fetch | undefined;
    /**
     * What a request proposes, where not everything of it is wanted. Without it: the method in lower case as the
     * type; the URL without its query as the target; as parameters, where there are any, `query` (each name with its
     * list of values), `method_override` (the method that a header asks for) and `body`: the value of a JSON body,
     * whatever its type is called (what cannot be sent exactly is text), or the text of a text or a form, up to 16
     * KiB. Of any other body `body_bytes`, its size. No headers.
     */
    readonly action?: ((hop: Hop) => ActionInput) | undefined;
    /** How many redirects are followed. 20. */
    readonly maxRedirects?: number | undefined;
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** What may be sent to an origin that the caller did not name: nothing that could be a credential. */
const HARMLESS: ReadonlySet<string> = new Set([
    "accept",
    "accept-encoding",
    "accept-language",
    "content-encoding",
    "content-language",
    "content-type",
    "user-agent",
]);
/** What describes a body, and goes with it. */
const OF_BODY = ["content-type", "content-language", "content-encoding", "content-location", "content-length"];

/**
 * A function like `fetch`, each request of which is proposed, waited for, made if it may be, and reported.
 *
 * What is proposed is what is sent: a copy of the request is made first, and nothing that the caller holds changes
 * it. Methods are in capitals on the wire whatever the caller wrote, and URLs are normalised. What servers read in
 * different ways is refused: a user in the URL, an address like `127.1`, `%2F` in the path, a `;` in the query,
 * another `Host`, a header that rewrites the URL or says where the request ends, a name that a JSON body has twice.
 *
 * Redirects are followed here, each hop a proposal of its own, and only harmless headers go on to another origin. A
 * response of 400 and more is reported as failed, and returned as `fetch` returns it. A no is thrown as
 * `ActionDenied`, and an abort as the signal's reason, as by `fetch`. The body is read into memory before it is sent,
 * since a redirect may want it again. What only one `fetch` knows of its second argument (a `dispatcher`, for
 * example) goes into a `fetch` option of your own.
 */
export function governedFetch(given: FetchGovernOptions): typeof globalThis.fetch {
    // The global `fetch` of now: it may be replaced by the very function that is made here.
    const checked = checkedOptions(given);
    const options = own({ ...checked, fetch: checked.fetch ?? globalThis.fetch });
    if (typeof (options.fetch as unknown) !== "function") {
        throw new AegisError("`fetch` must be a function like the global one", { code: "INVALID_ARGUMENT" });
    }
    const most = options.maxRedirects ?? 20;
    return async (input, init) => {
        const { request, url } = copied(input, init, options);
        const body = request.body === null ? undefined : new Uint8Array(await request.arrayBuffer());
        let hop: Hop = { method: request.method.toUpperCase(), url, headers: new Headers(request.headers), body };
        for (let redirects = 0; ; redirects += 1) {
            const response = await send(hop, request, options);
            const location = REDIRECTS.has(response.status) ? response.headers.get("location") : null;
            if (redirects > 0) Object.defineProperty(response, "redirected", { value: true });
            if (location === null || request.redirect === "manual") return response;
            await response.body?.cancel();
            if (request.redirect === "error")
                throw new TypeError(`fetch failed: ${hop.url.href} redirects to ${location}`);
            if (redirects >= most) throw new TypeError(`fetch failed: more than ${most} redirects`);
            hop = next(hop, response.status, location, options);
        }
    };
}

/** The caller's request in objects of our own, each part of it read once. */
function copied(
    input: string | URL | Request,
    init: RequestInit | undefined,
    options: UrlOptions,
): { readonly request: Request; readonly url: URL } {
    if (input instanceof Request) {
        const request = new Request(input, init);
        return { request, url: normalUrl(new URL(request.url), options) };
    }
    // As `fetch` has it: whatever is no request is a URL as text.
    const given: unknown = input;
    const url = given instanceof URL ? normalUrl(new URL(given.href), options) : writtenUrl(String(given), options);
    return { request: new Request(url, init), url };
}

async function send(
    hop: Hop,
    request: Request,
    options: FetchGovernOptions & { readonly fetch: typeof globalThis.fetch },
): Promise<Response> {
    const { method, url, headers, body } = hop;
    const asked = proposal(hop);
    const action = options.action?.(copyOf(hop)) ?? asked;
    const signal = AbortSignal.any([request.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    const { cache, credentials, integrity, keepalive, mode, referrer, referrerPolicy } = request;
    const settings = { cache, credentials, integrity, keepalive, mode, referrer, referrerPolicy };
    let got: Response | undefined;
    const make = async (): Promise<Execution<Response>> => {
        const execution = await executed(async () =>
            options.fetch(url.href, {
                ...settings,
                method,
                headers,
                body: body === undefined ? null : body.slice(),
                signal,
                redirect: "manual",
            }),
        );
        const { data: response } = execution;
        if (response === undefined) return execution;
        got = response;
        // A response has no JSON; what is recorded of it has.
        Object.defineProperty(response, "toJSON", { value: () => ({ status_code: response.status }) });
        return response.status < 400 ? execution : { ...execution, status: "failed", error: `HTTP ${response.status}` };
    };
    try {
        const result = await perform(action, { ...options, signal }, make);
        return result.data ?? unwrap(result);
    } catch (error) {
        // The response is in a `ReportError`. With any other error nobody gets it: it would keep its connection.
        if (!(error instanceof ReportError)) await got?.body?.cancel().catch(() => undefined);
        throw error instanceof AbortError ? signal.reason : error;
    }
}

/** The request that a redirect asks for, as the Fetch standard has it. */
function next(hop: Hop, status: number, location: string, options: UrlOptions): Hop {
    if (!URL.canParse(location, hop.url.href))
        throw new TypeError(`fetch failed: \`${location}\` is no URL to redirect to`);
    const url = normalUrl(new URL(location, hop.url), options);
    const headers = new Headers(hop.headers);
    if (url.origin !== hop.url.origin) {
        for (const name of [...headers.keys()]) if (!HARMLESS.has(name)) headers.delete(name);
    }
    const asGet = status === 303 ? !["GET", "HEAD"].includes(hop.method) : status < 303 && hop.method === "POST";
    if (!asGet) return { ...hop, url, headers };
    for (const name of OF_BODY) headers.delete(name);
    return { method: "GET", url, headers, body: undefined };
}
