/**
 * What a client knows of a decision beside what the daemon says: what it sent. Kept outside of the decision, so that
 * nothing that the caller or the daemon makes can carry it.
 */
import type { Decision } from "../types.js";

/** What was sent for a decision. */
export interface Sent {
    /** What its digest is made of. */
    readonly canonical: string;
    /** Whether it was sent again, as the answer to an earlier attempt was lost. */
    readonly retried: boolean;
}

const SENT = new WeakMap<Decision, Sent>();

/** Remembers what was sent for a decision. */
export function remember(decision: Decision, sent: Sent | undefined): Decision {
    if (sent !== undefined) SENT.set(decision, sent);
    return decision;
}

/** What was sent for a decision; `undefined` where this client did not propose it. */
export const sentFor = (decision: Decision): Sent | undefined => SENT.get(decision);
