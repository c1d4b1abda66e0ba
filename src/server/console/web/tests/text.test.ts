import { describe, expect, it } from "vitest";
import { pieces, step } from "../src/text";
import type { Mask } from "../src/words";

const mask = (start: number | null, end: number | null, length: number): Mask => ({
    path: "",
    pointer: "",
    start,
    end,
    length,
});

describe("text of an agent", () => {
    it("is shown as it is where everybody can see it", () => {
        expect(pieces("DROP TABLE orders; <b>Ünïcödé</b> 日本語 🙂")).toEqual([
            { kind: "plain", text: "DROP TABLE orders; <b>Ünïcödé</b> 日本語 🙂" },
        ]);
    });

    it.each([
        ["\u202e", "U+202E"],
        ["\u2066", "U+2066"],
        ["\u200b", "U+200B"],
        ["\u200d", "U+200D"],
        ["\u00ad", "U+00AD"],
        ["\u0000", "U+0000"],
        ["\u001b", "U+001B"],
        ["\u0085", "U+0085"],
        ["\t", "U+0009"],
        ["\u2028", "U+2028"],
        ["\u00a0", "U+00A0"],
        ["\u3164", "U+3164"],
        ["\ufe0f", "U+FE0F"],
        ["\u{e0041}", "U+E0041"],
        ["\u{e0100}", "U+E0100"],
        ["\ue000", "U+E000"],
        ["\ud800", "U+D800"],
    ])("shows %j as %s", (character, label) => {
        const [before, special, after] = pieces(`a${character}b`);
        expect(before).toEqual({ kind: "plain", text: "a" });
        expect(special).toMatchObject({ kind: "special", label });
        expect(after).toEqual({ kind: "plain", text: "b" });
    });

    it("is masked where the daemon says so, in characters, and nowhere else", () => {
        expect(pieces("🙂[masked, 3 characters]!", [mask(1, 23, 3)])).toEqual([
            { kind: "plain", text: "🙂" },
            { kind: "masked", length: 3 },
            { kind: "plain", text: "!" },
        ]);
        expect(pieces("[masked, 14 characters]", [mask(null, null, 14)])).toEqual([{ kind: "masked", length: 14 }]);
        expect(pieces("[masked, 14 characters]")).toEqual([{ kind: "plain", text: "[masked, 14 characters]" }]);
    });

    it("survives masks that make no sense", () => {
        expect(pieces("abc", [mask(1, 1, 0), mask(2, null, 1), mask(9, 12, 3)])).toEqual([
            { kind: "plain", text: "abc" },
        ]);
        expect(pieces("abc", [mask(1, 99, 5)])).toEqual([
            { kind: "plain", text: "a" },
            { kind: "masked", length: 5 },
        ]);
    });

    it("has keys that are steps of a pointer", () => {
        expect(step("a/b~c")).toBe("/a~1b~0c");
    });
});
