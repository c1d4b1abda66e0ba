/**
 * A body, as a rule and a reviewer can read it: the value of what is JSON, whatever its type is called, else the
 * text, else its size.
 */
import { InvalidActionError } from "../../errors.js";
import type { Json } from "../../types.js";

/** Of a larger body only the size is proposed. */
const LONGEST_BODY = 16 * 1024;
/** A JSON body that is nested deeper is proposed as its text. */
const DEEPEST = 30;

/** Names of the one encoding of characters in which a body can be shown, and of its part that all share. */
const SHOWN_CHARSET = /^"?(?:utf-?8|us-ascii|ascii)"?$/i;

/** The parameters that stand for a body. */
export function shownBody(body: Uint8Array, contentType: string, contentEncoding = ""): Record<string, Json> {
    const size = { body_bytes: body.byteLength };
    // A server that heeds these reads another text than the bytes show.
    if (!/^\s*(?:identity)?\s*$/i.test(contentEncoding) || !isShownCharset(contentType)) return size;
    const type = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
    const isJson = type === "application/json" || type.endsWith("+json");
    const isText = type.startsWith("text/") || type === "application/x-www-form-urlencoded";
    if (body.byteLength > LONGEST_BODY) return size;
    let text: string;
    try {
        text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    } catch {
        return size;
    }
    // Servers go by what they expect and not by what the type is called. A number alone is as often a text.
    const json = isJson || /^[\uFEFF\s]*[[{]/.test(text) ? readJson(text) : undefined;
    if (json !== undefined) return { body: isExact(json.value, 0) ? json.value : text };
    return isJson || isText ? { body: text } : size;
}

/** Whether every `charset` of a type is one that a body is shown in. */
function isShownCharset(contentType: string): boolean {
    const [, ...named] = contentType.split(/charset/i);
    return named.every((rest) => {
        const value = /^\s*=\s*([^;,]*)/.exec(rest)?.[1]?.trim();
        return value !== undefined && SHOWN_CHARSET.test(value);
    });
}

/** The value of a JSON text. What readers of JSON read in different ways is refused. */
function readJson(text: string): { readonly value: Json } | undefined {
    const marked = text.startsWith("\uFEFF");
    let value: Json;
    try {
        value = JSON.parse(marked ? text.slice(1) : text) as Json;
    } catch {
        return undefined;
    }
    if (marked) throw new InvalidActionError("body", "is JSON after a byte order mark, which some servers do not read");
    const name = repeatedName(text);
    if (name === undefined) return { value };
    throw new InvalidActionError("body", `says the name ${JSON.stringify(name)} twice, and servers take either value`);
}

/** A name that one object of a JSON text has twice. `JSON.parse` does not tell. */
function repeatedName(text: string): string | undefined {
    // The names of each object around the place, and nothing for a list.
    const around: (Set<string> | undefined)[] = [];
    for (const [token, colon] of text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g)) {
        if (token === "{" || token === "[") around.push(token === "{" ? new Set() : undefined);
        else if (token === "}" || token === "]") around.pop();
        else if (colon !== undefined) {
            const name = JSON.parse(token.slice(0, -colon.length)) as string;
            const names = around.at(-1);
            if (names?.has(name) === true) return name;
            names?.add(name);
        }
    }
    return undefined;
}

/** Whether an action can hold the value as it was written, in every SDK. */
function isExact(value: Json, depth: number): boolean {
    if (typeof value === "string") return value.isWellFormed();
    if (typeof value === "number") return Math.abs(value) <= Number.MAX_SAFE_INTEGER;
    if (typeof value !== "object" || value === null) return true;
    if (depth >= DEEPEST) return false;
    return Object.entries(value).every(
        ([name, item]) => name !== "__proto__" && name.isWellFormed() && isExact(item, depth + 1),
    );
}
