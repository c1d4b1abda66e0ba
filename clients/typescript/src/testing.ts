/**
 * The test kit: a real daemon for your own tests, on a free port, with a policy of yours, gone at the end.
 *
 * ```ts
 * await using sidecar = await startSidecar({ policy });
 * await using client = sidecar.client();
 * ```
 *
 * @packageDocumentation
 */
import type { ApprovalAnswer, ApprovalHandler } from "./handlers.js";

export { Sidecar, type SidecarOptions, startSidecar } from "./testing/sidecar.js";

/** Says yes (or no) to everything, at once. For tests: nobody has looked. */
export class AutoApprovalHandler implements ApprovalHandler {
    readonly #approved: boolean;

    /** Says this to everything; `true` without it. */
    constructor(approved = true) {
        this.#approved = approved;
    }

    /** Says it. */
    requestApproval(): ApprovalAnswer {
        return { approved: this.#approved, reason: "answered automatically, by a test" };
    }
}
