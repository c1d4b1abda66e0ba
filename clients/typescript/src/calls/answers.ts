/**
 * Whether an answer is about what was asked. A daemon that mixes up its answers, or a program that sits in its place,
 * must not turn the yes to one action into the yes to another.
 */
import { GovernanceError } from "../errors.js";
import type { Decision } from "../types.js";

/** The answer to a question about this decision, given by its id or as it was known before. */
export function aboutDecision(asked: Decision | string, answer: Decision): Decision {
    const id = typeof asked === "string" ? asked : asked.decisionId;
    if (answer.decisionId !== id) {
        throw new GovernanceError(`the daemon was asked about ${id} and answered about ${answer.decisionId}`, {
            code: "INTERNAL",
        });
    }
    if (typeof asked !== "string") sameDigest(asked, answer);
    return answer;
}

/** The answer to a proposal: it names the decision that later calls are about. */
export function aboutSomething(answer: Decision): Decision {
    if (answer.decisionId !== "") return answer;
    throw new GovernanceError("the daemon answered a proposal without naming a decision", { code: "INTERNAL" });
}

/**
 * The one place where digests are compared. The digest of a decision never changes, whatever it is computed from.
 */
function sameDigest(known: Decision, answer: Decision): void {
    if (known.actionDigest === answer.actionDigest) return;
    throw new GovernanceError(
        `the daemon answered about ${answer.decisionId} with another action's digest: ` +
            `${answer.actionDigest}, and before ${known.actionDigest}`,
        { code: "INTERNAL" },
    );
}
