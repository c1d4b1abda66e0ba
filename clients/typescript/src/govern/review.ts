/** Waits for a reviewer. Where an approval handler is given, it is asked meanwhile. */
import { JoinedSignal } from "../abort.js";
import type { AegisClient } from "../client.js";
import { AegisError } from "../errors.js";
import type { ApprovalHandler } from "../handlers.js";
import { ErrorReason } from "../reasons.js";
import type { Decision } from "../types.js";
import type { GovernOptions } from "./options.js";

/** Another reviewer was first, or the time was over: then that is what counts. */
const ENDED: ReadonlySet<string> = new Set([ErrorReason.ALREADY_DECIDED, ErrorReason.APPROVAL_EXPIRED]);

/** Waits for a reviewer, and asks the handler meanwhile. */
export async function review(decision: Decision, options: GovernOptions): Promise<Decision> {
    const { client, deadline, approvalHandler, reviewer, signal } = options;
    const { approvalId } = decision;
    if (approvalHandler === undefined || reviewer === undefined || approvalId === undefined) {
        return client.wait(decision, { deadline, signal });
    }
    const over = new AbortController();
    const either = new JoinedSignal(over.signal, signal);
    const waiting = client.wait(decision, { deadline, signal: either.signal });
    const answering = answer(approvalId, approvalHandler, reviewer, either.signal);
    try {
        return await Promise.race([waiting, answering.then(async () => waiting)]);
    } finally {
        over.abort();
        either.release();
        // Whichever is left over ends with an abort.
        await Promise.allSettled([waiting]);
        answering.catch(() => undefined);
    }
}

async function answer(
    approvalId: string,
    handler: ApprovalHandler,
    reviewer: AegisClient,
    signal: AbortSignal,
): Promise<void> {
    const approval = await reviewer.getApproval(approvalId, { signal });
    const said = await handler.requestApproval(approval, signal);
    const { approved, reason } = typeof said === "object" ? said : { approved: said, reason: undefined };
    try {
        // Only `true` is a yes, whatever a handler in JavaScript returns.
        if ((approved as unknown) === true) await reviewer.approve(approval, { reason, signal });
        else await reviewer.deny(approval, { reason, signal });
    } catch (error) {
        const ended = error instanceof AegisError && ENDED.has(error.reason);
        if (!ended) throw error;
    }
}
