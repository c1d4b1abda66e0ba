/** Waiting for a reviewer: many short calls, so that it survives broken connections and a daemon that is restarted. */
import type { Client } from "@connectrpc/connect";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Connection, seconds } from "../connection.js";
import { passes } from "../failure.js";
import type { GovernanceService } from "../proto/governance_pb.js";
import type { Decision } from "../types.js";
import { decisionFromWire } from "../wire/decision.js";
import { aboutDecision } from "./answers.js";
import { raiseDenied } from "./denied.js";

/** How to wait. */
export interface WaitOptions {
    /** How long to wait for a reviewer, in seconds. Until the approval ends by itself. */
    readonly deadline?: number | undefined;
    /** Ends the waiting: it fails with the code `CANCELLED`. The proposal stays. */
    readonly signal?: AbortSignal | undefined;
    /** Whether a `DENY` is thrown, as {@link ActionDenied}. `false`: it is returned. */
    readonly raiseOnDeny?: boolean | undefined;
}

/** How long one call waits for a reviewer, in seconds. Many short ones, so that nothing on the way gives up. */
const LONGEST_WAIT = 60;
/** The shortest time from one question to the next, in seconds: a daemon that answers early is not asked at once. */
const SHORTEST_POLL = 0.5;
/** For how long after its expiry the end of an approval is asked for where the daemon cannot be reached, in seconds. */
const GRACE = 15;

/** Waits until a reviewer has decided, the approval has expired, or the deadline has passed. */
export async function waitForDecision(
    connection: Connection,
    governance: Client<typeof GovernanceService>,
    decision: Decision | string,
    options: WaitOptions,
): Promise<Decision> {
    const { signal } = options;
    let known = typeof decision === "string" ? undefined : decision;
    const decisionId = typeof decision === "string" ? decision : decision.decisionId;
    const start = performance.now();
    const end =
        options.deadline === undefined ? Infinity : start + seconds(options.deadline, "deadline", Infinity, 0) * 1000;
    for (let failures = 0; ;) {
        let early = 0;
        const began = performance.now();
        const left = Math.min(end - began, LONGEST_WAIT * 1000);
        try {
            const message = { decisionId, wait: durationFromMs(Math.max(Math.round(left), 0)) };
            const timeoutMs = Math.max(left, 0) + connection.timeout * 1000;
            const answer = await connection.once(signal, Math.ceil(timeoutMs), (call) =>
                governance.awaitDecision(message, call),
            );
            known = aboutDecision(known ?? decisionId, decisionFromWire(answer.decision));
            failures = 0;
            if (known.outcome !== "ESCALATE" || performance.now() >= end) break;
            early = Math.min(left, SHORTEST_POLL * 1000) - (performance.now() - began);
        } catch (thrown) {
            const error = connection.failure(thrown, signal);
            const wait = connection.pauseAfter(error, failures);
            failures += 1;
            const patience = Math.min(end, known === undefined ? Infinity : start + untilExpiry(known));
            const hopeless = known === undefined && failures > connection.retries;
            // Waiting changes nothing, so that a call which hung may be made again as well.
            const again = passes(error) || error.code === "DEADLINE_EXCEEDED";
            if (!again || hopeless || performance.now() + wait * 1000 > patience) throw error;
            await connection.pause(wait, signal);
        }
        if (early > 0) await connection.pause(early / 1000, signal);
    }
    if (options.raiseOnDeny === true) {
        raiseDenied({ type: decisionId, target: "", params: {}, description: "" }, known);
    }
    return known;
}

/**
 * How long an approval lasts and a little longer, in milliseconds: by the daemon's clock alone, which may differ from
 * ours.
 */
function untilExpiry({ timestamp, expiresAt }: Decision): number {
    if (expiresAt === undefined) return GRACE * 1000;
    return Date.parse(expiresAt) - Date.parse(timestamp) + GRACE * 1000;
}
