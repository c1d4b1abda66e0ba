/**
 * A reviewer's program: approves small transfers by itself, and leaves the others to people. It ends after the first
 * answer, so that it can be tried; yours would go on.
 */
import { AegisClient, AegisError, visible } from "aegis-sidecar";

await using reviewer = new AegisClient({ endpoint: process.env["AEGIS_PEOPLE"] ?? "unix:/var/lib/aegis/aegis.sock" });

for await (const event of reviewer.streamApprovals({ actionType: "transfer" })) {
    if (event.kind !== "pending") continue;
    const { approval } = event;
    const small = Number(approval.action.params["sum"]) <= 100;
    console.log(`${visible(approval.action.target)}: ${small ? "approved" : "for a person to decide"}`);
    if (!small) continue;
    try {
        await reviewer.approve(approval, { reason: "at most 100" });
    } catch (error) {
        // Somebody was faster.
        if (!(error instanceof AegisError && error.reason === "ALREADY_DECIDED")) throw error;
    }
    break;
}
