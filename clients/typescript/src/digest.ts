/**
 * The action digest: what ties a decision to the action that was sent.
 *
 * It is SHA-256 of the decision's salt and of the RFC 8785 JSON of the action, the actor's id and the session. No
 * library writes that JSON: RFC 8785 takes numbers and texts from ECMAScript's own `JSON.stringify`, and what is
 * proposed has been checked to be JSON already. What is left is the order of an object's names.
 */
import { createHash } from "node:crypto";
import type { Action, Json } from "./types.js";

/** A value as RFC 8785 has it. Names are in the order of their UTF-16, which is that of `sort`. */
export function canonicalJson(value: Json): string {
    if (typeof value !== "object" || value === null) return JSON.stringify(value);
    if (isList(value)) return `[${value.map(canonicalJson).join(",")}]`;
    const members = Object.keys(value)
        .sort()
        .map((name) => `${JSON.stringify(name)}:${canonicalJson(value[name] as Json)}`);
    return `{${members.join(",")}}`;
}

const isList = (value: Json): value is readonly Json[] => Array.isArray(value);

/** What the digest of a decision about an action is made of. The daemon makes the same. */
export function canonicalAction({ type, target, params, description }: Action, actor: string, session: string): string {
    return canonicalJson({ actor: { id: actor }, description, params, session_id: session, target, type });
}

/** The digest, in hex; `undefined` where the salt is not 16 bytes in hex. */
export function actionDigest(salt: string, canonical: string): string | undefined {
    if (!/^[0-9a-f]{32}$/.test(salt)) return undefined;
    return createHash("sha256").update(Buffer.from(salt, "hex")).update(canonical).digest("hex");
}
