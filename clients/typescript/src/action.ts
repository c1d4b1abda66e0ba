/**
 * From what a caller gives to what is sent: a frozen copy, checked to be exactly what JSON holds.
 *
 * Nothing is rounded, dropped or converted on the way: what a rule and a reviewer see is what the action runs with.
 */
import { InvalidActionError } from "./errors.js";
import type { Action, ActionInput, Json, JsonObject } from "./types.js";

/** Deeper than the daemon takes unless it is told to (`--max-params-depth`), and what protobuf can carry at all. */
const MAX_DEPTH = 64;

/** The action as it is sent. Throws {@link InvalidActionError} where it cannot be sent whole. */
export function checkedAction(input: ActionInput): Action {
    // Whoever calls from JavaScript may hand over anything.
    const given = input as unknown;
    if (typeof given !== "object" || given === null) {
        throw new InvalidActionError("action", `must be an object with a type, not ${named(given)}`);
    }
    const seed = "capability" in given;
    const { type, params } = seed
        ? { type: given.capability, params: "parameters" in given ? given.parameters : undefined }
        : { type: "type" in given ? given.type : undefined, params: "params" in given ? given.params : undefined };
    const known = seed
        ? ["capability", "parameters", "target", "description"]
        : ["type", "params", "target", "description"];
    const unknown = Object.keys(given).find((key) => !known.includes(key));
    if (unknown !== undefined) {
        throw new InvalidActionError(unknown, `is not a part of an action; these are: ${known.join(", ")}`);
    }
    const name = text(type, seed ? "capability" : "type");
    if (name === "") throw new InvalidActionError(seed ? "capability" : "type", "must not be empty");
    return Object.freeze({
        type: name,
        target: text("target" in given ? (given.target ?? "") : "", "target"),
        params: checkedObject(params ?? {}, seed ? "parameters" : "params"),
        description: text("description" in given ? (given.description ?? "") : "", "description"),
    });
}

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

function named(value: unknown): string {
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

/**
 * What an action returned, as the record can hold it.
 *
 * Unlike parameters it is converted as `JSON.stringify` does, for the action has run and must be reported: `undefined`
 * becomes absent, a `Date` its text, a `bigint` its digits. In place of what has no JSON at all stands `{not_recorded: why}`.
 */
export function recordable(value: unknown): Json | undefined {
    if (value === undefined) return undefined;
    try {
        const bigints = (_: string, item: unknown): unknown => (typeof item === "bigint" ? item.toString() : item);
        const json = JSON.stringify(value, bigints) as string | undefined;
        if (json === undefined) return notRecorded(`${named(value)} is not JSON`);
        return wellFormed(JSON.parse(json) as Json, 0);
    } catch (error) {
        return notRecorded(error instanceof Error ? (error.message.split("\n", 1)[0] ?? "") : String(error));
    }
}

/** What stands on the record for a result that cannot be there. */
export const notRecorded = (why: string): Json => ({ not_recorded: why.toWellFormed() });

/** The same, where texts hold half a surrogate pair or numbers were rounded: as UTF-8 and the daemon can hold it. */
function wellFormed(value: Json, depth: number): Json {
    if (depth > MAX_DEPTH) throw new RangeError(`nested deeper than ${MAX_DEPTH}`);
    if (typeof value === "string") return value.toWellFormed();
    if (typeof value === "number") {
        return Number.isInteger(value) && !Number.isSafeInteger(value) ? String(value) : value;
    }
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return (value as readonly Json[]).map((item) => wellFormed(item, depth + 1));
    const entries = Object.entries(value).filter(([key]) => key !== "__proto__");
    return Object.fromEntries(entries.map(([key, item]) => [key.toWellFormed(), wellFormed(item, depth + 1)]));
}

/** What was thrown, as text. */
export function errorText(error: unknown): string {
    if (error instanceof Error) return error.message === "" ? error.name : error.message;
    if (typeof error === "string") return error;
    const json = recordable(error);
    return json === undefined ? String(error) : JSON.stringify(json);
}

/** The beginning of a text that is longer than the record takes. */
export function cut(value: string, bytes: number): string {
    const encoded = new TextEncoder().encode(value.toWellFormed());
    if (encoded.length <= bytes) return value.toWellFormed();
    // `stream`: a character that the cut goes through is left out, not replaced.
    return `${new TextDecoder().decode(encoded.subarray(0, bytes - 3), { stream: true })}...`;
}
