/** The words of the API and their numbers in protobuf, and what every translation needs. */
import { toJson } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { GovernanceError } from "../errors.js";
import * as pb from "../proto/types_pb.js";
import { ConditionResult } from "../proto/governance_pb.js";
import type * as types from "../types.js";
import type { ApprovalMode, DecisionCode, EndingKind, Outcome, ResultStatus, RiskLevel } from "../types.js";

export const OUTCOMES: Readonly<Record<number, Outcome>> = {
    [pb.Outcome.ALLOW]: "ALLOW",
    [pb.Outcome.DENY]: "DENY",
    [pb.Outcome.ESCALATE]: "ESCALATE",
    [pb.Outcome.REQUIRE_CONFIRMATION]: "REQUIRE_CONFIRMATION",
};

export const RISK_LEVELS: Readonly<Record<number, RiskLevel>> = {
    [pb.RiskLevel.LOW]: "low",
    [pb.RiskLevel.MEDIUM]: "medium",
    [pb.RiskLevel.HIGH]: "high",
    [pb.RiskLevel.CRITICAL]: "critical",
};

export const DECISION_CODES: Readonly<Record<number, DecisionCode>> = {
    [pb.DecisionCode.POLICY]: "POLICY",
    [pb.DecisionCode.REVIEWER]: "REVIEWER",
    [pb.DecisionCode.TIMEOUT]: "TIMEOUT",
    [pb.DecisionCode.POLICY_CHANGED]: "POLICY_CHANGED",
    [pb.DecisionCode.CANCELLED]: "CANCELLED",
    [pb.DecisionCode.HALTED]: "HALTED",
    [pb.DecisionCode.LIMIT]: "LIMIT",
    [pb.DecisionCode.ALREADY_REPORTED]: "ALREADY_REPORTED",
};

export const APPROVAL_MODES: Readonly<Record<number, ApprovalMode>> = {
    [pb.ApprovalMode.AUTO]: "auto",
    [pb.ApprovalMode.CONFIRM]: "confirm",
    [pb.ApprovalMode.APPROVE]: "approve",
    [pb.ApprovalMode.BLOCK]: "block",
};

export const RESULT_STATUSES: Readonly<Record<number, ResultStatus>> = {
    [pb.ResultStatus.SUCCESS]: "success",
    [pb.ResultStatus.FAILED]: "failed",
    [pb.ResultStatus.BLOCKED]: "blocked",
    [pb.ResultStatus.DENIED]: "denied",
    [pb.ResultStatus.SKIPPED]: "skipped",
    [pb.ResultStatus.ROLLED_BACK]: "rolled_back",
    [pb.ResultStatus.UNKNOWN]: "unknown",
};

export const ENDING_KINDS: Readonly<Record<number, EndingKind>> = {
    [pb.EndingKind.APPROVED]: "approved",
    [pb.EndingKind.DENIED]: "denied",
    [pb.EndingKind.EXPIRED]: "expired",
    [pb.EndingKind.CANCELLED]: "cancelled",
};

export const APPROVAL_STATES: Readonly<Record<number, types.ApprovalState>> = {
    [pb.ApprovalState.PENDING]: "pending",
    [pb.ApprovalState.APPROVED]: "approved",
    [pb.ApprovalState.DENIED]: "denied",
    [pb.ApprovalState.EXPIRED]: "expired",
    [pb.ApprovalState.CANCELLED]: "cancelled",
};

export const VERDICTS: Readonly<Record<number, types.Verdict>> = {
    [pb.Verdict.APPROVE]: "approve",
    [pb.Verdict.DENY]: "deny",
};

export const CONDITION_RESULTS: Readonly<Record<number, types.ConditionResult>> = {
    [ConditionResult.HOLDS]: "holds",
    [ConditionResult.FAILS]: "fails",
    [ConditionResult.DOUBT]: "doubt",
};

/** The word for an outcome of a decision. A newer daemon may know more of them: that is an error, never a guess. */
export function outcome(number: number): Outcome {
    const found = OUTCOMES[number];
    if (found !== undefined) return found;
    throw new GovernanceError(
        `the daemon answered with the outcome unknown(${number}): this version does not know it`,
        {
            code: "UNIMPLEMENTED",
        },
    );
}

/**
 * The word for a number of another enumeration. What a newer daemon knows more is passed on as text, `unknown(7)`, and
 * nothing as "": neither makes an action run.
 */
export function word<T extends string>(words: Readonly<Record<number, T>>, number: number): T {
    return words[number] ?? ((number === 0 ? "" : `unknown(${number})`) as T);
}

/** The word for the state of an approval. What is not set is not known either: nobody takes it for pending. */
export function stateWord(number: number): types.ApprovalState {
    return APPROVAL_STATES[number] ?? (`unknown(${number})` as types.ApprovalState);
}

/** The number of a word: 0, which stands for any, without one. */
export function numberOf<E extends number>(
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

/** The numbers of words: none without any. */
export function numbersOf<E extends number>(
    words: Readonly<Record<number, string>>,
    values: readonly string[] | undefined,
    path: string,
): E[] {
    // Whoever calls from JavaScript may give one word in place of a list.
    if (values !== undefined && !Array.isArray(values)) {
        throw new GovernanceError(`${path}: must be a list of words`, { code: "INVALID_ARGUMENT" });
    }
    return ((values ?? []) as readonly string[]).map((value, i) => numberOf<E>(words, value, `${path}[${i}]`));
}

/** A part without which a message says nothing. */
export function required<T>(value: T | undefined, what: string): T {
    if (value === undefined) throw new GovernanceError(`the daemon answered without ${what}`, { code: "INTERNAL" });
    return value;
}

export const time = (at: Timestamp | undefined): string => (at === undefined ? "" : toJson(TimestampSchema, at));
export const optional = (value: string): string | undefined => (value === "" ? undefined : value);

/** Freezes a value and everything in it. */
export function frozen<T>(value: T): T {
    if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
        Object.freeze(value);
        Object.values(value).forEach(frozen);
    }
    return value;
}
