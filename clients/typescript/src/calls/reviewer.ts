/** What a reviewer calls: the stream of what waits, and the answers. */
import type { CallOptions as ConnectCallOptions, Client } from "@connectrpc/connect";
import type { CallOptions, Connection } from "../connection.js";
import { text } from "../json.js";
import type { ApprovalService } from "../proto/approval_pb.js";
import type { Approval, ApprovalEvent, ApprovalFilter, ListApprovalsFilter } from "../types.js";
import { approvalFilterToWire, approvalFromWire, statesToWire } from "../wire/approval.js";

/** An answer that a reviewer gives. */
export interface ReviewOptions extends CallOptions {
    /** Why, for the record and the agent. */
    readonly reason?: string | undefined;
}

/** What an answer must carry: an {@link Approval} has both. */
export type Shown = Pick<Approval, "approvalId" | "actionDigest">;

/** One reading of what waits, over all its streams. */
class ApprovalReading {
    readonly #connection: Connection;
    readonly #approvals: Client<typeof ApprovalService>;
    readonly #filter: ApprovalFilter;
    /** Whether anything was read: then a stream that is opened again may have missed changes. */
    #begun = false;

    constructor(connection: Connection, approvals: Client<typeof ApprovalService>, filter: ApprovalFilter) {
        this.#connection = connection;
        this.#approvals = approvals;
        this.#filter = filter;
    }

    /** The events of one stream. */
    async *events(call: ConnectCallOptions): AsyncGenerator<ApprovalEvent> {
        if (this.#begun) yield { kind: "reset" };
        const request = { filter: approvalFilterToWire(this.#filter) };
        for await (const { event } of this.#approvals.streamApprovals(request, call)) {
            this.#begun = true;
            switch (event.case) {
                case "pending":
                case "ended":
                    yield { kind: event.case, approval: approvalFromWire(event.value) };
                    break;
                case "snapshotComplete":
                    yield { kind: "snapshot_complete", count: event.value.count };
                    break;
                case "lagged":
                    yield { kind: "reset" };
                    break;
                case "heartbeat":
                case undefined:
                    break;
            }
        }
        throw this.#connection.failure(new Error("the stream ended"));
    }
}

/** The reviewer's calls over one connection. */
export class ReviewerCalls {
    readonly #connection: Connection;
    readonly #approvals: Client<typeof ApprovalService>;

    constructor(connection: Connection, approvals: Client<typeof ApprovalService>) {
        this.#connection = connection;
        this.#approvals = approvals;
    }

    stream(filter: ApprovalFilter, signal: AbortSignal | undefined): AsyncGenerator<ApprovalEvent> {
        const reading = new ApprovalReading(this.#connection, this.#approvals, filter);
        return this.#connection.stream(signal, (call) => reading.events(call));
    }

    async list(filter: ListApprovalsFilter, options: CallOptions): Promise<Approval[]> {
        const approvals: Approval[] = [];
        let pageToken = "";
        do {
            const request = {
                filter: approvalFilterToWire(filter),
                states: statesToWire(filter),
                pageSize: 1000,
                pageToken,
            };
            const page = await this.#connection.call(options, (call) => this.#approvals.listApprovals(request, call));
            approvals.push(...page.approvals.map(approvalFromWire));
            pageToken = page.nextPageToken;
        } while (pageToken !== "");
        return approvals;
    }

    async get(approvalId: string, options: CallOptions): Promise<Approval> {
        const answer = await this.#connection.call(options, (call) =>
            this.#approvals.getApproval({ approvalId }, call),
        );
        return approvalFromWire(answer.approval);
    }

    /** Gives an answer, once: of two answers only the first counts. */
    async answer(verdict: "approve" | "deny", shown: Shown, options: ReviewOptions): Promise<Approval> {
        const request = {
            approvalId: shown.approvalId,
            expectedActionDigest: shown.actionDigest,
            reason: text(options.reason ?? "", "reason"),
        };
        const answer = await this.#connection.call({ ...options, retries: 0 }, async (call) =>
            verdict === "approve" ? this.#approvals.approve(request, call) : this.#approvals.deny(request, call),
        );
        return approvalFromWire(answer.approval);
    }
}
