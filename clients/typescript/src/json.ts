/**
 * Values that a caller gives, copied: frozen, and exactly what JSON holds.
 *
 * Nothing is rounded, dropped or converted: what a rule and a reviewer see is what the action runs with.
 */
import { InvalidActionError } from "./errors.js";
import type { Json, JsonObject } from "./types.js";

/** Deeper than the daemon takes unless it is told to (`--max-params-depth`), and what protobuf can carry at all. */
export const MAX_DEPTH = 64;

/** A frozen copy of an object that JSON holds exactly. */
export function checkedObject(value: unknown, path: string): JsonObject {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
        throw new InvalidActionError(path, `must be an object, not ${named(value)}`);
    }
    return checked(value, path, new Map()) as JsonObject;
}

/** A text that UTF-8 can hold. */
export function text(value: unknown, path: string): string {
    if (typeof value !== "string") throw new InvalidActionError(path, `must be a string, not ${named(value)}`);
    if (!value.isWellFormed()) throw new InvalidActionError(path, "holds half of a surrogate pair, which is no text");
    return value;
}

/** `outer`: the objects around the value, and where each of them stands. */
function checked(value: unknown, path: string, outer: ReadonlyMap<object, string>): Json {
    switch (typeof value) {
        case "string":
            return text(value, path);
        case "boolean":
            return value;
        case "number":
            return checkedNumber(value, path);
        case "bigint":
            if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) {
                throw new InvalidActionError(path, `${value} is beyond ±(2^53 - 1): send it as a string`);
            }
            return Number(value);
        case "object":
            return value === null ? null : checkedStructure(value, path, outer);
        default:
            throw new InvalidActionError(path, `${named(value)} is not JSON`);
    }
}

function checkedNumber(value: number, path: string): number {
    if (!Number.isFinite(value)) throw new InvalidActionError(path, `${value} is not JSON`);
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
        throw new InvalidActionError(
            path,
            `${value} is beyond ±(2^53 - 1), where a number may have been rounded already: send it as a string`,
        );
    }
    return value;
}

function checkedStructure(value: object, path: string, outer: ReadonlyMap<object, string>): Json {
    const cycle = outer.get(value);
    if (cycle !== undefined) throw new InvalidActionError(cycle, `contains itself, at ${path}`);
    if (outer.size >= MAX_DEPTH) throw new InvalidActionError(path, `is nested deeper than ${MAX_DEPTH}`);
    const inside = new Map(outer).set(value, path);
    if (Array.isArray(value)) {
        // Not `map`, which leaves out the holes of a sparse array.
        return Object.freeze(Array.from(value, (item: unknown, i) => checked(item, `${path}[${i}]`, inside)));
    }
    if (!isPlain(value)) {
        throw new InvalidActionError(path, `${named(value)} is not JSON: send what it stands for as plain values`);
    }
    const copy: Record<string, Json> = {};
    for (const [key, item] of Object.entries(value)) {
        const at = /^[\p{ID_Start}_$][\p{ID_Continue}$]*$/u.test(key)
            ? `${path}.${key}`
            : `${path}[${JSON.stringify(key)}]`;
        if (!key.isWellFormed()) throw new InvalidActionError(at, "its name holds half of a surrogate pair");
        // An assignment to it sets a prototype: half of the JavaScript on the way would lose it without a word.
        if (key === "__proto__") throw new InvalidActionError(at, "a property of this name cannot be sent safely");
        if (item !== undefined) copy[key] = checked(item, at, inside);
    }
    return Object.freeze(copy);
}

/** Whether it is an object literal, of whichever realm. */
function isPlain(value: object): boolean {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === null || prototype === Object.prototype) return true;
    return (
        Object.getPrototypeOf(prototype) === null &&
        Object.prototype.toString.call(value) === "[object Object]" &&
        Object.prototype.hasOwnProperty.call(prototype, "isPrototypeOf")
    );
}

/** A value in a message: its kind, never its content. */
export function named(value: unknown): string {
    if (value === null || value === undefined) return String(value);
    if (typeof value === "object") {
        const name = (value.constructor as { readonly name?: string } | undefined)?.name ?? "object";
        return `${/^[aeiou]/i.test(name) ? "an" : "a"} ${name}`;
    }
    return `a ${typeof value}`;
}

/** Whether two JSON values are the same. */
export function sameJson(a: Json, b: Json): boolean {
    if (a === b) return true;
    if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
    if (Array.isArray(a) !== Array.isArray(b)) return false;
    const [left, right] = [Object.entries(a), b as Record<string, Json>];
    return (
        left.length === Object.keys(right).length &&
        left.every(([key, value]) => Object.hasOwn(right, key) && sameJson(value, right[key] ?? null))
    );
}
