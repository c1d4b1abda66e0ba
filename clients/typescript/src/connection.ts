/** A connection to one daemon: opened at the first call, opened again whenever it broke, with one credential. */
import { type CallOptions as ConnectCallOptions, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { JoinedSignal, throwIfAborted } from "./abort.js";
import { agentEndpoint } from "./data-dir.js";
import { DEFAULT_ENDPOINT, readEndpoint, type TlsOptions } from "./endpoint.js";
import { variable } from "./environment.js";
import { AegisError } from "./errors.js";
import { failure, passes } from "./failure.js";
import { checkNames } from "./names.js";
import { advised, backoff, LONGEST_PAUSE, pause, SHORTEST_PAUSE } from "./pause.js";
import { own } from "./values.js";

/** How to reach a daemon. All times are in seconds. */
export interface ConnectionOptions extends TlsOptions {
    /**
     * `http://HOST:PORT`, `https://HOST:PORT` or `unix:/PATH`. `AEGIS_ENDPOINT`, else `agent.sock` in the data
     * directory of this user's daemon, else `http://127.0.0.1:50051`.
     */
    readonly endpoint?: string | undefined;
    /**
     * The credential. `AEGIS_TOKEN`, else `AEGIS_API_KEY`, else none; the empty string is none, whatever the variables
     * say: an anonymous agent. It is sent over `https://`, a unix socket or loopback only.
     */
    readonly apiKey?: string | undefined;
    /**
     * How long one attempt of a call may take, in seconds; `retries` and `retryDelay` say how many there are. 30. At
     * most 3,600.
     */
    readonly timeout?: number | undefined;
    /** How often a call is tried again that failed for a reason that passes. 3. */
    readonly retries?: number | undefined;
    /**
     * How long to wait before the first of those, in seconds; it doubles each time up to 30. Where the daemon says how
     * long, that counts. 1.
     */
    readonly retryDelay?: number | undefined;
    /** Interceptors of Connect around every call, the outermost first: for tracing, for example. */
    readonly interceptors?: readonly Interceptor[] | undefined;
}

/** What every call takes beside its request. */
export interface CallOptions {
    /** Ends the call: it fails with the code `CANCELLED`. */
    readonly signal?: AbortSignal | undefined;
    /** How long one attempt of this call may take, in seconds, instead of the client's `timeout`. */
    readonly timeout?: number | undefined;
    /** How often this call is tried again, instead of the client's `retries`. Approving and denying never are. */
    readonly retries?: number | undefined;
}

/** The largest message that is read. A row of the record is smaller by far. */
const READ_MAX_BYTES = 64 * 1024 * 1024;
/** A daemon that vanished without a word is noticed while a call waits for a person. */
const PING = { pingIntervalMs: 20_000, pingTimeoutMs: 10_000 };
/** Over this, somebody meant milliseconds. */
const LONGEST_TIMEOUT = 3600;

/** One daemon, one credential. */
export class Connection {
    /** Where the daemon is. */
    readonly endpoint: string;
    /** What stubs of the API are made with. */
    readonly transport: Transport;
    readonly #sessions: Http2SessionManager;
    readonly #timeout: number;
    readonly #retries: number;
    readonly #retryDelay: number;
    readonly #closed = new AbortController();

    constructor(given: ConnectionOptions) {
        checkNames(given);
        const options = own(given);
        this.endpoint = options.endpoint ?? variable("AEGIS_ENDPOINT") ?? agentEndpoint() ?? DEFAULT_ENDPOINT;
        this.#timeout = seconds(options.timeout ?? 30, "timeout", LONGEST_TIMEOUT);
        this.#retryDelay = seconds(options.retryDelay ?? 1, "retryDelay", LONGEST_PAUSE, 0);
        this.#retries = options.retries ?? 3;
        if (!Number.isInteger(this.#retries) || this.#retries < 0)
            throw invalid("retries must be a whole number, 0 or more");
        const endpoint = readEndpoint(this.endpoint, {
            tlsCa: options.tlsCa ?? variable("AEGIS_TLS_CA"),
            tlsCert: options.tlsCert ?? variable("AEGIS_TLS_CERT"),
            tlsKey: options.tlsKey ?? variable("AEGIS_TLS_KEY"),
        });
        const credential = (options.apiKey ?? variable("AEGIS_TOKEN") ?? variable("AEGIS_API_KEY") ?? "").trim();
        if (credential !== "" && !endpoint.confidential) {
            throw invalid(
                `the credential is not sent to ${this.endpoint}, where everybody on the way could read it: ` +
                    "use https://, a unix socket or loopback",
            );
        }
        if (!/^[\x21-\x7e]*$/.test(credential)) throw invalid("the credential holds characters that no credential has");
        this.#sessions = new Http2SessionManager(endpoint.baseUrl, PING, endpoint.nodeOptions);
        this.transport = createGrpcTransport({
            baseUrl: endpoint.baseUrl,
            sessionManager: this.#sessions,
            readMaxBytes: READ_MAX_BYTES,
            acceptCompression: [],
            interceptors: [...(options.interceptors ?? []), ...(credential === "" ? [] : [bearer(credential)])],
        });
    }

    /** Ends every call that is under way, and the connection. */
    close(): void {
        this.#closed.abort();
        this.#sessions.abort();
    }

    /**
     * Makes a call, again and again while it fails for a reason that passes and its retries last.
     * `attempt` is told which try it is, counted from 0.
     */
    async call<T>(options: CallOptions, attempt: (options: ConnectCallOptions, n: number) => Promise<T>): Promise<T> {
        const timeout =
            options.timeout === undefined ? this.#timeout : seconds(options.timeout, "timeout", LONGEST_TIMEOUT);
        const retries = options.retries ?? this.#retries;
        for (let n = 0; ; n += 1) {
            try {
                return await this.once(options.signal, Math.ceil(timeout * 1000), (call) => attempt(call, n));
            } catch (thrown) {
                const error = this.failure(thrown, options.signal);
                if (n >= retries || !passes(error)) throw error;
                await this.pause(this.pauseAfter(error, n), options.signal);
            }
        }
    }

    /** Makes a call once. Throws an {@link AegisError}. */
    async once<T>(
        signal: AbortSignal | undefined,
        timeoutMs: number,
        attempt: (options: ConnectCallOptions) => Promise<T>,
    ): Promise<T> {
        this.#throwIfClosed();
        throwIfAborted(signal);
        const end = performance.now() + timeoutMs;
        const joined = new JoinedSignal(signal);
        try {
            return await attempt({ signal: joined.signal, timeoutMs: Math.max(timeoutMs, 1) });
        } catch (thrown) {
            this.#throwIfClosed();
            const error = this.failure(thrown, signal);
            // The daemon keeps the deadline too, may notice a moment before this side does, and calls it CANCELLED.
            const late = error.code === "CANCELLED" && signal?.aborted !== true && end - performance.now() < 1000;
            if (!late) throw error;
            const message = `the daemon at ${this.endpoint} did not answer in time`;
            throw new AegisError(message, { code: "DEADLINE_EXCEEDED", cause: error });
        } finally {
            joined.release();
        }
    }

    /**
     * Reads a stream for good: where it breaks for a reason that passes, it is opened again. `open` makes the stream
     * anew from what was read so far. The first time is tried no more often than a call.
     */
    async *stream<T>(
        signal: AbortSignal | undefined,
        open: (options: ConnectCallOptions) => AsyncIterable<T>,
    ): AsyncGenerator<T> {
        let everOpen = false;
        for (let n = 0; ; n += 1) {
            this.#throwIfClosed();
            throwIfAborted(signal);
            const end = new AbortController();
            const joined = new JoinedSignal(end.signal, this.#closed.signal, signal);
            let wait: number;
            try {
                for await (const message of open({ signal: joined.signal })) {
                    everOpen = true;
                    n = 0;
                    yield message;
                }
                return;
            } catch (thrown) {
                this.#throwIfClosed();
                const error = this.failure(thrown, signal);
                if (!passes(error) || (!everOpen && n >= this.#retries)) throw error;
                wait = this.pauseAfter(error, n);
            } finally {
                // Whoever stops reading ends the stream, for the daemon too.
                end.abort();
                joined.release();
            }
            await this.pause(wait, signal);
        }
    }

    /** Waits this many seconds, or until the client is closed or the signal aborted: those are errors. */
    async pause(seconds: number, signal?: AbortSignal): Promise<void> {
        await pause(Math.max(seconds, SHORTEST_PAUSE), this.#closed.signal, signal);
    }

    /** What a call threw, as one of our errors. */
    failure(thrown: unknown, signal?: AbortSignal): AegisError {
        return failure(thrown, this.endpoint, signal);
    }

    /** How long to wait after try `n`, which failed so, in seconds: as long as the daemon says, where it does. */
    pauseAfter(error: AegisError, n: number): number {
        return error.retryAfter === undefined ? backoff(this.#retryDelay, n) : advised(error.retryAfter);
    }

    /** How long a call may take where nobody says otherwise, in seconds. */
    get timeout(): number {
        return this.#timeout;
    }

    /** How often a call is tried again where nobody says otherwise. */
    get retries(): number {
        return this.#retries;
    }

    #throwIfClosed(): void {
        if (this.#closed.signal.aborted) {
            throw new AegisError("the client is closed", { code: "FAILED_PRECONDITION" });
        }
    }
}

function bearer(credential: string): Interceptor {
    return (next) => async (request) => {
        request.header.set("authorization", `Bearer ${credential}`);
        return next(request);
    };
}

const invalid = (message: string): AegisError => new AegisError(message, { code: "INVALID_ARGUMENT" });

/** A time that makes sense in seconds. */
export function seconds(value: number, name: string, most: number, least = Number.MIN_VALUE): number {
    if (value >= least && value <= most) return value;
    const bounds = least === 0 ? `from 0 to ${most}` : `more than 0, at most ${most}`;
    throw invalid(
        `${name}: ${value} is not a number of seconds (${bounds}); all times are in seconds, not milliseconds`,
    );
}
