/** What an action returned or threw, as the record can hold it. */
import { types } from "node:util";
import { checkedJson, MAX_DEPTH } from "./json.js";
import type { Json } from "./types.js";
import { bytesOf, isPlain, kindOf } from "./values.js";

/**
 * What an action returned, as the record can hold it: by the rule for parameters where that takes the whole of it.
 *
 * The action has run and must be reported, so what the rule refuses is converted as `JSON.stringify` does: `undefined`
 * and functions become absent, `NaN` becomes null. In place of what shows nothing at all stands `{not_recorded: why}`.
 */
export function recordable(value: unknown): Json | undefined {
    if (value === undefined) return undefined;
    try {
        return checkedJson(value, "data");
    } catch {
        // Not whole: as much of it as there is.
    }
    try {
        const json = JSON.stringify(value, shown) as string | undefined;
        if (json === undefined) return notRecorded(`${kindOf(value)} is not JSON`);
        return wellFormed(JSON.parse(json) as Json, 0);
    } catch (error) {
        return notRecorded(error instanceof Error ? (error.message.split("\n", 1)[0] ?? "") : String(error));
    }
}

/** A part that `JSON.stringify` would refuse, or write as `{}` whatever it holds. */
function shown(_: string, item: unknown): unknown {
    if (typeof item === "bigint") return item.toString();
    if (typeof item !== "object" || item === null || Array.isArray(item) || isPlain(item)) return item;
    if (types.isMap(item)) return Object.fromEntries([...item].map(([key, inner]) => [String(key), inner]));
    if (types.isSet(item)) return [...item];
    const bytes = bytesOf(item);
    if (bytes !== undefined) return Buffer.from(bytes).toString("base64");
    if (types.isNativeError(item)) return errorText(item);
    return Object.keys(item).length === 0 ? notRecorded(`${kindOf(item)} is not JSON`) : item;
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
