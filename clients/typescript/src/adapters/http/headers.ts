/**
 * The headers of a request. They are never proposed: what would make the request another one than the proposal says is
 * refused, and a method that a header asks for is a parameter.
 */
import { InvalidActionError } from "../../errors.js";
import { writtenUrl } from "./url.js";

/** By which frameworks let a client ask for another method. */
const OVERRIDES = ["x-http-method-override", "x-http-method", "x-method-override"];
/** By which servers are told of another host or path than the URL says. */
const REWRITES: ReadonlySet<string> = new Set([
    "destination",
    "forwarded",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-host",
    "x-http-destinationurl",
    "x-http-host-override",
    "x-ms-original-url",
    "x-original-host",
    "x-original-method",
    "x-original-path",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-rewrite-uri",
    "x-rewrite-url",
    "x-script-name",
    "x-waws-unencoded-url",
]);
/** Which say where a request ends, or make the connection another one: the HTTP library's own. */
const FRAMING: ReadonlySet<string> = new Set([
    "http2-settings",
    "proxy-connection",
    "trailer",
    "transfer-encoding",
    "upgrade",
]);

/**
 * Which the library writes itself, or reads: another spelling of them is another header to it, and none to some
 * servers.
 */
const SPELLED_ONE_WAY: ReadonlySet<string> = new Set([
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
]);

const refused = (name: string, problem: string): InvalidActionError =>
    new InvalidActionError(`headers.${name}`, problem);

/** A name as servers compare it: some take `_` for `-`. */
const nameOf = (written: string): string => written.toLowerCase().replaceAll("_", "-");

/** Refuses headers that make the request another one than its method, URL and body say. */
export function checkHeaders(headers: Headers, url: URL, body: Uint8Array | undefined): void {
    for (const written of headers.keys()) {
        const name = nameOf(written);
        if (REWRITES.has(name)) throw refused(name, "asks servers for another host or path than the URL says");
        if (FRAMING.has(name)) throw refused(name, "is the HTTP library's own: it says where a request ends");
        if (name !== written && SPELLED_ONE_WAY.has(name)) throw refused(written, `is \`${name}\` to some servers`);
    }
    const te = headers.get("te")?.trim().toLowerCase() ?? "";
    if (te !== "" && te !== "trailers") throw refused("te", "asks for an encoding of the transfer: leave it out");
    const host = headers.get("host");
    if (host !== null && !sameHost(host, url)) {
        throw refused("host", `is \`${host}\`, and the URL says \`${url.host}\`: rules look at the URL`);
    }
    const connection = headers.get("connection");
    if (connection !== null && !/^\s*(?:keep-alive|close)\s*$/i.test(connection)) {
        throw refused("connection", "may be `keep-alive` or `close`: other words take headers off on the way");
    }
    const length = headers.get("content-length");
    if (length !== null && length !== String(body?.byteLength ?? 0)) {
        throw refused("content-length", `is ${length}, and the body has ${body?.byteLength ?? 0} bytes`);
    }
}

/** The method that headers ask for in place of the request's, in lower case. */
export function overriddenMethod(headers: Headers): string | undefined {
    const asked = [...headers].flatMap(([name, value]) =>
        OVERRIDES.includes(nameOf(name)) && value.trim() !== "" ? [value.trim().toLowerCase()] : [],
    );
    const [override] = asked;
    if (override === undefined) return undefined;
    if (asked.some((other) => other !== override) || !/^[a-z]+$/.test(override)) {
        throw refused("x-http-method-override", `asks for ${asked.join(" and ")}, and servers take either`);
    }
    return override;
}

function sameHost(host: string, url: URL): boolean {
    try {
        return writtenUrl(`${url.protocol}//${host}/`).host === url.host;
    } catch {
        return false;
    }
}
