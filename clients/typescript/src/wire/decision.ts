/** Decisions, evaluations and what an agent reports: from protobuf, and to it. */
import { toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { GovernanceError } from "../errors.js";
import type * as governancePb from "../proto/governance_pb.js";
import * as pb from "../proto/types_pb.js";
import type { ActionResult, Decision, Evaluation, ReportStatus } from "../types.js";
import {
    APPROVAL_MODES,
    DECISION_CODES,
    frozen,
    optional,
    outcome,
    required,
    RESULT_STATUSES,
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
        approval: word(APPROVAL_MODES, decision.approval),
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

/** What was reported. */
function resultFromWire(message: pb.ActionResult | undefined): ActionResult | undefined {
    if (message === undefined) return undefined;
    const { status, data, error, startedAt, completedAt } = message;
    return {
        status: word(RESULT_STATUSES, status),
        data: data === undefined ? undefined : toJson(ValueSchema, data),
        error,
        startedAt: optional(time(startedAt)),
        completedAt: optional(time(completedAt)),
    };
}

/** What the policy would answer, frozen. */
export function evaluationFromWire(message: governancePb.Evaluation, policyRevision: string): Evaluation {
    return frozen({
        outcome: outcome(message.outcome),
        reason: message.reason,
        riskLevel: word(RISK_LEVELS, message.riskLevel),
        riskScore: message.riskScore,
        approval: word(APPROVAL_MODES, message.approval),
        matchedRule: message.matchedRule,
        constraints: message.constraints ?? {},
        policyRevision,
        trace: message.trace.map(({ rule, matched, reason, conditions, file, line }) => ({
            rule,
            matched,
            reason,
            conditions: conditions.map(({ condition, result, seen, reason: why }) => ({
                condition,
                result,
                seen,
                reason: why,
            })),
            file,
            line,
        })),
        rulesLeftOut: message.rulesLeftOut,
    });
}
