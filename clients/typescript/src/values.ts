/**
 * What kind of value it is, asked so that the value cannot lie: by its internals, not by its methods, its prototype's
 * properties or its name.
 */
import { types } from "node:util";

/** A kind of value for a message: never its content. */
export function kindOf(value: unknown): string {
    if (value === null || value === undefined) return String(value);
    if (typeof value !== "object") return `a ${typeof value}`;
    const name = classOf(value);
    return `${/^[aeiou]/i.test(name) ? "an" : "a"} ${name}`;
}

function classOf(value: object): string {
    try {
        const { constructor: named } = value;
        return typeof named === "function" && named.name !== "" ? named.name : "object";
    } catch {
        return "object";
    }
}

/** Whether it is an object literal, of whichever realm. */
export function isPlain(value: object): boolean {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (types.isArgumentsObject(value) || types.isModuleNamespaceObject(value)) return false;
    if (prototype === null || prototype === Object.prototype) return true;
    return (
        Object.getPrototypeOf(prototype) === null &&
        Object.prototype.toString.call(value) === "[object Object]" &&
        Object.prototype.hasOwnProperty.call(prototype, "isPrototypeOf")
    );
}

/** The text of a `URL`. */
export function hrefOf(value: object): string | undefined {
    if (!(value instanceof URL)) return undefined;
    try {
        return Object.getOwnPropertyDescriptor(URL.prototype, "href")?.get?.call(value) as string;
    } catch {
        return undefined;
    }
}

/** The bytes of a `Uint8Array`, a `Buffer`, an `ArrayBuffer` or a `DataView`: not a copy. */
export function bytesOf(value: object): Uint8Array | undefined {
    if (types.isUint8Array(value) || types.isUint8ClampedArray(value)) {
        return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    }
    if (types.isAnyArrayBuffer(value)) return new Uint8Array(value);
    if (types.isDataView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    return undefined;
}

/** Whether it is a typed array of numbers that are no bytes, for example a `Float64Array`. */
export function isNumberArray(value: object): boolean {
    return types.isTypedArray(value) && !types.isUint8Array(value) && !types.isUint8ClampedArray(value);
}

/**
 * The `toJSON` that the object or its class has. What somebody put on `Object.prototype` is not the object's own, and
 * counts for nothing.
 */
export function jsonMethodOf(value: object): ((this: object, key: string) => unknown) | undefined {
    for (let at: object | null = value; at !== null;) {
        const next: object | null = Object.getPrototypeOf(at) as object | null;
        if (next === null && at !== value) return undefined;
        if (Object.hasOwn(at, "toJSON")) {
            const method: unknown = Reflect.get(value, "toJSON");
            return typeof method === "function" ? (method as (key: string) => unknown) : undefined;
        }
        at = next;
    }
    return undefined;
}

/**
 * The own properties of an object of options, each read once: what is on `Object.prototype` is no option of
 * anybody's.
 */
export function own<T extends object>(value: T): T {
    return Object.assign(Object.create(null) as T, value);
}

/** The same object, of the same class, with other methods. */
export function withMethods<T extends object>(value: T, methods: Readonly<Record<string, unknown>>): T {
    const descriptors: PropertyDescriptorMap = Object.getOwnPropertyDescriptors(value);
    for (const [name, method] of Object.entries(methods)) {
        descriptors[name] = { value: method, enumerable: true, writable: true, configurable: true };
    }
    return Object.create(Object.getPrototypeOf(value) as object, descriptors) as T;
}
