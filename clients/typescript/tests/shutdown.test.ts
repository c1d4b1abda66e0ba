import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { eventually, stage } from "./support.js";

const PACKAGE = new URL("../dist/", import.meta.url).href;

/** A Node.js process of its own that runs a program over the built package. */
function program(source: string): { readonly child: ChildProcess; readonly said: (line: RegExp) => Promise<string> } {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", source], {
        stdio: ["ignore", "pipe", "pipe"],
    });
    const lines: string[] = [];
    for (const stream of [child.stdout, child.stderr])
        createInterface({ input: stream }).on("line", (one) => lines.push(one));
    return { child, said: async (wanted) => eventually(() => lines.find((line) => wanted.test(line))) };
}

const gone = async (endpoint: string): Promise<true | undefined> =>
    fetch(endpoint).then(
        () => undefined,
        () => true as const,
    );

test.each(["SIGKILL", "SIGTERM"] as const)("the kit's daemon ends with its process, by %s too", async (signal) => {
    const { child, said } = program(`
        const { startSidecar } = await import("${PACKAGE}testing.js");
        const sidecar = await startSidecar();
        console.log(sidecar.endpoint);
        setInterval(() => undefined, 1000);`);
    const endpoint = await said(/^http:/);
    child.kill(signal);
    await once(child, "exit");
    expect(await eventually(async () => gone(endpoint))).toBe(true);
});

const paying = (endpoint: string, more = ""): string => `
    const { AegisClient, governed } = await import("${PACKAGE}index.js");
    ${more}
    const client = new AegisClient({ endpoint: "${endpoint}", apiKey: "" });
    const pay = governed(() => console.log("paid"), { type: "pay", target: "bank", client });
    await pay().catch((error) => console.log("ended: " + error.name));
    client.close();`;

test("SIGTERM while a reviewer thinks withdraws the proposal, and ends the process", async () => {
    await using world = await stage();
    const { child, said } = program(paying(world.sidecar.endpoint));
    expect(await said(/waits for a reviewer/)).toMatch(/^aegis: pay on bank waits .*: aegis approve apr_/);
    child.kill("SIGTERM");
    const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
    expect([code, signal]).toEqual([null, "SIGTERM"]);
    expect(await world.people.listApprovals()).toEqual([]);
    expect((await world.rows())[0]).toMatchObject({
        outcome: "DENY",
        ending: { kind: "cancelled", reason: expect.stringContaining("told to end") as unknown },
    });
});

test("a program that handles the signal itself goes on, without the proposal", async () => {
    await using world = await stage();
    const handles = `process.on("SIGTERM", () => console.log("handled"));`;
    const { child, said } = program(paying(world.sidecar.endpoint, handles));
    await said(/waits for a reviewer/);
    child.kill("SIGTERM");
    await said(/^handled$/);
    await said(/^ended: ActionDenied$/);
    expect((await once(child, "exit"))[0]).toBe(0);
});
