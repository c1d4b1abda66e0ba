/** What a `DENY` means, and how it is thrown where somebody asks for that. */
import { ActionDenied } from "../errors.js";
import type { Action, Decision } from "../types.js";

/** Throws where the answer is no. */
export function raiseDenied(action: Action, decision: Decision): void {
    if (decision.outcome === "DENY") throw new ActionDenied(action, decision, deniedOrBlocked(decision));
}

/** Whether the policy said no, or somebody did. */
export function deniedOrBlocked(decision: Decision): "blocked" | "denied" {
    return decision.approvalMode === "block" ? "blocked" : "denied";
}
