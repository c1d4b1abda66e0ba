/** How values become JSON, and which answers are taken: the rest of the table of attacks. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { AegisClient, GovernanceError, governed, InvalidActionError } from "../../src/index.js";
import { Outcome } from "../../src/proto/types_pb.js";
import { actionDigest, canonicalAction } from "../../src/digest.js";
import { SALT, startStub } from "../stub.js";
import { type Stage, stage } from "../support.js";
import { kindsOf, made, NO_KINDS, readTable } from "./table.js";

const { answers, policy, values } = readTable();

let world: Stage;
beforeAll(async () => {
    world = await stage(policy);
});
afterAll(async () => world[Symbol.asyncDispose]());

const had = values.filter(({ value }) => !kindsOf(value).some((kind) => Object.hasOwn(NO_KINDS, kind)));

test("most rows are run", () => expect(had.length).toBeGreaterThan(15));

test.each(had.map((row) => ({ says: JSON.stringify(row.value), row })))("the value $says", async ({ row }) => {
    const before = (await world.rows()).length;
    const value = made(row.value);
    const call = governed((given: { v: unknown }) => typeof given, {
        type: "act",
        target: "free",
        client: world.client,
    })({
        v: value,
    });
    if (row.refused === true) {
        const error = await call.catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(InvalidActionError);
        expect((error as InvalidActionError).path).toMatch(/^params\.v/);
        expect(await world.rows()).toHaveLength(before);
        return;
    }
    await call;
    expect((await world.rows()).slice(before).map(({ action }) => action.params)).toEqual([{ v: row.json }]);
});

const decision = (fields: Readonly<Record<string, string>>) => ({
    decisionId: fields["decision_id"] ?? "",
    actionDigest: fields["action_digest"] ?? "",
    outcome: Outcome[fields["outcome"] as keyof typeof Outcome],
    ...(fields["outcome"] === "ESCALATE" && { approvalId: "apr_1" }),
});

test.each(answers)("$name", async (row) => {
    await using stub = await startStub(decision(row.propose), decision(row.await ?? row.propose));
    await using client = new AegisClient({ endpoint: stub.endpoint, apiKey: "", retries: 0 });
    let ran = false;
    const act = governed(() => (ran = true), { type: "act", client, log: () => undefined });
    await expect(act()).rejects.toThrow(GovernanceError);
    expect(ran).toBe(false);
    expect(stub.calls).toContain("propose");
    expect(stub.calls).not.toContain("reportResult");
});

test("the same stub is believed where it answers about what was asked", async () => {
    const canonical = canonicalAction({ type: "act", target: "", params: {}, description: "" }, "", "");
    const known = { decisionId: "dec_1", actionDigest: actionDigest(SALT, canonical) ?? "", actionDigestSalt: SALT };
    await using stub = await startStub(
        { ...known, outcome: Outcome.ESCALATE, approvalId: "apr_1" },
        { ...known, outcome: Outcome.ALLOW },
    );
    await using client = new AegisClient({ endpoint: stub.endpoint, apiKey: "", retries: 0 });
    expect(await governed(() => "ran", { type: "act", client, log: () => undefined })()).toBe("ran");
});
