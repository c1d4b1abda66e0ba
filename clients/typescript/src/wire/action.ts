/** Actions, who proposes them and where they come from: to protobuf and back. */
import { create, fromJson } from "@bufbuild/protobuf";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import { checkedObject, text } from "../json.js";
import * as pb from "../proto/types_pb.js";
import type { Action, Actor, ProposalContextInput, Identity, Json, JsonObject, Mask } from "../types.js";

/** What is proposed, as it is sent. */
export function actionToWire(action: Action): pb.Action {
    const { type, target, description } = action;
    return create(pb.ActionSchema, { type, target, params: mutable(action.params), description });
}

/** Who proposes, as it is sent. */
export function actorToWire(actor: Actor | undefined): pb.Actor {
    const { id, type } = actor ?? { id: "", type: "" };
    return create(pb.ActorSchema, { id: text(id, "actor.id"), type: text(type ?? "ai-agent", "actor.type") });
}

/** Where a proposal comes from, as it is sent. */
export function contextToWire(context: ProposalContextInput | undefined): pb.ProposalContext {
    const sessionId = text(context?.sessionId ?? context?.session_id ?? "", "context.sessionId");
    const metadata = checkedObject(context?.metadata ?? {}, "context.metadata");
    return create(pb.ProposalContextSchema, { sessionId, metadata: mutable(metadata) });
}

/** protobuf-es has no read-only JSON; it does not change what it is given. */
function mutable(object: JsonObject): NonNullable<pb.Action["params"]> {
    return object as NonNullable<pb.Action["params"]>;
}

/** A value as it is sent. */
export function valueToWire(value: Json): Value {
    return fromJson(ValueSchema, value as Parameters<typeof fromJson>[1]);
}

export function actionFromWire(message: pb.Action | undefined): Action {
    const { type = "", target = "", params = {}, description = "" } = message ?? {};
    return { type, target, params, description };
}

export function actorFromWire(message: pb.Actor | undefined): Required<Actor> {
    return { id: message?.id ?? "", type: message?.type ?? "" };
}

export function identityFromWire(message: pb.Identity | undefined): Identity {
    const { subject = "", how = "", actorId = "", groups = [] } = message ?? {};
    return { subject, how, actorId, groups };
}

/** What is masked in an action. */
export function masksFromWire(messages: readonly pb.Mask[]): Mask[] {
    return messages.map(({ path, start, end, length, digest }) => ({ path, start, end, length, digest }));
}
