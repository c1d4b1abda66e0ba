import { describe, expect, test } from "vitest";
import { checkedAction } from "../src/action.js";
import { detached } from "../src/detached.js";
import { type ActionInput, InvalidActionError, visible } from "../src/index.js";
import { sameJson } from "../src/json.js";
import { cut, errorText, recordable } from "../src/recordable.js";

/** An object that shows nothing of itself. */
class Thing {
    readonly #hidden = 1;
    get(): number {
        return this.#hidden;
    }
}

const params = (value: object): unknown => checkedAction({ type: "t", params: value }).params;

describe("an action", () => {
    test("is copied, frozen, and the same in both of its shapes", () => {
        const given = { list: [1, { deep: null }], text: "é", no: false, zero: -0, tiny: 5e-324 };
        const one = checkedAction({ type: "read", target: "crm", params: given, description: "d" });
        expect(one).toEqual({ type: "read", target: "crm", params: given, description: "d" });
        expect(checkedAction({ capability: "read", target: "crm", parameters: given, description: "d" })).toEqual(one);
        expect(one.params).not.toBe(given);
        expect(Object.isFrozen((one.params["list"] as readonly object[])[1])).toBe(true);
    });

    test("counts an `undefined` property as absent, takes small bigints and objects of any realm", () => {
        expect(params({ a: undefined, b: 1n, c: Object.create(null) as object })).toEqual({ b: 1, c: {} });
        expect(checkedAction({ type: "t", target: undefined, params: undefined, description: undefined })).toEqual({
            type: "t",
            target: "",
            params: {},
            description: "",
        });
    });

    test.each([
        ["params.user.age", { user: { age: 2 ** 53 } }],
        ["params.n", { n: 1e300 }],
        ["params.scores[1]", { scores: [1, NaN] }],
        ["params.x", { x: -Infinity }],
        ["params.f", { f: () => 1 }],
        ["params.s", { s: Symbol("s") }],
        ["params.list[1]", { list: [1, undefined] }],
        ["params.list[0]", { list: new Array(1) }],
        ["params.when", { when: new Date(NaN) }],
        ["params.map", { map: new Map([[1, 2]]) }],
        ["params.promise", { promise: Promise.resolve(1) }],
        ["params.thing", { thing: new Thing() }],
        ["params.pattern", { pattern: /a/ }],
        ["params.text", { text: "half \ud800 of a pair" }],
        ['params["a b"].c', { "a b": { c: NaN } }],
        ['params["\\ud800"]', { "\ud800": 1 }],
        ["params.__proto__", JSON.parse('{"__proto__": {"admin": true}}') as object],
        ["params", [1]],
    ])("that cannot be sent whole is refused at %s", (path, value) => {
        const refused = expect.objectContaining({ path, code: "INVALID_ARGUMENT" }) as InvalidActionError;
        expect(() => params(value)).toThrow(InvalidActionError);
        expect(() => params(value)).toThrow(refused);
    });

    test("that contains itself, or is nested without end, is refused", () => {
        const cycle: Record<string, unknown> = { list: [] };
        (cycle["list"] as unknown[]).push(cycle);
        expect(() => params({ cycle })).toThrow("params.cycle: contains itself, at params.cycle.list[0]");
        const shared = { a: 1 };
        expect(params({ x: shared, y: shared })).toEqual({ x: { a: 1 }, y: { a: 1 } });
        let deep: object = {};
        for (let i = 0; i < 100_000; i += 1) deep = { deep };
        expect(() => params(deep)).toThrow("is nested deeper than");
    });

    test.each([
        ["type", { type: "" }],
        ["capability", { capability: "" }],
        ["type", {}],
        ["type", { type: 1 }],
        ["target", { type: "t", target: 1 }],
        ["parms", { type: "t", parms: {} }],
        ["action", undefined],
    ])("without its parts, or with others, is refused at %s", (path, input) => {
        expect(() => checkedAction(input as ActionInput)).toThrow(expect.objectContaining({ path }) as Error);
    });
});

describe("a value that is no JSON by itself", () => {
    test("is proposed by the rule that all SDKs share", () => {
        class Money {
            readonly #cents = 250;
            toJSON(): object {
                return { amount: this.#cents / 100, at: new Date(0) };
            }
        }
        const given = {
            when: new Date("2026-01-31T09:30:00.250Z"),
            url: new URL("https://example.com/a b?c"),
            huge: 2n ** 53n,
            small: -3n,
            bytes: Buffer.from([255, 254, 0]),
            map: new Map<string, unknown>([["a", new Set([10, 9])]]),
            money: new Money(),
            error: new TypeError("broken"),
            floats: new Float64Array([0.5]),
        };
        expect(params(given)).toEqual({
            when: "2026-01-31T09:30:00.250Z",
            url: "https://example.com/a%20b?c",
            huge: "9007199254740992",
            small: -3,
            bytes: "//4A",
            map: { a: [9, 10] },
            money: { amount: 2.5, at: "1970-01-01T00:00:00Z" },
            error: "broken",
            floats: [0.5],
        });
    });

    test("cannot lie about what it is", () => {
        const lying = new Date(0);
        Object.assign(lying, { toISOString: () => "tomorrow", toJSON: () => "tomorrow" });
        const url = new URL("http://example.com/a");
        Object.defineProperty(url, "href", { value: "http://example.com/b" });
        expect(params({ lying, url })).toEqual({ lying: "1970-01-01T00:00:00Z", url: "http://example.com/a" });
    });
});

describe("what is on Object.prototype", () => {
    const polluted = (properties: Readonly<Record<string, unknown>>, run: () => void): void => {
        const prototype = Object.prototype as Record<string, unknown>;
        const descriptors = Object.entries(properties).map(([name, value]) => [name, { value, configurable: true }]);
        Object.defineProperties(prototype, Object.fromEntries(descriptors) as PropertyDescriptorMap);
        try {
            run();
        } finally {
            for (const name of Object.keys(properties)) Reflect.deleteProperty(prototype, name);
        }
    };

    test("is no part of an action", () => {
        polluted({ capability: "delete_all", params: { all: true }, description: "x", toJSON: () => "forged" }, () => {
            expect(checkedAction({ type: "read" })).toEqual({ type: "read", target: "", params: {}, description: "" });
            expect(() => checkedAction({} as ActionInput)).toThrow("type: must be a string");
            expect(params({ a: {} })).toEqual({ a: {} });
        });
    });

    test("fills no hole of a list", () => {
        const list: unknown[] = [];
        list.length = 1;
        const prototype = Array.prototype as unknown as Record<string, unknown>;
        prototype["0"] = "forged";
        try {
            expect(() => params({ list })).toThrow("params.list[0]: undefined is not JSON");
        } finally {
            Reflect.deleteProperty(prototype, "0");
        }
    });
});

test("a copy for the run shares nothing with what was given, and keeps its kinds", () => {
    const inner = { list: [1, new Date(0)] };
    const given = { inner, again: inner, map: new Map([["a", inner]]), bytes: Buffer.from("abc"), none: undefined };
    const copy = detached(given);
    expect(copy).toEqual(given);
    expect(copy.again).toBe(copy.inner);
    expect(copy.map.get("a")).toBe(copy.inner);
    expect(Buffer.isBuffer(copy.bytes)).toBe(true);
    inner.list.push(2);
    given.bytes[0] = 0;
    expect([copy.inner.list.length, copy.bytes.toString()]).toEqual([2, "abc"]);
    const cycle: { itself?: unknown } = {};
    cycle.itself = cycle;
    const turned = detached(cycle);
    expect(turned.itself).toBe(turned);
    expect(turned).not.toBe(cycle);
});

test("a getter or a proxy is read once, whatever it says the second time", () => {
    let reads = 0;
    const given = {
        get path() {
            reads += 1;
            return reads === 1 ? "/safe" : "/etc";
        },
    };
    const copy = detached([given, new Proxy({ path: "/safe" }, { get: () => `/${String((reads += 1))}` })] as const);
    expect([copy[0].path, copy[0].path, reads]).toEqual(["/safe", "/safe", 2]);
    expect(copy[1].path).toBe(copy[1].path);
});

test("two values are the same only as JSON", () => {
    expect(sameJson({ a: [1, { b: null }] }, { a: [1, { b: null }] })).toBe(true);
    for (const [a, b] of [
        [{ a: 1 }, { a: 1, b: 2 }],
        [{ a: null }, {}],
        [[1], { 0: 1 }],
        [
            [1, 2],
            [2, 1],
        ],
        ["1", 1],
    ] as const) {
        expect(sameJson(a, b)).toBe(false);
    }
});

test("whatever an action returned can be recorded", () => {
    const cycle: Record<string, unknown> = {};
    cycle["cycle"] = cycle;
    expect(recordable(undefined)).toBeUndefined();
    expect(recordable(null)).toBeNull();
    // By the rule for parameters where that takes it, and as much of it as there is elsewhere.
    expect(recordable({ n: 10n, d: new Date(0) })).toEqual({ n: 10, d: "1970-01-01T00:00:00Z" });
    expect(recordable({ n: 10n, d: new Date(0), f: () => 1, nan: NaN })).toEqual({
        n: "10",
        d: "1970-01-01T00:00:00.000Z",
        nan: null,
    });
    // Nothing that holds something becomes `{}`.
    const held = {
        map: new Map([["a", 1]]),
        set: new Set([2, 1]),
        bytes: Buffer.from([255]),
        error: new Error("broken"),
    };
    const shown = { map: { a: 1 }, set: [1, 2], bytes: "/w==", error: "broken" };
    expect(recordable(held)).toEqual(shown);
    const nothing = { not_recorded: "a Response is not JSON" };
    expect(recordable({ ...held, response: new Response("x"), f: () => 1 })).toEqual({
        ...shown,
        set: [2, 1],
        bytes: expect.anything() as unknown,
        response: nothing,
    });
    expect(recordable(new Response("x"))).toEqual(nothing);
    expect(recordable({ big: 2 ** 60, text: "\ud800" })).toEqual({ big: "1152921504606847000", text: "\ufffd" });
    expect(recordable(() => 1)).toEqual({ not_recorded: "a function is not JSON" });
    expect(recordable(cycle)).toEqual({ not_recorded: expect.stringMatching(/circular/i) as unknown });
});

test("whatever was thrown is a text, and a text has an end", () => {
    expect(errorText(new Error("broken"))).toBe("broken");
    expect(errorText(new TypeError())).toBe("TypeError");
    expect(errorText("broken")).toBe("broken");
    expect(errorText({ code: 1 })).toBe('{"code":1}');
    expect(errorText(undefined)).toBe("undefined");
    expect(cut("short", 10)).toBe("short");
    expect(cut("ééééé", 8)).toBe("éé...");
});

test("what an agent writes is visible", () => {
    expect(visible("pay\u202egnp.exe\n\u200b\x1b[2J é 日本")).toBe(
        "pay\\u{202e}gnp.exe\\u{a}\\u{200b}\\u{1b}[2J é 日本",
    );
});
