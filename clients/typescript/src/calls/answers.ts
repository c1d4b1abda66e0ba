/**
 * Whether an answer is about what was asked. A daemon that mixes up its answers, or a program that sits in its place,
 * must not turn the yes to one action into the yes to another.
 */
import { actionDigest } from "../digest.js";
import { GovernanceError } from "../errors.js";
import type { Decision } from "../types.js";
import { remember, type Sent, sentFor } from "./sent.js";

/** The answer to a question about this decision, given by its id or as it was known before. */
export function aboutDecision(asked: Decision | string, answer: Decision): Decision {
    const id = typeof asked === "string" ? asked : asked.decisionId;
    if (answer.decisionId !== id) {
        throw wrongAnswer(`the daemon was asked about ${id} and answered about ${answer.decisionId}`);
    }
    if (typeof asked === "string") return answer;
    if (asked.actionDigest !== answer.actionDigest) {
        throw wrongAnswer(
            `the daemon answered about ${id} with another action's digest: ` +
                `${answer.actionDigest}, and before ${asked.actionDigest}`,
        );
    }
    const sent = sentFor(asked);
    return sent === undefined ? answer : aboutSent(sent, answer);
}

/** The answer to a proposal: it names the decision that later calls are about, and is about what was sent. */
export function aboutProposal(sent: Sent, answer: Decision): Decision {
    if (answer.decisionId !== "") return aboutSent(sent, answer);
    throw wrongAnswer("the daemon answered a proposal without naming a decision");
}

/** The one place where the digest of a decision is held against what was sent. */
function aboutSent(sent: Sent, answer: Decision): Decision {
    const { decisionId, actionDigest: said, actionDigestSalt: salt, outcome } = answer;
    // What does not allow anything may come without a digest.
    if (salt !== "" || outcome === "ALLOW") {
        const digest = actionDigest(salt, sent.canonical);
        if (digest === undefined) {
            throw wrongAnswer(
                `${decisionId} has the salt \`${salt}\` and not 32 hex digits, so nothing ties it to what was sent`,
            );
        }
        if (digest !== said) {
            throw wrongAnswer(
                `${decisionId} is about another action than the one that was sent: ` +
                    `its digest is \`${said}\`, and that of what was sent is ${digest}`,
            );
        }
    }
    return remember(answer, sent);
}

const wrongAnswer = (problem: string): GovernanceError =>
    new GovernanceError(`${problem}; the action does not run. Is the daemon at this endpoint the right one?`, {
        code: "INTERNAL",
        reason: "WRONG_ANSWER",
    });
