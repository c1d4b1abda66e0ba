/**
 * A Playwright page that asks before it acts.
 *
 * ```ts
 * import { GovernedPage } from "aegis-sidecar/playwright";
 * const page = new GovernedPage(await browser.newPage(), { client });
 * await page.goto("https://shop.example.com");
 * await page.fill("#password", secret);      // what is typed is never proposed
 * await page.click("#buy");
 * ```
 *
 * @packageDocumentation
 */
import type { Page, Response } from "playwright-core";
import { InvalidActionError } from "../errors.js";
import type { GovernOptions, Result } from "../govern/options.js";
import { executed, type Execution, perform, unwrap } from "../govern/perform.js";
import type { Json } from "../types.js";
import { normalUrl, proposedUrl, writtenUrl } from "./http-request.js";

/** How long an action of the page may take. */
export interface PageCallOptions {
    /** In milliseconds, as everywhere in Playwright. The page's own. */
    readonly timeout?: number;
}

/**
 * The actions of a page, each proposed, waited for, done if it may be, and reported. A no is thrown as `ActionDenied`.
 *
 * | method | type | target | parameters |
 * | --- | --- | --- | --- |
 * | `goto` | `navigate` | the URL | `query`, `fragment`, where it has them |
 * | `click` | `click` | the page's URL | `selector` |
 * | `fill` | `fill` | the page's URL | `selector`; `value`, masked unless it is asked for |
 * | `press` | `press` | the page's URL | `selector`, `key` |
 * | `selectOption` | `select` | the page's URL | `selector`, `values` |
 * | `read` | `read` | the page's URL | `selector`, where there is one |
 * | `screenshot` | `screenshot` | the page's URL | `path`, where there is one |
 *
 * A URL is proposed normalised and without query and fragment, as an HTTP request's is: what is not well formed is
 * refused.
 *
 * Give the agent this and not the page: who has the page can act without asking.
 */
export class GovernedPage {
    readonly #page: Page;
    readonly #options: GovernOptions;

    /** Acts on this page. */
    constructor(page: Page, options: GovernOptions) {
        this.#page = page;
        this.#options = options;
    }

    /** Where the page is. */
    url(): string {
        return this.#page.url();
    }

    /** Goes to an absolute URL. The record has where that led, and an HTTP status of 400 or more as failed. */
    async goto(url: string, options: PageCallOptions = {}): Promise<Response | null> {
        const { href, target, params } = destination(url);
        const go = async (): Promise<Execution<Visit>> => {
            const execution = await executed(async () => new Visit(this.#page, await this.#page.goto(href, options)));
            const status = execution.data?.response?.status() ?? 0;
            return status < 400 ? execution : { ...execution, status: "failed", error: `HTTP ${status}` };
        };
        const result = await perform({ type: "navigate", target, params }, this.#options, go);
        return (result.data ?? unwrap(result)).response;
    }

    /** Clicks what the selector finds. */
    async click(selector: string, options: PageCallOptions = {}): Promise<void> {
        await this.#act("click", { selector }, async () => this.#page.click(selector, options));
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
        const hidden = !record || (await this.#isSecret(selector, rest));
        const type = async (): Promise<Execution<void>> => {
            const execution = await executed(async () => this.#page.fill(selector, value, rest));
            if (!hidden || execution.error === undefined) return execution;
            // What follows the first line of an error of Playwright's is a log, which quotes what was to be typed.
            const [problem = ""] = execution.error.split("\n");
            return { ...execution, error: without(problem, value) };
        };
        const shown = hidden ? `[masked, ${Array.from(value).length} characters]` : value;
        unwrap(await this.#perform("fill", { selector, value: shown }, type));
    }

    /** Presses a key, for example `Enter`, in what the selector finds. */
    async press(selector: string, key: string, options: PageCallOptions = {}): Promise<void> {
        await this.#act("press", { selector, key }, async () => this.#page.press(selector, key, options));
    }

    /** Chooses options of a `<select>` by value or label. Returns the values that are chosen then. */
    async selectOption(selector: string, values: string | string[], options: PageCallOptions = {}): Promise<string[]> {
        const wanted = typeof values === "string" ? [values] : [...values];
        return this.#act("select", { selector, values: wanted }, async () =>
            this.#page.selectOption(selector, wanted, options),
        );
    }

    /** The text of what the selector finds, or of the whole page. */
    async read(selector?: string, options: PageCallOptions = {}): Promise<string> {
        const params = selector === undefined ? {} : { selector };
        return this.#act("read", params, async () => this.#page.innerText(selector ?? "body", options));
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
        const picture = await this.#act("screenshot", path === undefined ? {} : { path }, async () => {
            const bytes = await this.#page.screenshot(options);
            return { bytes, toJSON: () => ({ bytes: bytes.byteLength }) };
        });
        return picture.bytes;
    }

    async #act<T>(type: string, params: object, run: () => Promise<T>): Promise<T> {
        return unwrap(await this.#perform(type, params, async () => executed(run)));
    }

    async #perform<T>(type: string, params: object, run: () => Promise<Execution<T>>): Promise<Result<T>> {
        const here = this.#page.url();
        // A page goes on while somebody thinks about it: what is acted on is what was shown.
        const unchanged = (): void => {
            if (this.#page.url() === here) return;
            throw new InvalidActionError(
                "target",
                `the page has gone from ${plain(here)} while the proposal waited: not run`,
            );
        };
        return perform({ type, target: plain(here), params }, this.#options, run, unchanged);
    }

    /** Whether a field is for a password, or for something else that its page says is not for others to see. */
    async #isSecret(selector: string, options: PageCallOptions): Promise<boolean> {
        const type = await this.#page.getAttribute(selector, "type", options);
        const autocomplete = (await this.#page.getAttribute(selector, "autocomplete", options)) ?? "";
        return type?.toLowerCase() === "password" || /password|one-time-code|\bcc-/i.test(autocomplete);
    }
}

/** What a page goes to, and how that is proposed. */
function destination(written: string): { href: string; target: string; params: Record<string, Json> } {
    const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(written)?.[0].toLowerCase() ?? "";
    if (["about:", "data:", "file:"].includes(scheme)) {
        const { href } = new URL(written);
        return { href, target: href, params: {} };
    }
    const url = writtenUrl(written);
    const { target, params } = proposedUrl(url);
    const fragment = written.split("#").slice(1).join("#");
    if (fragment === "") return { href: url.href, target, params };
    return { href: `${url.href}#${fragment}`, target, params: { ...params, fragment } };
}

/** Where a page is, without query and fragment, in which credentials may stand. */
function plain(written: string): string {
    const url = URL.canParse(written) ? new URL(written) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol)) return written;
    return proposedUrl(normalUrl(new URL(url.pathname, url.origin))).target;
}

/** Where a navigation led. */
class Visit {
    readonly response: Response | null;
    readonly #url: string;

    constructor(page: Page, response: Response | null) {
        this.response = response;
        this.#url = plain(page.url());
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
