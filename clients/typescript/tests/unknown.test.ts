/** Messages of a daemon that is newer than this package: tests/sdk/unknown.yaml, as tests/sdk/README.md reads it. */
import { readFileSync } from "node:fs";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { AegisClient, type Approval, type Decision, type Evaluation, GovernanceError } from "../src/index.js";
import * as approvals from "../src/proto/approval_pb.js";
import * as audit from "../src/proto/audit_pb.js";
import * as governance from "../src/proto/governance_pb.js";
import { decisionFromWire, evaluationFromWire } from "../src/wire/decision.js";
import { approvalFromWire } from "../src/wire/approval.js";
import { eventually } from "./support.js";

type Fields = Readonly<Record<string, unknown>>;

const { version, messages } = parse(
    readFileSync(new URL("../../../tests/sdk/unknown.yaml", import.meta.url), "utf8"),
) as { readonly version: number; readonly messages: readonly Row[] };

interface Row {
    readonly name: string;
    readonly message: string;
    readonly base64: string;
    readonly expect: Fields;
}

/** A client of a server in this process. */
async function served<T>(
    routes: (router: ConnectRouter) => void,
    use: (client: AegisClient) => Promise<T>,
): Promise<T> {
    const server = createServer(connectNodeAdapter({ grpc: true, routes }));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const endpoint = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
    await using client = new AegisClient({ endpoint, apiKey: "", retryDelay: 0.01 });
    try {
        return await use(client);
    } finally {
        server.close();
    }
}

const ofDecision = ({ outcome, code, approvalMode, riskLevel }: Decision): Fields => ({
    outcome,
    code,
    approval_mode: approvalMode,
    risk_level: riskLevel,
    may_run: outcome === "ALLOW",
});

const ofEvaluation = ({ outcome, approvalMode, trace }: Evaluation): Fields => ({
    outcome,
    approval_mode: approvalMode,
    condition_result: trace[0]?.conditions[0]?.result,
    may_run: outcome === "ALLOW",
});

const ofApproval = ({ state, ending, votes }: Approval): Fields => ({
    state,
    ending_kind: ending?.kind,
    by: ending?.by?.subject,
    verdict: votes[0]?.verdict,
    is_pending: state === "pending",
});

/** What an answer that is not taken says of its outcome. */
function refused(read: () => Fields): Fields {
    try {
        return read();
    } catch (error) {
        expect(error).toBeInstanceOf(GovernanceError);
        return { outcome: /unknown\(\d+\)/.exec((error as Error).message)?.[0], may_run: false };
    }
}

const READERS: Readonly<Record<string, (bytes: Uint8Array) => Fields | Promise<Fields>>> = {
    ProposeResponse: (bytes) =>
        refused(() => ofDecision(decisionFromWire(fromBinary(governance.ProposeResponseSchema, bytes).decision))),
    AwaitDecisionResponse: (bytes) =>
        refused(() => ofDecision(decisionFromWire(fromBinary(governance.AwaitDecisionResponseSchema, bytes).decision))),
    EvaluateResponse: (bytes) =>
        refused(() => {
            const [one] = fromBinary(governance.EvaluateResponseSchema, bytes).evaluations;
            return ofEvaluation(evaluationFromWire(one as governance.Evaluation, ""));
        }),
    GetApprovalResponse: (bytes) =>
        ofApproval(approvalFromWire(fromBinary(approvals.GetApprovalResponseSchema, bytes).approval)),
    StreamApprovalsResponse: async (bytes) => {
        const message = fromBinary(approvals.StreamApprovalsResponseSchema, bytes);
        const marker = { event: { case: "snapshotComplete", value: { count: 7 } } } as const;
        const routes = (router: ConnectRouter): void =>
            void router.rpc(approvals.ApprovalService.method.streamApprovals, async function* () {
                yield message;
                yield await Promise.resolve(marker);
            });
        return served(routes, async (client) => {
            for await (const event of client.streamApprovals()) {
                if (event.kind === "snapshot_complete") return { event: "none" };
                if ("approval" in event) return { event: event.kind, ...ofApproval(event.approval) };
            }
            return {};
        });
    },
    StreamAuditResponse: async (bytes) => {
        const message = fromBinary(audit.StreamAuditResponseSchema, bytes);
        const asked: string[] = [];
        const routes = (router: ConnectRouter): void =>
            void router.rpc(audit.AuditService.method.streamAudit, async function* ({ resumeAfter }) {
                asked.push(resumeAfter);
                if (asked.length > 1) return;
                yield { cursor: "before", event: { case: "caughtUp", value: { count: 0n } } } as const;
                yield await Promise.resolve(message);
                throw new ConnectError("the connection broke", Code.Unavailable, { "grpc-status": "14" });
            });
        return served(routes, async (client) => {
            const stop = new AbortController();
            const reading = client.streamAudit({ follow: true, signal: stop.signal });
            const next = reading.next();
            next.catch(() => undefined);
            const first = await Promise.race([next, eventually(() => (asked.length > 1 ? "none" : undefined))]);
            // A row comes first, and the stream goes on once the next one is asked for.
            if (first !== "none") reading.next().catch(() => undefined);
            await eventually(() => (asked.length > 1 ? true : undefined));
            stop.abort();
            const cursor = asked[1];
            if (first === "none" || first.done === true) return { event: "none", cursor };
            const { outcome, riskLevel, approvalMode, ending, result } = first.value;
            const shown = { outcome, risk_level: riskLevel, approval_mode: approvalMode };
            return { event: "row", cursor, ...shown, ending_kind: ending?.kind, result_status: result?.status };
        });
    },
};

/** What is not shown where the outcome is not known: then there is no answer, but an error. */
const ONLY_OF_ANSWERS = ["approval_mode"];

test("the table is whole", () => {
    expect(version).toBe(1);
    expect(messages.length).toBeGreaterThan(12);
});

test.each(messages)("$name", async ({ message, base64, expect: expected }) => {
    const came = await READERS[message]?.(Buffer.from(base64, "base64"));
    expect(came, `the message ${message} is not known to this runner`).toBeDefined();
    for (const [key, value] of Object.entries(expected)) {
        if (came?.["may_run"] === false && ONLY_OF_ANSWERS.includes(key)) continue;
        expect(came?.[key], key).toBe(value);
    }
});
