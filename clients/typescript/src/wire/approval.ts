/** Questions to reviewers: from protobuf, and the filters for them. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import * as approvalPb from "../proto/approval_pb.js";
import * as pb from "../proto/types_pb.js";
import type { Approval, ApprovalFilter, Ending, ListApprovalsFilter, ResultStatus, Vote } from "../types.js";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { actionFromWire, actorFromWire, identityFromWire, masksFromWire } from "./action.js";
import {
    APPROVAL_STATES,
    ENDING_KINDS,
    frozen,
    numberOf,
    numbersOf,
    OUTCOMES,
    required,
    RESULT_STATUSES,
    RISK_LEVELS,
    stateWord,
    time,
    VERDICTS,
    word,
} from "./words.js";

/** How an approval ended. */
export function endingFromWire(message: pb.Ending | undefined): Ending | undefined {
    if (message === undefined) return undefined;
    const { kind, allows, by, endedAt, reason, code } = message;
    const who = by === undefined ? undefined : identityFromWire(by);
    return { kind: word(ENDING_KINDS, kind), allows, by: who, endedAt: time(endedAt), reason, code };
}

/** What became of an action, where something did. */
const resultStatus = (status: pb.ResultStatus): ResultStatus | undefined =>
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
        masked: masksFromWire(approval.masked),
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
        state: stateWord(approval.state),
        votes: approval.votes.map(voteFromWire),
        version: approval.version,
        callerWaiting: approval.callerWaiting,
        ending: endingFromWire(approval.ending),
        history: approval.history.map((earlier) => ({
            decidedAt: time(earlier.decidedAt),
            type: earlier.type,
            target: earlier.target,
            outcome: word(OUTCOMES, earlier.outcome),
            resultStatus: resultStatus(earlier.resultStatus),
        })),
    });
}

function voteFromWire({ voteId, verdict, by, votedAt, reason, actionDigest }: pb.Vote): Vote {
    const [said, at] = [word(VERDICTS, verdict), time(votedAt)];
    return { voteId, verdict: said, by: identityFromWire(by), votedAt: at, reason, actionDigest };
}

/** What a filter of approvals and one of rows have in common, as it is sent. */
export function sharedFilter(
    filter: ApprovalFilter,
): Omit<MessageInitShape<typeof approvalPb.ApprovalFilterSchema>, "$typeName"> {
    return {
        sessionId: filter.sessionId ?? "",
        actionType: filter.actionType ?? "",
        target: filter.target ?? "",
        riskLevels: numbersOf<pb.RiskLevel>(RISK_LEVELS, filter.riskLevels, "riskLevels"),
        minRiskLevel: numberOf<pb.RiskLevel>(RISK_LEVELS, filter.minRiskLevel, "minRiskLevel"),
        actorId: filter.actorId ?? "",
        subject: filter.subject ?? "",
        approver: filter.approver ?? "",
        matchedRule: filter.matchedRule ?? "",
        ...(filter.since && { since: timestampFromDate(filter.since) }),
        ...(filter.until && { until: timestampFromDate(filter.until) }),
    };
}

/** Which approvals are asked for, as it is sent. */
export function approvalFilterToWire(filter: ApprovalFilter): approvalPb.ApprovalFilter {
    return create(approvalPb.ApprovalFilterSchema, sharedFilter(filter));
}

/** Where listed approvals stand, as it is sent. */
export function statesToWire({ states }: ListApprovalsFilter): pb.ApprovalState[] {
    return numbersOf<pb.ApprovalState>(APPROVAL_STATES, states, "states");
}
