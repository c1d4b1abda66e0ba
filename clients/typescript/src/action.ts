/** An action as a caller gives it, checked and copied: the copy is what is sent. */
import { InvalidActionError } from "./errors.js";
import { checkedObject, text } from "./json.js";
import type { Action, ActionInput } from "./types.js";
import { kindOf } from "./values.js";

/** Copies that were made here: frozen, and never made again. */
const CHECKED = new WeakSet();

/** The action as it is sent. Throws {@link InvalidActionError} where it cannot be sent whole. */
export function checkedAction(input: ActionInput): Action {
    // Whoever calls from JavaScript may pass anything.
    const given: unknown = input;
    if (typeof given !== "object" || given === null) {
        throw new InvalidActionError("action", `must be an object with a type, not ${kindOf(given)}`);
    }
    if (CHECKED.has(given)) return given as Action;
    // Own properties, each read once.
    const parts = new Map<string, unknown>(Object.entries(given));
    const seed = parts.has("capability");
    const [type, params] = seed ? ["capability", "parameters"] : ["type", "params"];
    const known = [type, params, "target", "description"];
    const unknown = [...parts.keys()].find((key) => !known.includes(key));
    if (unknown !== undefined) {
        throw new InvalidActionError(unknown, `is not a part of an action; these are: ${known.join(", ")}`);
    }
    const name = text(parts.get(type), type);
    if (name === "") throw new InvalidActionError(type, "must not be empty");
    const action = Object.freeze({
        type: name,
        target: text(parts.get("target") ?? "", "target"),
        params: checkedObject(parts.get(params) ?? {}, params),
        description: text(parts.get("description") ?? "", "description"),
    });
    CHECKED.add(action);
    return action;
}
