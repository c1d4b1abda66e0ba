/** A client of one daemon: the agent's side, the reviewer's and the auditor's, with one credential. */
import { own } from "./values.js";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import {
    AgentCalls,
    type CancelOptions,
    type EvaluateManyRequest,
    type EvaluateRequest,
    type ProposeRequest,
    type Report,
} from "./calls/agent.js";
import { AuditorCalls, type ListDecisionsOptions, type StreamAuditOptions } from "./calls/auditor.js";
import { ReviewerCalls, type ReviewOptions, type Shown } from "./calls/reviewer.js";
import { waitForDecision, type WaitOptions } from "./calls/wait.js";
import { type CallOptions, Connection, type ConnectionOptions } from "./connection.js";
import { GovernanceError } from "./errors.js";
import { ApprovalService } from "./proto/approval_pb.js";
import { AuditService } from "./proto/audit_pb.js";
import { GovernanceService } from "./proto/governance_pb.js";
import { Health, HealthCheckResponse_ServingStatus } from "./proto/health_pb.js";
import type {
    Actor,
    Approval,
    ApprovalEvent,
    ApprovalFilter,
    AuditRow,
    ProposalContextInput,
    Decision,
    DecisionLife,
    Evaluation,
    ListApprovalsFilter,
    Stats,
} from "./types.js";

/** How to reach a daemon, and what proposals carry where they do not say it themselves. */
export interface ClientOptions extends ConnectionOptions {
    /** Who proposes, as declared. None. */
    readonly actor?: Actor | undefined;
    /** Where proposals come from. Nothing. */
    readonly context?: ProposalContextInput | undefined;
}

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
    readonly #context: ProposalContextInput | undefined;
    readonly #governance: Client<typeof GovernanceService>;
    readonly #health: Client<typeof Health>;
    readonly #agent: AgentCalls;
    readonly #reviewer: ReviewerCalls;
    readonly #auditor: AuditorCalls;

    /**
     * Does not connect yet. Throws {@link AegisError} where an option makes no sense or would send a credential in
     * the clear.
     */
    constructor(given: ClientOptions = {}) {
        this.#connection = new Connection(given);
        const { actor, context } = own(given);
        this.#actor = actor;
        this.#context = context;
        this.#governance = createClient(GovernanceService, this.transport);
        this.#health = createClient(Health, this.transport);
        this.#agent = new AgentCalls(this.#connection, this.#governance);
        this.#reviewer = new ReviewerCalls(this.#connection, createClient(ApprovalService, this.transport));
        this.#auditor = new AuditorCalls(this.#connection, createClient(AuditService, this.transport));
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
        const asked = own(request);
        const { actor = this.#actor, context = this.#context } = asked;
        return this.#agent.propose(own({ ...asked, actor, context }), options);
    }

    /** Says what the policy would answer. Nobody is asked, and nothing is recorded. */
    async evaluate(request: EvaluateRequest, options: CallOptions = {}): Promise<Evaluation> {
        const asked = own(request);
        const [evaluation] = await this.evaluateMany({ ...asked, actions: [asked.action] }, options);
        if (evaluation === undefined) {
            throw new GovernanceError("the daemon answered without an evaluation", { code: "INTERNAL" });
        }
        return evaluation;
    }

    /** Says what the policy would answer to each of many actions, in order, and by the same policy. */
    async evaluateMany(request: EvaluateManyRequest, options: CallOptions = {}): Promise<Evaluation[]> {
        const asked = own(request);
        return this.#agent.evaluateMany(own({ ...asked, actor: asked.actor ?? this.#actor }), options);
    }

    /**
     * Waits until a reviewer has decided. Goes on by itself when the connection breaks or the daemon is started again.
     *
     * Returns the decision as it stands then; it says `ESCALATE` still where the deadline is past, and the proposal
     * stays. Where the daemon cannot be reached, it is tried until the deadline or the approval's expiry; of a
     * decision that is given by its id alone no expiry is known before the first answer.
     */
    async wait(decision: Decision | string, options: WaitOptions = {}): Promise<Decision> {
        return waitForDecision(this.#connection, this.#governance, decision, options);
    }

    /** Says what came of an allowed action. The same report again is answered alike. */
    async report(decision: Decision | string, report: Report, options: CallOptions = {}): Promise<void> {
        return this.#agent.report(decision, report, options);
    }

    /** Withdraws a proposal that still waits for a reviewer or a confirmation, so that nobody answers it. */
    async cancel(decision: Decision | string, options: CancelOptions = {}): Promise<Decision> {
        return this.#agent.cancel(decision, options);
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
     * What waits for a reviewer, then every change as it happens. Resumes by itself: after a `reset` comes a new
     * snapshot.
     *
     * Leaving the loop ends the stream.
     */
    async *streamApprovals(
        filter: ApprovalFilter = {},
        options: {
            /** Ends the stream: it fails with the code `CANCELLED`. */ readonly signal?: AbortSignal | undefined;
        } = {},
    ): AsyncGenerator<ApprovalEvent, void, undefined> {
        yield* this.#reviewer.stream(filter, options.signal);
    }

    /** Everything that waits for a reviewer, oldest first; or what stands as `states` says. */
    async listApprovals(filter: ListApprovalsFilter = {}, options: CallOptions = {}): Promise<Approval[]> {
        return this.#reviewer.list(filter, options);
    }

    /** One approval, pending or ended, with what its session did before. */
    async getApproval(approvalId: string, options: CallOptions = {}): Promise<Approval> {
        return this.#reviewer.get(approvalId, options);
    }

    /**
     * Says yes to exactly what was shown. The policy then in force is asked once more: where it blocks the action
     * now, the approval that is returned has ended denied.
     *
     * Not tried again by itself: of two answers only the first counts. A {@link GovernanceError} with the reason
     * `ALREADY_DECIDED` says in its metadata who was first.
     */
    async approve(shown: Shown, options: ReviewOptions = {}): Promise<Approval> {
        return this.#reviewer.answer("approve", shown, options);
    }

    /** Says no to exactly what was shown. As {@link AegisClient.approve}. */
    async deny(shown: Shown, options: ReviewOptions = {}): Promise<Approval> {
        return this.#reviewer.answer("deny", shown, options);
    }

    // The auditor's side.

    /**
     * Rows of the record, oldest first. Resumes by itself without a gap; with `follow` a row may come a second time
     * then, as it does whenever it changes.
     *
     * Leaving the loop ends the stream.
     */
    async *streamAudit(options: StreamAuditOptions = {}): AsyncGenerator<AuditRow, void, undefined> {
        yield* this.#auditor.stream(options);
    }

    /** Lists rows of the record, oldest first; with `newestFirst` the newest. */
    async listDecisions(wanted: ListDecisionsOptions = {}, options: CallOptions = {}): Promise<AuditRow[]> {
        return this.#auditor.list(wanted, options);
    }

    /**
     * Gets the whole life of a decision: its row, its approval with the votes, its records.
     *
     * @param id - Of the decision (`dec_`), of its approval (`apr_`) or of one of its records (`aud_`). Or the
     * beginning of one, with at least 8 characters after the prefix.
     */
    async getDecision(id: string, options: CallOptions = {}): Promise<DecisionLife> {
        return this.#auditor.get(id, options);
    }

    /** Gets the totals of the whole record, with the `top` most frequent action types and rules. */
    async getStats(options: CallOptions & { readonly top?: number | undefined } = {}): Promise<Stats> {
        const { top = 5, ...call } = options;
        return this.#auditor.stats(top, call);
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
