/**
 * An element that is acted on: what it is, in its page's own words.
 *
 * A selector is the agent's word, and one element has many: rules and reviewers see the element itself. It is found
 * once, before the proposal, and compared right before the action: an element that was replaced or says something
 * else by then is not acted on.
 */
import type { ElementHandle, Page } from "playwright-core";
import { InvalidActionError } from "../../errors.js";
import { sameJson } from "../../json.js";
import type { JsonObject } from "../../types.js";

/** How much of an element's text is proposed, in characters. */
const LONGEST_TEXT = 500;

/** What is asked of an element, within its page. This package knows no types of the DOM. */
interface PageElement {
    readonly isConnected: boolean;
    readonly tagName: string;
    readonly textContent: string | null;
    getAttribute(name: string): string | null;
    hasAttribute(name: string): boolean;
    closest(selector: string): PageElement | null;
}

/** The kinds of actions whose meaning is what the element says. */
const SAYS: ReadonlySet<string> = new Set(["click", "press"]);

/** An element that was found, or why it was not. */
export class Found {
    readonly #handle: ElementHandle | undefined;
    readonly #problem: unknown;
    readonly #says: boolean;
    /** What is proposed of it; nothing where it was not found. */
    readonly shown: JsonObject | undefined;

    private constructor(
        handle: ElementHandle | undefined,
        problem: unknown,
        says: boolean,
        shown: JsonObject | undefined,
    ) {
        this.#handle = handle;
        this.#problem = problem;
        this.#says = says;
        this.shown = shown;
    }

    /**
     * Looks for it. An element that is not there is proposed all the same: the record has what was tried, as failed.
     */
    static async by(page: Page, selector: string, type: string, timeout: number | undefined): Promise<Found> {
        if (selector.includes(">>")) {
            throw new InvalidActionError(
                "params.selector",
                "holds `>>`, which looks inside frames and picks by number: write one CSS selector",
            );
        }
        const says = SAYS.has(type);
        try {
            const state = { state: "attached", ...(timeout !== undefined && { timeout }) } as const;
            const handle = await page.waitForSelector(selector, state);
            return new Found(handle, undefined, says, await described(handle, says));
        } catch (problem) {
            return new Found(undefined, problem, says, undefined);
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
        const now = await described(this.#handle, this.#says).catch(() => undefined);
        if (now !== undefined && this.shown !== undefined && sameJson(now, this.shown)) return;
        throw new InvalidActionError("params.element", "the element changed while the proposal waited: not run");
    }
}

/** What an element is. Throws where it is not in its page any more. */
async function described(handle: ElementHandle, says: boolean): Promise<JsonObject> {
    return handle.evaluate(
        (node, { longest, withText }) => {
            const element = node as unknown as PageElement;
            if (!element.isConnected) throw new Error("it is not in its page any more");
            const attribute = (name: string): string => (element.getAttribute(name) ?? "").slice(0, longest);
            const tag = element.tagName.toLowerCase();
            const found: Record<string, string> = { tag };
            for (const name of ["id", "name", "type", "href", "formaction", "aria-label"]) {
                if (element.hasAttribute(name)) found[name] = attribute(name);
            }
            const form = element.closest("form");
            if (form?.hasAttribute("action") === true) found["form"] = form.getAttribute("action") ?? "";
            // Never what somebody typed: only of buttons is the value what they say.
            const isButton = tag === "input" && /^(?:button|submit|reset)$/.test(found["type"] ?? "");
            if (isButton) found["text"] = attribute("value");
            else if (withText && !/^(?:input|textarea|select)$/.test(tag)) {
                found["text"] = (element.textContent ?? "").replace(/\s+/g, " ").trim().slice(0, longest);
            }
            return found;
        },
        { longest: LONGEST_TEXT, withText: says },
    );
}
