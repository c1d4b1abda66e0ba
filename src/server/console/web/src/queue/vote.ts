/** Sends a reviewer's answer: for the action that was shown, by its digest. */
import { Problem, send, why } from "../api";
import type { Approval } from "../words";
import { detail, learn } from "./state";

export type Verdict = "approve" | "deny";

/** Votes on a question as it was shown. Says what went wrong, if it did. */
export async function vote(shown: Approval, verdict: Verdict, reason: string): Promise<string | null> {
    const body = { expected_action_digest: shown.action_digest, reason };
    try {
        const answer = await send<Approval>("POST", `/api/v1/approvals/${shown.approval_id}/${verdict}`, body);
        learn(answer);
        // If the policy in force now blocks the action, an approval ends it as denied.
        const isTurned = verdict === "approve" && answer.ending !== null && !answer.ending.allows;
        return isTurned ? `not approved: ${answer.ending?.reason ?? "the policy changed"}` : null;
    } catch (error) {
        // Whatever happened to the question: it is shown as it is.
        if (error instanceof Problem && error.status === 409) await detail(shown.approval_id);
        return why(error);
    }
}
