/** A client of one daemon: the agent's side, the reviewer's and the auditor's, with one credential. */
import { randomUUID } from "node:crypto";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { checkedAction, cut, notRecorded, recordable, text } from "./action.js";
import { type CallOptions, Connection, type ConnectionOptions, seconds } from "./connection.js";
import { ActionDenied, GovernanceError } from "./errors.js";
import { passes } from "./failure.js";
import { ApprovalService } from "./proto/approval_pb.js";
import { AuditService } from "./proto/audit_pb.js";
import { GovernanceService } from "./proto/governance_pb.js";
import { Health, HealthCheckResponse_ServingStatus } from "./proto/health_pb.js";
import type {
    Action,
    ActionInput,
    Actor,
    Approval,
    ApprovalEvent,
    ApprovalFilter,
    AuditFilter,
    AuditRow,
    ContextInput,
    Decision,
    Evaluation,
    ReportStatus,
} from "./types.js";
import * as wire from "./wire.js";

/** How to reach a daemon, and what proposals carry where they do not say it themselves. */
export interface ClientOptions extends ConnectionOptions {
    /** Who proposes, as declared. None. */
    readonly actor?: Actor | undefined;
    /** Where proposals come from. Nothing. */
    readonly context?: ContextInput | undefined;
}

/** A proposal. */
export interface ProposeRequest {
    /** What is proposed. */
    readonly action: ActionInput;
    /** Who proposes, as declared. The client's. */
    readonly actor?: Actor | undefined;
    /** Where it comes from. The client's. */
    readonly context?: ContextInput | undefined;
    /** Any text unique to this proposal: the same again within 24 hours is the same proposal. A random UUID. */
    readonly idempotencyKey?: string | undefined;
    /** The token of an earlier `REQUIRE_CONFIRMATION` for this very action, once the agent's user has confirmed. */
    readonly confirmationToken?: string | undefined;
    /** How long the daemon waits for a reviewer before it answers `ESCALATE`, in seconds. 0. At most 3,600. */
    readonly wait?: number | undefined;
    /** Whether a `DENY` is thrown, as {@link ActionDenied}. `false`: it is returned. */
    readonly raiseOnDeny?: boolean | undefined;
}

/** Asks what the policy would answer. */
export interface EvaluateRequest {
    /** The action to ask about. */
    readonly action: ActionInput;
    /** Who would propose it. The client's. */
    readonly actor?: Actor | undefined;
    /** The moment that time conditions see. Now. Needs an auditor's or admin's credential. */
    readonly at?: Date | undefined;
    /** Whether to say why. `false`. Needs an auditor's or admin's credential. */
    readonly explain?: boolean | undefined;
}

/** Asks what the policy would answer to many actions. */
export interface EvaluateManyRequest extends Omit<EvaluateRequest, "action"> {
    /** The actions to ask about: at most 1,000. */
    readonly actions: readonly ActionInput[];
}

/** How to wait. */
export interface WaitOptions {
    /** How long to wait for a reviewer, in seconds. Until the approval ends by itself. */
    readonly deadline?: number | undefined;
    /** Ends the waiting: it fails with the code `CANCELLED`. The proposal stays. */
    readonly signal?: AbortSignal | undefined;
    /** Whether a `DENY` is thrown, as {@link ActionDenied}. `false`: it is returned. */
    readonly raiseOnDeny?: boolean | undefined;
}

/** What came of an action. */
export interface Report {
    /** What became of it. */
    readonly status: ReportStatus;
    /** What it returned: kept as `JSON.stringify` would have it. */
    readonly data?: unknown;
    /** What went wrong. Cut where it is longer than 16 KiB. */
    readonly error?: string | undefined;
    /** When it started. */
    readonly startedAt?: Date | undefined;
    /** When it was over. */
    readonly completedAt?: Date | undefined;
}

/** How to read the record. */
export interface StreamAuditOptions extends AuditFilter {
    /** Of what is recorded already, only the newest this many. All. */
    readonly limit?: number | undefined;
    /** Whether what is recorded already comes newest first. `false`. */
    readonly newestFirst?: boolean | undefined;
    /** Whether to go on with what is recorded from then on. A row comes again each time that it changes. `false`. */
    readonly follow?: boolean | undefined;
    /** With `follow`: called once what was recorded already is complete. */
    readonly onCaughtUp?: (() => void) | undefined;
    /** Ends the reading: it fails with the code `CANCELLED`. Leaving the loop ends it as well, without an error. */
    readonly signal?: AbortSignal | undefined;
}

/** An answer that a reviewer gives. */
export interface ReviewOptions extends CallOptions {
    /** Why, for the record and the agent. */
    readonly reason?: string | undefined;
}

/** What an answer must carry: an {@link Approval} has both. */
export type Shown = Pick<Approval, "approvalId" | "actionDigest">;

/** How long one call waits for a reviewer, in seconds. Many short ones, so that nothing on the way gives up. */
const LONGEST_WAIT = 60;
/** For how long after its expiry the end of an approval is asked for where the daemon cannot be reached, in seconds. */
const GRACE = 15;
/** How long the text of an error may be, in bytes. */
const ERROR_BYTES = 16 * 1024;

/**
 * A client of the Aegis sidecar.
 *
 * The connection opens with the first call and opens again by itself. Propose with an agent's credential or none;
 * review with a reviewer's, read the record with an auditor's: a client has one credential. All times are in seconds.
 *
 * ```ts
 * const client = new AegisClient();
 * const decision = await client.propose({ action: { type: "read_contacts", target: "crm" } });
 * if (decision.outcome === "ALLOW") …
 * ```
 */
export class AegisClient implements AsyncDisposable {
    readonly #connection: Connection;
    readonly #actor: Actor | undefined;
    readonly #context: ContextInput | undefined;
    readonly #governance: Client<typeof GovernanceService>;
    readonly #approvals: Client<typeof ApprovalService>;
    readonly #audit: Client<typeof AuditService>;
    readonly #health: Client<typeof Health>;

    /** Does not connect yet. Throws {@link AegisError} where an option makes no sense or would send a credential in the clear. */
    constructor(options: ClientOptions = {}) {
        this.#connection = new Connection(options);
        this.#actor = options.actor;
        this.#context = options.context;
        this.#governance = createClient(GovernanceService, this.transport);
        this.#approvals = createClient(ApprovalService, this.transport);
        this.#audit = createClient(AuditService, this.transport);
        this.#health = createClient(Health, this.transport);
    }

    /** Where the daemon is. */
    get endpoint(): string {
        return this.#connection.endpoint;
    }

    /** How long one attempt of a call may take, in seconds. */
    get timeout(): number {
        return this.#connection.timeout;
    }

    /** What clients of the generated stubs (`aegis-sidecar/proto`) are made with: same connection, same credential. */
    get transport(): Transport {
        return this.#connection.transport;
    }

    // The agent's side.

    /**
     * Asks whether an action may run. The answer is on the record before it is given. A `DENY` is returned, not thrown.
     *
     * Sent again after a broken connection, it is still one proposal.
     */
    async propose(request: ProposeRequest, options: CallOptions = {}): Promise<Decision> {
        const action = checkedAction(request.action);
        const message = {
            actor: wire.actorToWire(request.actor ?? this.#actor),
            action: wire.actionToWire(action),
            context: wire.contextToWire(request.context ?? this.#context),
            idempotencyKey: text(request.idempotencyKey ?? randomUUID(), "idempotencyKey"),
            confirmationToken: text(request.confirmationToken ?? "", "confirmationToken"),
        };
        const wait = seconds(request.wait ?? 0, "wait", 3600, 0);
        const timeout = Math.min((options.timeout ?? this.#connection.timeout) + wait, 3600);
        const answer = await this.#connection.call({ ...options, timeout }, (call) =>
            this.#governance.propose({ ...message, ...(wait > 0 && { wait: durationFromMs(wait * 1000) }) }, call),
        );
        const decision = wire.decisionFromWire(answer.decision);
        if (request.raiseOnDeny === true) raiseDenied(action, decision);
        return decision;
    }

    /** Says what the policy would answer. Nobody is asked, and nothing is recorded. */
    async evaluate(request: EvaluateRequest, options: CallOptions = {}): Promise<Evaluation> {
        const [evaluation] = await this.evaluateMany({ ...request, actions: [request.action] }, options);
        if (evaluation === undefined) {
            throw new GovernanceError("the daemon answered without an evaluation", { code: "INTERNAL" });
        }
        return evaluation;
    }

    /** Says what the policy would answer to each of many actions, in order, and by the same policy. */
    async evaluateMany(request: EvaluateManyRequest, options: CallOptions = {}): Promise<Evaluation[]> {
        const actor = wire.actorToWire(request.actor ?? this.#actor);
        const items = request.actions.map((action) => ({ actor, action: wire.actionToWire(checkedAction(action)) }));
        if (items.length === 0) return [];
        const message = {
            items,
            explain: request.explain ?? false,
            ...(request.at && { at: timestampFromDate(request.at) }),
        };
        const answer = await this.#connection.call(options, (call) => this.#governance.evaluate(message, call));
        if (answer.evaluations.length !== items.length) {
            const problem = `${answer.evaluations.length} evaluations of ${items.length} actions`;
            throw new GovernanceError(`the daemon answered with ${problem}`, { code: "INTERNAL" });
        }
        return answer.evaluations.map((evaluation) => wire.evaluationFromWire(evaluation, answer.policyRevision));
    }

    /**
     * Waits until a reviewer has decided. Goes on by itself when the connection breaks or the daemon is started again.
     *
     * Returns the decision as it stands then; it says `ESCALATE` still where the deadline is past, and the proposal stays.
     * Where the daemon cannot be reached, it is tried until the deadline or the approval's expiry; of a decision that is
     * given by its id alone no expiry is known before the first answer.
     */
    async wait(decision: Decision | string, options: WaitOptions = {}): Promise<Decision> {
        const { signal } = options;
        let known = typeof decision === "string" ? undefined : decision;
        const decisionId = typeof decision === "string" ? decision : decision.decisionId;
        const start = performance.now();
        const end =
            options.deadline === undefined
                ? Infinity
                : start + seconds(options.deadline, "deadline", Infinity, 0) * 1000;
        for (let failures = 0; ;) {
            const left = Math.min(end - performance.now(), LONGEST_WAIT * 1000);
            try {
                const message = { decisionId, wait: durationFromMs(Math.max(Math.round(left), 0)) };
                const timeoutMs = Math.max(left, 0) + this.#connection.timeout * 1000;
                const answer = await this.#connection.once(signal, Math.ceil(timeoutMs), (call) =>
                    this.#governance.awaitDecision(message, call),
                );
                known = wire.decisionFromWire(answer.decision);
                failures = 0;
                if (known.outcome !== "ESCALATE" || performance.now() >= end) break;
            } catch (thrown) {
                const error = this.#connection.failure(thrown, signal);
                const wait = this.#connection.backoff(failures);
                failures += 1;
                const patience = Math.min(end, known === undefined ? Infinity : start + untilExpiry(known));
                const hopeless = known === undefined && failures > this.#connection.retries;
                // Waiting changes nothing, so that a call which hung may be made again as well.
                const again = passes(error) || error.code === "DEADLINE_EXCEEDED";
                if (!again || hopeless || performance.now() + wait * 1000 > patience) throw error;
                await this.#connection.pause(wait, signal);
            }
        }
        if (options.raiseOnDeny === true)
            raiseDenied({ type: decisionId, target: "", params: {}, description: "" }, known);
        return known;
    }

    /** Says what came of an allowed action. The same report again is answered alike. */
    async report(decision: Decision | string, report: Report, options: CallOptions = {}): Promise<void> {
        const data = recordable(report.data);
        const message = {
            decisionId: idOf(decision),
            status: wire.reportStatusToWire(report.status),
            error: cut(report.error ?? "", ERROR_BYTES),
            ...(report.startedAt && { startedAt: timestampFromDate(report.startedAt) }),
            ...(report.completedAt && { completedAt: timestampFromDate(report.completedAt) }),
        };
        const send = async (value: typeof data): Promise<void> => {
            const whole = { ...message, ...(value !== undefined && { data: wire.valueToWire(value) }) };
            await this.#connection.call(options, (call) => this.#governance.reportResult(whole, call));
        };
        try {
            await send(data);
        } catch (error) {
            // That the action ran counts for more than what it returned, which may be too large or too deep for the record.
            const unfit = error instanceof GovernanceError && error.code === "INVALID_ARGUMENT" && data !== undefined;
            if (!unfit) throw error;
            await send(notRecorded(error.message));
        }
    }

    /** Withdraws a proposal that still waits for a reviewer or a confirmation, so that nobody answers it. */
    async cancel(
        decision: Decision | string,
        options: CallOptions & {
            /** Why, for the record. */
            readonly reason?: string | undefined;
        } = {},
    ): Promise<Decision> {
        const message = { decisionId: idOf(decision), reason: cut(options.reason ?? "", ERROR_BYTES) };
        return this.#connection.call(options, async (call, n) => {
            try {
                return wire.decisionFromWire((await this.#governance.cancelProposal(message, call)).decision);
            } catch (thrown) {
                const error = this.#connection.failure(thrown, options.signal);
                // It may be the first try, whose answer was lost, that withdrew it.
                if (n === 0 || error.code !== "FAILED_PRECONDITION") throw error;
                const { decisionId } = message;
                const now = wire.decisionFromWire(
                    (await this.#governance.awaitDecision({ decisionId }, call)).decision,
                );
                if (now.outcome !== "DENY") throw error;
                return now;
            }
        });
    }

    /** Whether the daemon serves; of one service by its full name, for example `aegis.policy`. Asks once. */
    async health(service = "", options: CallOptions = {}): Promise<boolean> {
        const answer = await this.#connection.call({ ...options, retries: 0 }, (call) =>
            this.#health.check({ service }, call),
        );
        return answer.status === HealthCheckResponse_ServingStatus.SERVING;
    }

    // The reviewer's side.

    /**
     * What waits for a reviewer, then every change as it happens. Resumes by itself: after a `reset` comes a new snapshot.
     *
     * Leaving the loop ends the stream.
     */
    async *streamApprovals(
        filter: ApprovalFilter = {},
        options: {
            /** Ends the stream: it fails with the code `CANCELLED`. */ readonly signal?: AbortSignal | undefined;
        } = {},
    ): AsyncGenerator<ApprovalEvent, void, undefined> {
        const request = { filter: wire.approvalFilterToWire(filter) };
        const approvals = this.#approvals;
        let opened = 0;
        async function* open(call: Parameters<typeof approvals.streamApprovals>[1]): AsyncGenerator<ApprovalEvent> {
            if (opened > 0) yield { kind: "reset" };
            for await (const { event } of approvals.streamApprovals(request, call)) {
                opened += 1;
                switch (event.case) {
                    case "pending":
                    case "ended":
                        yield { kind: event.case, approval: wire.approvalFromWire(event.value) };
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
            throw this_.failure(new Error("the stream ended"));
        }
        const this_ = this.#connection;
        yield* this_.stream(options.signal, open);
    }

    /** Everything that waits for a reviewer, oldest first. */
    async listApprovals(filter: ApprovalFilter = {}, options: CallOptions = {}): Promise<Approval[]> {
        const approvals: Approval[] = [];
        let pageToken = "";
        do {
            const request = { filter: wire.approvalFilterToWire(filter), pageSize: 1000, pageToken };
            const page = await this.#connection.call(options, (call) => this.#approvals.listApprovals(request, call));
            approvals.push(...page.approvals.map(wire.approvalFromWire));
            pageToken = page.nextPageToken;
        } while (pageToken !== "");
        return approvals;
    }

    /** One approval, pending or ended, with what its session did before. */
    async getApproval(approvalId: string, options: CallOptions = {}): Promise<Approval> {
        const answer = await this.#connection.call(options, (call) =>
            this.#approvals.getApproval({ approvalId }, call),
        );
        return wire.approvalFromWire(answer.approval);
    }

    /**
     * Says yes to exactly what was shown. The policy then in force is asked once more: where it blocks the action now, the
     * approval that is returned has ended denied.
     *
     * Not tried again by itself: of two answers only the first counts. A {@link GovernanceError} with the reason
     * `ALREADY_DECIDED` says in its metadata who was first.
     */
    async approve(shown: Shown, options: ReviewOptions = {}): Promise<Approval> {
        const request = answerToWire(shown, options);
        const answer = await this.#connection.call({ ...options, retries: 0 }, (call) =>
            this.#approvals.approve(request, call),
        );
        return wire.approvalFromWire(answer.approval);
    }

    /** Says no to exactly what was shown. As {@link AegisClient.approve}. */
    async deny(shown: Shown, options: ReviewOptions = {}): Promise<Approval> {
        const request = answerToWire(shown, options);
        const answer = await this.#connection.call({ ...options, retries: 0 }, (call) =>
            this.#approvals.deny(request, call),
        );
        return wire.approvalFromWire(answer.approval);
    }

    // The auditor's side.

    /**
     * Rows of the record, oldest first. Resumes by itself without a gap; with `follow` a row may come a second time then,
     * as it does whenever it changes.
     *
     * Leaving the loop ends the stream.
     */
    async *streamAudit(options: StreamAuditOptions = {}): AsyncGenerator<AuditRow, void, undefined> {
        const { limit = 0, newestFirst = false, follow = false } = options;
        const audit = this.#audit;
        const request = { filter: wire.auditFilterToWire(options), limit: BigInt(limit), newestFirst, follow };
        // What history has brought so far; and, once it is complete, how far the log was read.
        let [lastId, count, sequence] = [0, 0, undefined as bigint | undefined];
        async function* open(call: Parameters<typeof audit.streamAudit>[1]): AsyncGenerator<AuditRow> {
            const again = sequence === undefined ? request : { filter: request.filter, follow, resumeAfter: sequence };
            for await (const { sequence: at, event } of audit.streamAudit(again, call)) {
                if (sequence !== undefined && at > sequence) sequence = at;
                if (event.case === "caughtUp" && sequence === undefined) {
                    sequence = at;
                    options.onCaughtUp?.();
                }
                if (event.case !== "row") continue;
                const row = wire.auditRowFromWire(event.value);
                if (sequence === undefined) {
                    const had = lastId !== 0 && (newestFirst ? row.id >= lastId : row.id <= lastId);
                    if (had || (limit > 0 && count >= limit)) continue;
                    [lastId, count] = [row.id, count + 1];
                }
                yield row;
            }
            if (follow) throw connection.failure(new Error("the stream ended"));
        }
        const connection = this.#connection;
        yield* connection.stream(options.signal, open);
    }

    /** Ends every call that is under way, and the connection. The client cannot be used again. */
    close(): void {
        this.#connection.close();
    }

    /** The same as {@link AegisClient.close}: `await using client = new AegisClient()`. */
    [Symbol.asyncDispose](): Promise<void> {
        this.close();
        return Promise.resolve();
    }
}

const idOf = (decision: Decision | string): string => (typeof decision === "string" ? decision : decision.decisionId);

function answerToWire(
    shown: Shown,
    { reason }: ReviewOptions,
): { approvalId: string; expectedActionDigest: string; reason: string } {
    return {
        approvalId: shown.approvalId,
        expectedActionDigest: shown.actionDigest,
        reason: text(reason ?? "", "reason"),
    };
}

function raiseDenied(action: Action, decision: Decision): void {
    if (decision.outcome === "DENY") throw new ActionDenied(action, decision, deniedOrBlocked(decision));
}

/** Whether it was the policy that said no, or somebody. */
export function deniedOrBlocked(decision: Decision): "blocked" | "denied" {
    return decision.approval === "block" ? "blocked" : "denied";
}

/** How long an approval lasts and a little longer, in milliseconds: by the daemon's clock alone, which may differ from ours. */
function untilExpiry({ timestamp, expiresAt }: Decision): number {
    if (expiresAt === undefined) return GRACE * 1000;
    return Date.parse(expiresAt) - Date.parse(timestamp) + GRACE * 1000;
}
