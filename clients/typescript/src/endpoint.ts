/** Where the daemon is, how to speak to it, and whether a credential may travel there. */
import { readFileSync } from "node:fs";
import { connect as connectSocket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ClientSessionOptions, SecureClientSessionOptions } from "node:http2";
import { AegisError } from "./errors.js";

/** Where `aegis serve` listens by default, for agents that cannot look into its data directory. */
export const DEFAULT_ENDPOINT = "http://127.0.0.1:50051";

/** Whom to believe at an `https://` endpoint, and what to show there: paths of PEM files. */
export interface TlsOptions {
    /** The authorities to believe. `AEGIS_TLS_CA`, else those of the system. */
    readonly tlsCa?: string | undefined;
    /** The certificate to show. `AEGIS_TLS_CERT`, else none. */
    readonly tlsCert?: string | undefined;
    /** The key of that certificate. `AEGIS_TLS_KEY`. */
    readonly tlsKey?: string | undefined;
}

/** A daemon's address, as HTTP/2 can use it. */
export interface Endpoint {
    /** What calls are made to. Of a unix socket only in name. */
    readonly baseUrl: string;
    /** How to connect. */
    readonly nodeOptions: ClientSessionOptions | SecureClientSessionOptions;
    /** Whether nobody on the way can read what is said: TLS, a unix socket or loopback. */
    readonly confidential: boolean;
    /** For messages. */
    readonly name: string;
}

const invalid = (message: string, cause?: unknown): AegisError =>
    new AegisError(message, { code: "INVALID_ARGUMENT", cause });

/** Reads an endpoint: `http://HOST:PORT`, `https://HOST:PORT` or `unix:/PATH`. */
export function readEndpoint(endpoint: string, tls: TlsOptions): Endpoint {
    if (endpoint.startsWith("unix:")) {
        const path = endpoint.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
        if (path === "") throw invalid(`the endpoint \`${endpoint}\` has no path: write unix:/PATH`);
        const nodeOptions = { createConnection: () => connectSocket(path) };
        return { baseUrl: "http://localhost", nodeOptions, confidential: true, name: endpoint };
    }
    const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
    const plain = url?.pathname === "/" && url.search === "" && url.hash === "" && url.username === "";
    if (url === undefined || !plain || (url.protocol !== "http:" && url.protocol !== "https:")) {
        throw invalid(`\`${endpoint}\` is not an endpoint: write http://HOST:PORT, https://HOST:PORT or unix:/PATH`);
    }
    if (url.protocol === "http:") {
        const nodeOptions = isV6(url) ? { createConnection: () => connectSocket(addressOf(url)) } : {};
        return { baseUrl: baseUrl(url), nodeOptions, confidential: isLoopback(url.hostname), name: endpoint };
    }
    if ((tls.tlsCert === undefined) !== (tls.tlsKey === undefined)) {
        throw invalid("tlsCert and tlsKey belong together: give both or none");
    }
    const pems = {
        ...(tls.tlsCa !== undefined && { ca: pem(tls.tlsCa, "tlsCa") }),
        ...(tls.tlsCert !== undefined && { cert: pem(tls.tlsCert, "tlsCert") }),
        ...(tls.tlsKey !== undefined && { key: pem(tls.tlsKey, "tlsKey") }),
    };
    const nodeOptions = isV6(url)
        ? { createConnection: () => connectTls({ ...addressOf(url), ALPNProtocols: ["h2"], ...pems }) }
        : pems;
    return { baseUrl: baseUrl(url), nodeOptions, confidential: true, name: endpoint };
}

const isV6 = (url: URL): boolean => url.hostname.startsWith("[");

/** What calls are made to. Node.js writes an IPv6 address without its brackets, and servers refuse that. */
const baseUrl = (url: URL): string => (isV6(url) ? url.origin.replace(url.hostname, "localhost") : url.origin);

function addressOf(url: URL): { readonly host: string; readonly port: number } {
    const port = url.port === "" ? { "http:": 80, "https:": 443 }[url.protocol] : Number(url.port);
    return { host: url.hostname.slice(1, -1), port: port ?? 0 };
}

function pem(path: string, option: string): Buffer {
    try {
        return readFileSync(path);
    } catch (cause) {
        throw invalid(
            `${option}: cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
            cause,
        );
    }
}

function isLoopback(host: string): boolean {
    return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
