/**
 * The one spelling of a URL, which rules see and which is sent: the same in every SDK, as tests/sdk/http.yaml has it.
 * What servers and libraries read in different ways is refused.
 */
import { InvalidActionError } from "../../errors.js";
import type { Json } from "../../types.js";

/** How a URL is read. */
export interface UrlOptions {
    /** Whether `%2F` and `%5C` may stand in a path, which some servers read as slashes and others do not. `false`. */
    readonly allowEncodedSlashes?: boolean | undefined;
}

const refused = (problem: string): InvalidActionError => new InvalidActionError("url", problem);

/**
 * A URL as somebody wrote it. The parser of `URL` reads more than those of other languages, and a rule must not depend
 * on whose is asked.
 */
export function writtenUrl(written: string, options: UrlOptions = {}): URL {
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
    // Before the parser resolves them: what stands beside an escaped slash is a segment to some servers only.
    checkPath(written.slice(written.indexOf(authority) + authority.length).split(/[?#]/, 1)[0] ?? "", options);
    const url = normalUrl(new URL(written), options);
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

/** The one spelling of a URL that was parsed already. */
export function normalUrl(given: URL, options: UrlOptions = {}): URL {
    const url = new URL(given);
    url.hash = "";
    if (url.protocol !== "http:" && url.protocol !== "https:") {
        throw refused(`a governed request speaks http and https, not ${url.protocol}`);
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
    checkPath(url.pathname, options);
    url.pathname = normalPath(url.pathname);
    return url;
}

/** Refuses what one server resolves and another does not. */
function checkPath(path: string, { allowEncodedSlashes = false }: UrlOptions): void {
    const slash = /%(?:2f|5c)/i;
    if (!allowEncodedSlashes && slash.test(path)) {
        throw refused(
            "holds %2F or %5C, which some servers read as a slash and others do not: " +
                "write /, or allow it with `allowEncodedSlashes`",
        );
    }
    const segments = path.split(/\/|%2f|%5c/i);
    const dots = (segment: string): boolean => /^(?:\.|%2e){1,2}$/i.test(segment);
    if (slash.test(path) && segments.some(dots)) throw refused("holds dots beside an escaped slash");
    if (segments.some((segment) => segment.includes(";") && dots(segment.split(";", 1)[0] ?? ""))) {
        throw refused("holds dots with a parameter (`..;`), which some servers resolve and others do not");
    }
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
