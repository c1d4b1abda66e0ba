import {
    Agent,
    type AgentOutputItem,
    type Model,
    type ModelResponse,
    run,
    setTracingDisabled,
    Usage,
} from "@openai/agents";
import { expect, test } from "vitest";
import { z } from "zod";
import { governedTool } from "../../src/adapters/openai-agents.js";
import { stage } from "../support.js";

setTracingDisabled(true);

/** A model that calls one tool, and then says what it was told. */
class FakeModel implements Model {
    readonly #name: string;
    readonly #arguments: object;

    constructor(name: string, args: object) {
        this.#name = name;
        this.#arguments = args;
    }

    getResponse(request: Parameters<Model["getResponse"]>[0]): Promise<ModelResponse> {
        const items = typeof request.input === "string" ? [] : request.input;
        const told = items.find((item) => item.type === "function_call_result");
        const output: AgentOutputItem[] =
            told === undefined
                ? [
                      {
                          type: "function_call",
                          callId: "call_1",
                          name: this.#name,
                          arguments: JSON.stringify(this.#arguments),
                          status: "completed",
                      },
                  ]
                : [
                      {
                          type: "message",
                          role: "assistant",
                          status: "completed",
                          content: [{ type: "output_text", text: textOf("output" in told ? told.output : "") }],
                      },
                  ];
        return Promise.resolve({ usage: new Usage(), output });
    }

    getStreamedResponse(): never {
        throw new Error("not streamed here");
    }
}

const textOf = (output: unknown): string =>
    typeof output === "object" && output !== null && "text" in output ? String(output.text) : String(output);

test("a tool runs where it may, and the model reads what it returned", async () => {
    await using world = await stage();
    const read = governedTool(
        {
            name: "read_contact",
            description: "Reads a contact.",
            parameters: z.object({ name: z.string() }),
            execute: ({ name }) => `${name} is a contact`,
        },
        { client: world.client, target: "crm" },
    );
    const agent = new Agent({ name: "a", model: new FakeModel("read_contact", { name: "ada" }), tools: [read] });
    expect((await run(agent, "hello")).finalOutput).toBe("ada is a contact");
    const [row] = await world.rows();
    expect(row).toMatchObject({
        action: { type: "read_contact", target: "crm", params: { name: "ada" } },
        result: { status: "success", data: "ada is a contact" },
    });
});

test("a blocked tool does not run, is on the record, and the model reads why", async () => {
    await using world = await stage();
    let ran = false;
    const remove = governedTool(
        {
            name: "delete_contact",
            description: "Deletes a contact.",
            parameters: z.object({ name: z.string() }),
            execute: () => {
                ran = true;
                return "gone";
            },
        },
        { client: world.client },
    );
    const agent = new Agent({ name: "a", model: new FakeModel("delete_contact", { name: "ada" }), tools: [remove] });
    const { finalOutput } = await run(agent, "hello");
    expect(finalOutput).toBe("[AEGIS BLOCKED] `delete_contact` was not run: Deleting is a person's job.");
    expect(ran).toBe(false);
    expect(await world.record()).toEqual(["delete_contact DENY blocked"]);
});

test("a denied tool does not run, and one that throws is reported as failed", async () => {
    await using world = await stage();
    const wire = governedTool(
        { name: "wire_money", description: "Pays.", parameters: z.object({}), execute: () => "paid" },
        { client: world.client },
    );
    const running = run(new Agent({ name: "a", model: new FakeModel("wire_money", {}), tools: [wire] }), "hello");
    await world.answer(false, "not today");
    expect((await running).finalOutput).toMatch(/^\[AEGIS DENIED\] `wire_money` was not run: .*not today$/);

    const broken = governedTool(
        {
            name: "read_broken",
            description: "Fails.",
            parameters: z.object({}),
            // Newer releases keep the text of an error from the model unless they are told to show it.
            errorFunction: (_, error) => String(error),
            execute: () => {
                throw new Error("the database is away");
            },
        },
        { client: world.client },
    );
    const { finalOutput } = await run(
        new Agent({ name: "a", model: new FakeModel("read_broken", {}), tools: [broken] }),
        "x",
    );
    expect(finalOutput).toContain("the database is away");
    expect(await world.record()).toEqual(["wire_money DENY denied", "read_broken ALLOW failed"]);
});

test("a confirmation of the agent's user is the framework's own approval", async () => {
    await using world = await stage();
    const send = governedTool(
        {
            name: "send_mail",
            description: "Sends.",
            parameters: z.object({ to: z.string() }),
            execute: ({ to }) => `sent to ${to}`,
        },
        { client: world.client },
    );
    const agent = new Agent({ name: "a", model: new FakeModel("send_mail", { to: "ada" }), tools: [send] });

    const first = await run(agent, "hello");
    expect(first.interruptions).toHaveLength(1);
    expect(await world.record()).toEqual([]);
    for (const interruption of first.interruptions) first.state.approve(interruption);
    expect((await run(agent, first.state)).finalOutput).toBe("sent to ada");
    expect(await world.record()).toEqual(["send_mail REQUIRE_CONFIRMATION -", "send_mail ALLOW success"]);

    const second = await run(agent, "hello");
    for (const interruption of second.interruptions) second.state.reject(interruption);
    expect((await run(agent, second.state)).finalOutput).not.toContain("sent");
    expect(await world.record()).toHaveLength(3);
});

test("what the agent's user refuses is on the record as that, once, whoever asked for the approval", async () => {
    await using world = await stage();
    const named = (name: string, needsApproval: boolean) =>
        governedTool(
            { name, description: "…", parameters: z.object({ to: z.string() }), needsApproval, execute: () => "sent" },
            { client: world.client, target: "mail" },
        );
    // The policy asks for the one, and the tool itself for the other.
    for (const tool of [named("send_mail", false), named("read_mail", true)]) {
        const agent = new Agent({ name: "a", model: new FakeModel(tool.name, { to: "ada" }), tools: [tool] });
        const { state, interruptions } = await run(agent, "hello");
        for (const interruption of interruptions) state.reject(interruption, { message: "not to her" });
        expect((await run(agent, state)).finalOutput).toBe("not to her");
        await run(agent, "hello");
    }
    const why = "the agent's user refused it: not to her";
    expect(await world.rows()).toMatchObject([
        {
            action: { type: "send_mail", target: "mail", params: { to: "ada" } },
            outcome: "DENY",
            result: { status: "skipped" },
        },
        { action: { type: "read_mail", params: { to: "ada" } }, result: { status: "skipped", error: why } },
    ]);
});

test("a refusal that cannot be recorded does not end the run", async () => {
    await using world = await stage();
    const said: string[] = [];
    const send = governedTool(
        { name: "send_mail", description: "…", parameters: z.object({}), execute: () => "sent" },
        { client: world.sidecar.client({ retries: 0 }), log: (line) => said.push(line) },
    );
    const agent = new Agent({ name: "a", model: new FakeModel("send_mail", {}), tools: [send] });
    const { state, interruptions } = await run(agent, "hello");
    for (const interruption of interruptions) state.reject(interruption);
    await world.sidecar.kill();
    expect((await run(agent, state)).finalOutput).toContain("not approved");
    expect(said).toEqual([expect.stringMatching(/^aegis: a refusal of send_mail is not on the record: cannot reach/)]);
});

test("without a daemon the tool does not run", async () => {
    await using world = await stage();
    let ran = false;
    const read = governedTool(
        {
            name: "read_contact",
            description: "Reads.",
            parameters: z.object({}),
            execute: () => {
                ran = true;
                return "";
            },
        },
        { client: world.client, confirm: () => false },
    );
    await world.sidecar.kill();
    const agent = new Agent({ name: "a", model: new FakeModel("read_contact", {}), tools: [read] });
    expect((await run(agent, "hello")).finalOutput).toContain("cannot reach the daemon");
    expect(ran).toBe(false);
});

test("a yes counts whatever name the framework makes of the tool's", async () => {
    await using world = await stage();
    const send = governedTool(
        { name: "send_the mail!", description: "Sends.", parameters: z.object({}), execute: () => "sent" },
        { client: world.client },
    );
    expect(send.name).toBe("send_the_mail_");
    const agent = new Agent({ name: "a", model: new FakeModel(send.name, {}), tools: [send] });
    const first = await run(agent, "hello");
    for (const interruption of first.interruptions) first.state.approve(interruption);
    expect((await run(agent, first.state)).finalOutput).toBe("sent");
});

test("neither an input that cannot be proposed nor a result that has no JSON ends the run", async () => {
    await using world = await stage();
    const read = governedTool(
        {
            name: "read",
            description: "Reads.",
            parameters: z.object({ id: z.number() }),
            execute: ({ id }) => ({ n: BigInt(id) }),
        },
        { client: world.client },
    );
    const told = async (id: number): Promise<unknown> =>
        (await run(new Agent({ name: "a", model: new FakeModel("read", { id }), tools: [read] }), "hello")).finalOutput;
    expect(await told(2 ** 60)).toMatch(/params\.id: .*beyond/);
    expect(await told(7)).toContain("7");
    expect(await world.record()).toEqual(["read ALLOW success"]);
});
