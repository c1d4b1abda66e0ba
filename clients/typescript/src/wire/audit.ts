/** Rows of the record: from protobuf, and the filters for them. */
import { create, toJson } from "@bufbuild/protobuf";
import { timestampFromDate, ValueSchema } from "@bufbuild/protobuf/wkt";
import * as auditPb from "../proto/audit_pb.js";
import type * as pb from "../proto/types_pb.js";
import type { AuditFilter, AuditRow, Json } from "../types.js";
import { actionFromWire, actorFromWire, identityFromWire } from "./action.js";
import { endingFromWire, resultStatus } from "./approval.js";
import {
    APPROVAL_MODES,
    frozen,
    numberOf,
    optional,
    OUTCOMES,
    RESULT_STATUSES,
    RISK_LEVELS,
    time,
    word,
} from "./words.js";

/** Which rows of the record are asked for, as it is sent. */
export function auditFilterToWire(filter: AuditFilter): auditPb.AuditFilter {
    return create(auditPb.AuditFilterSchema, {
        sessionId: filter.sessionId ?? "",
        actionType: filter.actionType ?? "",
        actionTarget: filter.actionTarget ?? "",
        riskLevel: numberOf<pb.RiskLevel>(RISK_LEVELS, filter.riskLevel, "riskLevel"),
        approval: numberOf<pb.ApprovalMode>(APPROVAL_MODES, filter.approval, "approval"),
        outcome: numberOf<pb.Outcome>(OUTCOMES, filter.outcome, "outcome"),
        resultStatus: numberOf<pb.ResultStatus>(RESULT_STATUSES, filter.resultStatus, "resultStatus"),
        actorId: filter.actorId ?? "",
        decisionId: filter.decisionId ?? "",
        matchedRule: filter.matchedRule ?? "",
        ...(filter.since && { since: timestampFromDate(filter.since) }),
        ...(filter.until && { until: timestampFromDate(filter.until) }),
    });
}

/** A row of the record, frozen. */
export function auditRowFromWire(row: auditPb.AuditRow): AuditRow {
    return frozen({
        id: Number(row.id),
        sessionId: row.sessionId,
        timestamp: time(row.timestamp),
        action: actionFromWire(row.action),
        masked: row.masked,
        riskLevel: word(RISK_LEVELS, row.riskLevel),
        approval: word(APPROVAL_MODES, row.approval),
        matchedRule: row.matchedRule,
        outcome: word(OUTCOMES, row.outcome),
        reason: row.reason,
        ending: endingFromWire(row.ending),
        resultStatus: resultStatus(row.resultStatus),
        resultData: row.resultData && (toJson(ValueSchema, row.resultData) as Json),
        resultError: row.resultError,
        decisionId: row.decisionId,
        approvalId: optional(row.approvalId),
        actor: actorFromWire(row.actor),
        identity: identityFromWire(row.identity),
        policyRevision: row.policyRevision,
        actionDigest: row.actionDigest,
        auditRef: row.auditRef,
        metadata: row.metadata ?? {},
        traceId: row.traceId,
        maskedDigests: row.maskedDigests,
        redacted: row.redacted,
    });
}
