/** Calls of the REST API, with the credential that the person signed in with. */
import { signal } from "@preact/signals";

/**
 * The token, in memory only. Not in a cookie: a browser sends the cookies of `localhost` to every port of it, also to a
 * server that an agent runs there. Not in storage: another process that takes this port later could read it.
 */
let token: string | null = null;

/** Why the person must sign in again, if the daemon does not accept the credential any more. */
export const refused = signal<string | null>(null);

/** How much the daemon's clock is ahead of this one, in milliseconds. */
let clockAhead = 0;

/** The daemon's time. Expiry is the daemon's to decide. */
export function daemonNow(): number {
    return Date.now() + clockAhead;
}

export function useToken(given: string | null): void {
    token = given;
    refused.value = null;
}

/** A wrong field of a request, or a finding in a policy. */
export interface Finding {
    file: string;
    line: number;
    column: number;
    path: string;
    message: string;
    code: string;
}

/** A call that failed. */
export class Problem extends Error {
    readonly status: number;
    readonly code: string;
    readonly findings: Finding[];
    readonly violations: { field: string; description: string }[];

    constructor(status: number, document: Partial<Problem> & { detail?: string }) {
        super(document.detail ?? `the daemon answered with status ${status}`);
        this.status = status;
        this.code = document.code ?? "";
        this.findings = document.findings ?? [];
        this.violations = document.violations ?? [];
    }
}

/** What went wrong, for a person. */
export function why(error: unknown): string {
    if (error instanceof Problem) {
        const fields = error.violations.map(({ field, description }) =>
            field ? `${field}: ${description}` : description,
        );
        return [error.message, ...fields].join("; ");
    }
    return error instanceof TypeError ? "the daemon cannot be reached" : String(error);
}

type Query = Record<string, string | number | boolean | null | undefined>;

/** A path with a query. What is empty is left out. */
export function path(base: string, query: Query): string {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
        if (value !== null && value !== undefined && value !== "") parameters.set(name, String(value));
    }
    const text = parameters.toString();
    return text === "" ? base : `${base}?${text}`;
}

/** Sends a request. The answer is good, or a {@link Problem} is thrown. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (token !== null) headers.set("authorization", `Bearer ${token}`);
    const answer = await fetch(path, { ...init, headers, cache: "no-store", credentials: "omit", redirect: "error" });
    const date = Date.parse(answer.headers.get("date") ?? "");
    // The header has whole seconds.
    if (!Number.isNaN(date) && Math.abs(date - daemonNow()) > 1500) clockAhead = date + 500 - Date.now();
    if (answer.ok) return answer;
    const problem = new Problem(answer.status, (await answer.json().catch(() => ({}))) as Partial<Problem>);
    if (answer.status === 401 && problem.code !== "CREDENTIAL_REQUIRED") refused.value = problem.message;
    throw problem;
}

export async function get<T>(path: string, abort?: AbortSignal): Promise<T> {
    const answer = await request(path, abort ? { signal: abort } : {});
    return (await answer.json()) as T;
}

/** Sends a document: a value, or its text. */
export async function send<T>(method: string, path: string, body: unknown): Promise<T> {
    const headers = { "content-type": "application/json" };
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const answer = await request(path, { method, headers, body: text });
    return (await answer.json()) as T;
}
