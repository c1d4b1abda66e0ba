/** What an agent calls: propose, evaluate, report, cancel. `wait.ts` beside it waits. */
import { randomUUID } from "node:crypto";
import type { Client } from "@connectrpc/connect";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { checkedAction } from "../action.js";
import { type CallOptions, type Connection, seconds } from "../connection.js";
import { canonicalAction } from "../digest.js";
import { GovernanceError } from "../errors.js";
import { text } from "../json.js";
import type { GovernanceService } from "../proto/governance_pb.js";
import { cut, notRecorded, recordable } from "../recordable.js";
import type { ActionInput, Actor, ProposalContextInput, Decision, Evaluation, ReportStatus } from "../types.js";
import { actionToWire, actorToWire, contextToWire, valueToWire } from "../wire/action.js";
import { decisionFromWire, evaluationFromWire, reportStatusToWire } from "../wire/decision.js";
import { aboutDecision, aboutProposal } from "./answers.js";
import { raiseDenied } from "./denied.js";

/** A proposal. */
export interface ProposeRequest {
    /** What is proposed. */
    readonly action: ActionInput;
    /** Who proposes, as declared. The client's. */
    readonly actor?: Actor | undefined;
    /** Where it comes from. The client's. */
    readonly context?: ProposalContextInput | undefined;
    /**
     * Any text unique to this proposal: the same again within 24 hours is the same proposal. A random UUID. Without a
     * credential at least 16 characters: the key is what keeps other callers out.
     */
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

/** Withdraws a proposal. */
export interface CancelOptions extends CallOptions {
    /** Why, for the record. */
    readonly reason?: string | undefined;
}

/** How long the text of an error may be, in bytes. */
const ERROR_BYTES = 16 * 1024;

/** The agent's calls over one connection. */
export class AgentCalls {
    readonly #connection: Connection;
    readonly #governance: Client<typeof GovernanceService>;

    constructor(connection: Connection, governance: Client<typeof GovernanceService>) {
        this.#connection = connection;
        this.#governance = governance;
    }

    async propose(request: ProposeRequest, options: CallOptions): Promise<Decision> {
        const action = checkedAction(request.action);
        const message = {
            actor: actorToWire(request.actor),
            action: actionToWire(action),
            context: contextToWire(request.context),
            idempotencyKey: text(request.idempotencyKey ?? randomUUID(), "idempotencyKey"),
            confirmationToken: text(request.confirmationToken ?? "", "confirmationToken"),
        };
        const wait = seconds(request.wait ?? 0, "wait", 3600, 0);
        const timeout = Math.min((options.timeout ?? this.#connection.timeout) + wait, 3600);
        let retried = false;
        const answer = await this.#connection.call({ ...options, timeout }, async (call, n) => {
            retried = n > 0;
            const waiting = wait > 0 && { wait: durationFromMs(wait * 1000) };
            return this.#governance.propose({ ...message, ...waiting }, call);
        });
        const canonical = canonicalAction(action, message.actor.id, message.context.sessionId);
        const decision = aboutProposal({ canonical, retried }, decisionFromWire(answer.decision));
        if (request.raiseOnDeny === true) raiseDenied(action, decision);
        return decision;
    }

    async evaluateMany(request: EvaluateManyRequest, options: CallOptions): Promise<Evaluation[]> {
        const actor = actorToWire(request.actor);
        const items = request.actions.map((action) => ({ actor, action: actionToWire(checkedAction(action)) }));
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
        return answer.evaluations.map((evaluation) => evaluationFromWire(evaluation, answer.policyRevision));
    }

    async report(decision: Decision | string, report: Report, options: CallOptions): Promise<void> {
        const data = recordable(report.data);
        const decisionId = idOf(decision);
        const result = {
            status: reportStatusToWire(report.status),
            error: cut(report.error ?? "", ERROR_BYTES),
            ...(report.startedAt && { startedAt: timestampFromDate(report.startedAt) }),
            ...(report.completedAt && { completedAt: timestampFromDate(report.completedAt) }),
        };
        const send = async (value: typeof data): Promise<void> => {
            const whole = { ...result, ...(value !== undefined && { data: valueToWire(value) }) };
            await this.#connection.call(options, (call) =>
                this.#governance.reportResult({ decisionId, result: whole }, call),
            );
        };
        try {
            await send(data);
        } catch (error) {
            // That the action ran counts for more than what it returned, which may be too large or too deep for the
            // record.
            const unfit = error instanceof GovernanceError && error.code === "INVALID_ARGUMENT" && data !== undefined;
            if (!unfit) throw error;
            await send(notRecorded(error.message));
        }
    }

    async cancel(decision: Decision | string, options: CancelOptions): Promise<Decision> {
        const message = { decisionId: idOf(decision), reason: cut(options.reason ?? "", ERROR_BYTES) };
        return this.#connection.call(options, async (call, n) => {
            try {
                const answer = await this.#governance.cancelProposal(message, call);
                return aboutDecision(decision, decisionFromWire(answer.decision));
            } catch (thrown) {
                const error = this.#connection.failure(thrown, options.signal);
                // It may be the first try, whose answer was lost, that withdrew it.
                if (n === 0 || error.code !== "FAILED_PRECONDITION") throw error;
                const { decisionId } = message;
                const answer = await this.#governance.awaitDecision({ decisionId }, call);
                const now = aboutDecision(decision, decisionFromWire(answer.decision));
                if (now.outcome !== "DENY") throw error;
                return now;
            }
        });
    }
}

const idOf = (decision: Decision | string): string => (typeof decision === "string" ? decision : decision.decisionId);
