/** A browser for tests. */
import { type Browser, chromium, type Page } from "playwright-core";

/** Debian's; no browser can be downloaded. */
const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

/** In milliseconds: longer than anything takes on a busy machine. */
const PATIENCE = 110_000;
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
args.push("--disable-background-networking", "--disable-component-update", "--disable-sync");

/** How it is started. */
export const OPTIONS = { executablePath: CHROMIUM, headless: true, args, timeout: PATIENCE };

/** Starts it. */
export async function launched(): Promise<Browser> {
    return chromium.launch(OPTIONS);
}

/** A page of it, which waits longer than pages do by themselves. */
export async function opened(browser: Browser): Promise<Page> {
    const page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE);
    return page;
}
