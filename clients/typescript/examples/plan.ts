/**
 * A plan of actions over an executor of one's own, with a reviewer in the same process.
 *
 * The reviewer's and auditor's client uses the socket in the daemon's data directory (`AEGIS_PEOPLE`), which is for the
 * daemon's own user: fine on a laptop, never beside a real agent.
 */
import { AegisClient, CallbackApprovalHandler, Runtime } from "aegis-sidecar";

await using client = new AegisClient({ actor: { id: "support-bot" }, context: { sessionId: "nightly" } });
await using people = new AegisClient({ endpoint: process.env["AEGIS_PEOPLE"] ?? "unix:/var/lib/aegis/aegis.sock" });

await using runtime = new Runtime({
    client,
    executor: {
        execute: ({ type, target, params }) => ({ did: type, to: target, ...params }),
        verify: (_, data) => typeof data === "object",
    },
    reviewer: people,
    auditor: people,
    approvalHandler: new CallbackApprovalHandler(({ action }) => ({
        approved: Number(action.params["count"]) < 1000,
        reason: "less than a thousand",
    })),
    maxRetries: 2,
    retryBackoff: 0.1,
});

const plan = await runtime.plan([
    { type: "read", target: "crm", description: "Fetch contacts" },
    { type: "bulk_update", target: "crm", params: { count: 150 } },
    { type: "delete", target: "crm", description: "Drop the table" },
]);
console.log(plan.summary());
for (const { action, status, error } of await runtime.execute(plan)) {
    console.log(`${action.type}: ${status}${error === "" ? "" : ` (${error})`}`);
}
console.log(`${String((await runtime.audit.rows({ sessionId: "nightly" })).length)} rows on the record`);
