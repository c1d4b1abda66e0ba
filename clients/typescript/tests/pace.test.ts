/** How often a daemon is asked that answers at once. */
import { expect, test } from "vitest";
import { AegisClient } from "../src/index.js";
import { Outcome } from "../src/proto/types_pb.js";
import { eventually } from "./support.js";
import { startStub } from "./stub.js";

const waiting = { decisionId: "dec_1", outcome: Outcome.ESCALATE };

test("a daemon that does not wait is not asked all the time", async () => {
    await using stub = await startStub(waiting);
    await using client = new AegisClient({ endpoint: stub.endpoint, apiKey: "" });
    const began = performance.now();
    const decision = await client.wait("dec_1", { deadline: 2 });
    expect(decision.outcome).toBe("ESCALATE");
    // Every half second, or less often where the machine is busy; and once more at the deadline.
    expect(stub.calls.length).toBeLessThanOrEqual((performance.now() - began) / 500 + 2);
});

test("a stream that ends at once is not opened all the time", async () => {
    await using stub = await startStub(waiting);
    await using client = new AegisClient({ endpoint: stub.endpoint, apiKey: "", retryDelay: 0, retries: 1_000_000 });
    const began = performance.now();
    const signal = new AbortController();
    const reading = (async () => {
        for await (const event of client.streamApprovals({}, { signal: signal.signal })) throw new Error(event.kind);
    })();
    const ended = expect(reading).rejects.toMatchObject({ name: "AbortError" });
    await eventually(() => (stub.calls.length >= 20 ? true : undefined));
    signal.abort();
    await ended;
    // A pause of 20 ms between two: a timer may end a moment early.
    expect(stub.calls.length).toBeLessThanOrEqual((performance.now() - began) / 19 + 1);
});
