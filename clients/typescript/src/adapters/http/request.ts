/** What a request proposes: the same in every SDK, as tests/sdk/http.yaml has it. */
import { InvalidActionError } from "../../errors.js";
import type { ActionInput } from "../../types.js";
import { shownBody } from "./body.js";
import { checkHeaders, overriddenMethod } from "./headers.js";
import { proposedUrl } from "./url.js";

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

/** What a request proposes. */
export function proposal({ method, url, headers, body }: Hop): ActionInput {
    if (!/^[!#$%&'*+.^_`|~0-9A-Z-]+$/.test(method) || ["CONNECT", "TRACE", "TRACK"].includes(method)) {
        throw new InvalidActionError("method", `\`${method}\` is no method of a request that can be proposed`);
    }
    checkHeaders(headers, url, body);
    const { target, params } = proposedUrl(url);
    const override = overriddenMethod(headers);
    if (override !== undefined) params["method_override"] = override;
    if (body !== undefined && body.byteLength > 0) {
        const [type, encoding] = ["content-type", "content-encoding"].map((name) => headers.get(name) ?? "");
        Object.assign(params, shownBody(body, type ?? "", encoding));
    }
    return { type: method.toLowerCase(), target, params };
}

/** The same request in objects of its own: who is shown one cannot change what is sent. */
export function copyOf({ method, url, headers, body }: Hop): Hop {
    return { method, url: new URL(url), headers: new Headers(headers), body: body === undefined ? body : body.slice() };
}
