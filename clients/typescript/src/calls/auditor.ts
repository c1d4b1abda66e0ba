/** What an auditor calls: the rows of the record, read without a gap over as many streams as it takes; and lookups. */
import type { CallOptions as ConnectCallOptions, Client } from "@connectrpc/connect";
import type { CallOptions, Connection } from "../connection.js";
import { text } from "../json.js";
import type { AuditService } from "../proto/audit_pb.js";
import type { AuditFilter, AuditRow, DecisionLife, RowLeft, Stats } from "../types.js";
import { auditFilterToWire, auditRowFromWire, decisionLifeFromWire, statsFromWire } from "../wire/audit.js";

/** The largest page that the daemon returns. */
const LARGEST_PAGE = 1000;

/** Which rows to list. */
export interface ListDecisionsOptions extends AuditFilter {
    /** How many at most. All. */
    readonly limit?: number | undefined;
    /** Whether the newest comes first. `false`. */
    readonly newestFirst?: boolean | undefined;
}

/** How to read the record. */
export interface StreamAuditOptions extends AuditFilter {
    /** Of what is recorded already, only the newest this many; 0: none. All. */
    readonly limit?: number | undefined;
    /** Whether what is recorded already comes newest first. `false`. */
    readonly newestFirst?: boolean | undefined;
    /** Whether to go on with what is recorded from then on. A row comes again each time that it changes. `false`. */
    readonly follow?: boolean | undefined;
    /** With `follow`: called once what was recorded already is complete. */
    readonly onCaughtUp?: (() => void) | undefined;
    /** With `follow`: called where a row that has changed does not match the filter any longer. */
    readonly onLeft?: ((left: RowLeft) => void) | undefined;
    /** Ends the reading: it fails with the code `CANCELLED`. Leaving the loop ends it as well, without an error. */
    readonly signal?: AbortSignal | undefined;
}

/** One reading of the record: how far it has come, over all its streams. */
export class AuditReading {
    readonly #connection: Connection;
    readonly #audit: Client<typeof AuditService>;
    readonly #options: StreamAuditOptions;
    /** Of history: the last row, and how many there were. */
    #last = 0;
    #count = 0;
    /** How far the log was read, once history is complete. */
    #cursor: string | undefined;

    constructor(connection: Connection, audit: Client<typeof AuditService>, options: StreamAuditOptions) {
        this.#connection = connection;
        this.#audit = audit;
        this.#options = options;
    }

    rows(): AsyncGenerator<AuditRow> {
        return this.#connection.stream(this.#options.signal, (call) => this.#read(call));
    }

    async *#read(call: ConnectCallOptions): AsyncGenerator<AuditRow> {
        const { limit, newestFirst = false, follow = false } = this.#options;
        const filter = auditFilterToWire(this.#options);
        const request =
            this.#cursor === undefined
                ? { filter, newestFirst, follow, ...(limit !== undefined && { limit: BigInt(limit) }) }
                : { filter, follow, resumeAfter: this.#cursor };
        for await (const { cursor, event } of this.#audit.streamAudit(request, call)) {
            if (this.#cursor !== undefined && cursor !== "") this.#cursor = cursor;
            if (event.case === "caughtUp" && this.#cursor === undefined) {
                this.#cursor = cursor;
                this.#options.onCaughtUp?.();
            }
            if (event.case === "left") {
                const { number, decisionId } = event.value;
                this.#options.onLeft?.({ number: Number(number), decisionId });
            }
            if (event.case !== "row") continue;
            const row = auditRowFromWire(event.value);
            if (this.#cursor === undefined && this.#hadAlready(row.number, newestFirst, limit)) continue;
            yield row;
        }
        if (follow) throw this.#connection.failure(new Error("the stream ended"));
    }

    /** Whether a row of history came already, over an earlier stream, or is past the limit. */
    #hadAlready(number: number, newestFirst: boolean, limit = Infinity): boolean {
        const had = this.#last !== 0 && (newestFirst ? number >= this.#last : number <= this.#last);
        if (had || this.#count >= limit) return true;
        this.#last = number;
        this.#count += 1;
        return false;
    }
}

/** The auditor's lookups over one connection. */
export class AuditorCalls {
    readonly #connection: Connection;
    readonly #audit: Client<typeof AuditService>;

    constructor(connection: Connection, audit: Client<typeof AuditService>) {
        this.#connection = connection;
        this.#audit = audit;
    }

    stream(options: StreamAuditOptions): AsyncGenerator<AuditRow> {
        return new AuditReading(this.#connection, this.#audit, options).rows();
    }

    async list(wanted: ListDecisionsOptions, options: CallOptions): Promise<AuditRow[]> {
        const { limit = Infinity, newestFirst = false } = wanted;
        const filter = auditFilterToWire(wanted);
        const rows: AuditRow[] = [];
        let pageToken = "";
        while (rows.length < limit) {
            const pageSize = Math.min(LARGEST_PAGE, limit - rows.length);
            const request = { filter, newestFirst, pageSize, pageToken };
            const page = await this.#connection.call(options, (call) => this.#audit.listDecisions(request, call));
            rows.push(...page.rows.map(auditRowFromWire));
            pageToken = page.nextPageToken;
            if (pageToken === "") break;
        }
        return rows;
    }

    async get(id: string, options: CallOptions): Promise<DecisionLife> {
        const request = { id: text(id, "id") };
        return decisionLifeFromWire(
            await this.#connection.call(options, (call) => this.#audit.getDecision(request, call)),
        );
    }

    async stats(top: number, options: CallOptions): Promise<Stats> {
        return statsFromWire(await this.#connection.call(options, (call) => this.#audit.getStats({ top }, call)));
    }
}
