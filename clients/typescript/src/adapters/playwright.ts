/**
 * A Playwright page that asks before it acts.
 *
 * ```ts
 * import { GovernedPage } from "aegis-sidecar/playwright";
 * import { chromium } from "playwright-core";
 * await using page = await GovernedPage.launch(chromium, { client });
 * await page.goto("https://shop.example.com");
 * await page.fill("#password", secret);      // what is typed is never proposed
 * await page.click("#buy");
 * ```
 *
 * @packageDocumentation
 */
import type { BrowserType, ElementHandle, Page, Response } from "playwright-core";
import { InvalidActionError } from "../errors.js";
import { type GovernOptions, type Result } from "../govern/options.js";
import { executed, type Execution, perform, unwrap } from "../govern/perform.js";
import { type Destination, destination, plain } from "./playwright/address.js";
import { Found } from "./playwright/element.js";
import { launch, type PageLaunchOptions } from "./playwright/launch.js";
import { Navigations } from "./playwright/navigation.js";

export type { PageLaunchOptions } from "./playwright/launch.js";

/** How long an action of the page may take. */
export interface PageCallOptions {
    /** In milliseconds, as everywhere in Playwright. The page's own. */
    readonly timeout?: number;
}

/** How many redirects `goto` follows. */
const MOST_REDIRECTS = 20;

/**
 * The actions of a page, each proposed, waited for, done if it may be, and reported. A no is thrown as `ActionDenied`.
 *
 * | method | type | target | parameters |
 * | --- | --- | --- | --- |
 * | `goto` | `navigate` | the URL | `query`, `fragment`, where it has them |
 * | any other document | `navigate` | the URL | `query`; `from`, the page; of a form `method` and `body` |
 * | `click` | `click` | the page's URL | `selector`, `element` |
 * | `fill` | `fill` | the page's URL | `selector`, `element`; `value`, masked unless it is asked for |
 * | `press` | `press` | the page's URL | `selector`, `element`, `key` |
 * | `selectOption` | `select` | the page's URL | `selector`, `element`, `values` |
 * | `read` | `read` | the page's URL | `selector`, `element`, where there is one |
 * | `screenshot` | `screenshot` | the page's URL | `path`, where there is one |
 *
 * `element` is what the page says of itself: its `tag`, `id` and `text`, the `href` that it leads to, the `action` of
 * the form that it sends, and a `digest` of all of it but what was typed. Write rules on that: a selector is the
 * agent's word, and one element has many. The element is found once and compared before the action: one that was
 * replaced, or says something else by then, is not acted on.
 *
 * Redirects, links, forms, refreshes, frames and windows that the page opens are proposed as `navigate` before their
 * server is asked. Pages of the same context that the governed one has not opened are left alone. Requests that a
 * page's scripts make are not proposed, nor are downloads.
 *
 * {@link GovernedPage.launch} starts a browser that loads no document ahead of time and runs no service worker. In a
 * browser of your own, a page may hide such documents from this class: make its context with `serviceWorkers: "block"`,
 * and expect that speculation rules in a declarative shadow root load a document that nobody was asked about.
 *
 * Give the agent this and not the page: who has the page can act without asking.
 */
export class GovernedPage {
    readonly #page: Page;
    readonly #options: GovernOptions;
    /** Ends what was started for this page. */
    #end: () => Promise<void>;

    /** Acts on this page, of a browser of your own. */
    constructor(page: Page, options: GovernOptions) {
        this.#page = page;
        this.#options = options;
        this.#end = async () => page.close();
    }

    /**
     * Starts a browser with a profile of its own, and acts on its page. {@link GovernedPage.close} ends the browser.
     *
     * @param browserType - `chromium`, `firefox` or `webkit` of Playwright.
     * @param options - As of the constructor.
     * @param launchOptions - As of Playwright's `launchPersistentContext`: `headless`, `executablePath`, `args`, …
     * Service workers are always blocked.
     */
    static async launch(
        browserType: BrowserType,
        options: GovernOptions,
        launchOptions: PageLaunchOptions = {},
    ): Promise<GovernedPage> {
        const { context, close } = await launch(browserType, launchOptions);
        try {
            const governed = new GovernedPage(context.pages()[0] ?? (await context.newPage()), options);
            governed.#end = close;
            return governed;
        } catch (error) {
            await close();
            throw error;
        }
    }

    /** Closes the page, and the browser that `launch` started. */
    async close(): Promise<void> {
        await this.#end();
    }

    /** The same as {@link GovernedPage.close}. */
    async [Symbol.asyncDispose](): Promise<void> {
        await this.close();
    }

    /** Where the page is. */
    url(): string {
        return this.#page.url();
    }

    /**
     * Goes to an absolute URL. The record has where that led, and an HTTP status of 400 or more as failed. Each
     * redirect is a proposal of its own.
     */
    async goto(url: string, options: PageCallOptions = {}): Promise<Response | null> {
        const navigations = await Navigations.of(this.#page, this.#options);
        let next = destination(url);
        for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects += 1) {
            const visit = await this.#visit(next, navigations, options);
            if (visit.redirect === undefined) return visit.response;
            next = destination(visit.redirect);
        }
        throw new InvalidActionError("url", `redirects more than ${MOST_REDIRECTS} times`);
    }

    async #visit(to: Destination, navigations: Navigations, options: PageCallOptions): Promise<Visit> {
        const { href, target, params } = to;
        const go = async (): Promise<Visit> => {
            const led = await navigations.once(this.#page, href, async () => this.#page.goto(href, options));
            return "redirect" in led
                ? new Visit(led.redirect, null, led.redirect)
                : new Visit(this.#page.url(), led.went);
        };
        const visit = async (): Promise<Execution<Visit>> => {
            const execution = failedBriefly(await executed(go));
            const status = execution.data?.response?.status() ?? 0;
            return status < 400 ? execution : { ...execution, status: "failed", error: `HTTP ${status}` };
        };
        const result = await perform({ type: "navigate", target, params }, this.#options, visit);
        return result.data ?? unwrap(result);
    }

    /** Clicks what the selector finds. */
    async click(selector: string, options: PageCallOptions = {}): Promise<void> {
        await this.#act("click", { selector }, options, async (element) => element.click(options));
    }

    /**
     * Types into what the selector finds. What is typed is proposed as `[masked, N characters]`, and not on the
     * record in any other way, unless `record` says so; into a field for a password it never is.
     */
    async fill(
        selector: string,
        value: string,
        options: PageCallOptions & {
            /** Whether a rule, the reviewer and the record see what is typed. `false`. */
            readonly record?: boolean;
        } = {},
    ): Promise<void> {
        const { record = false, ...rest } = options;
        const found = await this.#find(selector, rest);
        const hidden = !record || (await isSecret(found));
        const type = async (): Promise<Execution<void>> => {
            const execution = await executed(async () => found.handle.fill(value, rest));
            if (!hidden || execution.error === undefined) return execution;
            return { ...execution, error: without(execution.error, value) };
        };
        const shown = hidden ? `[masked, ${Array.from(value).length} characters]` : value;
        unwrap(await this.#perform("fill", { selector, value: shown }, found, type));
    }

    /** Presses a key, for example `Enter`, in what the selector finds. */
    async press(selector: string, key: string, options: PageCallOptions = {}): Promise<void> {
        await this.#act("press", { selector, key }, options, async (element) => element.press(key, options));
    }

    /** Chooses options of a `<select>` by value or label. Returns the values that are chosen then. */
    async selectOption(selector: string, values: string | string[], options: PageCallOptions = {}): Promise<string[]> {
        const wanted = typeof values === "string" ? [values] : [...values];
        return this.#act("select", { selector, values: wanted }, options, async (element) =>
            element.selectOption(wanted, options),
        );
    }

    /** The text of what the selector finds, or of the whole page. */
    async read(selector?: string, options: PageCallOptions = {}): Promise<string> {
        if (selector !== undefined) {
            return this.#act("read", { selector }, options, async (element) => element.innerText());
        }
        const whole = await this.#find("body", options);
        return unwrap(
            await this.#perform("read", {}, whole, async () => executed(async () => whole.handle.innerText())),
        );
    }

    /**
     * A picture of the page as PNG, which is written to the path too where one is given. The record has its size
     * only.
     */
    async screenshot(
        options: PageCallOptions & {
            /** The file to write. */
            readonly path?: string;
        } = {},
    ): Promise<Buffer> {
        const { path } = options;
        const whole = await this.#find("html", options);
        const take = async (): Promise<Picture> => {
            const bytes = await this.#page.screenshot(options);
            return { bytes, toJSON: () => ({ bytes: bytes.byteLength }) };
        };
        const params = path === undefined ? {} : { path };
        return unwrap(await this.#perform("screenshot", params, whole, async () => executed(take))).bytes;
    }

    async #find(selector: string, { timeout }: PageCallOptions): Promise<Found> {
        await Navigations.of(this.#page, this.#options);
        return Found.by(this.#page, selector, timeout);
    }

    async #act<T>(
        type: string,
        params: { readonly selector: string; readonly [name: string]: unknown },
        options: PageCallOptions,
        run: (element: ElementHandle) => Promise<T>,
    ): Promise<T> {
        const copy = { ...params };
        const found = await this.#find(copy.selector, options);
        return unwrap(await this.#perform(type, copy, found, async () => executed(async () => run(found.handle))));
    }

    /** Proposes what is done with an element, or with the whole page: then that is not shown. */
    async #perform<T>(
        type: string,
        params: object,
        found: Found,
        run: () => Promise<Execution<T>>,
    ): Promise<Result<T>> {
        const here = this.#page.url();
        const gone = (): void => {
            if (this.#page.url() === here) return;
            throw new InvalidActionError(
                "target",
                `the page has gone from ${plain(here)} while the proposal waited: not run`,
            );
        };
        // A page goes on while somebody thinks about it: what is acted on is what was shown.
        const unchanged = async (): Promise<void> => {
            gone();
            await found.unchanged();
            gone();
        };
        const shown = "selector" in params && found.shown !== undefined ? { element: found.shown } : {};
        const action = { type, target: plain(here), params: { ...params, ...shown } };
        return perform(action, this.#options, async () => failedBriefly(await run()), unchanged);
    }
}

/**
 * What failed, for the record: the first line of Playwright's error, for a log follows it that quotes the page and
 * what was typed; and no query, in which credentials may stand.
 */
function failedBriefly<T>(execution: Execution<T>): Execution<T> {
    if (execution.error === undefined) return execution;
    const [problem = ""] = execution.error.split("\n");
    return { ...execution, error: problem.replace(/(:\/\/[^\s"'?#]*)[?#][^\s"']*/g, "$1") };
}

interface Picture {
    readonly bytes: Buffer;
    toJSON(): unknown;
}

/** Whether a field is for a password, or for something else that its page says is not for others to see. */
async function isSecret(found: Found): Promise<boolean> {
    try {
        const [type, autocomplete] = await Promise.all(
            ["type", "autocomplete"].map(async (name) => (await found.handle.getAttribute(name)) ?? ""),
        );
        return type?.toLowerCase() === "password" || /password|one-time-code|\bcc-/i.test(autocomplete ?? "");
    } catch {
        // What it is for cannot be known: then it is not shown.
        return true;
    }
}

/** Where a navigation led: to a document, or to another place. */
class Visit {
    readonly response: Response | null;
    readonly redirect: string | undefined;
    readonly #url: string;

    constructor(url: string, response: Response | null, redirect?: string) {
        this.response = response;
        this.redirect = redirect;
        this.#url = plain(url);
    }

    toJSON(): unknown {
        return { url: this.#url, status: this.response?.status() ?? null };
    }
}

/** A text without a secret, in whichever way it may be quoted there. */
function without(text: string, secret: string): string {
    if (secret === "") return text;
    const quoted = JSON.stringify(secret).slice(1, -1);
    const single = quoted.replaceAll('\\"', '"').replaceAll("'", "\\'");
    const spellings = [...new Set([secret, quoted, single])];
    return spellings.reduce((rest, spelling) => rest.replaceAll(spelling, "[masked]"), text);
}
