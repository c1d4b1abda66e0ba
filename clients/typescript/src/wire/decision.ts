/** Decisions, evaluations and what an agent reports: from protobuf, and to it. */
import { GovernanceError } from "../errors.js";
import type * as governancePb from "../proto/governance_pb.js";
import * as pb from "../proto/types_pb.js";
import type { Decision, Evaluation, ReportStatus } from "../types.js";
import { resultFromWire } from "./result.js";
import {
    APPROVAL_MODES,
    CONDITION_RESULTS,
    DECISION_CODES,
    frozen,
    optional,
    outcome,
    required,
    RISK_LEVELS,
    time,
    word,
} from "./words.js";

const REPORTS: Readonly<Record<ReportStatus, pb.ResultStatus>> = {
    success: pb.ResultStatus.SUCCESS,
    failed: pb.ResultStatus.FAILED,
    skipped: pb.ResultStatus.SKIPPED,
    rolled_back: pb.ResultStatus.ROLLED_BACK,
};

/** What an agent says became of an action, as it is sent. */
export function reportStatusToWire(status: ReportStatus): pb.ResultStatus {
    // Whoever calls from JavaScript may say anything.
    const number = REPORTS[status] as pb.ResultStatus | undefined;
    if (number !== undefined) return number;
    const problem = `status: an agent reports ${Object.keys(REPORTS).join(", ")}, not \`${status}\``;
    throw new GovernanceError(problem, { code: "INVALID_ARGUMENT" });
}

/** A decision that is understood, frozen. */
export function decisionFromWire(message: pb.Decision | undefined): Decision {
    const decision = required(message, "a decision");
    return frozen({
        decisionId: decision.decisionId,
        outcome: outcome(decision.outcome),
        code: word(DECISION_CODES, decision.code),
        replayed: decision.replayed,
        reason: decision.reason,
        riskLevel: word(RISK_LEVELS, decision.riskLevel),
        riskScore: decision.riskScore,
        approvalMode: word(APPROVAL_MODES, decision.approvalMode),
        matchedRule: decision.matchedRule,
        constraints: decision.constraints ?? {},
        policyRevision: decision.policyRevision,
        timestamp: time(decision.timestamp),
        auditRef: decision.auditRef,
        actionDigest: decision.actionDigest,
        actionDigestSalt: decision.actionDigestSalt,
        result: resultFromWire(decision.result),
        approvalId: optional(decision.approvalId),
        expiresAt: optional(time(decision.expiresAt)),
        confirmationToken: optional(decision.confirmationToken),
    });
}

/** What the policy would answer, frozen. */
export function evaluationFromWire(message: governancePb.Evaluation, policyRevision: string): Evaluation {
    return frozen({
        outcome: outcome(message.outcome),
        reason: message.reason,
        riskLevel: word(RISK_LEVELS, message.riskLevel),
        riskScore: message.riskScore,
        approvalMode: word(APPROVAL_MODES, message.approvalMode),
        matchedRule: message.matchedRule,
        constraints: message.constraints ?? {},
        policyRevision,
        trace: message.trace.map(({ rule, matched, reason, conditions, file, line }) => ({
            rule,
            matched,
            reason,
            conditions: conditions.map(({ condition, result, seen, reason: why }) => ({
                condition,
                result: word(CONDITION_RESULTS, result),
                seen,
                reason: why,
            })),
            file,
            line,
        })),
        rulesLeftOut: message.rulesLeftOut,
    });
}
