import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { expect, expectTypeOf, test } from "vitest";
import {
    AbortError,
    ActionDenied,
    AegisError,
    governed,
    type GovernedOptions,
    InvalidActionError,
    ReportError,
} from "../src/index.js";
import { eventually, stage } from "./support.js";

test("a governed function keeps its types, its name and its `this`", async () => {
    await using world = await stage();
    const options = { type: "read_sum", client: world.client };

    function add(a: number, b = 1): number {
        return a + b;
    }
    const governedAdd = governed(add, options);
    expectTypeOf(governedAdd).toEqualTypeOf<(this: unknown, a: number, b?: number) => Promise<number>>();
    expect(governedAdd.name).toBe("add");
    expect(await governedAdd(1)).toBe(2);
    expect(await governedAdd(1, 2)).toBe(3);

    class Crm {
        readonly name = "crm";
        find = governed(function (this: Crm, query: { id: number }) {
            return Promise.resolve(`${this.name} ${String(query.id)}`);
        }, options);
    }
    expect(await new Crm().find({ id: 7 })).toBe("crm 7");
    const none = governed(() => undefined, options);
    await none();
    expect((await world.rows()).map(({ action, result }) => [action.params, result?.data])).toEqual([
        [{ args: [1] }, 2],
        [{ args: [1, 2] }, 3],
        [{ id: 7 }, "crm 7"],
        [{}, undefined],
    ]);
});

test("type, target, parameters and description may come from the arguments", async () => {
    await using world = await stage();
    const read = governed((table: string, secret: string) => table + secret, {
        type: (table) => `read_${table}`,
        target: (table) => `db/${table}`,
        params: (table) => ({ table }),
        description: (table) => `all of ${table}`,
        client: world.client,
        actor: { id: "agent-7" },
        context: { sessionId: "s-1" },
    });
    expect(await read("users", "!")).toBe("users!");
    expect((await world.rows())[0]).toMatchObject({
        action: { type: "read_users", target: "db/users", params: { table: "users" }, description: "all of users" },
        actor: { id: "agent-7", type: "ai-agent" },
        sessionId: "s-1",
    });
});

test("arguments that change while somebody thinks about them run as they were proposed", async () => {
    await using world = await stage();
    const pay = governed(({ to }: { to: string }) => `paid ${to}`, { type: "pay", client: world.client });
    const args = { to: "ada" };
    const paying = pay(args);
    args.to = "eve";
    await world.answer(true);
    expect(await paying).toBe("paid ada");
    expect((await world.rows())[0]?.action.params).toEqual({ to: "ada" });
});

test("an instance of a class runs as itself, and not where it says something else than was proposed", async () => {
    await using world = await stage();
    class Payment {
        to = "ada";
        toJSON(): object {
            return { to: this.to };
        }
    }
    let ran = "";
    const pay = governed((payment: Payment) => void (ran += payment.to), { type: "pay", client: world.client });
    const payment = new Payment();
    const same = pay(payment);
    await world.answer(true);
    await same;
    const changed = expect(pay(payment)).rejects.toThrow(InvalidActionError);
    payment.to = "eve";
    await world.answer(true);
    await changed;
    expect(ran).toBe("ada");
    expect(await world.record()).toEqual(["pay ALLOW success", "pay ALLOW skipped"]);
});

test("an instance that could answer differently when it runs is refused before it is proposed", async () => {
    await using world = await stage();
    let reads = 0;
    const lie = (): string => ((reads += 1) < 3 ? "/safe" : "/etc/passwd");
    class Getter {
        get path(): string {
            return lie();
        }
        toJSON(): object {
            return { path: this.path };
        }
    }
    class Inheriting extends Getter {}
    class Holding {
        readonly path = "/safe";
        readonly inner = {
            get path(): string {
                return lie();
            },
        };
        toJSON(): object {
            return { path: this.inner.path };
        }
    }
    class Plain {
        path = "/safe";
        toJSON(): object {
            return { path: this.path };
        }
    }
    const own = Object.defineProperty(new Plain(), "path", { get: lie, enumerable: true });
    const inMap = Object.assign(new Plain(), {
        files: new Map([["a", Object.defineProperty({}, "path", { get: lie })]]),
    });
    const proxy = new Proxy(new Plain(), {
        get: (target, key): unknown => (key === "path" ? lie() : Reflect.get(target, key)),
    });
    const ran: string[] = [];
    const path = (given: { readonly path?: string }): void => void ran.push(given.path ?? "");
    const read = governed(path, { type: "read", client: world.client });
    const described = governed(path, { type: "read", params: (given) => ({ path: given.path }), client: world.client });
    const nested = governed(({ file }: { readonly file: { readonly path?: string } }) => path(file), {
        type: "read",
        client: world.client,
    });
    for (const given of [new Getter(), new Inheriting(), new Holding(), own, inMap, proxy]) {
        for (const call of [read(given), described(given), nested({ file: given })]) {
            await expect(call).rejects.toThrow(/has the getter `path`|Proxy/);
        }
    }
    expect(await world.record()).toEqual([]);
    expect(ran).toEqual([]);
    // What has nothing to hide runs, as do the platform's own classes, whose getters everybody knows.
    await read(new Plain());
    const url = governed((request: Request) => request.url, {
        type: "read",
        params: (request) => ({ url: request.url }),
        client: world.client,
    });
    expect(await url(new Request("http://a.example/"))).toBe("http://a.example/");
    expect(ran).toEqual(["/safe"]);
});

test("a callback that describes the arguments changes nothing that runs", async () => {
    await using world = await stage();
    const kept: { to: string }[] = [];
    const keep = (args: { to: string }): { to: string } => {
        kept.push(args);
        return args;
    };
    let goOn = (): void => undefined;
    const going = new Promise<void>((resolve) => (goOn = resolve));
    const pay = governed(
        async (args: { to: string }) => {
            await going;
            return `paid ${args.to}`;
        },
        {
            type: "read",
            params: (args) => ({ to: keep(args).to }),
            description: (args) => keep(args).to,
            idempotencyKey: (args) => `pay-${keep(args).to}-of-today`,
            client: world.client,
            onDecision: () => kept.forEach((args) => (args.to = "eve")),
        },
    );
    const paying = pay({ to: "ada" });
    // Before it runs, and while it does.
    await eventually(() => (kept.length === 5 ? true : undefined));
    for (const args of kept) args.to = "eve";
    goOn();
    expect(await paying).toBe("paid ada");
    expect(await world.record()).toEqual(["read ALLOW success"]);
});

test("arguments of every day are proposed as JSON and arrive as what they are", async () => {
    await using world = await stage();
    const read = governed(
        (when: Date, at?: URL, more?: ReadonlyMap<string, number>) => [
            when instanceof Date,
            at instanceof URL,
            more instanceof Map,
        ],
        { type: "read", client: world.client },
    );
    expect(await read(new Date(0), new URL("http://a.example/"), new Map([["n", 1]]))).toEqual([true, true, true]);
    expect(await read(new Date(0), undefined, new Map())).toEqual([true, false, true]);
    expect(await read(new Date(0), undefined)).toEqual([true, false, false]);
    expect((await world.rows()).map(({ action }) => action.params)).toEqual([
        { args: ["1970-01-01T00:00:00Z", "http://a.example/", { n: 1 }] },
        { args: ["1970-01-01T00:00:00Z", null, {}] },
        { args: ["1970-01-01T00:00:00Z"] },
    ]);
    class Secret {
        readonly #hidden = 1;
        get(): number {
            return this.#hidden;
        }
    }
    const opaque = governed((secret: Secret) => secret, { type: "read", client: world.client });
    await expect(opaque(new Secret())).rejects.toThrow("params: a Secret is not JSON: give it a toJSON method");
});

test("what is on Object.prototype confirms nothing and answers nothing", async () => {
    await using world = await stage();
    const prototype = Object.prototype as unknown as Record<string, unknown>;
    prototype["confirm"] = () => true;
    prototype["params"] = () => ({ forged: true });
    try {
        const send = governed((to: string) => to, { type: "send_mail", client: world.client });
        await expect(send("ada")).rejects.toThrow("give `confirm`");
    } finally {
        Reflect.deleteProperty(prototype, "confirm");
        Reflect.deleteProperty(prototype, "params");
    }
    expect((await world.rows())[0]?.action.params).toEqual({ args: ["ada"] });
});

test("a wait says so in one line, with what to run", async () => {
    await using world = await stage();
    const said: string[] = [];
    const log = (line: string): void => void said.push(line);
    const pay = governed(() => "paid", { type: "pay", target: "bank", client: world.client, log });
    const paying = pay();
    await world.answer(true);
    await paying;
    expect(said).toEqual([
        expect.stringMatching(/^aegis: pay on bank waits for a reviewer, until .*: aegis approve apr_/),
    ]);
    const read = governed(() => 1, { type: "read", client: world.client, log });
    await read();
    expect(said).toHaveLength(1);
});

test("a wrong option says what would be right", async () => {
    await using world = await stage();
    const { client } = world;
    const fn = (): number => 1;
    const wrong: readonly (readonly [unknown, unknown, string])[] = [
        [fn, undefined, "the options must be an object with a `client`, not undefined"],
        [fn, { type: "t" }, "`client` must be an AegisClient (`new AegisClient()`), not undefined"],
        [fn, { client }, "`type` must name the kind of action"],
        ["fn", { client, type: "t" }, "only a function can be governed, not a string"],
        [fn, { client, type: "t", confirm: true }, "`confirm` must be a function, not a boolean"],
        [fn, { client, type: "t", deadline: "1m" }, "`deadline` must be a number of seconds"],
        [fn, { client, type: "t", signal: new AbortController() }, "`signal` must be an AbortSignal"],
        [fn, { client, type: "t", approvalHandler: fn, reviewer: client }, "CallbackApprovalHandler"],
    ];
    for (const [given, options, says] of wrong) {
        expect(() => governed(given as typeof fn, options as GovernedOptions<[]>), says).toThrow(says);
    }
});

test("a hundred calls under one signal warn of nothing, and end with it", async () => {
    await using world = await stage();
    const controller = new AbortController();
    const warnings: string[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning.name);
    process.on("warning", onWarning);
    const pay = governed(() => 1, { type: "pay", client: world.client, signal: controller.signal, log: () => 0 });
    const calls = Array.from({ length: 100 }, async () => pay().catch((error: unknown) => error));
    await eventually(async () => ((await world.people.listApprovals()).length === 100 ? true : undefined));
    controller.abort("enough");
    const ended = await Promise.all(calls);
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
    for (const error of ended) {
        expect(error).toBeInstanceOf(AbortError);
        expect(error).toMatchObject({ name: "AbortError", code: "CANCELLED", cause: "enough" });
    }
    expect(await world.people.listApprovals()).toEqual([]);
});

test("a confirmation is asked of the agent's user, and only `true` is a yes", async () => {
    await using world = await stage();
    const asked: string[] = [];
    const answers: unknown[] = [true, false, "yes", 1];
    const send = governed((to: string) => `sent to ${to}`, {
        type: "send_mail",
        client: world.client,
        confirm: (action, decision) => {
            asked.push(`${action.type} ${decision.outcome}`);
            return answers.shift() as boolean;
        },
    });
    expect(await send("ada")).toBe("sent to ada");
    for (let i = 0; i < 3; i += 1) await expect(send("ada")).rejects.toThrow(ActionDenied);
    await expect(governed(() => 1, { type: "send_mail", client: world.client })()).rejects.toThrow("give `confirm`");
    expect(asked).toHaveLength(4);
    const record = await world.record();
    expect(record.slice(0, 2)).toEqual(["send_mail REQUIRE_CONFIRMATION -", "send_mail ALLOW success"]);
    expect(record.slice(2).every((row) => row.endsWith("skipped"))).toBe(true);
});

test("a call that is aborted while it waits is withdrawn", async () => {
    await using world = await stage();
    const controller = new AbortController();
    const pay = governed(() => "paid", { type: "pay", client: world.client, signal: controller.signal });
    const paying = expect(pay()).rejects.toMatchObject({ code: "CANCELLED" });
    await eventually(async () => ((await world.people.listApprovals()).length > 0 ? true : undefined));
    controller.abort();
    await paying;
    const [row] = await world.rows();
    expect(row).toMatchObject({ outcome: "DENY", result: { status: "skipped" }, ending: { kind: "cancelled" } });
});

test("a proposal whose answer comes too late is withdrawn, whoever notices the deadline first", async () => {
    await using world = await stage();
    // The daemon has the proposal, and says in its own way that the deadline is past.
    let late = true;
    const slow: Interceptor = (next) => async (request) => {
        const answer = await next(request);
        if (!late || request.method.name !== "Propose") return answer;
        late = false;
        throw new ConnectError("Timeout expired", Code.Canceled, { "grpc-status": "1" });
    };
    await using client = world.sidecar.client({ interceptors: [slow], timeout: 0.9 });
    const pay = governed(() => "ran", { type: "pay", client });
    await expect(pay()).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(await world.record()).toEqual(["pay DENY skipped"]);
});

test("a call that is aborted while its answer is on the way is withdrawn, and one before is not proposed", async () => {
    await using world = await stage();
    const controller = new AbortController();
    const interceptors: Interceptor[] = [
        (next) => async (request) => {
            const answer = await next(request);
            if (request.method.name !== "Propose" || controller.signal.aborted) return answer;
            controller.abort();
            throw new ConnectError("aborted", Code.Canceled);
        },
    ];
    await using client = world.sidecar.client({ interceptors });
    const pay = governed(() => "ran", { type: "pay", client, signal: controller.signal });
    // The second time the signal is aborted already.
    for (let i = 0; i < 2; i += 1) {
        await expect(pay()).rejects.toMatchObject({ code: "CANCELLED" });
        expect(await world.record()).toEqual(["pay DENY skipped"]);
    }
});

test("a report that fails is an error of its own, with what the function returned", async () => {
    await using world = await stage();
    const read = governed(
        async () => {
            await world.sidecar.kill();
            return 7;
        },
        { type: "read", client: world.client },
    );
    const error = await read().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ReportError);
    expect(error).toBeInstanceOf(AegisError);
    expect(error).toMatchObject({ code: "UNAVAILABLE", result: 7, decision: { outcome: "ALLOW" } });
});

class Reading {
    #left = 1;
    constructor(readonly read: () => void) {}
    next() {
        this.read();
        return { done: (this.#left -= 1) < 0, value: 1 };
    }
    [Symbol.iterator]() {
        return this;
    }
}

async function* reading(read: () => void) {
    read();
    yield await Promise.resolve(1);
}

function* readingAtOnce(read: () => void) {
    read();
    yield 1;
}

const lazy: Record<string, (read: () => void) => object> = {
    "an async generator": reading,
    "a generator": readingAtOnce,
    "a generator without its name": (read) =>
        Object.defineProperty(readingAtOnce(read), Symbol.toStringTag, { value: "Object" }),
    "an iterator that is an object": (read) => ({
        next: () => {
            read();
            return { done: true, value: 1 };
        },
        [Symbol.asyncIterator]() {
            return this;
        },
    }),
    ...("Iterator" in globalThis && {
        "an iterator that maps another one": (read) =>
            (Reflect.get([1].values(), "map") as (map: () => void) => object).call([1].values(), read),
    }),
};

test.each(Object.keys(lazy))("a function that returns %s has failed, since nothing of it has run", async (kind) => {
    await using world = await stage();
    let ran = false;
    const read = governed(() => lazy[kind]?.(() => void (ran = true)), { type: "read", client: world.client });
    await expect(read()).rejects.toThrow("it returned a generator");
    expect(ran).toBe(false);
    expect(await world.record()).toEqual(["read ALLOW failed"]);
});

test("what can do more than be read, and what a collection holds, is a result", async () => {
    await using world = await stage();
    const results = [new Map([[1, 2]]).entries(), [1].values(), new Reading(() => undefined), new ReadableStream()];
    for (const result of results) {
        const read = governed(() => result, { type: "read", client: world.client });
        expect(await read()).toBe(result);
    }
});

test("a generator is refused, since it would run after it was reported", async () => {
    await using world = await stage();
    const options = { type: "read", client: world.client };
    function* sync() {
        yield 1;
    }
    async function* later() {
        yield await Promise.resolve(1);
    }
    expect(() => governed(sync, options)).toThrow("sync: a generator cannot be governed");
    expect(() => governed(later, options)).toThrow(AegisError);
});

test("what a function throws comes out as it is", async () => {
    await using world = await stage();
    for (const thrown of [new TypeError("broken"), "text", { code: 1 }]) {
        const read = governed(() => Promise.reject(thrown as Error), { type: "read", client: world.client });
        await expect(read()).rejects.toBe(thrown);
    }
    expect((await world.rows()).map(({ result }) => result?.error)).toEqual(["broken", "text", '{"code":1}']);
});
