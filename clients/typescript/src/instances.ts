/**
 * What cannot be copied runs as itself: instances of classes, functions. They are described when they are proposed and
 * again right before they run. A getter, or a proxy, can answer differently at the next read, which nobody describes:
 * so an instance that has one is refused. Getters of the platform's own classes are known to read a state and are not.
 */
import { EventEmitter } from "node:events";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { Duplex, PassThrough, Readable, Stream, Transform, Writable } from "node:stream";
import { types } from "node:util";
import { InvalidActionError } from "./errors.js";
import { isPlain, kindOf } from "./values.js";

/** How many objects are looked through, of what one instance holds. */
const MOST_OBJECTS = 10_000;

/** The names of the platform's classes, before anybody could add one. */
const GLOBAL_NAMES: ReadonlySet<string> = new Set(Object.getOwnPropertyNames(globalThis));

/** The prototypes of Node.js that no global name leads to. */
const NODE_PROTOTYPES: ReadonlySet<object> = new Set([
    ...[EventEmitter, IncomingMessage, ServerResponse, Socket].map(({ prototype }) => prototype as object),
    ...[Duplex, PassThrough, Readable, Stream, Transform, Writable].map(({ prototype }) => prototype as object),
    // Of typed arrays and iterators.
    ...[Uint8Array.prototype, [][Symbol.iterator]()].flatMap(chainOf),
]);

/** Throws where something that runs as itself may answer differently when it runs. */
export function checkInstance(instance: object): void {
    const seen = new Set<object>();
    const open: object[] = [instance];
    for (let value = open.pop(); value !== undefined; value = open.pop()) {
        if (seen.has(value)) continue;
        seen.add(value);
        if (seen.size > MOST_OBJECTS) {
            throw refused(instance, `holds more than ${MOST_OBJECTS} objects, which cannot all be looked through`);
        }
        if (types.isProxy(value)) throw refused(instance, "is or holds a Proxy");
        for (const inner of contentOf(value, instance)) open.push(inner);
    }
}

/** The objects that a value holds in its own properties. Throws where it, or its class, has a getter. */
function contentOf(value: object, instance: object): object[] {
    // Bytes and their views have nothing but numbers, and too many.
    if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return [];
    const content: unknown[] = [];
    if (types.isMap(value)) for (const entry of Map.prototype.entries.call(value)) content.push(...entry);
    if (types.isSet(value)) for (const item of Set.prototype.values.call(value)) content.push(item);
    for (const key of Reflect.ownKeys(value)) {
        const property = Reflect.getOwnPropertyDescriptor(value, key);
        // An error's `stack` may be written when it is read.
        const isStack = key === "stack" && types.isNativeError(value);
        if (property?.get !== undefined && !isStack) throw refused(instance, `has the getter \`${String(key)}\``);
        content.push(property?.value);
    }
    const chain = chainOf(value);
    for (const prototype of chain.filter((one) => !isPlatform(one))) {
        // `__proto__` is the setter of prototypes, of whichever realm.
        const getter = Reflect.ownKeys(prototype).find(
            (key) => key !== "__proto__" && Reflect.getOwnPropertyDescriptor(prototype, key)?.get !== undefined,
        );
        if (getter !== undefined) throw refused(instance, `has the getter \`${String(getter)}\``);
    }
    // What the platform's own objects are made of is the platform's affair.
    const [nearest] = chain;
    const isOpen = Array.isArray(value) || types.isMap(value) || types.isSet(value) || isPlain(value);
    if (!isOpen && nearest !== undefined && isPlatform(nearest)) return [];
    return content.filter((inner) => typeof inner === "object" && inner !== null);
}

/** The prototypes of a value, the nearest first. */
function chainOf(value: object): object[] {
    const chain: object[] = [];
    for (let at = Reflect.getPrototypeOf(value); at !== null; at = Reflect.getPrototypeOf(at)) chain.push(at);
    return chain;
}

function isPlatform(prototype: object): boolean {
    if (prototype === Function.prototype || NODE_PROTOTYPES.has(prototype)) return true;
    const made: unknown = Reflect.getOwnPropertyDescriptor(prototype, "constructor")?.value;
    if (typeof made !== "function" || !GLOBAL_NAMES.has(made.name)) return false;
    return Reflect.get(globalThis, made.name) === made && made.prototype === prototype;
}

function refused(instance: object, why: string): InvalidActionError {
    return new InvalidActionError(
        "params",
        `${kindOf(instance)} ${why}: it may say something else when it runs than when it is proposed. ` +
            "Give plain values in its place, or let the function take it from its surroundings",
    );
}
