/** What became of an action: from protobuf. */
import { toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import type * as pb from "../proto/types_pb.js";
import type { ActionResult } from "../types.js";
import { optional, RESULT_STATUSES, time, word } from "./words.js";

/** What became of an action, where anything did. */
export function resultFromWire(message: pb.ActionResult | undefined): ActionResult | undefined {
    if (message === undefined) return undefined;
    const { status, data, error, startedAt, completedAt, reportedAt, auditRef } = message;
    return {
        status: word(RESULT_STATUSES, status),
        data: data === undefined ? undefined : toJson(ValueSchema, data),
        error,
        startedAt: optional(time(startedAt)),
        completedAt: optional(time(completedAt)),
        reportedAt: optional(time(reportedAt)),
        auditRef: optional(auditRef),
    };
}
