/** Signing in, the record, figures, the policy, and whether everybody can use them. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { blank, launched, open, signedIn } from "./browser";
import { Daemon } from "./daemon";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser: Browser;
let daemon: Daemon;

beforeAll(async () => {
    [browser, daemon] = await Promise.all([launched(), Daemon.start()]);
    await daemon.propose({ type: "read_log", target: "web-1", actor: "crawler" });
    await daemon.propose({ type: "delete_table", target: "prod/users" });
});
afterAll(async () => {
    await browser?.close();
    await daemon?.stop();
});

describe("signing in", () => {
    it("works with the address that `aegis console` prints, once", async () => {
        const address = daemon.console();
        const { page, faults } = await blank(browser);
        await page.goto(address);
        await page.getByRole("button", { name: "Sign out" }).waitFor();
        expect(page.url()).not.toContain("code");
        const again = await blank(browser);
        await again.page.goto(address);
        await again.page.getByRole("alert").getByText("used already").waitFor();
        expect(faults).toEqual([]);
        await Promise.all([page.close(), again.page.close()]);
    });

    it("refuses what is no token, and agents", async () => {
        const { page } = await blank(browser);
        await page.goto(daemon.url);
        for (const [token, says] of [
            ["aegis_wrong", "not valid"],
            [await daemon.token("robot", "agent"), "is an agent"],
        ] as const) {
            await page.getByLabel("Token").fill(token);
            await page.getByRole("button", { name: "Sign in" }).click();
            await page.getByRole("alert").getByText(says).waitFor();
        }
        await page.close();
    });

    it("shows each person the pages of their roles", async () => {
        for (const [role, titles] of [
            ["reviewer", ["Queue"]],
            ["auditor", ["Audit", "Figures", "Policy"]],
            ["admin", ["Policy"]],
        ] as const) {
            const { page, faults } = await signedIn(browser, daemon, await daemon.token(role, role));
            const links = page.getByRole("navigation").getByRole("link");
            expect((await links.allInnerTexts()).map((text) => text.replace(/\d+$/, "").trim())).toEqual(titles);
            expect(faults).toEqual([]);
            await page.close();
        }
    });
});

describe("an auditor", () => {
    it("filters the record, follows it live, and proves and exports one decision", async () => {
        const { page, faults } = await signedIn(browser, daemon);
        await page.getByRole("link", { name: "Audit" }).click();
        await page.getByText("read_log").waitFor();
        await page.getByLabel("Target (glob)").fill("prod/*");
        await page.getByRole("button", { name: "Search" }).click();
        await page.getByText("read_log").waitFor({ state: "detached" });
        await page.getByText("delete_table").waitFor();
        await daemon.propose({ type: "read_other", target: "prod/live" });
        await page.getByText("read_other").waitFor();
        await page.locator("tr", { hasText: "delete_table" }).getByRole("link").click();
        await page.getByRole("button", { name: "Prove" }).click();
        await page.getByText("This browser checked").waitFor();
        expect(await page.getByText("not in the log").count()).toBe(0);
        const [download] = await Promise.all([
            page.waitForEvent("download"),
            page.getByRole("button", { name: "Export" }).click(),
        ]);
        const exported = readFileSync(await download.path(), "utf8");
        expect(exported).toContain("delete_table");
        expect(faults).toEqual([]);
        await page.close();
    });

    it("sees figures, and the rules that decided nothing", async () => {
        const { page, faults } = await signedIn(browser, daemon);
        await page.getByRole("link", { name: "Figures" }).click();
        await page.getByRole("img", { name: /Decisions over the last day/ }).waitFor();
        await page.locator("section", { hasText: "never decided" }).getByText("shell").waitFor();
        await page.getByRole("combobox", { name: "By", exact: true }).selectOption("rule");
        await page.locator(".legend").getByText("reading").waitFor();
        expect(faults).toEqual([]);
        await page.close();
    });
});

describe("an admin", () => {
    it("tries an action, finds the line of a mistake, and puts a policy in force", async () => {
        const { page, faults } = await signedIn(browser, daemon);
        await page.getByRole("link", { name: "Policy" }).click();
        await page.getByLabel("Type", { exact: true }).fill("delete_all");
        await page.getByLabel("Target").fill("prod");
        await page.getByRole("button", { name: "Try" }).click();
        await page.getByText("not matched").first().waitFor();
        await page.getByRole("status").getByText("never").first().waitFor();

        const draft = page.getByLabel("Policy (YAML)");
        const text = await draft.inputValue();
        await draft.fill(text.replace("approval: block", "aproval: block"));
        await page.getByRole("button", { name: "Check" }).click();
        await page.getByText("did you mean `approval`").waitFor();
        await page.getByRole("button", { name: /^line 5:/ }).click();
        expect(
            await draft.evaluate((it: HTMLTextAreaElement) => it.value.slice(it.selectionStart).startsWith("aproval")),
        ).toBe(true);
        expect(await page.getByRole("button", { name: "Put in force" }).isDisabled()).toBe(true);

        await draft.fill(text.replace("timeout: 2s", "timeout: 3s"));
        await page.getByLabel(/^Comment/).fill("a little longer");
        await page.getByRole("button", { name: "Check" }).click();
        await page.locator(".diff .new", { hasText: "timeout: 3s" }).waitFor();
        await page.getByRole("button", { name: "Put in force" }).click();
        await page.getByText("is in force").waitFor();
        await page.getByRole("button", { name: /^Read it from/ }).click();
        await page.getByText("a little longer").last().waitFor();
        expect(faults).toEqual([]);
        await page.close();
    });
});

/** What axe-core finds. It is put in by the browser's debugger, past the security policy of the page. */
async function findings(page: Page, place: string): Promise<string[]> {
    await page.evaluate(AXE);
    return page.evaluate(async (place) => {
        interface Result {
            violations: { id: string; nodes: { html: string }[] }[];
        }
        const { axe } = window as unknown as { axe: { run(): Promise<Result> } };
        const { violations } = await axe.run();
        return violations.map(({ id, nodes }) => `${place}: ${id}: ${nodes.map(({ html }) => html).join(" ")}`);
    }, place);
}

/** A value that is so many levels deep. */
function nested(levels: number): unknown {
    return levels === 0 ? "inner value" : { [`level_${levels}`]: nested(levels - 1) };
}

describe("everybody", () => {
    it.each(["light", "dark"] as const)("can use the pages: axe-core finds nothing (%s)", async (colorScheme) => {
        const asked = await daemon.propose({
            type: `shell_axe_${colorScheme}`,
            params: { a: [1, "x\u202e"] },
            metadata: { a: "b" },
        });
        const { page } = await signedIn(browser, daemon);
        await page.emulateMedia({ colorScheme });
        const found: string[] = [];
        await open(page, `shell_axe_${colorScheme}`);
        found.push(...(await findings(page, "queue")));
        await page.keyboard.press("a");
        await page.getByRole("dialog").waitFor();
        found.push(...(await findings(page, "dialog")));
        await page.keyboard.press("Escape");
        for (const [place, text] of [
            ["audit", "shell_axe"],
            [`decision/${asked.decision_id}`, "Records"],
            ["figures", "Actors who ask most"],
            ["policy", "Try an action"],
        ] as const) {
            await page.goto(`${daemon.url}/console/#/${place}`);
            await page.getByText(text).first().waitFor();
            found.push(...(await findings(page, place)));
        }
        await page.getByRole("button", { name: "Sign out" }).click();
        await page.getByLabel("Token").waitFor();
        found.push(...(await findings(page, "sign in")));
        expect(found).toEqual([]);
        await page.close();
    });

    it("can use the pages at 360 pixels: nothing is cut off or needs scrolling sideways", async () => {
        const asked = await daemon.propose({
            type: "shell_narrow",
            target: "a/very/long/path/".repeat(8),
            params: { text: "x".repeat(400), nested: nested(24) },
        });
        const { page } = await signedIn(browser, daemon);
        await page.setViewportSize({ width: 360, height: 740 });
        const tooWide = () => page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
        const pane = await open(page, "shell_narrow");
        expect(await tooWide()).toBe(false);
        const { x, width } = (await pane.getByText("inner value").boundingBox()) ?? { x: -1, width: 0 };
        expect(x >= 0 && x + width <= 360 && width > 60, `from ${x}, ${width} wide`).toBe(true);
        await page.getByRole("button", { name: "All questions" }).click();
        await page.locator(".row").first().waitFor();
        for (const [place, text] of [
            ["queue", "shell_narrow"],
            ["audit", "shell_narrow"],
            [`decision/${asked.decision_id}`, "inner value"],
            ["figures", "Actors who ask most"],
            ["policy", "Try an action"],
        ] as const) {
            await page.goto(`${daemon.url}/console/#/${place}`);
            await page.getByText(text).first().waitFor();
            expect(await tooWide(), place).toBe(false);
        }
        await page.close();
    });
});
