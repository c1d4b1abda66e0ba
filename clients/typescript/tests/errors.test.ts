import { expect, test, vi } from "vitest";
import * as errors from "../src/errors.js";
import type { Decision } from "../src/index.js";

const decision = { outcome: "DENY", reason: "no" } as Decision;
const action = { type: "t", target: "", params: {}, description: "" };

test("errors of another copy of the package are the same errors", async () => {
    vi.resetModules();
    const copy = await import("../src/errors.js");
    expect(copy.AegisError).not.toBe(errors.AegisError);
    const denied = new copy.ActionDenied(action, decision, "denied");
    expect(denied).toBeInstanceOf(errors.ActionDenied);
    expect(denied).toBeInstanceOf(errors.GovernanceError);
    expect(denied).toBeInstanceOf(errors.AegisError);
    expect(denied).toBeInstanceOf(Error);
    expect(denied).not.toBeInstanceOf(errors.InvalidActionError);
    expect(denied).not.toBeInstanceOf(errors.ReportError);
    expect(new copy.AegisError("x")).not.toBeInstanceOf(errors.GovernanceError);
});

test("a subclass is asked for as usual, and nothing else is taken for an error", () => {
    class Mine extends errors.AegisError {}
    expect(new Mine("x")).toBeInstanceOf(Mine);
    expect(new Mine("x")).toBeInstanceOf(errors.AegisError);
    expect(new errors.AegisError("x")).not.toBeInstanceOf(Mine);
    for (const other of [null, undefined, 1, "x", {}, new Error("x")]) {
        expect(other instanceof errors.AegisError).toBe(false);
    }
});

test("an error says what and why", () => {
    const denied = new errors.ActionDenied({ ...action, type: "delete", target: "crm" }, decision, "blocked");
    expect(denied).toMatchObject({ name: "ActionDenied", message: "delete on crm was blocked: no", status: "blocked" });
    const cause = new errors.AegisError("gone", { code: "UNAVAILABLE" });
    const report = new errors.ReportError(decision, { result: 7 }, cause);
    expect(report).toMatchObject({ name: "ReportError", code: "UNAVAILABLE", result: 7, cause });
});
