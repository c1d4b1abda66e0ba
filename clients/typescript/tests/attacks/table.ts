/** The table of attacks that all SDKs share: tests/sdk/attacks.yaml, as tests/sdk/README.md reads it. */
import { readFileSync } from "node:fs";
import { parse } from "yaml";

/** The ways of making a call that this language has, and why it has not the others. */
export const SEATS = ["wrap", "executor", "tool", "mcp", "http", "browser"] as const;
export const NO_SEATS: Readonly<Record<string, string>> = {
    call: "the runtime of TypeScript runs actions, not functions: `runOne` is the seat `executor`",
};
/** The kinds of values that this language does not have. */
export const NO_KINDS: Readonly<Record<string, string>> = {
    decimal: "JavaScript has none of its own; libraries' have a `toJSON`",
    date: "a `Date` is a moment",
    time: "a `Date` is a moment",
    duration: "there is none before Temporal",
    uuid: "a UUID is a string",
    path: "a path is a string",
};

export type Seat = (typeof SEATS)[number];
export type Params = Record<string, unknown>;

export interface Request {
    readonly method?: string;
    readonly url: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
}

export interface Change {
    readonly when: "reviewing" | "confirming" | "on_decision" | "first_attempt" | "planned";
    readonly of?: "given";
    readonly set?: Params;
    readonly unset?: readonly string[];
    readonly page?: string;
    readonly goes_to?: string;
}

export interface Attack {
    readonly name: string;
    readonly seats: readonly string[];
    readonly target?: string;
    readonly params?: Params;
    readonly change?: Change;
    readonly reviewer?: "approve" | "deny";
    readonly retries?: number;
    readonly proposed?: Params;
    readonly ran?: readonly Params[];
    readonly denied?: boolean;
    readonly refused?: string;
    readonly told?: boolean;
    readonly request?: Request;
    readonly redirects_to?: string;
    readonly sent?: readonly (Partial<Request> & { readonly without?: string })[];
    readonly or_refused?: boolean;
    readonly page?: string;
    readonly action?: { readonly type: string; readonly params?: { readonly selector: string }; readonly url?: string };
    readonly asked?: boolean;
    readonly hits?: readonly string[];
    readonly opened?: readonly string[];
}

export interface ValueRow {
    readonly value: unknown;
    readonly json?: unknown;
    readonly refused?: boolean;
}

export interface AnswerRow {
    readonly name: string;
    readonly propose: Readonly<Record<string, string>>;
    readonly await?: Readonly<Record<string, string>>;
}

const KEYS = {
    attacks:
        "name seats target params change reviewer retries proposed ran denied refused told request redirects_to sent \
        or_refused page action asked hits opened",
    change: "when of set unset page goes_to",
    values: "value json refused",
    answers: "name propose await",
};

const known = (fields: object, keys: string): void => {
    const unknown = Object.keys(fields).filter((key) => !keys.split(/\s+/).includes(key));
    if (unknown.length > 0) throw new Error(`not known to this runner: ${unknown.join(", ")}`);
};

/** The whole table. Throws where this runner does not know something in it. */
export function readTable(): {
    readonly policy: string;
    readonly attacks: readonly Attack[];
    readonly values: readonly ValueRow[];
    readonly answers: readonly AnswerRow[];
} {
    const text = readFileSync(new URL("../../../../tests/sdk/attacks.yaml", import.meta.url), "utf8");
    const table = parse(text) as ReturnType<typeof readTable>;
    known(table, "policy attacks answers values");
    for (const attack of table.attacks) {
        known(attack, KEYS.attacks);
        if (attack.change !== undefined) known(attack.change, KEYS.change);
        for (const seat of attack.seats) {
            if (!(SEATS as readonly string[]).includes(seat) && !Object.hasOwn(NO_SEATS, seat))
                throw new Error(`the seat ${seat} is not known to this runner`);
        }
    }
    for (const row of table.values) known(row, KEYS.values);
    for (const row of table.answers) known(row, KEYS.answers);
    return table;
}

class Opaque {
    readonly #secret = 1;
    peek(): number {
        return this.#secret;
    }
}

class Row {
    readonly #fields: object;
    constructor(fields: object) {
        this.#fields = fields;
    }
    toJSON(): object {
        return this.#fields;
    }
}

enum Colour {
    red = "red",
}

/** The kinds of values inside a value of the table. */
export function kindsOf(value: unknown): string[] {
    if (typeof value !== "object" || value === null) return [];
    const kind = "$value" in value ? [String(value.$value)] : [];
    return [...kind, ...Object.values(value).flatMap(kindsOf)];
}

/** A value as this language has it. */
export function made(value: unknown): unknown {
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map(made);
    if (!("$value" in value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, made(item)]));
    const { $value: kind, of } = value as { readonly $value: string; readonly of?: unknown };
    const text = String(of);
    switch (kind) {
        case "integer":
            return Number(text);
        case "number":
            return { nan: NaN, infinity: Infinity }[text] ?? Number(text);
        case "bigint":
            return BigInt(text);
        case "datetime":
            return new Date(text);
        case "url":
            return new URL(text);
        case "bytes":
            return new Uint8Array(Buffer.from(text, "base64"));
        case "enum":
            return Colour[text as "red"];
        case "record":
            return new Row(made(of) as object);
        case "set":
            return new Set(made(of) as unknown[]);
        case "function":
            return () => 1;
        case "cycle": {
            const cycle: unknown[] = [];
            cycle.push(cycle);
            return cycle;
        }
        case "opaque":
            return new Opaque();
        case "half_character":
            return "\ud800";
        default:
            throw new Error(`the kind ${kind} is not known to this runner`);
    }
}

/** Changes what somebody holds, as far as the language lets it. */
export function apply(change: Change, held: object): void {
    const place = (path: string): readonly [object, string] => {
        const parts = path.split(".");
        const last = parts.pop() ?? "";
        const at = parts.reduce((inside: unknown, part) => Reflect.get(inside as object, part), held);
        return [at as object, last];
    };
    for (const [path, value] of Object.entries(change.set ?? {})) {
        const [at, name] = place(path);
        Reflect.set(at, name, value);
    }
    for (const path of change.unset ?? []) {
        const [at, name] = place(path);
        Reflect.deleteProperty(at, name);
    }
}
