/** Executes tests/sdk/digests.yaml: a decision runs an action only where its digest is that of what was sent. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { canonicalJson } from "../src/digest.js";
import { AegisClient, GovernanceError, governed } from "../src/index.js";
import { Outcome } from "../src/proto/types_pb.js";
import { startStub } from "./stub.js";

interface Row {
    readonly name: string;
    readonly action: { readonly type: string; readonly target: string; readonly description: string };
    readonly params: string;
    readonly actor: string;
    readonly session: string;
    readonly salt: string;
    readonly digest: string;
}

const { digests, answers } = parse(
    readFileSync(new URL("../../../tests/sdk/digests.yaml", import.meta.url), "utf8"),
) as { readonly digests: readonly Row[]; readonly answers: readonly Pick<Row, "name" | "salt" | "digest">[] };

/** Calls the wrapper with a server that allows everything, and says whether the function ran. */
async function runs(row: Omit<Row, "name">): Promise<{ readonly ran: boolean; readonly error: unknown }> {
    const { action, params, actor, session, salt, digest } = row;
    await using stub = await startStub({
        decisionId: "dec_1",
        outcome: Outcome.ALLOW,
        actionDigest: digest,
        actionDigestSalt: salt,
    });
    await using client = new AegisClient({ endpoint: stub.endpoint, apiKey: "", retries: 0 });
    let ran = false;
    const act = governed(() => (ran = true), {
        ...action,
        params: () => JSON.parse(params) as object,
        actor: { id: actor },
        context: { sessionId: session },
        client,
    });
    const error = await act().then(
        () => undefined,
        (thrown: unknown) => thrown,
    );
    return { ran, error };
}

const refused = { ran: false, error: expect.objectContaining({ reason: "WRONG_ANSWER" }) as unknown };

describe("the digest of what was sent", () => {
    test.each(digests)("$name", async (row) => {
        expect(await runs(row)).toEqual({ ran: true, error: undefined });
        expect(await runs({ ...row, actor: "eve" })).toEqual(refused);
        expect(await runs({ ...row, session: "other" })).toEqual(refused);
        const action = { ...row.action, description: `${row.action.description} ` };
        const other = await runs({ ...row, action });
        expect(other).toEqual(refused);
        expect(other.error).toBeInstanceOf(GovernanceError);
    });

    test.each(answers)("is not proved by $name", async ({ salt, digest }) => {
        const action = { type: "act", target: "", description: "" };
        expect(await runs({ action, params: "{}", actor: "", session: "", salt, digest })).toEqual(refused);
    });

    test("the table is whole", () => {
        expect(digests.length).toBeGreaterThanOrEqual(10);
        expect(answers.length).toBeGreaterThanOrEqual(5);
    });
});

// The numbers of RFC 8785, appendix B, by their bits.
test.each([
    ["8000000000000000", "0"],
    ["0000000000000001", "5e-324"],
    ["7fefffffffffffff", "1.7976931348623157e+308"],
    ["4340000000000000", "9007199254740992"],
    ["4430000000000000", "295147905179352830000"],
    ["44b52d02c7e14af6", "1e+23"],
    ["444b1ae4d6e2ef4f", "999999999999999900000"],
    ["444b1ae4d6e2ef50", "1e+21"],
    ["3eb0c6f7a0b5ed8c", "9.999999999999997e-7"],
    ["3eb0c6f7a0b5ed8d", "0.000001"],
    ["41b3de4355555556", "333333333.3333334"],
    ["becbf647612f3696", "-0.0000033333333333333333"],
    ["43143ff3c1cb0959", "1424953923781206.2"],
])("the number with the bits %s is %s", (bits, text) => {
    expect(canonicalJson(Buffer.from(bits, "hex").readDoubleBE())).toBe(text);
});
