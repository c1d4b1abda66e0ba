/**
 * What can go wrong. Every error here is an {@link AegisError}; whichever it is, nothing was allowed by it.
 *
 * `instanceof` goes by a brand and not by the class: an error of another copy of this package, in another part of
 * `node_modules`, is the same error.
 */
import type { Action, ActionResult, Decision } from "./types.js";

/** The gRPC status codes, by name. `OK` is not among them: it is no error. */
export type Code =
    | "CANCELLED"
    | "UNKNOWN"
    | "INVALID_ARGUMENT"
    | "DEADLINE_EXCEEDED"
    | "NOT_FOUND"
    | "ALREADY_EXISTS"
    | "PERMISSION_DENIED"
    | "RESOURCE_EXHAUSTED"
    | "FAILED_PRECONDITION"
    | "ABORTED"
    | "OUT_OF_RANGE"
    | "UNIMPLEMENTED"
    | "INTERNAL"
    | "UNAVAILABLE"
    | "DATA_LOSS"
    | "UNAUTHENTICATED";

const brand = (name: string): symbol => Symbol.for(`aegis-sidecar.${name}`);

/** An action in a message. */
const named = ({ type, target }: Action): string => (target === "" ? type : `${type} on ${target}`);

/** Whether a value carries the brand of a class; a subclass of that class is asked in the ordinary way. */
function carries(value: unknown, name: string, own: unknown, asked: unknown): boolean {
    if (asked !== own) return Function.prototype[Symbol.hasInstance].call(asked, value);
    return typeof value === "object" && value !== null && brand(name) in value;
}

/** What an error may carry beside its message. */
export interface ErrorDetails {
    /** The gRPC code. */
    readonly code?: Code;
    /** The reason that the daemon gives (`google.rpc.ErrorInfo`), for example `CREDENTIAL_INVALID`. */
    readonly reason?: string;
    /** What belongs to the reason, for example `by` and `at` of `ALREADY_DECIDED`. */
    readonly metadata?: Readonly<Record<string, string>>;
    /** When the same call may work, in seconds, as the daemon says (`google.rpc.RetryInfo`). */
    readonly retryAfter?: number | undefined;
    /** What caused it. */
    readonly cause?: unknown;
}

/**
 * The call failed: the network, a deadline, a credential. Nothing is known about the action, so it does not run.
 *
 * Its subclass {@link GovernanceError} says that the governance system itself refused the call.
 */
export class AegisError extends Error {
    /** The gRPC code. */
    readonly code: Code;
    /** The reason that the daemon gives (`google.rpc.ErrorInfo`), for example `CREDENTIAL_INVALID`; else empty. */
    readonly reason: string;
    /** What belongs to the reason, for example `by` and `at` of `ALREADY_DECIDED`. */
    readonly metadata: Readonly<Record<string, string>>;
    /** When the same call may work, in seconds, as the daemon says; `undefined` where it says nothing. */
    readonly retryAfter: number | undefined;

    static {
        Object.defineProperty(this.prototype, brand("AegisError"), { value: true });
    }

    /** An error with this message. */
    constructor(message: string, details: ErrorDetails = {}) {
        super(message, details.cause === undefined ? undefined : { cause: details.cause });
        this.name = new.target.name;
        this.code = details.code ?? "UNKNOWN";
        this.reason = details.reason ?? "";
        this.metadata = details.metadata ?? {};
        this.retryAfter = details.retryAfter;
    }

    /** Whether a value is such an error, of whichever copy of this package. */
    static override [Symbol.hasInstance](value: unknown): boolean {
        return carries(value, "AegisError", AegisError, this);
    }
}

/**
 * The caller's own signal has ended the call. Its name is `AbortError`, as everywhere on the platform; its code is
 * `CANCELLED`, and its `cause` is the signal's reason.
 */
export class AbortError extends AegisError {
    static {
        Object.defineProperty(this.prototype, brand("AbortError"), { value: true });
    }

    /** An error of a signal that was aborted for this reason. */
    constructor(reason: unknown) {
        super("the call was aborted", { code: "CANCELLED", cause: reason });
    }

    /** Whether a value is such an error, of whichever copy of this package. */
    static override [Symbol.hasInstance](value: unknown): boolean {
        return carries(value, "AbortError", AbortError, this);
    }
}

/**
 * The governance system refused the call: a request that is wrong, an approval that is decided already, an outcome that
 * this version does not know.
 */
export class GovernanceError extends AegisError {
    static {
        Object.defineProperty(this.prototype, brand("GovernanceError"), { value: true });
    }

    /** Whether a value is such an error, of whichever copy of this package. */
    static override [Symbol.hasInstance](value: unknown): boolean {
        return carries(value, "GovernanceError", GovernanceError, this);
    }
}

/** The action cannot be sent whole, or is not the one that was proposed. It was not sent, or does not run. */
export class InvalidActionError extends GovernanceError {
    /** Where, for example `params.user.age`. */
    readonly path: string;

    static {
        Object.defineProperty(this.prototype, brand("InvalidActionError"), { value: true });
    }

    /** An error at this place. */
    constructor(path: string, problem: string) {
        super(`${path}: ${problem}`, { code: "INVALID_ARGUMENT" });
        this.path = path;
    }

    /** Whether a value is such an error, of whichever copy of this package. */
    static override [Symbol.hasInstance](value: unknown): boolean {
        return carries(value, "InvalidActionError", InvalidActionError, this);
    }
}

/** The answer is no. Thrown by wrappers, and elsewhere only where `raiseOnDeny` asks for it. */
export class ActionDenied extends GovernanceError {
    /** The decision that says so. */
    readonly decision: Decision;
    /** What was proposed. */
    readonly action: Action;
    /** `blocked` by the policy, or `denied` by a person, by nobody answering in time, or by the agent's own user. */
    readonly status: "blocked" | "denied";

    static {
        Object.defineProperty(this.prototype, brand("ActionDenied"), { value: true });
    }

    /** A no to this action. `why` is the decision's reason unless something else ended the proposal. */
    constructor(action: Action, decision: Decision, status: "blocked" | "denied", why: string = decision.reason) {
        super(`${named(action)} was ${status}${why === "" ? "" : `: ${why}`}`, {
            code: "PERMISSION_DENIED",
            reason: why,
        });
        this.decision = decision;
        this.action = action;
        this.status = status;
    }

    /** Whether a value is such an error, of whichever copy of this package. */
    static override [Symbol.hasInstance](value: unknown): boolean {
        return carries(value, "ActionDenied", ActionDenied, this);
    }
}

/**
 * An earlier call with the same idempotency key has this decision, and its result is not reported: that call may run
 * the action, or have run it, so this one does not. Once nobody else can run it, and it is known whether it ran,
 * propose it with another key.
 */
export class AlreadyClaimed extends GovernanceError {
    /** What was proposed. */
    readonly action: Action;
    /** The answer: an `ALLOW`, or an `ESCALATE` that the other call waits for. */
    readonly decision: Decision;

    static {
        Object.defineProperty(this.prototype, brand("AlreadyClaimed"), { value: true });
    }

    /** An action whose decision another call has. */
    constructor(action: Action, decision: Decision) {
        const problem =
            `${named(action)} does not run: an earlier call with the same idempotency key has ` +
            `${decision.decisionId} (${decision.outcome}). ` +
            `Find out whether that one runs; for another run, take another key`;
        super(problem, { code: "ALREADY_EXISTS", reason: "ALREADY_CLAIMED" });
        this.action = action;
        this.decision = decision;
    }

    /** Whether a value is such an error, of whichever copy of this package. */
    static override [Symbol.hasInstance](value: unknown): boolean {
        return carries(value, "AlreadyClaimed", AlreadyClaimed, this);
    }
}

/**
 * The action ran once under this idempotency key, and not with success: that is on the record, and it does not run
 * again. The message has the recorded error.
 */
export class AlreadyReported extends GovernanceError {
    /** What was proposed. */
    readonly action: Action;
    /** The answer. */
    readonly decision: Decision;
    /** What was reported. */
    readonly result: ActionResult;

    static {
        Object.defineProperty(this.prototype, brand("AlreadyReported"), { value: true });
    }

    /** An action that has this result. */
    constructor(action: Action, decision: Decision, result: ActionResult) {
        const why = result.error === "" ? "" : `: ${result.error}`;
        super(`${named(action)} does not run again: ${decision.decisionId} has the result ${result.status}${why}`, {
            code: "ALREADY_EXISTS",
            reason: "ALREADY_REPORTED",
        });
        this.action = action;
        this.decision = decision;
        this.result = result;
    }

    /** Whether a value is such an error, of whichever copy of this package. */
    static override [Symbol.hasInstance](value: unknown): boolean {
        return carries(value, "AlreadyReported", AlreadyReported, this);
    }
}

/**
 * The action ran, and what came of it could not be put on the record. Nothing is undone: {@link ReportError.result} or
 * {@link ReportError.error} is what it returned or threw. The record will show the action's outcome as unknown.
 */
export class ReportError extends AegisError {
    /** What the action returned; `undefined` where it threw. */
    readonly result: unknown;
    /** What the action threw; `undefined` where it returned. */
    readonly error: unknown;
    /** The decision that allowed the action. */
    readonly decision: Decision;

    static {
        Object.defineProperty(this.prototype, brand("ReportError"), { value: true });
    }

    /** A report that failed, because of `cause`. */
    constructor(
        decision: Decision,
        outcome: { readonly result?: unknown; readonly error?: unknown },
        cause: AegisError,
    ) {
        super(`the action ran, and reporting what came of it failed: ${cause.message}`, {
            code: cause.code,
            reason: cause.reason,
            metadata: cause.metadata,
            cause,
        });
        this.decision = decision;
        this.result = outcome.result;
        this.error = outcome.error;
    }

    /** Whether a value is such an error, of whichever copy of this package. */
    static override [Symbol.hasInstance](value: unknown): boolean {
        return carries(value, "ReportError", ReportError, this);
    }
}
