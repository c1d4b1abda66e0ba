/** Questions to reviewers: from protobuf, and the filters for them. */
import { create } from "@bufbuild/protobuf";
import * as approvalPb from "../proto/approval_pb.js";
import * as pb from "../proto/types_pb.js";
import type { Approval, ApprovalFilter, Ending, ResultStatus } from "../types.js";
import { actionFromWire, actorFromWire, identityFromWire } from "./action.js";
import {
    ENDING_KINDS,
    frozen,
    numberOf,
    OUTCOMES,
    required,
    RESULT_STATUSES,
    RISK_LEVELS,
    time,
    word,
} from "./words.js";

/** How an approval ended. */
export function endingFromWire(message: pb.Ending | undefined): Ending | undefined {
    if (message === undefined) return undefined;
    const { kind, allows, by, at, reason, code } = message;
    return { kind: word(ENDING_KINDS, kind), allows, by, at: time(at), reason, code };
}

/** What became of an action, where something did. */
export const resultStatus = (status: pb.ResultStatus): ResultStatus | undefined =>
    status === pb.ResultStatus.UNSPECIFIED ? undefined : word(RESULT_STATUSES, status);

/** A question put to reviewers, frozen. */
export function approvalFromWire(message: approvalPb.Approval | undefined): Approval {
    const approval = required(message, "an approval");
    return frozen({
        approvalId: approval.approvalId,
        decisionId: approval.decisionId,
        actor: actorFromWire(approval.actor),
        identity: identityFromWire(approval.identity),
        action: actionFromWire(approval.action),
        masked: approval.masked,
        sessionId: approval.context?.sessionId ?? "",
        metadata: approval.context?.metadata ?? {},
        actionDigest: approval.actionDigest,
        matchedRule: approval.matchedRule,
        reason: approval.reason,
        riskLevel: word(RISK_LEVELS, approval.riskLevel),
        policyRevision: approval.policyRevision,
        requestedAt: time(approval.requestedAt),
        expiresAt: time(approval.expiresAt),
        timeoutAllows: approval.timeoutAllows,
        ending: endingFromWire(approval.ending),
        history: approval.history.map((earlier) => ({
            time: time(earlier.time),
            type: earlier.type,
            target: earlier.target,
            outcome: word(OUTCOMES, earlier.outcome),
            status: resultStatus(earlier.status),
        })),
    });
}

/** Which approvals are asked for, as it is sent. */
export function approvalFilterToWire(filter: ApprovalFilter): approvalPb.ApprovalFilter {
    return create(approvalPb.ApprovalFilterSchema, {
        sessionId: filter.sessionId ?? "",
        actionType: filter.actionType ?? "",
        actorId: filter.actorId ?? "",
        minRiskLevel: numberOf<pb.RiskLevel>(RISK_LEVELS, filter.minRiskLevel, "minRiskLevel"),
    });
}
