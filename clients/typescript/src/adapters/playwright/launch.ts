/**
 * Starts a browser in which no page can have documents loaded ahead of time.
 *
 * By speculation rules, a page has its browser fetch and prepare documents that somebody may open next. Playwright
 * sees neither those requests nor the navigation that then shows such a document, so nobody could be asked about it.
 * Chromium takes the setting against that from its profile only.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BrowserContext, BrowserType } from "playwright-core";

/** How the browser is started: what Playwright's `launchPersistentContext` takes. */
export type PageLaunchOptions = NonNullable<Parameters<BrowserType["launchPersistentContext"]>[1]>;

/** "Never" in Chromium's settings: no prefetch, no prerender. */
const CHROMIUM = { net: { network_prediction_options: 2 } };
const FIREFOX = { "network.prefetch-next": false, "network.predictor.enabled": false };

/** A browser with a profile of its own. */
export interface Launched {
    readonly context: BrowserContext;
    /** Ends the browser and removes the profile. */
    readonly close: () => Promise<void>;
}

/** Starts one. */
export async function launch(browserType: BrowserType, options: PageLaunchOptions): Promise<Launched> {
    const profile = await mkdtemp(join(tmpdir(), "aegis-browser-"));
    const remove = async (): Promise<void> => rm(profile, { recursive: true, force: true, maxRetries: 5 });
    try {
        await mkdir(join(profile, "Default"));
        await writeFile(join(profile, "Default", "Preferences"), JSON.stringify(CHROMIUM));
        const context = await browserType.launchPersistentContext(profile, {
            ...options,
            // A service worker would load documents that nobody sees.
            serviceWorkers: "block",
            ...(browserType.name() === "firefox" && { firefoxUserPrefs: { ...options.firefoxUserPrefs, ...FIREFOX } }),
        });
        return {
            context,
            close: async () => {
                await context.close();
                await remove();
            },
        };
    } catch (error) {
        await remove();
        throw error;
    }
}
