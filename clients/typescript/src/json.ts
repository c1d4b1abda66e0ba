/**
 * Values as JSON, by one rule that all SDKs share (clients/README.md has the table): a frozen copy of what was given.
 *
 * Every property is read once, own properties only. Nothing becomes `{}` or is left out silently: what has no JSON is
 * refused, and the error names its path.
 */
import { types } from "node:util";
import { InvalidActionError } from "./errors.js";
import type { Json, JsonObject } from "./types.js";
import { bytesOf, hrefOf, isNumberArray, isPlain, jsonMethodOf, kindOf } from "./values.js";

/** Deeper than the daemon takes unless it is told to (`--max-params-depth`), and what protobuf can carry at all. */
export const MAX_DEPTH = 64;

/** Copies that were made here. They are frozen to the last level, so that none has to be made again. */
const COPIES = new WeakSet();

/** A frozen copy of what has to be a JSON object. */
export function checkedObject(value: unknown, path: string): JsonObject {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
        const copy = checked(value, path, new Map());
        if (typeof copy === "object" && copy !== null && !Array.isArray(copy)) return copy as JsonObject;
    }
    throw new InvalidActionError(path, `must be an object, not ${kindOf(value)}`);
}

/** A frozen copy of any value. */
export function checkedJson(value: unknown, path: string): Json {
    return checked(value, path, new Map());
}

/** A text that UTF-8 can hold. */
export function text(value: unknown, path: string): string {
    if (typeof value !== "string") throw new InvalidActionError(path, `must be a string, not ${kindOf(value)}`);
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
            return BigInt(Number(value)) === value && Number.isSafeInteger(Number(value)) ? Number(value) : `${value}`;
        case "object":
            if (value === null) return null;
            return COPIES.has(value) ? (value as Json) : checkedStructure(value, path, outer);
        default:
            throw new InvalidActionError(path, `${kindOf(value)} is not JSON`);
    }
}

function checkedNumber(value: number, path: string): number {
    if (!Number.isFinite(value)) throw new InvalidActionError(path, `${value} is not JSON`);
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
        throw new InvalidActionError(
            path,
            `${value} is beyond ±(2^53 - 1), where a number may have been rounded already: send a BigInt or a string`,
        );
    }
    return value;
}

function checkedStructure(value: object, path: string, outer: ReadonlyMap<object, string>): Json {
    const cycle = outer.get(value);
    if (cycle !== undefined) throw new InvalidActionError(cycle, `contains itself, at ${path}`);
    if (outer.size >= MAX_DEPTH) throw new InvalidActionError(path, `is nested deeper than ${MAX_DEPTH}`);
    const inside = new Map(outer).set(value, path);
    if (Array.isArray(value)) return list(value, path, inside);
    if (types.isMap(value)) return mapping(Map.prototype.entries.call(value), path, inside);
    if (types.isSet(value)) return sorted(list([...Set.prototype.values.call(value)], path, inside));
    if (types.isDate(value)) return dateText(value, path);
    const href = hrefOf(value);
    if (href !== undefined) return text(href, path);
    const bytes = bytesOf(value);
    if (bytes !== undefined) return Buffer.from(bytes).toString("base64");
    if (isNumberArray(value)) return list(Array.from(value as ArrayLike<unknown>), path, inside);
    const toJson = jsonMethodOf(value);
    if (toJson !== undefined) return checked(toJson.call(value, ""), path, inside);
    if (types.isNativeError(value)) return text(value.message === "" ? value.name : value.message, path);
    if (isPlain(value)) return mapping(Object.entries(value), path, inside);
    throw new InvalidActionError(
        path,
        `${kindOf(value)} is not JSON: give it a toJSON method, or say with \`params\` what is proposed`,
    );
}

function dateText(value: Date, path: string): string {
    const time = Date.prototype.getTime.call(value);
    if (Number.isNaN(time)) throw new InvalidActionError(path, "is an invalid Date");
    // No fraction where there is none, as the other languages write it.
    return new Date(time).toISOString().replace(".000Z", "Z");
}

/** The items of a set, sorted: they have no order in other languages, and equal sets must be proposed as equal. */
function sorted(items: readonly Json[]): Json {
    const rank = (item: Json): string | number =>
        typeof item === "number" || typeof item === "string" ? item : JSON.stringify(item);
    const ranks = items.map((item) => ({ item, rank: rank(item) }));
    const alike = ranks.every(({ rank: one }) => typeof one === typeof ranks[0]?.rank);
    const order = alike ? ranks : ranks.map(({ item }) => ({ item, rank: JSON.stringify(item) }));
    return kept(order.sort((a, b) => (a.rank < b.rank ? -1 : Number(a.rank > b.rank))).map(({ item }) => item));
}

function list(items: readonly unknown[], path: string, inside: ReadonlyMap<object, string>): readonly Json[] {
    const copy: Json[] = [];
    const { length } = items;
    for (let i = 0; i < length; i += 1) {
        // A hole has no own property: what a prototype has at its place is not the caller's.
        copy.push(checked(Object.hasOwn(items, i) ? items[i] : undefined, `${path}[${i}]`, inside));
    }
    return kept(copy);
}

function mapping(
    entries: Iterable<readonly [unknown, unknown]>,
    path: string,
    inside: ReadonlyMap<object, string>,
): Json {
    const copy: [string, Json][] = [];
    for (const [key, item] of entries) {
        if (typeof key !== "string") {
            throw new InvalidActionError(path, `has ${kindOf(key)} as a name: the names of a mapping are strings`);
        }
        const at = placeOf(path, key);
        if (!key.isWellFormed()) throw new InvalidActionError(at, "its name holds half of a surrogate pair");
        // An assignment to it sets a prototype: half of the JavaScript on the way would lose it without a word.
        if (key === "__proto__") throw new InvalidActionError(at, "a property of this name cannot be sent safely");
        if (item !== undefined) copy.push([key, checked(item, at, inside)]);
    }
    // Not by assignment, which a setter on `Object.prototype` would swallow.
    return kept(Object.fromEntries(copy));
}

function placeOf(path: string, key: string): string {
    const plain = /^[\p{ID_Start}_$][\p{ID_Continue}$]*$/u.test(key);
    return plain ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
}

function kept<T extends Json & object>(copy: T): T {
    COPIES.add(Object.freeze(copy));
    return copy;
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
