/** Rows of the record: from protobuf, and the filters for them. */
import { create } from "@bufbuild/protobuf";
import * as auditPb from "../proto/audit_pb.js";
import type * as pb from "../proto/types_pb.js";
import type { AuditFilter, AuditRow, DecisionLife, Stats } from "../types.js";
import { actionFromWire, actorFromWire, identityFromWire, masksFromWire } from "./action.js";
import { approvalFromWire, endingFromWire, sharedFilter } from "./approval.js";
import { resultFromWire } from "./result.js";
import {
    APPROVAL_MODES,
    frozen,
    numbersOf,
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
        ...sharedFilter(filter),
        approvalModes: numbersOf<pb.ApprovalMode>(APPROVAL_MODES, filter.approvalModes, "approvalModes"),
        outcomes: numbersOf<pb.Outcome>(OUTCOMES, filter.outcomes, "outcomes"),
        resultStatuses: numbersOf<pb.ResultStatus>(RESULT_STATUSES, filter.resultStatuses, "resultStatuses"),
        decisionId: filter.decisionId ?? "",
        auditRef: filter.auditRef ?? "",
    });
}

/** A row of the record, frozen. */
export function auditRowFromWire(row: auditPb.AuditRow): AuditRow {
    return frozen({
        number: Number(row.number),
        sessionId: row.sessionId,
        timestamp: time(row.timestamp),
        action: actionFromWire(row.action),
        masked: masksFromWire(row.masked),
        riskLevel: word(RISK_LEVELS, row.riskLevel),
        approvalMode: word(APPROVAL_MODES, row.approvalMode),
        matchedRule: row.matchedRule,
        outcome: word(OUTCOMES, row.outcome),
        reason: row.reason,
        ending: endingFromWire(row.ending),
        result: resultFromWire(row.result),
        decisionId: row.decisionId,
        approvalId: optional(row.approvalId),
        actor: actorFromWire(row.actor),
        identity: identityFromWire(row.identity),
        policyRevision: row.policyRevision,
        actionDigest: row.actionDigest,
        auditRef: row.auditRef,
        metadata: row.metadata ?? {},
        traceId: row.traceId,
        redacted: row.redacted,
    });
}

/** The whole life of a decision, frozen. */
export function decisionLifeFromWire(life: auditPb.GetDecisionResponse): DecisionLife {
    return frozen({
        row: auditRowFromWire(life.row ?? create(auditPb.AuditRowSchema)),
        approval: life.approval === undefined ? undefined : approvalFromWire(life.approval),
        records: life.records.map(({ sequence, auditRef, kind, recordedAt }) => ({
            sequence: Number(sequence),
            auditRef,
            kind,
            recordedAt: recordedAt === undefined ? undefined : time(recordedAt),
        })),
    });
}

/** Totals, frozen. */
export function statsFromWire(stats: auditPb.GetStatsResponse): Stats {
    return frozen({
        decisions: Number(stats.decisions),
        records: Number(stats.records),
        pendingApprovals: Number(stats.pendingApprovals),
        byRiskLevel: countsOf(stats.byRiskLevel),
        byOutcome: countsOf(stats.byOutcome),
        byResultStatus: countsOf(stats.byResultStatus),
        topActionTypes: countsOf(stats.topActionTypes),
        topRules: countsOf(stats.topRules),
    });
}

// By `fromEntries`, which makes a name of any text: agents choose the types of actions.
const countsOf = (counts: readonly auditPb.Count[]): Record<string, number> =>
    Object.fromEntries(counts.map(({ name, count }) => [name, Number(count)]));
