/** What a request proposes: the same in every SDK, as tests/sdk/http.yaml has it. */
import { InvalidActionError } from "../errors.js";
import type { ActionInput, Json } from "../types.js";

/** Of a larger body only the size is proposed. */
const LONGEST_BODY = 16 * 1024;
/** A JSON body that is nested deeper is proposed as its text. */
const DEEPEST = 30;
/** The headers by which frameworks let a client ask for another method. */
const OVERRIDES = ["x-http-method-override", "x-http-method", "x-method-override"];

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

const refused = (problem: string): InvalidActionError => new InvalidActionError("url", problem);

/**
 * A URL as somebody wrote it. The parser of `URL` reads more than those of other languages, and a rule must not
 * depend on whose is asked.
 */
export function writtenUrl(written: string): URL {
    // eslint-disable-next-line no-control-regex
    if (/[\0-\x1f\x7f\\]|^\s|\s$/.test(written)) {
        throw refused("holds a backslash, a control character or space around it: write %5C, or /");
    }
    const authority = /^https?:\/\/([^/?#]+)/i.exec(written)?.[1];
    if (authority === undefined || !URL.canParse(written)) {
        throw refused(`\`${written.split(/[?#]/, 1)[0] ?? ""}\` is no URL of http:// or https:// with a host`);
    }
    if (authority.includes("@")) throw refused("a URL carries no user and no password: send a header");
    const host = authority.replace(/:\d*$/, "");
    const url = normalUrl(new URL(written));
    const strange = host.startsWith("[")
        ? host.includes("%")
        : // Addresses in short, in hex or in digits of another script are something else to other parsers.
          host.includes("%") ||
          (isAddress(url.hostname) && host !== url.hostname) ||
          (/[^\0-\x7f]/.test(host) && !url.hostname.includes("xn--"));
    if (strange) throw refused(`\`${host}\` is not written as a host is: ${url.hostname}?`);
    return url;
}

const isAddress = (host: string): boolean => /^(\d+\.){3}\d+$/.test(host);

/** The one spelling of a URL, which rules see and which is sent. */
export function normalUrl(given: URL): URL {
    const url = new URL(given);
    url.hash = "";
    if (url.protocol !== "http:" && url.protocol !== "https:") {
        throw refused(`a governed fetch speaks http and https, not ${url.protocol}`);
    }
    if (url.username !== "" || url.password !== "")
        throw refused("a URL carries no user and no password: send a header");
    const mapped = /^\[::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/.exec(url.hostname);
    if (mapped !== null) {
        const [high = 0, low = 0] = mapped.slice(1).map((part) => Number.parseInt(part, 16));
        url.hostname = [high >> 8, high & 255, low >> 8, low & 255].join(".");
    }
    if (url.hostname.endsWith(".")) url.hostname = url.hostname.slice(0, -1);
    if (!/^([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])$/.test(url.hostname)) {
        throw refused(`\`${url.hostname}\` is not a host`);
    }
    url.pathname = normalPath(url.pathname);
    return url;
}

/** A path without needless escapes (RFC 3986, 6.2.2), and with all that are needed. */
function normalPath(path: string): string {
    return path.replace(/%([0-9a-f]{2})?|[^A-Za-z0-9._~!$&'()*+,;=:@/-]/gi, (found: string, code?: string) => {
        if (!found.startsWith("%")) return encodeURIComponent(found);
        if (code === undefined) throw refused("holds a % that is no escape: write %25");
        const character = String.fromCharCode(Number.parseInt(code, 16));
        return /[A-Za-z0-9._~-]/.test(character) ? character : found.toUpperCase();
    });
}

/** A URL as an action has it: without its query as the target, and with it as a parameter. */
export function proposedUrl(url: URL): { readonly target: string; readonly params: Record<string, Json> } {
    const query = readQuery(url.search.slice(1));
    const params: Record<string, Json> = Object.keys(query).length > 0 ? { query } : {};
    return { target: `${url.origin}${url.pathname}`, params };
}

/** What a request proposes. */
export function proposal({ method, url, headers, body }: Hop): ActionInput {
    const host = headers.get("host");
    if (host !== null && !sameHost(host, url)) {
        throw new InvalidActionError(
            "headers.host",
            `is \`${host}\`, and the URL says \`${url.host}\`: rules look at the URL`,
        );
    }
    const { target, params } = proposedUrl(url);
    const asked = OVERRIDES.map((name) => (headers.get(name) ?? "").trim().toLowerCase()).filter((name) => name !== "");
    const [override] = asked;
    if (override !== undefined) {
        if (asked.some((other) => other !== override)) {
            throw new InvalidActionError(
                "headers",
                `ask for the methods ${asked.join(" and ")} in place of that of the request`,
            );
        }
        params["method_override"] = override;
    }
    if (body !== undefined && body.byteLength > 0)
        Object.assign(params, shown(body, headers.get("content-type") ?? ""));
    return { type: method.toLowerCase(), target, params };
}

function sameHost(host: string, url: URL): boolean {
    try {
        return writtenUrl(`${url.protocol}//${host}/`).host === url.host;
    } catch {
        return false;
    }
}

/** Each name of a query with its values, in order. What is not well formed servers read in different ways. */
function readQuery(raw: string): Record<string, string[]> {
    const query: Record<string, string[]> = {};
    const read = (text: string): string => {
        try {
            return decodeURIComponent(text.replaceAll("+", " "));
        } catch {
            throw refused("its query cannot be read: it holds an escape that is none, or is not UTF-8");
        }
    };
    for (const part of raw.split("&")) {
        if (part === "") continue;
        if (part.includes(";"))
            throw refused("its query holds a semicolon, which separates parts to some servers: write %3B");
        const [written = "", ...rest] = part.split("=");
        const name = read(written);
        if (name === "__proto__") throw refused("its query has the name __proto__, which cannot be proposed safely");
        const value = read(rest.join("="));
        if (Object.hasOwn(query, name)) query[name]?.push(value);
        else query[name] = [value];
    }
    return query;
}

/** A body, as a rule and a reviewer can read it. */
function shown(body: Uint8Array, contentType: string): Record<string, Json> {
    const size = { body_bytes: body.byteLength };
    const type = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
    const isJson = type === "application/json" || type.endsWith("+json");
    const isText = type.startsWith("text/") || type === "application/x-www-form-urlencoded";
    if ((!isJson && !isText) || body.byteLength > LONGEST_BODY) return size;
    let text: string;
    try {
        text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    } catch {
        return size;
    }
    return { body: (isJson ? exactJson(text) : undefined)?.value ?? text };
}

/** The value of a JSON text, where it says all that the text does, in every SDK. */
function exactJson(text: string): { readonly value: Json } | undefined {
    try {
        const value = JSON.parse(text) as Json;
        // A name that is there twice servers read in different ways, and `JSON.parse` does not tell.
        const written = text.match(/"(?:[^"\\]|\\.)*"(?:\s*:)?/g)?.filter((found) => found.endsWith(":")).length ?? 0;
        return names(value, 0) === written ? { value } : undefined;
    } catch {
        return undefined;
    }
}

/** How many names a value has, at all depths. Throws where an action cannot hold it exactly. */
function names(value: Json, depth: number): number {
    if (typeof value === "string" && !value.isWellFormed()) throw new RangeError("half a surrogate pair");
    if (typeof value === "number" && !(Math.abs(value) <= Number.MAX_SAFE_INTEGER)) throw new RangeError("not exact");
    if (typeof value !== "object" || value === null) return 0;
    if (depth >= DEEPEST) throw new RangeError("too deep");
    let count = 0;
    for (const [name, item] of Object.entries(value)) {
        if (name === "__proto__" || !name.isWellFormed()) throw new RangeError("a name that cannot be sent");
        count += (Array.isArray(value) ? 0 : 1) + names(item, depth + 1);
    }
    return count;
}
