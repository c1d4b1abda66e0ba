/** One run per ALLOW, where the shared tables cannot say it. */
import { expect, test } from "vitest";
import { AlreadyClaimed, AlreadyReported, GovernanceError, governed, Runtime } from "../src/index.js";
import { stage } from "./support.js";

const KEY = "one-run-of-this-action";

test("many calls with one key are one run", async () => {
    await using world = await stage();
    let ran = 0;
    const read = governed(() => (ran += 1), { type: "read_contacts", client: world.client, idempotencyKey: KEY });
    const calls = await Promise.allSettled(Array.from({ length: 8 }, async () => read()));
    expect(ran).toBe(1);
    for (const call of calls) {
        if (call.status === "fulfilled") expect(call.value).toBe(1);
        else expect(call.reason).toBeInstanceOf(AlreadyClaimed);
    }
    expect(await world.rows()).toHaveLength(1);
});

test("a key may be made of the arguments", async () => {
    await using world = await stage();
    const ran: string[] = [];
    const read = governed((name: string) => ran.push(name), {
        type: "read_contacts",
        client: world.client,
        idempotencyKey: (name) => `read-contact-number-${name}`,
    });
    for (const name of ["1", "2", "1"]) await read(name);
    expect(ran).toEqual(["1", "2"]);
});

test("a runtime runs one action once, and the failure of the record is told as such", async () => {
    await using world = await stage();
    let ran = 0;
    await using runtime = new Runtime({
        client: world.client,
        executor: () => {
            ran += 1;
            throw new Error("the database is away");
        },
    });
    const action = { type: "read_contacts" };
    expect(await runtime.runOne(action, { idempotencyKey: KEY })).toMatchObject({ status: "failed" });
    const again = await runtime.runOne(action, { idempotencyKey: KEY });
    expect(again).toMatchObject({ status: "failed", ok: false, error: "the database is away" });
    expect(again.cause).toBeInstanceOf(AlreadyReported);
    expect(again.cause).toBeInstanceOf(GovernanceError);
    expect(ran).toBe(1);
});
