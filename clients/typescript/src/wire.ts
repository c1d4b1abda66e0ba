/** From protobuf to plain values and back. The one module that knows both. */
import { create, fromJson, toJson } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema, timestampFromDate, type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import { checkedObject, text } from "./action.js";
import { GovernanceError } from "./errors.js";
import * as approvalPb from "./proto/approval_pb.js";
import * as auditPb from "./proto/audit_pb.js";
import type * as governancePb from "./proto/governance_pb.js";
import * as pb from "./proto/types_pb.js";
import type {
    Action,
    Actor,
    Approval,
    ApprovalFilter,
    ApprovalMode,
    AuditFilter,
    AuditRow,
    ContextInput,
    Decision,
    Ending,
    EndingKind,
    Evaluation,
    Identity,
    Json,
    JsonObject,
    Outcome,
    ReportStatus,
    ResultStatus,
    RiskLevel,
} from "./types.js";

const OUTCOMES: Readonly<Record<number, Outcome>> = {
    [pb.Outcome.ALLOW]: "ALLOW",
    [pb.Outcome.DENY]: "DENY",
    [pb.Outcome.ESCALATE]: "ESCALATE",
    [pb.Outcome.REQUIRE_CONFIRMATION]: "REQUIRE_CONFIRMATION",
};

const RISK_LEVELS: Readonly<Record<number, RiskLevel>> = {
    [pb.RiskLevel.LOW]: "low",
    [pb.RiskLevel.MEDIUM]: "medium",
    [pb.RiskLevel.HIGH]: "high",
    [pb.RiskLevel.CRITICAL]: "critical",
};

const APPROVAL_MODES: Readonly<Record<number, ApprovalMode>> = {
    [pb.ApprovalMode.AUTO]: "auto",
    [pb.ApprovalMode.CONFIRM]: "confirm",
    [pb.ApprovalMode.APPROVE]: "approve",
    [pb.ApprovalMode.BLOCK]: "block",
};

const RESULT_STATUSES: Readonly<Record<number, ResultStatus>> = {
    [pb.ResultStatus.SUCCESS]: "success",
    [pb.ResultStatus.FAILED]: "failed",
    [pb.ResultStatus.BLOCKED]: "blocked",
    [pb.ResultStatus.DENIED]: "denied",
    [pb.ResultStatus.SKIPPED]: "skipped",
    [pb.ResultStatus.ROLLED_BACK]: "rolled_back",
    [pb.ResultStatus.UNKNOWN]: "unknown",
};

const ENDING_KINDS: Readonly<Record<number, EndingKind>> = {
    [pb.EndingKind.APPROVED]: "approved",
    [pb.EndingKind.DENIED]: "denied",
    [pb.EndingKind.EXPIRED]: "expired",
    [pb.EndingKind.CANCELLED]: "cancelled",
};

/** The word for a number of an enumeration. A newer daemon may know more of them: that is an error, never a guess. */
function word<T extends string>(words: Readonly<Record<number, T>>, number: number, what: string): T {
    const found = words[number];
    if (found === undefined) {
        throw new GovernanceError(`the daemon answered with the ${what} ${number}, which this version does not know`, {
            code: "UNIMPLEMENTED",
        });
    }
    return found;
}

/** The number of a word: 0, which stands for any, without one. */
function numberOf<E extends number>(
    words: Readonly<Record<number, string>>,
    value: string | undefined,
    path: string,
): E {
    if (value === undefined) return 0 as E;
    const found = Object.entries(words).find(([, known]) => known === value);
    if (found === undefined) {
        const known = Object.values(words).join(", ");
        throw new GovernanceError(`${path}: \`${value}\` is none of ${known}`, { code: "INVALID_ARGUMENT" });
    }
    return Number(found[0]) as E;
}

/** A part without which a message says nothing. */
function required<T>(value: T | undefined, what: string): T {
    if (value === undefined) throw new GovernanceError(`the daemon answered without ${what}`, { code: "INTERNAL" });
    return value;
}

const time = (at: Timestamp | undefined): string => (at === undefined ? "" : toJson(TimestampSchema, at));
const optional = (value: string): string | undefined => (value === "" ? undefined : value);

/** Freezes a value and everything in it. */
export function frozen<T>(value: T): T {
    if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
        Object.freeze(value);
        Object.values(value).forEach(frozen);
    }
    return value;
}

/** What is proposed, as it is sent. */
export function actionToWire(action: Action): pb.Action {
    const { type, target, description } = action;
    return create(pb.ActionSchema, { type, target, params: mutable(action.params), description });
}

/** Who proposes, as it is sent. */
export function actorToWire(actor: Actor | undefined): pb.Actor {
    const { id, type } = actor ?? { id: "", type: "" };
    return create(pb.ActorSchema, { id: text(id, "actor.id"), type: text(type ?? "ai-agent", "actor.type") });
}

/** Where a proposal comes from, as it is sent. */
export function contextToWire(context: ContextInput | undefined): pb.Context {
    const sessionId = text(context?.sessionId ?? context?.session_id ?? "", "context.sessionId");
    const metadata = checkedObject(context?.metadata ?? {}, "context.metadata");
    return create(pb.ContextSchema, { sessionId, metadata: mutable(metadata) });
}

/** protobuf-es has no read-only JSON; it does not change what it is given. */
function mutable(object: JsonObject): NonNullable<pb.Action["params"]> {
    return object as NonNullable<pb.Action["params"]>;
}

/** A value as it is sent. */
export function valueToWire(value: Json): Value {
    return fromJson(ValueSchema, value as Parameters<typeof fromJson>[1]);
}

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
        outcome: word(OUTCOMES, decision.outcome, "outcome"),
        reason: decision.reason,
        riskLevel: word(RISK_LEVELS, decision.riskLevel, "risk level"),
        riskScore: decision.riskScore,
        approval: word(APPROVAL_MODES, decision.approval, "approval mode"),
        matchedRule: decision.matchedRule,
        constraints: decision.constraints ?? {},
        policyRevision: decision.policyRevision,
        timestamp: time(decision.timestamp),
        auditRef: decision.auditRef,
        actionDigest: decision.actionDigest,
        approvalId: optional(decision.approvalId),
        expiresAt: optional(time(decision.expiresAt)),
        confirmationToken: optional(decision.confirmationToken),
    });
}

/** What the policy would answer, frozen. */
export function evaluationFromWire(message: governancePb.Evaluation, policyRevision: string): Evaluation {
    return frozen({
        outcome: word(OUTCOMES, message.outcome, "outcome"),
        reason: message.reason,
        riskLevel: word(RISK_LEVELS, message.riskLevel, "risk level"),
        riskScore: message.riskScore,
        approval: word(APPROVAL_MODES, message.approval, "approval mode"),
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

function actionFromWire(message: pb.Action | undefined): Action {
    const { type, target, params, description } = required(message, "an action");
    return { type, target, params: params ?? {}, description };
}

function actorFromWire(message: pb.Actor | undefined): Required<Actor> {
    return { id: message?.id ?? "", type: message?.type ?? "" };
}

function identityFromWire(message: pb.Identity | undefined): Identity {
    return { subject: message?.subject ?? "", how: message?.how ?? "", actor: message?.actor ?? "" };
}

function endingFromWire(message: pb.Ending | undefined): Ending | undefined {
    if (message === undefined) return undefined;
    const { kind, allows, by, at, reason, code } = message;
    return { kind: word(ENDING_KINDS, kind, "ending"), allows, by, at: time(at), reason, code };
}

const resultStatus = (status: pb.ResultStatus): ResultStatus | undefined =>
    status === pb.ResultStatus.UNSPECIFIED ? undefined : word(RESULT_STATUSES, status, "result status");

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
        riskLevel: word(RISK_LEVELS, approval.riskLevel, "risk level"),
        policyRevision: approval.policyRevision,
        requestedAt: time(approval.requestedAt),
        expiresAt: time(approval.expiresAt),
        timeoutAllows: approval.timeoutAllows,
        ending: endingFromWire(approval.ending),
        history: approval.history.map((earlier) => ({
            time: time(earlier.time),
            type: earlier.type,
            target: earlier.target,
            outcome: word(OUTCOMES, earlier.outcome, "outcome"),
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
        riskLevel: word(RISK_LEVELS, row.riskLevel, "risk level"),
        approval: word(APPROVAL_MODES, row.approval, "approval mode"),
        matchedRule: row.matchedRule,
        outcome: word(OUTCOMES, row.outcome, "outcome"),
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
