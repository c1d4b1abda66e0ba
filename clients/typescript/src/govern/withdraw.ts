/** Gives up what nobody waits for any longer, so that nobody answers it and no allowed action stays unreported. */
import type { AegisClient } from "../client.js";
import { AegisError } from "../errors.js";
import { errorText } from "../recordable.js";
import type { Decision } from "../types.js";

/** Does something that may throw before the action runs; if it does, the proposal does not stay open. */
export async function guarded<T>(client: AegisClient, decision: Decision, step: () => Promise<T>): Promise<T> {
    try {
        return await step();
    } catch (error) {
        // What went wrong first is what is thrown. A daemon that cannot be told ends the approval by its expiry.
        await withdraw(client, decision, `not run: ${errorText(error)}`).catch(() => undefined);
        throw error;
    }
}

/** Gives up a proposal, so that nobody answers what nobody waits for, and no allowed action stays unreported. */
export async function withdraw(client: AegisClient, decision: Decision, reason: string): Promise<void> {
    let now = decision;
    if (now.outcome === "ESCALATE" || now.outcome === "REQUIRE_CONFIRMATION") {
        try {
            now = await client.cancel(now, { reason });
        } catch (error) {
            if (!(error instanceof AegisError && error.code === "FAILED_PRECONDITION")) throw error;
            // Somebody decided just now.
            now = await client.wait(now, { deadline: 0 });
        }
    }
    if (now.outcome === "ALLOW") await client.report(now, { status: "skipped", error: reason });
}
