import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { afterEach, expect, test, vi } from "vitest";
import { AegisError } from "../src/index.js";
import { startSidecar } from "../src/testing.js";

afterEach(() => void vi.unstubAllEnvs());

test("a sidecar of one's own starts, starts again, changes its policy, and leaves nothing behind", async () => {
    const policy = 'version: "1"\ndefaults: { approval: block }\n';
    const sidecar = await startSidecar({ policy });
    try {
        const { endpoint } = sidecar;
        await using client = sidecar.client();
        expect((await client.propose({ action: { type: "delete_all" } })).outcome).toBe("DENY");
        await sidecar.kill();
        await sidecar.start();
        expect(sidecar.endpoint).toBe(endpoint);
        expect(await client.health()).toBe(true);
        await sidecar.setPolicy('version: "1"\ndefaults: { approval: auto, risk_level: low }\n');
        expect((await client.propose({ action: { type: "delete_all" } })).outcome).toBe("ALLOW");
    } finally {
        await sidecar.stop();
    }
    expect(existsSync(sidecar.home)).toBe(false);
});

test("what cannot start says why", async () => {
    await expect(startSidecar({ policy: "rules: [{ aproval: block }]" })).rejects.toThrow(/did not start:[^]*aproval/);
    await expect(startSidecar({ args: ["--no-such-flag"] })).rejects.toThrow("--no-such-flag");
    await expect(startSidecar({ binary: "/nowhere/aegis" })).rejects.toThrow("cannot be started");
    vi.stubEnv("AEGIS_BIN", "/nowhere/aegis");
    await expect(startSidecar()).rejects.toThrow("AEGIS_BIN names /nowhere/aegis, which is no program");
    vi.unstubAllEnvs();
    await using sidecar = await startSidecar({ policy: 'version: "1"\n' });
    await expect(sidecar.setPolicy("rules: 1")).rejects.toThrow(AegisError);
});

test("a process that ends takes its sidecars with it", async () => {
    const script = `
        const { startSidecar } = await import(${JSON.stringify(new URL("../dist/testing.js", import.meta.url).href)});
        const sidecar = await startSidecar();
        console.log(sidecar.endpoint + " " + sidecar.home);
        process.exit(0);`;
    const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
        encoding: "utf8",
    });
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^http:/);
    const [endpoint = "", home = ""] = stdout.trim().split(" ");
    await expect(fetch(endpoint)).rejects.toThrow();
    expect(existsSync(home)).toBe(false);
});
