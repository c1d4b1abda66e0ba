import { describe, expect, it } from "vitest";
import { counted, decidingTimes, overTime, percentile } from "../src/figures/figures";
import { diff, excerpt } from "../src/policy/diff";
import type { Row } from "../src/words";

const START = Date.parse("2026-01-01T00:00:00Z");

function row(second: number, more: Partial<Row>): Row {
    return {
        timestamp: new Date(START + second * 1000).toISOString(),
        outcome: "ALLOW",
        decided_by: null,
        ...more,
    } as Row;
}

describe("figures", () => {
    it("count each decision in the interval that it belongs to", () => {
        const rows = [row(0, {}), row(9, { outcome: "DENY" }), row(10, {}), row(19.9, {}), row(20, {}), row(-1, {})];
        const { times, series } = overTime(rows, "outcome", START, START + 20_000, 2);
        expect(times).toEqual([START / 1000, START / 1000 + 10]);
        expect(series).toEqual([
            { name: "allow", counts: [1, 2] },
            { name: "deny", counts: [1, 0] },
        ]);
    });

    it("put the rest of many rules together", () => {
        const rows = Array.from({ length: 10 }, (_, i) => row(0, { matched_rule: `rule_${i}` }));
        const { series } = overTime(rows, "rule", START, START + 1000, 1);
        expect(series.map(({ name }) => name)).toEqual(["rule_0", "rule_1", "rule_2", "rule_3", "rule_4", "others"]);
        expect(series.at(-1)?.counts).toEqual([5]);
    });

    it("measure how long people take, and nobody else", () => {
        const at = (second: number) => new Date(START + second * 1000).toISOString();
        const rows = [
            row(0, { decided_by: "token:ada", human_decision: "approved", decided_at: at(5) }),
            row(0, { decided_by: "token:ada", human_decision: "denied", decided_at: at(2) }),
            row(0, { decided_by: null, human_decision: "expired", decided_at: at(900) }),
            row(0, { decided_by: "agent-7", human_decision: "cancelled", decided_at: at(1) }),
        ];
        const times = decidingTimes(rows);
        expect(times).toEqual([2000, 5000]);
        expect([percentile(times, 0.5), percentile(times, 0.95), percentile([], 0.5)]).toEqual([2000, 5000, null]);
        expect(counted(["b", "a", "b"])).toEqual([
            ["b", 2],
            ["a", 1],
        ]);
    });
});

describe("differences", () => {
    it("are the lines that went and the lines that came", () => {
        const changes = diff("a\nb\nc\nd", "a\nc\nx\nd");
        expect(changes.map(({ kind, text }) => `${kind} ${text}`)).toEqual([
            "same a",
            "old b",
            "same c",
            "new x",
            "same d",
        ]);
        expect(diff("same", "same").every(({ kind }) => kind === "same")).toBe(true);
    });

    it("are shown with the lines around them", () => {
        const lines = Array.from({ length: 30 }, (_, i) => String(i));
        const changed = lines.with(5, "five").with(20, "twenty");
        const parts = excerpt(diff(lines.join("\n"), changed.join("\n")), 1);
        expect(parts.map((part) => part.map(({ text }) => text))).toEqual([
            ["4", "5", "five", "6"],
            ["19", "20", "twenty", "21"],
        ]);
    });

    it("of very long texts are found all the same", () => {
        const lines = (name: string) => Array.from({ length: 3000 }, (_, i) => `${name} ${i}`).join("\n");
        const changes = diff(lines("a"), lines("b"));
        expect(changes.filter(({ kind }) => kind === "new")).toHaveLength(3000);
    });
});
