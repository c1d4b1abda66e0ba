/** What an auditor calls: the rows of the record, read without a gap over as many streams as it takes. */
import type { CallOptions as ConnectCallOptions, Client } from "@connectrpc/connect";
import type { Connection } from "../connection.js";
import type { AuditService } from "../proto/audit_pb.js";
import type { AuditFilter, AuditRow } from "../types.js";
import { auditFilterToWire, auditRowFromWire } from "../wire/audit.js";

/** How to read the record. */
export interface StreamAuditOptions extends AuditFilter {
    /** Of what is recorded already, only the newest this many. All. */
    readonly limit?: number | undefined;
    /** Whether what is recorded already comes newest first. `false`. */
    readonly newestFirst?: boolean | undefined;
    /** Whether to go on with what is recorded from then on. A row comes again each time that it changes. `false`. */
    readonly follow?: boolean | undefined;
    /** With `follow`: called once what was recorded already is complete. */
    readonly onCaughtUp?: (() => void) | undefined;
    /** Ends the reading: it fails with the code `CANCELLED`. Leaving the loop ends it as well, without an error. */
    readonly signal?: AbortSignal | undefined;
}

/** One reading of the record: how far it has come, over all its streams. */
export class AuditReading {
    readonly #connection: Connection;
    readonly #audit: Client<typeof AuditService>;
    readonly #options: StreamAuditOptions;
    /** Of history: the last row, and how many there were. */
    #lastId = 0;
    #count = 0;
    /** How far the log was read, once history is complete. */
    #sequence: bigint | undefined;

    constructor(connection: Connection, audit: Client<typeof AuditService>, options: StreamAuditOptions) {
        this.#connection = connection;
        this.#audit = audit;
        this.#options = options;
    }

    rows(): AsyncGenerator<AuditRow> {
        return this.#connection.stream(this.#options.signal, (call) => this.#read(call));
    }

    async *#read(call: ConnectCallOptions): AsyncGenerator<AuditRow> {
        const { limit = 0, newestFirst = false, follow = false } = this.#options;
        const filter = auditFilterToWire(this.#options);
        const request =
            this.#sequence === undefined
                ? { filter, limit: BigInt(limit), newestFirst, follow }
                : { filter, follow, resumeAfter: this.#sequence };
        for await (const { sequence: at, event } of this.#audit.streamAudit(request, call)) {
            if (this.#sequence !== undefined && at > this.#sequence) this.#sequence = at;
            if (event.case === "caughtUp" && this.#sequence === undefined) {
                this.#sequence = at;
                this.#options.onCaughtUp?.();
            }
            if (event.case !== "row") continue;
            const row = auditRowFromWire(event.value);
            if (this.#sequence === undefined && this.#hadAlready(row.id, newestFirst, limit)) continue;
            yield row;
        }
        if (follow) throw this.#connection.failure(new Error("the stream ended"));
    }

    /** Whether a row of history came already, over an earlier stream, or is past the limit. */
    #hadAlready(id: number, newestFirst: boolean, limit: number): boolean {
        const had = this.#lastId !== 0 && (newestFirst ? id >= this.#lastId : id <= this.#lastId);
        if (had || (limit > 0 && this.#count >= limit)) return true;
        this.#lastId = id;
        this.#count += 1;
        return false;
    }
}
