/** What the tests share. */
import { type AegisClient, type AuditRow } from "../src/index.js";
import { type Sidecar, startSidecar } from "../src/testing.js";

/** Reads run, deletes are blocked, sends want a confirmation, everything else a reviewer. */
export const POLICY = `
version: "1"
defaults: { risk_level: medium, approval: approve }
rules:
  - { name: reads, match: { type: "read*" }, risk_level: low, approval: auto }
  - { name: gets, match: { type: "get" }, risk_level: low, approval: auto }
  - name: no_deletes
    match: { type: "delete*" }
    risk_level: critical
    approval: block
    reason: Deleting is a person's job.
  - { name: sends, match: { type: "send_*" }, risk_level: medium, approval: confirm }
`;

/** A daemon, an agent and a reviewer who is also the auditor. */
export interface Stage extends AsyncDisposable {
    readonly sidecar: Sidecar;
    readonly client: AegisClient;
    readonly people: AegisClient;
    /** The record, oldest first. */
    readonly rows: () => Promise<AuditRow[]>;
    /** The record in short: type, outcome and what became of it. */
    readonly record: () => Promise<string[]>;
    /** Waits for what is pending, and answers it. */
    readonly answer: (approved: boolean, reason?: string) => Promise<void>;
}

/** Starts them. */
export async function stage(policy: string = POLICY): Promise<Stage> {
    const sidecar = await startSidecar({ policy });
    const [client, people] = [sidecar.client(), sidecar.people()];
    const rows = async (): Promise<AuditRow[]> => {
        const found: AuditRow[] = [];
        for await (const row of people.streamAudit()) found.push(row);
        return found;
    };
    return {
        sidecar,
        client,
        people,
        rows,
        record: async () =>
            (await rows()).map(({ action, outcome, result }) => `${action.type} ${outcome} ${result?.status ?? "-"}`),
        answer: async (approved, reason) => {
            for await (const event of people.streamApprovals()) {
                if (event.kind !== "pending") continue;
                await (approved ? people.approve(event.approval, { reason }) : people.deny(event.approval, { reason }));
                return;
            }
        },
        [Symbol.asyncDispose]: async () => {
            client.close();
            people.close();
            await sidecar.stop();
        },
    };
}

/** Waits until something is so. */
export async function eventually<T>(look: () => Promise<T | undefined> | T | undefined): Promise<T> {
    const end = performance.now() + 60_000;
    for (;;) {
        const found = await look();
        if (found !== undefined) return found;
        if (performance.now() > end) throw new Error("it never happened");
        await new Promise((resolve) => setTimeout(resolve, 5));
    }
}
