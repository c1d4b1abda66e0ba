/**
 * Copies of what a caller gave, for the run: while somebody thinks about a proposal, nothing that the caller holds can
 * change them.
 *
 * Lists, plain objects, dates, URLs, maps, sets and bytes are copied at every depth; every property is read once, own
 * properties only. An instance of a class, a function or a stream cannot be copied and stays itself: who runs it
 * describes it again right before, and does not run what the description no longer fits. An instance that could answer
 * differently even after that is refused (`instances.ts`).
 */
import { types } from "node:util";
import { checkInstance } from "./instances.js";
import { bytesOf, hrefOf, isPlain } from "./values.js";

/** What is nested deeper stays itself. Nobody proposes that: an action is at most 64 levels deep. */
const DEEPEST = 200;

/** A copy that shares nothing with the value that could change it. Throws `InvalidActionError` where none can be. */
export function detached<T>(value: T): T {
    return copied(value, new Map(), 0) as T;
}

/** `made`: the copies by what they are of. What was one object in two places is one again, and a cycle has an end. */
function copied(value: unknown, made: Map<object, object>, depth: number): unknown {
    if (typeof value !== "object" || value === null || depth > DEEPEST) return value;
    const before = made.get(value);
    if (before !== undefined) return before;
    const keep = <C extends object>(copy: C): C => {
        made.set(value, copy);
        return copy;
    };
    const inner = (item: unknown): unknown => copied(item, made, depth + 1);
    if (Array.isArray(value)) {
        const copy = keep<unknown[]>([]);
        const { length } = value;
        for (let i = 0; i < length; i += 1) copy.push(Object.hasOwn(value, i) ? inner(value[i]) : undefined);
        return copy;
    }
    if (types.isMap(value)) {
        const copy = keep(new Map<unknown, unknown>());
        for (const [key, item] of Map.prototype.entries.call(value)) copy.set(inner(key), inner(item));
        return copy;
    }
    if (types.isSet(value)) {
        const copy = keep(new Set<unknown>());
        for (const item of Set.prototype.values.call(value)) copy.add(inner(item));
        return copy;
    }
    if (types.isDate(value)) return keep(new Date(Date.prototype.getTime.call(value)));
    const href = hrefOf(value);
    if (href !== undefined) return keep(new URL(href));
    if (Buffer.isBuffer(value)) return keep(Buffer.from(value));
    if (types.isTypedArray(value)) return keep(typedArray(value));
    const bytes = bytesOf(value);
    if (bytes !== undefined) {
        const { buffer } = Uint8Array.from(bytes);
        return keep(types.isDataView(value) ? new DataView(buffer) : buffer);
    }
    if (isPlain(value)) return plainObject(value, keep, inner);
    checkInstance(value);
    return value;
}

function plainObject(value: object, keep: <C extends object>(copy: C) => C, inner: (item: unknown) => unknown): object {
    const prototype = Object.getPrototypeOf(value) === null ? null : Object.prototype;
    const copy = keep(Object.create(prototype) as object);
    for (const [key, item] of Object.entries(value)) {
        // Not by assignment: `__proto__` would set the prototype, and a setter on `Object.prototype` would swallow it.
        Object.defineProperty(copy, key, {
            value: inner(item),
            enumerable: true,
            writable: true,
            configurable: true,
        });
    }
    return copy;
}

/** Its elements in memory of their own, even where the memory was shared with other threads. */
function typedArray(value: NodeJS.TypedArray): object {
    const name = types.isUint8ClampedArray(value)
        ? "Uint8ClampedArray"
        : (Reflect.get(Object.getPrototypeOf(Uint8Array.prototype) as object, Symbol.toStringTag, value) as string);
    const constructor = Reflect.get(globalThis, name) as new (from: NodeJS.TypedArray) => object;
    return new constructor(value);
}
