/** Settles whether an action may run: proposes it, asks the agent's user or a reviewer, and says yes or no. */
import { randomUUID } from "node:crypto";
import { throwIfAborted } from "../abort.js";
import type { ProposeRequest } from "../calls/agent.js";
import { deniedOrBlocked } from "../calls/denied.js";
import type { AegisClient } from "../client.js";
import { sentFor } from "../calls/sent.js";
import { AegisError, AlreadyClaimed } from "../errors.js";
import type { Action, ActionResult, Decision } from "../types.js";
import { visible } from "../visible.js";
import type { GovernOptions, RunOptions } from "./options.js";
import { review } from "./review.js";
import { withdrawnAtTheEnd } from "./shutdown.js";
import { guarded, withdraw } from "./withdraw.js";

type Verdict =
    | { readonly allowed: true; readonly decision: Decision }
    | {
          readonly allowed: false;
          readonly decision: Decision;
          readonly recorded: undefined;
          readonly status: "blocked" | "denied";
          readonly reason: string;
      }
    | { readonly allowed: false; readonly decision: Decision; readonly recorded: ActionResult };

/** Proposes, and waits until it is settled whether the action may run. */
export async function settle(action: Action, options: RunOptions): Promise<Verdict> {
    const { client, actor, context, signal } = options;
    const shared = options.idempotencyKey !== undefined;
    const propose = async (confirmationToken?: string): Promise<Decision> => {
        throwIfAborted(signal);
        // A key of the caller's stays with the token: of two calls with it, the daemon lets one redeem the token.
        const idempotencyKey = options.idempotencyKey ?? randomUUID();
        const proposal = { action, actor, context, confirmationToken, idempotencyKey };
        try {
            return own(action, await client.propose(proposal, { signal }));
        } catch (error) {
            // It may have arrived: by its key it is found again, so that nobody answers what nobody waits for.
            const late = error instanceof AegisError && error.code === "DEADLINE_EXCEEDED";
            if (signal?.aborted === true || late) await abandon(client, proposal, shared).catch(() => undefined);
            throw error;
        }
    };
    let decision = await propose();
    await guarded(client, decision, async () => options.onDecision?.(action, decision));

    if (decision.outcome === "REQUIRE_CONFIRMATION") {
        const asked = decision;
        const confirmed = await guarded(client, asked, async () => options.confirm?.(action, asked));
        if (confirmed !== true) {
            const reason =
                options.confirm === undefined
                    ? "it needs a confirmation, and nobody can be asked: give `confirm`"
                    : "not confirmed";
            await withdraw(client, asked, reason);
            return { allowed: false, decision: asked, recorded: undefined, status: "denied", reason };
        }
        decision = await propose(asked.confirmationToken);
        // The policy has changed in between, or the action has: one question is enough.
        if (decision.outcome === "REQUIRE_CONFIRMATION") {
            const reason = "it needs another confirmation";
            await withdraw(client, decision, reason);
            return { allowed: false, decision, recorded: undefined, status: "denied", reason };
        }
    }

    if (decision.outcome === "ESCALATE") {
        const asked = decision;
        const reviewed = await guarded(client, asked, async () => {
            const giveUp = async (): Promise<void> => withdraw(client, asked, "its process was told to end");
            return withdrawnAtTheEnd(giveUp, async () => {
                // Said once a signal would withdraw it: whoever reads this may send one at once.
                announce(action, asked, options.log);
                return review(asked, options);
            });
        });
        if (reviewed.outcome === "ESCALATE") {
            const reason = "nobody answered before the deadline";
            await withdraw(client, reviewed, reason);
            return { allowed: false, decision: reviewed, recorded: undefined, status: "denied", reason };
        }
        decision = reviewed;
        await guarded(client, reviewed, async () => options.onApproval?.(action, reviewed));
        if (decision.outcome === "DENY" && decision.code !== "ALREADY_REPORTED") {
            return { allowed: false, decision, recorded: undefined, status: "denied", reason: decision.reason };
        }
    }

    if (decision.code === "ALREADY_REPORTED" && decision.result !== undefined) {
        return { allowed: false, decision, recorded: decision.result };
    }

    // Written so that nothing but this one word lets an action run.
    if (decision.outcome === "ALLOW") {
        const allowed = decision;
        await guarded(client, allowed, async () => throwIfAborted(signal));
        return { allowed: true, decision };
    }
    return {
        allowed: false,
        decision,
        recorded: undefined,
        status: deniedOrBlocked(decision),
        reason: decision.reason,
    };
}

/** A decision that is this call's own. An `ALLOW` is for one run, and a confirmation is a proposal of its own. */
function own(action: Action, decision: Decision): Decision {
    const mayRun = decision.outcome === "ALLOW" || decision.outcome === "ESCALATE";
    const retried = sentFor(decision)?.retried === true;
    if (decision.replayed && mayRun && !retried) throw new AlreadyClaimed(action, decision);
    return decision;
}

/** Says that the call waits now, and for what: a program that stands still in silence looks as if it hung. */
function announce({ type, target }: Action, decision: Decision, log: GovernOptions["log"]): void {
    const what = visible(target === "" ? type : `${type} on ${target}`);
    const id = decision.approvalId ?? decision.decisionId;
    const until = decision.expiresAt === undefined ? "" : `, until ${decision.expiresAt}`;
    const line = `aegis: ${what} waits for a reviewer${until}: aegis approve ${id}`;
    if (log === undefined) console.error(line);
    else log(line);
}

/** How long one attempt takes at most to withdraw what nobody waits for any longer, in seconds. */
const ABANDON_WITHIN = 5;

/** Gives up a proposal whose answer was not waited for. Quickly: somebody has asked to stop. */
async function abandon(client: AegisClient, proposal: ProposeRequest, shared: boolean): Promise<void> {
    const timeout = Math.min(client.timeout, ABANDON_WITHIN);
    const decision = await client.propose(proposal, { timeout, retries: 0 });
    // Whoever else has the caller's key may run what is allowed by now: it may have run.
    if (shared && decision.replayed && decision.outcome === "ALLOW") return;
    await withdraw(client, decision, "its caller has stopped waiting");
}
