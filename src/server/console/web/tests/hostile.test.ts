/** What agents and pages of other origins try. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { blank, detail, launched, row, signedIn } from "./browser";
import { Daemon } from "./daemon";

let browser: Browser;
let daemon: Daemon;
/** A page of another origin: another port of the same host, as an agent's server on this machine would be. */
let stranger: Server;
let strange: string;

beforeAll(async () => {
    [browser, daemon] = await Promise.all([launched(), Daemon.start()]);
    stranger = createServer((_, answer) => {
        answer.setHeader("content-type", "text/html");
        answer.end("<!doctype html><title>stranger</title><body></body>");
    });
    await new Promise<void>((resolve) => stranger.listen(0, "127.0.0.1", resolve));
    strange = `http://127.0.0.1:${(stranger.address() as AddressInfo).port}/`;
});
afterAll(async () => {
    await browser?.close();
    stranger?.close();
    await daemon?.stop();
});

const MARKUP = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>"'><svg onload=window.hacked=1>{{7*7}}javascript:window.hacked=1`;

describe("an agent", () => {
    it("cannot run or show markup from any field that it controls", async () => {
        const { page, faults } = await signedIn(browser, daemon);
        const asked = await daemon.propose({
            type: `shell${MARKUP}`,
            target: MARKUP,
            params: { [MARKUP]: MARKUP, list: [MARKUP, { [MARKUP]: [MARKUP] }], __proto__x: MARKUP },
            description: MARKUP,
            session: MARKUP,
            metadata: { note: MARKUP },
            actor: MARKUP,
        });
        await row(page, "onerror").getByRole("button").click();
        await detail(page).getByText("onerror").first().waitFor();
        await page.getByLabel("by session").check();
        await page.keyboard.press("a");
        await page.getByRole("dialog").getByText("onerror").first().waitFor();
        await page.keyboard.press("Escape");
        await daemon.vote(asked.approval_id, "approve", daemon.credential);
        await daemon.call("POST", `/api/v1/governance/decisions/${asked.decision_id}/result`, null, {
            status: "failed",
            error: MARKUP,
            data: { [MARKUP]: MARKUP },
        });
        for (const place of ["audit", `decision/${asked.decision_id}`, "figures"]) {
            await page.goto(`${daemon.url}/console/#/${place}`);
            await page.getByText("onerror").first().waitFor();
        }
        expect(await page.evaluate(() => "hacked" in window)).toBe(false);
        expect(await page.locator("main img, main svg, main script, main iframe").count()).toBe(0);
        expect(faults).toEqual([]);
        await page.close();
    });

    it("cannot hide or reorder text, nor pass its own text off as a mask", async () => {
        const { page } = await signedIn(browser, daemon);
        await daemon.propose({
            type: "shell_hidden",
            params: { text: "rm \u202egpj.tac\u202c a\u200bb\u0000", fake: "[masked, 14 characters]" },
        });
        await row(page, "shell_hidden").getByRole("button").click();
        const pane = detail(page);
        for (const label of ["U+202E", "U+202C", "U+200B", "U+0000"])
            await pane.getByText(label, { exact: true }).waitFor();
        expect(await pane.locator(".masked").count()).toBe(0);
        expect(await pane.innerText()).not.toMatch(/[\u202e\u200b\0]/);
        await page.close();
    });
});

describe("a page of another origin", () => {
    it("reads nothing and changes nothing, whatever it sends", async () => {
        const asked = await daemon.propose({ type: "shell_csrf" });
        const { action_digest } = await daemon.approval(asked.approval_id);
        // The person is signed in, in the same browser.
        const context = await browser.newContext();
        const console_ = await context.newPage();
        await console_.goto(daemon.url);
        await console_.getByLabel("Token").fill(daemon.credential);
        await console_.getByRole("button", { name: "Sign in" }).click();
        await console_.getByRole("button", { name: "Sign out" }).waitFor();
        expect(await context.cookies()).toEqual([]);
        const stored = await console_.evaluate(() => JSON.stringify([localStorage, sessionStorage, location.href]));
        expect(stored).not.toContain(daemon.credential);

        const page = await context.newPage();
        await page.goto(strange);
        const target = { url: daemon.url, approval: asked.approval_id, digest: action_digest };
        const seen = await page.evaluate(async ({ url, approval, digest }) => {
            const body = JSON.stringify({ expected_action_digest: digest });
            const attempts: [string, RequestInit][] = [
                [
                    `/api/v1/approvals/${approval}/approve`,
                    { method: "POST", body, mode: "no-cors", credentials: "include" },
                ],
                [`/api/v1/approvals/${approval}/approve`, { method: "POST", body, credentials: "include" }],
                [`/api/v1/governance/propose`, { method: "POST", body: "{}", mode: "no-cors" }],
                ["/api/v1/sign-in-codes", { method: "POST", credentials: "include" }],
                ["/api/v1/sign-in-codes/exchange", { method: "POST", body: '{"code":"x"}' }],
                ["/api/v1/approvals", { credentials: "include" }],
                ["/api/v1/identity", {}],
                ["/console/", {}],
                ["/console/console.js", {}],
                ["/health", {}],
            ];
            const read: string[] = [];
            for (const [path, init] of attempts) {
                const answer = await fetch(url + path, init).catch(() => null);
                const text = answer === null ? "" : await answer.text();
                if (text !== "") read.push(`${path}: ${text}`);
            }
            const socket = await new Promise<string>((resolve) => {
                const socket = new WebSocket(`${url.replace("http", "ws")}/api/v1/approvals/stream`);
                socket.onopen = () => resolve("open");
                socket.onerror = () => resolve("refused");
            });
            return { read, socket };
        }, target);
        expect(seen).toEqual({ read: [], socket: "refused" });

        // A form is a navigation: the answer is a page of the daemon, and says no.
        await page.evaluate(({ url, approval }) => {
            const form = document.createElement("form");
            form.method = "POST";
            form.enctype = "text/plain";
            form.action = `${url}/api/v1/approvals/${approval}/approve`;
            document.body.append(form);
            form.submit();
        }, target);
        await page.waitForURL(`${daemon.url}/**`);
        expect(await page.innerText("body")).toContain("CROSS_ORIGIN");
        expect((await daemon.approval(asked.approval_id)).state.toLowerCase()).toBe("pending");
        await context.close();
    });

    it("cannot frame the console, nor load its script", async () => {
        const { page } = await blank(browser);
        await page.goto(strange);
        const ran = await page.evaluate(async (url) => {
            const frame = document.createElement("iframe");
            frame.src = `${url}/console/`;
            document.body.append(frame);
            await new Promise((resolve) => (frame.onload = resolve));
            const script = document.createElement("script");
            script.src = `${url}/console/console.js`;
            document.body.append(script);
            return new Promise<string>((resolve) => {
                script.onload = () => resolve("loaded");
                script.onerror = () => resolve("refused");
            });
        }, daemon.url);
        expect(ran).toBe("refused");
        for (const frame of page.frames().slice(1)) expect(await frame.locator("#app").count()).toBe(0);
        await page.close();
    });

    it("cannot reach the daemon by a name of its own", async () => {
        const { port } = new URL(daemon.url);
        const rebound = await launchedWith(`--host-resolver-rules=MAP evil.example 127.0.0.1`);
        const page = await rebound.newPage();
        const answer = await page.goto(`http://evil.example:${port}/console/`);
        expect(answer?.status()).toBe(403);
        const api = await page.evaluate(async () => (await fetch("/api/v1/approvals")).status);
        expect(api).toBe(403);
        await rebound.close();
    });

    it("may lead a person to the console by a link", async () => {
        const { page } = await blank(browser);
        await page.goto(strange);
        await page.evaluate((url) => {
            const link = document.createElement("a");
            link.href = `${url}/console/`;
            link.textContent = "review";
            document.body.append(link);
        }, daemon.url);
        await page.getByText("review").click();
        await page.getByLabel("Token").waitFor();
        await page.close();
    });
});

async function launchedWith(flag: string): Promise<Browser> {
    const { chromium } = await import("playwright-core");
    const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
    return chromium.launch({ executablePath, headless: true, args: ["--no-sandbox", "--disable-gpu", flag] });
}
