/** What a reviewer does, in a real browser with a real daemon. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { detail, launched, open, row, signedIn } from "./browser";
import { Daemon } from "./daemon";

let browser: Browser;
let daemon: Daemon;

beforeAll(async () => {
    [browser, daemon] = await Promise.all([launched(), Daemon.start()]);
});
afterAll(async () => {
    await browser?.close();
    await daemon?.stop();
});

const SECRET = "hunter2secret";

describe("a reviewer", () => {
    it("sees everything about a question, and approves exactly that", async () => {
        const { page, faults } = await signedIn(browser, daemon);
        await daemon.propose({ type: "read_first", session: "run-1" });
        const asked = await daemon.propose({
            type: "shell_full",
            target: "web-1",
            params: {
                command: `psql postgres://app:${SECRET}@db/shop`,
                count: 5,
                text: "5",
                nested: { deep: [null, true] },
            },
            description: "first\nsecond",
            session: "run-1",
            metadata: { ticket: "OPS-1" },
        });
        const pane = await open(page, "shell_full");
        for (const text of [
            "web-1",
            "masked, 13 characters",
            "critical",
            "A command can do anything",
            "OPS-1",
            "run-1",
            "agent-7",
        ]) {
            await pane.getByText(text).first().waitFor();
        }
        await pane.getByText("not authenticated").waitFor();
        await pane.getByText("read_first").first().waitFor();
        const { action_digest } = await daemon.approval(asked.approval_id);
        expect(await pane.innerText()).toContain(action_digest);
        expect(await page.content()).not.toContain(SECRET);
        expect(await page.title()).toMatch(/^\(\d+\) Aegis$/);

        await page.keyboard.press("a");
        await page.getByLabel("Reason").fill("looked at it");
        await page.keyboard.press("Enter");
        await pane.getByText("This question has ended: approved").waitFor();
        const { decided_by, decision_reason, human_decision } = await daemon.row(asked.decision_id);
        expect([decided_by?.startsWith("local:"), decision_reason, human_decision]).toEqual([
            true,
            "looked at it",
            "approved",
        ]);
        expect(faults).toEqual([]);
        await page.close();
    });

    it("denies by the keyboard alone, and no key reaches another question", async () => {
        const { page, faults } = await signedIn(browser, daemon);
        const [first, second] = [
            await daemon.propose({ type: "shell_k1" }),
            await daemon.propose({ type: "shell_k2" }),
        ];
        await row(page, "shell_k2").waitFor();
        await page.keyboard.press("/");
        await page.keyboard.type("shell_k");
        await page.keyboard.press("Escape");
        await page.keyboard.press("j");
        await detail(page).getByText("shell_k1").first().waitFor();
        // Somebody else answers first: what is open stays open, and the key does nothing to its neighbour.
        await daemon.vote(first.approval_id, "approve", await daemon.token("bob", "reviewer"));
        await detail(page).getByText("This question has ended: approved").waitFor();
        await page.keyboard.press("d");
        expect(await page.getByRole("dialog").count()).toBe(0);
        expect((await daemon.approval(second.approval_id)).state.toLowerCase()).toBe("pending");
        await page.keyboard.press("j");
        await detail(page).getByText("shell_k2").first().waitFor();
        await page.keyboard.press("d");
        await page.getByRole("dialog").waitFor();
        await page.keyboard.press("Enter");
        await detail(page).getByText("This question has ended: denied").waitFor();
        expect((await daemon.row(second.decision_id)).human_decision).toBe("denied");
        await page.keyboard.press("?");
        await page.getByRole("dialog", { name: "Keys" }).waitFor();
        await page.keyboard.press("Escape");
        await page.getByRole("dialog").waitFor({ state: "detached" });
        expect(faults).toEqual([]);
        await page.close();
    });

    it("sees a question end by time while looking at it, and is told so when answering late", async () => {
        const { page, faults } = await signedIn(browser, daemon);
        const asked = await daemon.propose({ type: "brief_look" });
        const pane = await open(page, "brief_look");
        await page.keyboard.press("a");
        const dialog = page.getByRole("dialog");
        await dialog.getByText("it has ended").waitFor();
        expect(await dialog.getByRole("button", { name: "Approve" }).isDisabled()).toBe(true);
        await dialog.getByRole("button", { name: "Cancel" }).click();
        await pane.getByText("This question has ended: expired").waitFor();
        expect(await pane.getByRole("button", { name: /Approve|Deny/ }).count()).toBe(0);
        expect((await daemon.row(asked.decision_id)).outcome).toBe("DENY");
        expect(faults).toEqual([]);
        await page.close();
    });

    it("is told who was faster", async () => {
        const [one, other] = [
            await signedIn(browser, daemon),
            await signedIn(browser, daemon, await daemon.token("eve", "reviewer")),
        ];
        const asked = await daemon.propose({ type: "shell_race" });
        await Promise.all([open(one.page, "shell_race"), open(other.page, "shell_race")]);
        await Promise.all([one.page.keyboard.press("a"), other.page.keyboard.press("d")]);
        await Promise.all([one.page.getByRole("dialog").waitFor(), other.page.getByRole("dialog").waitFor()]);
        await other.page.keyboard.press("Enter");
        await detail(other.page).getByText("This question has ended: denied").waitFor();
        // The dialog that is still open says it, and sends nothing.
        await one.page.getByRole("dialog").getByText("it has ended: denied").waitFor();
        await one.page.keyboard.press("Enter");
        await one.page.keyboard.press("Escape");
        await detail(one.page).getByRole("status").getByText("by token:eve").waitFor();
        expect((await daemon.row(asked.decision_id)).decided_by).toBe("token:eve");
        await Promise.all([one.page.close(), other.page.close()]);
    });

    it("answers several at once only after each was shown to its end", async () => {
        const { page, faults } = await signedIn(browser, daemon);
        const long = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`parameter_${i}`, `value ${i}`]));
        const asked = [
            await daemon.propose({ type: "shell_many", target: "a", params: long, session: "many" }),
            await daemon.propose({ type: "shell_many", target: "b", params: { last: "line" }, session: "many" }),
        ];
        await page.getByRole("searchbox").fill("shell_many");
        await page.getByLabel("by session").check();
        await page.getByText("Session many").waitFor();
        for (const target of ["a", "b"]) await page.getByLabel(`Choose shell_many on ${target}`).check();
        await page.keyboard.press("a");
        const dialog = page.getByRole("dialog", { name: "Approve 2 actions?" });
        const button = dialog.getByRole("button", { name: "Approve all 2" });
        await dialog.getByText("parameter_59").waitFor();
        expect(await button.isDisabled()).toBe(true);
        await dialog.locator(".end").last().scrollIntoViewIfNeeded();
        await dialog.locator(".end").first().scrollIntoViewIfNeeded();
        await expect.poll(() => button.isEnabled()).toBe(true);
        await button.click();
        await dialog.waitFor({ state: "detached" });
        for (const { decision_id } of asked) expect((await daemon.row(decision_id)).human_decision).toBe("approved");
        expect(faults).toEqual([]);
        await page.close();
    });

    it("keeps the page over a restart of the daemon, and hears what ended meanwhile", async () => {
        const { page } = await signedIn(browser, daemon);
        const [stays, goes] = [
            await daemon.propose({ type: "shell_stays" }),
            await daemon.propose({ type: "brief_goes" }),
        ];
        await row(page, "shell_stays").waitFor();
        await open(page, "brief_goes");
        await daemon.halt();
        await page.getByText("the daemon is away").waitFor();
        await daemon.run(new URL(daemon.url).host);
        await page.getByText("the daemon is away").waitFor({ state: "detached" });
        await detail(page).getByText("This question has ended: expired").waitFor();
        const asked = await daemon.propose({ type: "shell_after" });
        await row(page, "shell_after").waitFor();
        await open(page, "shell_stays");
        await page.keyboard.press("d");
        await page.getByRole("dialog").waitFor();
        await page.keyboard.press("Enter");
        await detail(page).getByText("This question has ended: denied").waitFor();
        expect((await daemon.row(stays.decision_id)).human_decision).toBe("denied");
        expect((await daemon.row(goes.decision_id)).human_decision).toBe("expired");
        await daemon.vote(asked.approval_id, "deny", daemon.credential);
        await page.close();
    });

    it("is signed out when the credential is revoked", async () => {
        const token = await daemon.token("mallory", "reviewer");
        const { page } = await signedIn(browser, daemon, token);
        await daemon.call("DELETE", "/api/v1/tokens/mallory", daemon.credential);
        await page.getByLabel("Token").waitFor();
        await page.getByRole("alert").waitFor();
        await page.close();
    });
});
