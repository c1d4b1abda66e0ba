/** A real browser, and what people do in the console with it. */
import { type Browser, chromium, type Locator, type Page } from "playwright-core";
import type { Daemon } from "./daemon";

/** Debian's; no browser can be downloaded. */
const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

export function launched(): Promise<Browser> {
    const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
    args.push("--disable-background-networking", "--disable-component-update");
    return chromium.launch({ executablePath: CHROMIUM, headless: true, args });
}

/** A page, and everything that went wrong in it: errors of its script, and what its security policy refused. */
export interface Watched {
    page: Page;
    faults: string[];
}

export async function blank(browser: Browser): Promise<Watched> {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    const faults: string[] = [];
    page.on("pageerror", (error) => faults.push(String(error)));
    page.on("console", (message) => {
        // A browser also logs every answer that is an error, and a daemon that is away: tests say what they expect of those.
        if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
            faults.push(message.text());
    });
    page.setDefaultTimeout(10_000);
    return { page, faults };
}

/** Signs in with a token. */
export async function signedIn(browser: Browser, daemon: Daemon, token = daemon.credential): Promise<Watched> {
    const watched = await blank(browser);
    await watched.page.goto(daemon.url);
    await watched.page.getByLabel("Token").fill(token);
    await watched.page.getByRole("button", { name: "Sign in" }).click();
    await watched.page.getByRole("button", { name: "Sign out" }).waitFor();
    return watched;
}

/** The row of a question in the list. */
export function row(page: Page, text: string): Locator {
    return page.locator(".row", { hasText: text });
}

export function detail(page: Page): Locator {
    return page.getByRole("region", { name: "The open question" });
}

/** Opens a question by its row. */
export async function open(page: Page, text: string): Promise<Locator> {
    await row(page, text).getByRole("button").click();
    const pane = detail(page);
    await pane.getByText(text).first().waitFor();
    return pane;
}
