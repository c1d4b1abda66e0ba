/** The record, read with an auditor's credential. */
import type { StreamAuditOptions } from "./calls/auditor.js";
import type { AegisClient } from "./client.js";
import { AegisError } from "./errors.js";
import type { AuditRow } from "./types.js";

/** Reads the record. */
export class Audit {
    readonly #auditor: AegisClient | undefined;

    /** Reads it with this client. */
    constructor(auditor: AegisClient | undefined) {
        this.#auditor = auditor;
    }

    /** Rows as they come; with `follow` it does not end by itself. */
    stream(options: StreamAuditOptions = {}): AsyncGenerator<AuditRow, void, undefined> {
        if (this.#auditor === undefined) {
            throw new AegisError(
                "the record is read as an auditor: give the Runtime `auditor`, a client with an auditor's credential " +
                    "(`aegis token create --role auditor`)",
                { code: "INVALID_ARGUMENT" },
            );
        }
        return this.#auditor.streamAudit(options);
    }

    /** The rows that are recorded by now, oldest first. */
    async rows(options: Omit<StreamAuditOptions, "follow" | "onCaughtUp"> = {}): Promise<AuditRow[]> {
        const rows: AuditRow[] = [];
        for await (const row of this.stream({ ...options, follow: false })) rows.push(row);
        return rows;
    }

    /** The same as one JSON array. */
    async json(options: Omit<StreamAuditOptions, "follow" | "onCaughtUp"> = {}): Promise<string> {
        return JSON.stringify(await this.rows(options), undefined, 2);
    }

    /** The same as JSON lines: one row each. */
    async jsonl(options: Omit<StreamAuditOptions, "follow" | "onCaughtUp"> = {}): Promise<string> {
        return (await this.rows(options)).map((row) => `${JSON.stringify(row)}\n`).join("");
    }
}
