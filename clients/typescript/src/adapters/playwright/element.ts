/**
 * An element that is acted on: what it is, in its page's own words.
 *
 * A selector is the agent's word, and one element has many: rules and reviewers see the element itself. It is found
 * once, before the proposal, and compared right before the action: an element that was replaced or says something
 * else by then is not acted on.
 */
import { createHash } from "node:crypto";
import type { ElementHandle, Page } from "playwright-core";
import { InvalidActionError } from "../../errors.js";
import { sameJson } from "../../json.js";
import type { JsonObject } from "../../types.js";

/** How much of an element's text is proposed, in characters. */
const LONGEST_TEXT = 200;

/** What is asked of an element, within its page. This package knows no types of the DOM. */
interface PageElement {
    readonly isConnected: boolean;
    readonly tagName: string;
    readonly id: string;
    readonly textContent: string | null;
    readonly innerText?: string;
    readonly outerHTML: string;
    readonly type?: string;
    readonly value?: string;
    readonly href?: string;
    readonly action?: string;
    readonly formAction?: string;
    readonly form?: PageElement | null;
    getAttribute(name: string): string | null;
    removeAttribute(name: string): void;
    closest(selector: string): PageElement | null;
    cloneNode(deep: boolean): PageElement;
    querySelectorAll(selector: string): Iterable<PageElement>;
}

/** An element that was found, or why it was not. */
export class Found {
    readonly #handle: ElementHandle | undefined;
    readonly #problem: unknown;
    /** What is proposed of it; nothing where it was not found. */
    readonly shown: JsonObject | undefined;

    private constructor(handle: ElementHandle | undefined, problem: unknown, shown: JsonObject | undefined) {
        this.#handle = handle;
        this.#problem = problem;
        this.shown = shown;
    }

    /**
     * Looks for it. An element that is not there is proposed all the same: the record has what was tried, as failed.
     */
    static async by(page: Page, selector: string, timeout: number | undefined): Promise<Found> {
        if (selector.includes(">>")) {
            throw new InvalidActionError(
                "params.selector",
                "holds `>>`, which looks inside frames and picks by number: write one CSS selector",
            );
        }
        try {
            const state = { state: "attached", ...(timeout !== undefined && { timeout }) } as const;
            const handle = await page.waitForSelector(selector, state);
            return new Found(handle, undefined, await described(handle));
        } catch (problem) {
            return new Found(undefined, problem, undefined);
        }
    }

    /** The element; throws where there was none. */
    get handle(): ElementHandle {
        if (this.#handle !== undefined) return this.#handle;
        throw this.#problem;
    }

    /** Throws where it is not in its page any more, or says something else. */
    async unchanged(): Promise<void> {
        if (this.#handle === undefined) return;
        const now = await described(this.#handle).catch(() => undefined);
        if (now !== undefined && this.shown !== undefined && sameJson(now, this.shown)) return;
        throw new InvalidActionError("params.element", "the element changed while the proposal waited: not run");
    }
}

/** What an element is. Throws where it is not in its page any more. */
async function described(handle: ElementHandle): Promise<JsonObject> {
    const { html, text, ...looked } = await handle.evaluate(look);
    const said = text.replace(/\s+/g, " ").trim().slice(0, LONGEST_TEXT);
    const named = Object.fromEntries(Object.entries(looked).filter(([, value]) => value !== ""));
    // All of it, so that a change of what is not shown is seen, too.
    const digest = createHash("sha256").update(html.toWellFormed()).digest("hex").slice(0, 16);
    return { ...named, text: said.toWellFormed(), digest };
}

/** Runs in the page: uses nothing from outside. */
const look = (node: unknown): Record<"tag" | "id" | "text" | "href" | "action" | "html", string> => {
    const element = node as PageElement;
    if (!element.isConnected) throw new Error("it is not in its page any more");
    // What was typed is left out: it may be a secret.
    const copy = element.cloneNode(true);
    const fields = [copy, ...copy.querySelectorAll("input, textarea, option")];
    for (const field of fields) field.removeAttribute("value");
    const form = element.form ?? element.closest("form");
    const sends = form !== null && /^(?:submit|image)$/.test(element.type ?? "");
    const isButton = element.tagName === "INPUT" && /^(?:submit|button|reset)$/.test(element.type ?? "");
    const texts = [element.innerText, element.textContent, element.getAttribute("aria-label")];
    const said = texts.find((text) => typeof text === "string" && text !== "") ?? "";
    return {
        tag: element.tagName.toLowerCase(),
        id: element.id,
        text: isButton ? (element.value ?? "") : said,
        href: element.closest("a[href], area[href]")?.href ?? "",
        action: sends ? String(element.formAction ?? form.action) : "",
        html: copy.outerHTML,
    };
};
