/**
 * What a function returned that has done nothing yet: a generator, an iterator that maps another one. Its work is done
 * while it is read. What can do more than be read, such as a stream or a database's cursor, is a result.
 */
import { types } from "node:util";

const prototypeOf = (value: object): object => Object.getPrototypeOf(value) as object;

/** What generators and the platform's iterators have in common. */
const ITERATORS: readonly object[] = [
    prototypeOf(prototypeOf([][Symbol.iterator]())),
    // eslint-disable-next-line @typescript-eslint/no-empty-function
    prototypeOf(prototypeOf((async function* () {})())),
];
/** The iterators of collections, which hold all that they give. */
const OF_COLLECTIONS: readonly object[] = [
    [][Symbol.iterator](),
    new Map()[Symbol.iterator](),
    new Set()[Symbol.iterator](),
    ""[Symbol.iterator](),
].map(prototypeOf);
const OF_READERS: ReadonlySet<unknown> = new Set(["constructor", "next", "return", "throw"]);

/** Whether it can do nothing but be read, part by part. */
export function isLazy(value: unknown): boolean {
    if (typeof value !== "object" || value === null || types.isProxy(value)) return false;
    if (OF_COLLECTIONS.some((collection) => Object.prototype.isPrototypeOf.call(collection, value))) return false;
    if (ITERATORS.some((iterator) => Object.prototype.isPrototypeOf.call(iterator, value))) return true;
    if (!(Symbol.iterator in value || Symbol.asyncIterator in value)) return false;
    const names: PropertyKey[] = [];
    for (let at: object = value; at !== Object.prototype;) {
        names.push(...Reflect.ownKeys(at));
        const next = Object.getPrototypeOf(at) as object | null;
        if (next === null) break;
        at = next;
    }
    const words = names.filter((name) => typeof name === "string");
    return words.includes("next") && words.every((name) => OF_READERS.has(name));
}
