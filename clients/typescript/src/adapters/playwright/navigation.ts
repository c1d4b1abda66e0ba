/**
 * Every document that a page loads is a proposal: by a link, a script, a form, a redirect, a refresh, in a frame and
 * in a window that the page opens. What may not be loaded is not asked of its server.
 *
 * Browsers follow redirects without asking. So the request is made here, one hop at a time: an answer that redirects is
 * not given to the page, which is sent to the new place instead, as a navigation of its own.
 */
import type { BrowserContext, Frame, Page, Request, Route } from "playwright-core";
import { InvalidActionError } from "../../errors.js";
import { type GovernOptions, type Result } from "../../govern/options.js";
import { type Execution, perform } from "../../govern/perform.js";
import { pause } from "../../pause.js";
import { errorText } from "../../recordable.js";
import type { Json } from "../../types.js";
import { shownBody } from "../http/body.js";
import { type Destination, plain, requested } from "./address.js";
import { withoutSpeculationRules } from "./speculation.js";

/** How many redirects are followed. */
const MOST_REDIRECTS = 20;

/** Watches over the documents of a context's governed pages. */
export class Navigations {
    static readonly #known = new WeakMap<BrowserContext, Navigations>();
    readonly #pages = new WeakMap<Page, GovernOptions>();
    /** The next documents that `goto` has asked for already, by page. */
    readonly #asked = new WeakMap<Page, string>();
    /** Where the last document of `goto` redirected to, by page. */
    readonly #redirected = new WeakMap<Page, string>();
    /** How often each frame was redirected without arriving. */
    readonly #hops = new WeakMap<Frame, number>();
    /** For a window whose page is not there yet. */
    #latest: GovernOptions;
    readonly #ready: Promise<void>;

    private constructor(context: BrowserContext, options: GovernOptions) {
        this.#latest = options;
        const routed = context.route(
            () => true,
            async (route, request) => this.#decide(route, request),
        );
        const ready = [routed, context.addInitScript({ content: withoutSpeculationRules })];
        this.#ready = Promise.all(ready).then(() => undefined);
    }

    /** The one of this page's context, which governs the page from now on. */
    static async of(page: Page, options: GovernOptions): Promise<Navigations> {
        const context = page.context();
        const found = Navigations.#known.get(context) ?? new Navigations(context, options);
        Navigations.#known.set(context, found);
        found.#pages.set(page, options);
        found.#latest = options;
        await found.#ready;
        return found;
    }

    /** Lets a page go to one document that was asked for already. Returns where that redirects to, if it does. */
    async once<T>(page: Page, href: string, go: () => Promise<T>): Promise<{ went: T } | { redirect: string }> {
        this.#asked.set(page, withoutFragment(href));
        this.#redirected.delete(page);
        try {
            return { went: await go() };
        } catch (error) {
            const redirect = this.#redirected.get(page);
            if (redirect === undefined) throw error;
            return { redirect };
        } finally {
            this.#asked.delete(page);
            this.#redirected.delete(page);
        }
    }

    async #decide(route: Route, request: Request): Promise<void> {
        const ahead = isAhead(request);
        if (!ahead && !request.isNavigationRequest()) return route.fallback();
        const frame = frameOf(request);
        const options = await this.#optionsFor(frame);
        if (options === undefined) return route.fallback();
        // A document that nobody has asked for yet.
        if (ahead) return route.abort("blockedbyclient");
        try {
            const page = frame?.parentFrame() === null ? frame.page() : undefined;
            if (page !== undefined && this.#asked.get(page) === withoutFragment(request.url())) {
                this.#asked.delete(page);
                const { redirect } = await load(route, request);
                if (redirect === undefined) return;
                this.#redirected.set(page, redirect);
                await route.abort("aborted");
                return;
            }
            await this.#propose(route, request, frame, options);
        } catch (error) {
            // Fail closed: whatever went wrong, the document is not loaded.
            await route.abort("aborted").catch(() => undefined);
            options.log?.(`aegis: ${request.url()} was not loaded: ${errorText(error)}`);
        }
    }

    /** A document that the page, or somebody who has it, asks for. */
    async #propose(route: Route, request: Request, asking: Frame | undefined, options: GovernOptions): Promise<void> {
        const { target, params } = documentOf(request, asking?.page().url());
        const result: Result<Loaded> = await perform<Loaded>(
            { type: "navigate", target, params },
            options,
            async (): Promise<Execution<Loaded>> => {
                const loaded = await load(route, request);
                const { status, redirect } = loaded;
                const data = { status, redirect, toJSON: () => ({ url: target, status }) };
                return status < 400 ? { status: "success", data } : { status: "failed", data, error: `HTTP ${status}` };
            },
        );
        const redirect = result.data?.redirect;
        if (redirect !== undefined && asking === undefined) {
            // A window is not there before its first document was answered: it gets an empty one, and is sent on.
            await route.fulfill({ status: 200, contentType: "text/html", body: "<!doctype html>" });
        } else if (result.data === undefined || redirect !== undefined) {
            // A page stays where it is; a window shows that it was blocked.
            await route.abort(asking === undefined ? "blockedbyclient" : "aborted");
        }
        const there = redirect === undefined ? asking : (asking ?? (await frameSoon(request)));
        if (there === undefined) return;
        const hops = redirect === undefined ? 0 : (this.#hops.get(there) ?? 0) + 1;
        this.#hops.set(there, hops);
        if (redirect === undefined || hops > MOST_REDIRECTS) return;
        // The frame asks for the new place by itself: a document like any other, which comes by here again.
        await there.evaluate(replaceLocation, redirect).catch(() => undefined);
    }

    /** How a frame's documents are asked for: as those of its page, or of the page that opened it. */
    async #optionsFor(frame: Frame | undefined): Promise<GovernOptions | undefined> {
        if (frame === undefined) return this.#latest;
        for (let page: Page | null = frame.page(); page !== null; page = await page.opener()) {
            const options = this.#pages.get(page);
            if (options !== undefined) return options;
        }
        return undefined;
    }
}

interface Loaded {
    readonly status: number;
    /** Where it redirects to: then the page was given nothing. */
    readonly redirect: string | undefined;
}

/** Makes the request, and gives the page its answer unless that redirects. */
async function load(route: Route, request: Request): Promise<Loaded> {
    const response = await route.fetch({ maxRedirects: 0 });
    const status = response.status();
    const location = response.headers()["location"];
    if ([301, 302, 303, 307, 308].includes(status) && location !== undefined) {
        if (status > 303 && request.method() !== "GET") {
            throw new InvalidActionError("url", `redirects a ${request.method()} to ${location}: not followed`);
        }
        return { status, redirect: new URL(location, request.url()).href };
    }
    // Rules by which the browser would load further documents where nobody can be asked.
    const { "speculation-rules": rules, ...headers } = response.headers();
    await route.fulfill(rules === undefined ? { response } : { response, headers });
    return { status, redirect: undefined };
}

/** Whether a browser loads something before anybody opens it. */
function isAhead(request: Request): boolean {
    const headers = request.headers();
    return /prefetch|prerender/i.test(headers["sec-purpose"] ?? headers["purpose"] ?? "");
}

/** What loading a document proposes: of a form that is sent its method and its content as well. */
function documentOf(request: Request, page: string | undefined): Destination {
    const to = requested(request.url());
    // Which page leads there; of a window that opens just now it is not known yet.
    const where = page === undefined ? to : { ...to, params: { ...to.params, from: plain(page) } };
    const method = request.method();
    if (method === "GET") return where;
    const body = request.postDataBuffer();
    const content: Record<string, Json> = body === null ? {} : shownBody(body, request.headers()["content-type"] ?? "");
    return { ...where, params: { ...where.params, method: method.toLowerCase(), ...content } };
}

/** The frame that asks; nothing where a window asks for its first document. */
function frameOf(request: Request): Frame | undefined {
    try {
        return request.frame();
    } catch {
        return undefined;
    }
}

/** The same once the window is there, which it is not before its first document was answered. */
async function frameSoon(request: Request): Promise<Frame | undefined> {
    for (let tries = 0; tries < 100; tries += 1) {
        const frame = frameOf(request);
        if (frame !== undefined) return frame;
        await pause(0.05);
    }
    return undefined;
}

/** Runs in the page. */
const replaceLocation = (to: string): void => {
    const { location } = globalThis as unknown as { readonly location: { replace(to: string): void } };
    location.replace(to);
};

const withoutFragment = (href: string): string => href.split("#", 1)[0] ?? "";
