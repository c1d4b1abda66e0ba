/** Executes the behaviours that all SDKs share: behaviours.yaml and once.yaml, as tests/sdk/README.md reads them. */
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { createServer } from "node:http2";
import { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code as ConnectCode, ConnectError, type Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import {
    ActionDenied,
    type ActionInput,
    AegisClient,
    AegisError,
    AlreadyClaimed,
    AlreadyReported,
    type Approval,
    type AuditRow,
    type ClientOptions,
    type Decision,
    GovernanceError,
    governed,
    InvalidActionError,
    Runtime,
} from "../src/index.js";
import { GovernanceService } from "../src/proto/governance_pb.js";
import { ApprovalMode, type Outcome, RiskLevel } from "../src/proto/types_pb.js";
import { type Sidecar, startSidecar } from "../src/testing.js";

type Fields = Readonly<Record<string, unknown>>;
type Transport = "tcp" | "unix";

const tableOf = (name: string): Fields =>
    parse(readFileSync(new URL(`../../../tests/sdk/${name}`, import.meta.url), "utf8")) as Fields;

/** Reads a map, and fails where something in it is not known. */
class Reader {
    readonly #fields: Fields;
    readonly #left: Set<string>;

    constructor(fields: unknown, what: string) {
        if (typeof fields !== "object" || fields === null || Array.isArray(fields))
            throw new Error(`${what} is not a map`);
        this.#fields = fields as Fields;
        this.#left = new Set(Object.keys(fields));
    }

    take<T>(key: string): T | undefined {
        this.#left.delete(key);
        return this.#fields[key] as T | undefined;
    }

    done(): void {
        if (this.#left.size > 0) throw new Error(`not known to this runner: ${[...this.#left].join(", ")}`);
    }
}

/** What a step came to: fields to be held against `expect`. */
type Came = Fields | readonly Fields[];

interface Hook {
    readonly on_decision?: "tries_to_allow" | "raises";
}

class HookError extends Error {}
class ExecutorError extends Error {}

/** What the steps of one behaviour share. */
class World {
    readonly agent: AegisClient;
    readonly people: AegisClient | undefined;
    readonly sidecar: Sidecar | undefined;
    readonly proposals = new Map<string, { readonly decision: Decision; readonly action: ActionInput }>();
    readonly background = new Map<string, Promise<Settled>>();
    /** RPCs whose next answer is lost. */
    readonly lost: string[] = [];

    constructor(sidecar: Sidecar | undefined, reached: Pick<ClientOptions, "endpoint" | "apiKey" | "retries">) {
        this.sidecar = sidecar;
        this.agent = new AegisClient({ ...reached, retryDelay: 0.05, interceptors: [this.#loses()] });
        this.people = sidecar?.people();
    }

    daemon(): Sidecar {
        if (this.sidecar === undefined) throw new Error("this behaviour has no daemon");
        return this.sidecar;
    }

    reviewer(): AegisClient {
        if (this.people === undefined) throw new Error("this behaviour has no daemon");
        return this.people;
    }

    proposal(name: string): { readonly decision: Decision; readonly action: ActionInput } {
        const found = this.proposals.get(name);
        if (found === undefined) throw new Error(`no step is named ${name}`);
        return found;
    }

    /** Lets the call reach the daemon and be answered, and then says that the connection broke. */
    #loses(): Interceptor {
        return (next) => async (request) => {
            const answer = await next(request);
            const i = this.lost.indexOf(request.method.name);
            if (i === -1) return answer;
            this.lost.splice(i, 1);
            throw new ConnectError("the connection broke", ConnectCode.Unavailable);
        };
    }
}

/** Fields to be held against `expect`, and what was thrown, if anything was. */
type Settled = { readonly came: Came } | { readonly threw: unknown; readonly came: Came };

/** Waits in the reviewer's stream until it shows an action of this type. */
async function shown(world: World, fields: Fields): Promise<Approval> {
    const reader = new Reader(fields, "the approval");
    const type = reader.take<string>("type");
    reader.done();
    for await (const event of world.reviewer().streamApprovals()) {
        if (event.kind === "pending" && event.approval.action.type === type) return event.approval;
    }
    throw new Error("the reviewer's stream ended");
}

const seconds = (duration: string): number => {
    const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(duration);
    if (match === null) throw new Error(`\`${duration}\` is no duration`);
    return Number(match[1]) * { ms: 0.001, s: 1, m: 60 }[match[2] as "ms" | "s" | "m"];
};

/** The values that YAML cannot say, put where `$unsafe` stands for them. */
function unsafe(value: unknown): unknown {
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map(unsafe);
    if ("$unsafe" in value) {
        const cycle: Record<string, unknown> = {};
        cycle["itself"] = cycle;
        const known: Fields = { nan: NaN, infinity: Infinity, function: () => undefined, cycle };
        // The number that a reader of YAML or JSON makes of it, which has been rounded already.
        if (typeof value.$unsafe === "number") return value.$unsafe;
        if (typeof value.$unsafe === "string" && value.$unsafe in known) return known[value.$unsafe];
        throw new Error(`$unsafe: ${String(value.$unsafe)} is not known to this runner`);
    }
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unsafe(item)]));
}

const actionOf = (fields: unknown): ActionInput => {
    const reader = new Reader(fields, "an action");
    const action = {
        type: reader.take<string>("type") ?? "",
        target: reader.take<string>("target"),
        params: unsafe(reader.take("params")) as object | undefined,
        description: reader.take<string>("description"),
    };
    reader.done();
    return action;
};

interface Execution {
    readonly returns?: unknown;
    readonly raises?: string;
    readonly verifies?: boolean;
}

const executorOf = (fields: unknown): Execution => {
    const reader = new Reader(fields ?? {}, "an executor");
    const [returns, raises, verifies] = [
        reader.take("returns"),
        reader.take<string>("raises"),
        reader.take<boolean>("verifies"),
    ];
    reader.done();
    return { returns: returns ?? null, ...(raises && { raises }), ...(verifies !== undefined && { verifies }) };
};

function hooksOf(fields: unknown): { onDecision?: (action: object, decision: Decision) => unknown } {
    if (fields === undefined) return {};
    const reader = new Reader(fields, "a hook");
    const kind = reader.take<Hook["on_decision"]>("on_decision");
    reader.done();
    switch (kind) {
        case "tries_to_allow":
            return {
                onDecision: (_, decision) => {
                    Reflect.set(decision, "outcome", "ALLOW");
                    Reflect.set(decision, "approval", "auto");
                    return true;
                },
            };
        case "raises":
            return {
                onDecision: () => {
                    throw new HookError("the hook raised");
                },
            };
        default:
            throw new Error(`on_decision: ${String(kind)} is not known to this runner`);
    }
}

async function governedStep(world: World, step: Reader): Promise<Settled> {
    const action = actionOf(step.take("governed")) as { type: string; target?: string; params?: object };
    const execution = executorOf(step.take("executor"));
    const hooks = hooksOf(step.take("hook"));
    const deadline = step.take<string>("deadline");
    const idempotencyKey = step.take<string>("idempotency_key");
    let ran = false;
    const run = governed(
        () => {
            ran = true;
            if (execution.raises !== undefined) throw new ExecutorError(execution.raises);
            return execution.returns;
        },
        {
            type: action.type,
            target: action.target,
            params: () => action.params ?? {},
            client: world.agent,
            deadline: deadline === undefined ? undefined : seconds(deadline),
            idempotencyKey,
            ...hooks,
        },
    );
    try {
        const data = await run();
        return { came: { ran, status: "success", data } };
    } catch (error) {
        if (error instanceof ActionDenied) return { came: { ran, status: error.status, reason: error.message } };
        if (error instanceof AlreadyReported) {
            return { came: { ran, status: error.result.status, error: error.message } };
        }
        if (error instanceof ExecutorError) return { came: { ran, status: "failed", error: error.message } };
        return { came: { ran }, threw: error };
    }
}

async function planStep(world: World, step: Reader): Promise<Settled> {
    const entries = (step.take<unknown[]>("plan") ?? []).map((fields) => {
        const reader = new Reader(fields, "a plan's entry");
        const entry = { action: actionOf(reader.take("action")), executor: executorOf(reader.take("executor")) };
        reader.done();
        return entry;
    });
    const rollback = step.take("rollback");
    const dryRun = step.take<boolean>("dry_run") ?? false;
    const idempotencyKey = step.take<string>("idempotency_key");
    const sessionId = step.take<string>("session");
    const ran: string[] = [];
    const of = (type: string): Execution | undefined =>
        entries.find(({ action }) => "type" in action && action.type === type)?.executor;
    await using runtime = new Runtime({
        client: world.agent,
        executor: {
            execute: ({ type }) => {
                ran.push(type);
                const execution = of(type);
                if (execution?.raises !== undefined) throw new ExecutorError(execution.raises);
                return execution?.returns ?? null;
            },
            verify: ({ type }) => of(type)?.verifies ?? true,
        },
        maxRetries: step.take<number>("max_retries"),
        retryBackoff: 0,
        rollback: rollback === undefined ? undefined : actionOf(rollback),
        ...(sessionId !== undefined && { context: { sessionId } }),
    });
    const plan = await runtime.plan(entries.map(({ action }) => action));
    const results = await runtime.execute(plan, { dryRun, idempotencyKey });
    return { came: { statuses: results.map(({ status }) => status), ran } };
}

async function proposeStep(world: World, step: Reader): Promise<Settled> {
    const action = actionOf(step.take("propose"));
    const confirms = step.take<string>("confirms");
    const [name, times] = [step.take<string>("as"), step.take<number>("times") ?? 1];
    const request = {
        action,
        idempotencyKey: step.take<string>("idempotency_key"),
        confirmationToken: confirms === undefined ? undefined : world.proposal(confirms).decision.confirmationToken,
    };
    const decisions = await Promise.all(Array.from({ length: times }, async () => world.agent.propose(request)));
    const [first] = decisions as [Decision];
    if (name !== undefined) world.proposals.set(name, { decision: first, action });
    const distinct = new Set(decisions.map(({ decisionId }) => decisionId)).size;
    const same = [...world.proposals].filter(([, { decision }]) => decision.decisionId === first.decisionId);
    return {
        came: { ...withResult(first), distinct_decisions: distinct, same_decision_as: same.map(([known]) => known) },
    };
}

async function evaluateStep(world: World, step: Reader): Promise<Settled> {
    const actions = (step.take<unknown[]>("evaluate") ?? []).map(actionOf);
    const [only] = actions;
    const evaluations =
        actions.length === 1 && only !== undefined
            ? [await world.agent.evaluate({ action: only })]
            : await world.agent.evaluateMany({ actions });
    return { came: evaluations.map((evaluation) => ({ ...snake(evaluation), approval: evaluation.approvalMode })) };
}

/** The verbs, and what each does. What belongs to a step beside its verb is taken from the reader. */
const VERBS: Readonly<Record<string, (world: World, step: Reader) => Promise<Settled>>> = {
    governed: governedStep,
    plan: planStep,
    propose: proposeStep,
    evaluate: evaluateStep,
    wait: async (world, step) => {
        const [name, deadline] = [step.take<string>("wait") ?? "", step.take<string>("deadline")];
        const options = { deadline: deadline === undefined ? undefined : seconds(deadline) };
        return { came: withResult(await world.agent.wait(world.proposal(name).decision, options)) };
    },
    cancel: async (world, step) => {
        const [name, reason] = [step.take<string>("cancel") ?? "", step.take<string>("reason")];
        return { came: snake(await world.agent.cancel(world.proposal(name).decision, { reason })) };
    },
    list_pending: async (world, step) => {
        new Reader(step.take("list_pending"), "list_pending").done();
        return { came: (await world.agent.listApprovals()).map(snake) };
    },
    approve: async (world, step) => {
        const approval = await shown(world, step.take<Fields>("approve") ?? {});
        return { came: snake(await world.reviewer().approve(approval, { reason: step.take<string>("reason") })) };
    },
    deny: async (world, step) => {
        const approval = await shown(world, step.take<Fields>("deny") ?? {});
        return { came: snake(await world.reviewer().deny(approval, { reason: step.take<string>("reason") })) };
    },
    await_pending: async (world, step) => ({
        came: snake(await shown(world, step.take<Fields>("await_pending") ?? {})),
    }),
    join: async (world, step) => {
        const name = step.take<string>("join") ?? "";
        const background = world.background.get(name);
        if (background === undefined) throw new Error(`nothing runs in the background as ${name}`);
        world.background.delete(name);
        return background;
    },
    daemon: async (world, step) => {
        const what = step.take<string>("daemon");
        if (what === "kill") await world.daemon().kill();
        else if (what === "start") await world.daemon().start();
        else throw new Error(`daemon: ${String(what)} is not known to this runner`);
        return { came: {} };
    },
    policy: async (world, step) => {
        await world.daemon().setPolicy(step.take<string>("policy") ?? "");
        return { came: {} };
    },
    lose_answer: async (world, step) => {
        world.lost.push(step.take<string>("lose_answer") ?? "");
        return Promise.resolve({ came: {} });
    },
};

/** Field names as the table has them. */
function snake(value: object): Fields {
    const name = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [name(key), item as unknown]));
}

/** A decision with its result as the rows of the record have it. */
const withResult = (decision: Decision): Fields => ({
    ...snake(decision),
    ...(decision.result && { result_status: decision.result.status, result_data: decision.result.data }),
});

/** Holds what came against what was expected: fields that are not named may be anything. */
function hold(came: unknown, expected: unknown): void {
    if (Array.isArray(expected)) {
        expect(came).toHaveLength(expected.length);
        expected.forEach((item: unknown, i) => {
            hold((came as readonly unknown[])[i], item);
        });
        return;
    }
    const fields = came as Fields;
    for (const [key, wanted] of Object.entries(expected as Fields)) {
        expect(Object.keys(fields), `what a step came to has no \`${key}\``).toContain(key);
        if (key === "reason" || key === "error") expect(fields[key]).toContain(wanted);
        else if (key === "same_decision_as") expect(fields[key]).toContain(wanted);
        else expect(fields[key], key).toEqual(wanted);
    }
}

function holdError(threw: unknown, expected: unknown): void {
    const reader = new Reader(expected, "expect_error");
    const kind = reader.take<string>("kind");
    const kinds: Readonly<Record<string, boolean>> = {
        transport: threw instanceof AegisError && !(threw instanceof GovernanceError),
        governance: threw instanceof GovernanceError && !(threw instanceof InvalidActionError),
        invalid_action: threw instanceof InvalidActionError,
        already_claimed: threw instanceof AlreadyClaimed && threw instanceof GovernanceError,
        hook: threw instanceof HookError,
    };
    if (kind === undefined || !(kind in kinds)) throw new Error(`kind: ${String(kind)} is not known to this runner`);
    expect(kinds[kind], `${String(threw)} is not of the kind ${kind}`).toBe(true);
    for (const field of ["code", "reason", "path"]) {
        const wanted = reader.take(field);
        if (wanted !== undefined) expect((threw as Fields)[field], field).toBe(wanted);
    }
    reader.done();
}

async function run(world: World, fields: unknown): Promise<void> {
    const step = new Reader(fields, "a step");
    const verb = Object.keys(fields as Fields).find((key) => key in VERBS);
    if (verb === undefined) throw new Error(`no verb that this runner knows: ${JSON.stringify(fields)}`);
    const [background, expected, error] = [
        step.take<string>("in_background"),
        step.take("expect"),
        step.take("expect_error"),
    ];
    const settling = (VERBS[verb] as (typeof VERBS)[string])(world, step)
        .catch((threw: unknown): Settled => ({ came: {}, threw }))
        .then((settled) => {
            step.done();
            return settled;
        });
    settling.catch(() => undefined);
    if (background !== undefined) {
        world.background.set(background, settling);
        return;
    }
    const settled = await settling;
    if (error !== undefined) {
        expect(settled, "the step did not fail").toHaveProperty("threw");
        holdError((settled as { threw: unknown }).threw, error);
    } else if ("threw" in settled) {
        throw settled.threw;
    }
    if (expected !== undefined) hold(settled.came, expected);
}

/** A row as the table names its parts. */
function rowFields(row: AuditRow): Fields {
    return {
        ...snake(row),
        approval: row.approvalMode,
        result_status: row.result?.status,
        result_data: row.result?.data,
        result_error: row.result?.error ?? "",
        type: row.action.type,
        target: row.action.target,
        risk_level: row.riskLevel,
        ending: row.ending?.kind,
    };
}

async function holdRecord(world: World, record: unknown, count: unknown): Promise<void> {
    const rows: AuditRow[] = [];
    for await (const row of world.reviewer().streamAudit()) rows.push(row);
    if (count !== undefined) expect(rows).toHaveLength(count as number);
    if (record === undefined) return;
    expect(rows.map(({ action }) => action.type)).toEqual((record as readonly Fields[]).map(({ type }) => type));
    (record as readonly Fields[]).forEach((wanted, i) => {
        const came = rowFields(rows[i] as AuditRow);
        for (const [key, value] of Object.entries(wanted)) {
            expect(Object.keys(came), `a row has no \`${key}\``).toContain(key);
            expect(came[key], `${key} of row ${String(i + 1)}`).toEqual(value);
        }
    });
}

/** A server in this process that answers `Propose` with an outcome of any number. */
async function startStub(fields: unknown): Promise<{ endpoint: string } & AsyncDisposable> {
    const reader = new Reader(fields, "stub");
    const propose = new Reader(reader.take("propose"), "stub.propose");
    const outcome = propose.take<number>("outcome") ?? 0;
    propose.done();
    reader.done();
    const server = createServer(
        connectNodeAdapter({
            grpc: true,
            routes: (router) =>
                router.rpc(GovernanceService.method.propose, () => ({
                    decision: {
                        decisionId: "dec_0",
                        // Any number: what an enumeration of a newer daemon may hold.
                        // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment
                        outcome: outcome as Outcome,
                        riskLevel: RiskLevel.LOW,
                        approvalMode: ApprovalMode.AUTO,
                    },
                })),
        }),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return {
        endpoint: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
        [Symbol.asyncDispose]: async () => new Promise((resolve) => server.close(() => resolve())),
    };
}

/** The variables that say where a daemon is, and what to show it. */
const VARIABLES = ["AEGIS_ENDPOINT", "AEGIS_DATA_DIR", "AEGIS_TOKEN", "AEGIS_API_KEY", "XDG_STATE_HOME", "HOME"];

/** Does something, which must not wait, with these variables and none of the others. */
function within<T>(environment: Readonly<Record<string, string>>, act: () => T): T {
    const before = VARIABLES.map((name) => [name, process.env[name]] as const);
    try {
        for (const name of VARIABLES) Reflect.deleteProperty(process.env, name);
        Object.assign(process.env, environment);
        return act();
    } finally {
        for (const [name, value] of before) {
            if (value === undefined) Reflect.deleteProperty(process.env, name);
            else process.env[name] = value;
        }
    }
}

/** The world of an agent that finds its daemon by its environment alone. */
async function foundWorld(sidecar: Sidecar, fields: Fields, home: string): Promise<World> {
    const state = join(home, ".local/state");
    await mkdir(state, { recursive: true });
    await mkdir(join(home, "empty"));
    await symlink(sidecar.dataDir, join(state, "aegis"));
    const known: Readonly<Record<string, string>> = {
        $home: home,
        $state_home: state,
        $data_dir: join(state, "aegis"),
        $endpoint: sidecar.endpoint,
        $empty: join(home, "empty"),
        $nobody: await closedEndpoint(),
    };
    const values = Object.entries(fields).map(([name, value]) => {
        const text = String(value);
        const meant = text.startsWith("$") ? known[text] : text;
        if (!VARIABLES.includes(name) || meant === undefined)
            throw new Error(`environment: ${name}: ${text} is not known to this runner`);
        return [name, meant] as const;
    });
    return within(Object.fromEntries(values), () => new World(sidecar, {}));
}

/** A port on which nobody listens. */
async function closedEndpoint(): Promise<string> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    return `http://127.0.0.1:${String(port)}`;
}

async function behave(behaviour: Reader, transport: Transport, sharedPolicy: string): Promise<void> {
    const policy = behaviour.take<string>("policy") ?? sharedPolicy;
    const [token, stub, steps] = [
        behaviour.take<string>("token"),
        behaviour.take("stub"),
        behaviour.take<unknown[]>("steps"),
    ];
    const [record, count] = [behaviour.take("record"), behaviour.take("record_count")];
    const environment = behaviour.take<Fields>("environment");
    behaviour.done();
    // An approval is seen before its proposal is answered: the retries last longer than a start of the daemon.
    const starts = steps?.some((step) => (step as { daemon?: unknown }).daemon === "start") ?? false;
    const retries = starts ? 9 : undefined;
    await using server = stub === undefined ? await startSidecar({ policy }) : await startStub(stub);
    const sidecar = "home" in server ? server : undefined;
    const endpoint = transport === "unix" && sidecar !== undefined ? sidecar.unixEndpoint : server.endpoint;
    const home = await mkdtemp(join(tmpdir(), "home-"));
    const world =
        environment === undefined || sidecar === undefined
            ? new World(sidecar, { endpoint, apiKey: token ?? "", retries })
            : await foundWorld(sidecar, environment, home);
    for (const step of steps ?? []) await run(world, step);
    expect([...world.background.keys()], "steps that nobody joined").toEqual([]);
    if (record !== undefined || count !== undefined) await holdRecord(world, record, count);
    world.agent.close();
    world.people?.close();
    await rm(home, { recursive: true });
}

describe.each(["behaviours.yaml", "once.yaml"])("%s", (name) => {
    const reader = new Reader(tableOf(name), name);
    expect(reader.take("version")).toBe(1);
    const [policy, behaviours] = [reader.take<string>("policy") ?? "", reader.take<Fields[]>("behaviours") ?? []];
    reader.done();
    for (const fields of behaviours) {
        for (const transport of (fields["transports"] as Transport[] | undefined) ?? ["tcp"]) {
            test.concurrent(`${String(fields["name"])} (${transport})`, async () => {
                if (!["tcp", "unix"].includes(transport))
                    throw new Error(`transports: ${transport} is not known to this runner`);
                const behaviour = new Reader(fields, "a behaviour");
                behaviour.take("name");
                behaviour.take("transports");
                await behave(behaviour, transport, policy);
            });
        }
    }
});
