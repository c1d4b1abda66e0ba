/** A server in this process that answers in the daemon's place. */
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { actionDigest, canonicalAction } from "../src/digest.js";
import { ApprovalService } from "../src/proto/approval_pb.js";
import { GovernanceService, type ProposeRequest } from "../src/proto/governance_pb.js";
import type { Json, JsonObject } from "../src/types.js";
import { ApprovalMode, type DecisionSchema, RiskLevel } from "../src/proto/types_pb.js";

/** The salt of every decision that a server of the tests seals. */
export const SALT = "000102030405060708090a0b0c0d0e0f";

/** What ties a decision to the action of a proposal, as the daemon computes it. */
export function sealed({ action, actor, context }: ProposeRequest): {
    readonly actionDigest: string;
    readonly actionDigestSalt: string;
} {
    const { type = "", target = "", description = "" } = action ?? {};
    const params = (action?.params ?? {}) as Json as JsonObject;
    const canonical = canonicalAction({ type, target, params, description }, actor?.id ?? "", context?.sessionId ?? "");
    return { actionDigest: actionDigest(SALT, canonical) ?? "", actionDigestSalt: SALT };
}

type Answer = MessageInitShape<typeof DecisionSchema>;

/** Starts one that answers proposals, and waiting for them, with these decisions. */
export async function startStub(
    propose: Answer,
    wait: Answer = propose,
): Promise<{ readonly endpoint: string; readonly calls: string[] } & AsyncDisposable> {
    const calls: string[] = [];
    const whole = (decision: Answer): Answer => ({
        riskLevel: RiskLevel.LOW,
        approvalMode: ApprovalMode.AUTO,
        ...decision,
    });
    const answer = (name: string, decision: Answer) => () => {
        calls.push(name);
        return { decision: whole(decision) };
    };
    const handler = connectNodeAdapter({
        routes: ({ service }) => {
            service(ApprovalService, {
                // Ends at once, without an error.
                // eslint-disable-next-line require-yield
                async *streamApprovals() {
                    calls.push("streamApprovals");
                },
            });
            service(GovernanceService, {
                propose: answer("propose", propose),
                awaitDecision: answer("awaitDecision", wait),
                cancelProposal: answer("cancelProposal", wait),
                reportResult: () => {
                    calls.push("reportResult");
                    return {};
                },
            });
        },
    });
    const server = createServer(handler);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return {
        endpoint: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
        calls,
        [Symbol.asyncDispose]: async () => {
            server.close();
            return Promise.resolve();
        },
    };
}
