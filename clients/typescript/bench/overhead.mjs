/**
 * What the SDK adds to its bare stub: `AegisClient.propose` against a Connect client of the generated service, the same
 * action to the same daemon, in turns. Prints medians and their ratio; also how long a governed call takes of two calls
 * (propose, report).
 *
 * Usage: npm run build && AEGIS_BIN=... npm run bench [ROUNDS]
 */
import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { governed } from "../dist/index.js";
import { GovernanceService } from "../dist/proto.js";
import { startSidecar } from "../dist/testing.js";

const ROUNDS = Number(process.argv[2] ?? 2000);
const POLICY = 'version: "1"\nrules:\n  - { name: reads, match: { type: "read*" }, risk_level: low, approval: auto }\n';
const params = { query: "SELECT * FROM users LIMIT 10", database: "production", page: 3, tags: ["a", "b"] };
const action = { type: "read_users", target: "crm", params };
const actor = { id: "agent-7", type: "ai-agent" };

const median = (times) => times.sort((a, b) => a - b)[times.length >> 1];
const timed = async (run) => {
    const start = process.hrtime.bigint();
    await run();
    return Number(process.hrtime.bigint() - start) / 1000;
};

/** The medians of functions that take turns, in microseconds. */
async function interleaved(runs) {
    const times = runs.map(() => []);
    for (let round = -ROUNDS / 10; round < ROUNDS; round += 1) {
        for (const [i, run] of runs.entries()) {
            const time = await timed(run);
            // The first rounds warm up.
            if (round >= 0) times[i].push(time);
        }
    }
    return times.map(median);
}

const sidecar = await startSidecar({ policy: POLICY, args: ["--durability", "relaxed"] });
try {
    for (const [name, endpoint] of Object.entries({ tcp: sidecar.endpoint, unix: sidecar.unixEndpoint })) {
        const path = endpoint.startsWith("unix:") ? endpoint.slice(5) : undefined;
        const transport = createGrpcTransport({
            baseUrl: path === undefined ? endpoint : "http://localhost",
            nodeOptions: path === undefined ? {} : { createConnection: () => connect(path) },
        });
        const stub = createClient(GovernanceService, transport);
        const client = sidecar.client({ endpoint, actor });
        const read = governed(() => ({ rows: 3 }), { ...action, params: () => params, client });
        const bare = async () => {
            const { decision } = await stub.propose({ action, actor, idempotencyKey: randomUUID() });
            return decision;
        };
        const [ofStub, ofClient, twoCalls, governedCall] = await interleaved([
            bare,
            async () => client.propose({ action }),
            async () => {
                const { decisionId } = await bare();
                await stub.reportResult({ decisionId, result: { status: 1 } });
            },
            read,
        ]);
        const figures = (sdk, of) => `${sdk.toFixed(0)} us / ${of.toFixed(0)} us = ${(sdk / of).toFixed(2)}`;
        console.log(
            `${name.padEnd(4)}  propose   ${figures(ofClient, ofStub)}   (SDK / bare stub, medians of ${ROUNDS})`,
        );
        console.log(`${name.padEnd(4)}  governed  ${figures(governedCall, twoCalls)}   (SDK / two bare calls)`);
        client.close();
    }
} finally {
    await sidecar.stop();
}
process.exit(0);
