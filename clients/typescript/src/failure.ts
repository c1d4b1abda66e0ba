/** From what a call throws to an {@link AegisError}, and which of those may pass. */
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import { AbortError, AegisError, type Code, GovernanceError } from "./errors.js";
import { ErrorReason } from "./reasons.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./proto/error_details_pb.js";

const CODES: Readonly<Record<ConnectCode, Code>> = {
    [ConnectCode.Canceled]: "CANCELLED",
    [ConnectCode.Unknown]: "UNKNOWN",
    [ConnectCode.InvalidArgument]: "INVALID_ARGUMENT",
    [ConnectCode.DeadlineExceeded]: "DEADLINE_EXCEEDED",
    [ConnectCode.NotFound]: "NOT_FOUND",
    [ConnectCode.AlreadyExists]: "ALREADY_EXISTS",
    [ConnectCode.PermissionDenied]: "PERMISSION_DENIED",
    [ConnectCode.ResourceExhausted]: "RESOURCE_EXHAUSTED",
    [ConnectCode.FailedPrecondition]: "FAILED_PRECONDITION",
    [ConnectCode.Aborted]: "ABORTED",
    [ConnectCode.OutOfRange]: "OUT_OF_RANGE",
    [ConnectCode.Unimplemented]: "UNIMPLEMENTED",
    [ConnectCode.Internal]: "INTERNAL",
    [ConnectCode.Unavailable]: "UNAVAILABLE",
    [ConnectCode.DataLoss]: "DATA_LOSS",
    [ConnectCode.Unauthenticated]: "UNAUTHENTICATED",
};

/** What connection faults come as, where no daemon said anything. */
const CONNECTION: ReadonlySet<Code> = new Set([
    "CANCELLED",
    "UNKNOWN",
    "INTERNAL",
    "ABORTED",
    "UNAVAILABLE",
    "RESOURCE_EXHAUSTED",
    "PERMISSION_DENIED",
]);

/** What the governance system says itself: the request is wrong, or comes at the wrong time. */
const REFUSALS: ReadonlySet<Code> = new Set([
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
]);

/** Reasons of PERMISSION_DENIED that are not about the credential but about this one request. */
const REFUSED_REASONS: ReadonlySet<string> = new Set([ErrorReason.OWN_PROPOSAL, ErrorReason.ACTOR_NOT_ALLOWED]);

/** What a call to `endpoint` threw, as one of our errors. */
export function failure(thrown: unknown, endpoint: string, signal?: AbortSignal): AegisError {
    if (thrown instanceof AegisError) return thrown;
    if (signal?.aborted === true) return new AbortError(signal.reason);
    const error = ConnectError.from(thrown);
    // What the daemon says comes with a status; everything else happened on the way.
    if (!error.metadata.has("grpc-status")) return onTheWay(error, endpoint);
    const info = error.findDetails(ErrorInfoSchema)[0];
    const violations = error.findDetails(BadRequestSchema).flatMap((details) => details.fieldViolations);
    const code = CODES[error.code];
    const reason = info?.reason ?? "";
    const metadata = { ...info?.metadata };
    for (const { field, description } of violations) metadata[field] = description;
    const refused = REFUSALS.has(code) || REFUSED_REASONS.has(reason);
    const message = `${error.rawMessage} (${reason === "" ? code : `${code}, ${reason}`})`;
    const advice = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
    const retryAfter = advice === undefined ? undefined : durationMs(advice) / 1000;
    return new (refused ? GovernanceError : AegisError)(message, { code, reason, metadata, retryAfter });
}

function onTheWay(error: ConnectError, endpoint: string): AegisError {
    const code = CODES[error.code];
    if (code === "DEADLINE_EXCEEDED") {
        return new AegisError(`the daemon at ${endpoint} did not answer in time`, { code, cause: error });
    }
    if (!CONNECTION.has(code)) {
        return new AegisError(`the daemon at ${endpoint} gave no answer: ${error.rawMessage}`, { code, cause: error });
    }
    const hint =
        rootCode(error) === "ECONNREFUSED" || rootCode(error) === "ENOENT" ? "; is it running? (`aegis serve`)" : "";
    return new AegisError(`cannot reach the daemon at ${endpoint}: ${error.rawMessage}${hint}`, {
        code: "UNAVAILABLE",
        cause: error,
    });
}

function rootCode(error: unknown): unknown {
    let found: unknown;
    for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth += 1) {
        if ("code" in at && typeof at.code === "string") found = at.code;
    }
    return found;
}

/** Whether the same call may work in a moment: the daemon says so, or was not reached. */
export function passes(error: AegisError): boolean {
    return error.code === "UNAVAILABLE" || error.retryAfter !== undefined;
}
