/** Why the daemon refuses a call, as the API names it. */
import { ErrorReason as Numbers } from "./proto/error_pb.js";

/** A reason of {@link AegisError}. A later daemon may give one that is not among these: go by the `code` then. */
export type ErrorReason = Exclude<keyof typeof Numbers, "UNSPECIFIED">;

/**
 * Every reason by its name: `error.reason === ErrorReason.RATE_LIMITED`. `proto/README.md` says what to do about each.
 */
export const ErrorReason = Object.freeze(
    Object.fromEntries(
        Object.values(Numbers)
            .filter((name) => typeof name === "string" && name !== "UNSPECIFIED")
            .map((name) => [name, name]),
    ),
) as Readonly<Record<ErrorReason, ErrorReason>>;
