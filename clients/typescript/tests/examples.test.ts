/** Runs every example as it is, and holds what it prints. */
import { readdirSync } from "node:fs";
import { afterEach, expect, test, vi } from "vitest";
import { type Sidecar, startSidecar } from "../src/testing.js";

const POLICY = `
version: "1"
rules:
  - { name: reads, match: { type: "read*" }, risk_level: low, approval: auto }
  - name: no_deletes
    match: { type: "delete*" }
    risk_level: critical
    approval: block
    reason: Deleting is a person's job.
`;

/** What each prints, with the steps of somebody else beside it. */
const EXAMPLES: Readonly<
    Record<string, { readonly prints: readonly RegExp[]; readonly beside?: (sidecar: Sidecar) => Promise<void> }>
> = {
    quickstart: { prints: [/^read_contacts: running it$/, /^delete_contacts: denied, Deleting is a person's job\.$/] },
    governed: { prints: [/^contact 7$/, /^no: delete_contact on crm was blocked: Deleting is a person's job\.$/] },
    plan: {
        prints: [
            new RegExp(
                /^ {2}1\. \[ {3}AUTO\] read -> crm - Fetch contacts {2}\(risk=LOW, rule=reads\)\n/.source +
                    / {2}2\. \[APPROVE\].*\n {2}3\. \[ {2}BLOCK\]/.source,
            ),
            /^read: success$/,
            /^bulk_update: success$/,
            /^delete: blocked \(Deleting is a person's job\.\)$/,
            /^3 rows on the record$/,
        ],
    },
    reviewer: {
        prints: [/^bank: for a person to decide$/, /^shop: approved$/],
        beside: async (sidecar) => {
            await using client = sidecar.client();
            await client.propose({ action: { type: "transfer", target: "bank", params: { sum: 101 } } });
            await client.propose({ action: { type: "transfer", target: "shop", params: { sum: 100 } } });
        },
    },
};

afterEach(() => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
});

test("every example is run here", () => {
    const files = readdirSync(new URL("../examples/", import.meta.url)).map((file) => file.replace(/\.ts$/, ""));
    expect(files.sort()).toEqual(Object.keys(EXAMPLES).sort());
});

test.each(Object.entries(EXAMPLES))("the example %s prints what it should", async (name, { prints, beside }) => {
    await using sidecar = await startSidecar({ policy: POLICY });
    vi.stubEnv("AEGIS_ENDPOINT", sidecar.endpoint);
    vi.stubEnv("AEGIS_PEOPLE", sidecar.peopleEndpoint);
    vi.stubEnv("AEGIS_TOKEN", "");
    const printed: string[] = [];
    vi.spyOn(console, "log").mockImplementation((line: string) => void printed.push(line));
    await beside?.(sidecar);
    await import(`../examples/${name}.ts`);
    expect(printed).toHaveLength(prints.length);
    prints.forEach((line, i) => {
        expect(printed[i]).toMatch(line);
    });
});
