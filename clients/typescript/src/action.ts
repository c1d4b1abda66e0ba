/** An action as a caller gives it, checked and copied: the copy is what is sent. */
import { InvalidActionError } from "./errors.js";
import { checkedObject, named, text } from "./json.js";
import type { Action, ActionInput } from "./types.js";

/** The action as it is sent. Throws {@link InvalidActionError} where it cannot be sent whole. */
export function checkedAction(input: ActionInput): Action {
    // Whoever calls from JavaScript may hand over anything.
    const given = input as unknown;
    if (typeof given !== "object" || given === null) {
        throw new InvalidActionError("action", `must be an object with a type, not ${named(given)}`);
    }
    const seed = "capability" in given;
    const { type, params } = seed
        ? { type: given.capability, params: "parameters" in given ? given.parameters : undefined }
        : { type: "type" in given ? given.type : undefined, params: "params" in given ? given.params : undefined };
    const known = seed
        ? ["capability", "parameters", "target", "description"]
        : ["type", "params", "target", "description"];
    const unknown = Object.keys(given).find((key) => !known.includes(key));
    if (unknown !== undefined) {
        throw new InvalidActionError(unknown, `is not a part of an action; these are: ${known.join(", ")}`);
    }
    const name = text(type, seed ? "capability" : "type");
    if (name === "") throw new InvalidActionError(seed ? "capability" : "type", "must not be empty");
    return Object.freeze({
        type: name,
        target: text("target" in given ? (given.target ?? "") : "", "target"),
        params: checkedObject(params ?? {}, seed ? "parameters" : "params"),
        description: text("description" in given ? (given.description ?? "") : "", "description"),
    });
}
