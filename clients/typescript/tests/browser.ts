/** A browser for tests. */
import { type Browser, chromium } from "playwright-core";

/** Debian's; no browser can be downloaded. */
const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
args.push("--disable-background-networking", "--disable-component-update", "--disable-sync");

/** How it is started. */
export const OPTIONS = { executablePath: CHROMIUM, headless: true, args };

/** Starts it. */
export async function launched(): Promise<Browser> {
    return chromium.launch(OPTIONS);
}
