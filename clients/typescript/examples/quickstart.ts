/** Asks before it acts: the whole protocol by hand. Start a daemon first: `aegis serve`. */
import { AegisClient } from "aegis-sidecar";

await using client = new AegisClient({ actor: { id: "support-bot" } });

for (const type of ["read_contacts", "delete_contacts"]) {
    const decision = await client.propose({ action: { type, target: "crm", params: { limit: 10 } } });
    switch (decision.outcome) {
        case "ALLOW":
            console.log(`${type}: running it`);
            await client.report(decision, { status: "success", data: { rows: 3 } });
            break;
        case "DENY":
            console.log(`${type}: denied, ${decision.reason}`);
            break;
        case "ESCALATE":
        case "REQUIRE_CONFIRMATION":
            console.log(`${type}: somebody has to answer first, until ${decision.expiresAt ?? "?"}`);
            break;
    }
}
