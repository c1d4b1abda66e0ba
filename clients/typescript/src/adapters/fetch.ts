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
import type { GovernOptions } from "../govern/options.js";
import { executed, type Execution, perform, unwrap } from "../govern/perform.js";
import type { ActionInput } from "../types.js";
import { type Hop, normalUrl, proposal, writtenUrl } from "./http-request.js";

export type { Hop } from "./http-request.js";

/** How requests are proposed, and made. */
export interface FetchGovernOptions extends GovernOptions {
    /** Makes the requests. The global `fetch`. It is never asked to follow a redirect. */
    readonly fetch?: typeof globalThis.fetch | undefined;
    /**
     * What a request proposes, where not everything of it is wanted. Without it: the method in lower case as the
     * type; the URL without its query as the target; as parameters, where there are any, `query` (each name with its
     * list of values), `method_override` (the method that a header asks for) and `body`: the value of a JSON body
     * (what cannot be sent exactly is text), or the text of a text or a form, up to 16 KiB. Of any other body
     * `body_bytes`, its size. No headers.
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
 * What is proposed is what is sent: methods are in capitals on the wire whatever the caller wrote, URLs are
 * normalised (what servers read in different ways is refused: a user in it, an address like `127.1`, a `;` in the
 * query, another `Host`), and redirects are followed here, each hop a proposal of its own. Only harmless headers go
 * on to another origin. A response of 400 and more is reported as failed, and returned as `fetch` returns it. A no is
 * thrown as `ActionDenied`. The body is read into memory before it is sent, since a redirect may want it again. What
 * only one `fetch` knows of its second argument (a `dispatcher`, for example) goes into a `fetch` option of your own.
 */
export function governedFetch(options: FetchGovernOptions): typeof globalThis.fetch {
    return async (input, init) => {
        const where =
            typeof input === "string" ? writtenUrl(input) : normalUrl(new URL(isRequest(input) ? input.url : input));
        const request = new Request(isRequest(input) ? input : where, init);
        const body = request.body === null ? undefined : new Uint8Array(await request.arrayBuffer());
        let hop: Hop = {
            method: request.method.toUpperCase(),
            url: where,
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
    const asked = proposal(hop);
    const action = options.action?.(hop) ?? asked;
    const make = options.fetch ?? globalThis.fetch;
    const signals = [request.signal, ...(options.signal === undefined ? [] : [options.signal])];
    const signal = AbortSignal.any(signals);
    const { cache, credentials, integrity, keepalive, mode, referrer, referrerPolicy } = request;
    const settings = { cache, credentials, integrity, keepalive, mode, referrer, referrerPolicy };
    const result = await perform(action, { ...options, signal }, async (): Promise<Execution<Response>> => {
        const execution = await executed(async () =>
            make(url, { ...settings, method, headers, body: body ?? null, signal, redirect: "manual" }),
        );
        const { data: response } = execution;
        if (response === undefined) return execution;
        // A response has no JSON; what is recorded of it has.
        Object.defineProperty(response, "toJSON", { value: () => ({ status_code: response.status }) });
        return response.status < 400 ? execution : { ...execution, status: "failed", error: `HTTP ${response.status}` };
    });
    return result.data ?? unwrap(result);
}

/** The request that a redirect asks for, as the Fetch standard has it. */
function next(hop: Hop, status: number, location: string): Hop {
    if (!URL.canParse(location, hop.url.href))
        throw new TypeError(`fetch failed: \`${location}\` is no URL to redirect to`);
    const url = normalUrl(new URL(location, hop.url));
    const headers = new Headers(hop.headers);
    if (url.origin !== hop.url.origin) {
        for (const name of [...headers.keys()]) if (!HARMLESS.has(name)) headers.delete(name);
    }
    const asGet = status === 303 ? !["GET", "HEAD"].includes(hop.method) : status < 303 && hop.method === "POST";
    if (!asGet) return { ...hop, url, headers };
    for (const name of OF_BODY) headers.delete(name);
    return { method: "GET", url, headers, body: undefined };
}

const isRequest = (input: string | URL | Request): input is Request => typeof input === "object" && "url" in input;
