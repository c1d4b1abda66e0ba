/** Where a page is or goes, as an action has it: without query and fragment, in which credentials may stand. */
import { InvalidActionError } from "../../errors.js";
import type { Json } from "../../types.js";
import { normalUrl, proposedUrl, writtenUrl } from "../http/url.js";

/** Some sites need `%2F` in a path. A browser sends the URL as it is proposed, so that a rule sees it. */
const AS_WRITTEN = { allowEncodedSlashes: true };

/** A place to go to, and how that is proposed. */
export interface Destination {
    readonly href: string;
    readonly target: string;
    readonly params: Record<string, Json>;
}

/** What a page goes to, as a caller wrote it. */
export function destination(written: string): Destination {
    const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(written)?.[0].toLowerCase() ?? "";
    if (scheme === "file:") return ofFile(written);
    if (scheme === "about:" || scheme === "data:") {
        const { href } = new URL(written);
        return { href, target: href, params: {} };
    }
    const url = writtenUrl(written, AS_WRITTEN);
    const { target, params } = proposedUrl(url);
    const fragment = written.split("#").slice(1).join("#");
    if (fragment === "") return { href: url.href, target, params };
    return { href: `${url.href}#${fragment}`, target, params: { ...params, fragment } };
}

/**
 * A file in whichever of its spellings: `FILE:///etc`, `file:/etc`, `file:etc`, `file://localhost/etc`,
 * `file:///%65tc`.
 */
function ofFile(written: string): Destination {
    const url = URL.canParse(written) ? new URL(written) : undefined;
    if (url?.host !== "" || /%(?:2f|5c|00)/i.test(url.pathname) || url.pathname.includes("//")) {
        throw new InvalidActionError("url", "is no file of this machine with one spelling: write file:///PATH");
    }
    // Query and fragment change nothing about a file: they dodge no rule on it.
    const target = `file://${url.pathname.replace(/%([0-9a-f]{2})/gi, (escape: string, code: string) => {
        const character = String.fromCharCode(Number.parseInt(code, 16));
        return /[A-Za-z0-9._~-]/.test(character) ? character : escape.toUpperCase();
    })}`;
    return { href: target, target: new URL(target).href, params: {} };
}

/** A document that a browser asks for by itself: its URL is well formed already. */
export function requested(href: string): Destination {
    const url = new URL(href);
    const { target, params } = proposedUrl(normalUrl(url, AS_WRITTEN));
    return { href, target, params };
}

/** Where a page is. */
export function plain(written: string): string {
    const url = URL.canParse(written) ? new URL(written) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol)) return written;
    return proposedUrl(normalUrl(new URL(url.pathname, url.origin), AS_WRITTEN)).target;
}
