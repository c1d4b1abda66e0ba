/** What is proposed, who proposes it, and where it comes from. */

/** What JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;

/** A JSON object. */
export interface JsonObject {
    readonly [key: string]: Json;
}

/** What an agent wants to do. */
export interface Action {
    /** The kind of action, for example `bulk_update`. Rules match it with globs. */
    readonly type: string;
    /** What it acts on, for example `crm`; may be empty. Rules match it with globs. */
    readonly target: string;
    /** Its arguments. */
    readonly params: JsonObject;
    /** The agent's own words for a reviewer. No rule looks at it. */
    readonly description: string;
}

/**
 * An action as it is given to this package.
 *
 * Its parameters must be what JSON holds exactly: no integer beyond ±(2^53 - 1), `NaN`, `undefined` in an array,
 * `Date`, function or cycle; those are an {@link InvalidActionError}. A property that is `undefined` counts as
 * absent.
 */
export type ActionInput =
    | {
          /** The kind of action, for example `bulk_update`. Not empty. */
          readonly type: string;
          /** What it acts on, for example `crm`. Empty without it. */
          readonly target?: string | undefined;
          /** Its arguments. None without it. */
          readonly params?: object | undefined;
          /** The agent's own words for a reviewer. */
          readonly description?: string | undefined;
      }
    | {
          /** The same as `type`. */
          readonly capability: string;
          /** The same as `params`. */
          readonly parameters?: object | undefined;
          /** What it acts on. Empty without it. */
          readonly target?: string | undefined;
          /** The agent's own words for a reviewer. */
          readonly description?: string | undefined;
      };

/** Who proposes, as declared. */
export interface Actor {
    /** The declared id, for example `agent-7`. */
    readonly id: string;
    /** The declared kind; `ai-agent` without it. */
    readonly type?: string | undefined;
}

/** Where a proposal comes from. */
export interface ProposalContext {
    /** The agent's session: what one run of an agent did is found by it. */
    readonly sessionId?: string | undefined;
    /** Free labels that go to the record. Checked as parameters are. */
    readonly metadata?: object | undefined;
}

/**
 * A context as it is given to this package. `session_id` is taken for `sessionId`, as in the other SDKs.
 */
export type ProposalContextInput = ProposalContext & {
    /** The same as `sessionId`. */
    readonly session_id?: string | undefined;
};

/** Who called, as the daemon authenticated it. */
export interface Identity {
    /** The subject, or `anonymous`. */
    readonly subject: string;
    /** How it was established: `anonymous`, `unix_peer`, `bootstrap_credential`, `token`, `certificate`, `jwt`. */
    readonly how: string;
    /** The one actor id that the credential may declare. Empty: any. */
    readonly actorId: string;
    /** The groups that the credential named, for example in the claims of a JWT. */
    readonly groups: readonly string[];
}

/** A part of an action that is not shown and not stored. */
export interface Mask {
    /** The path of the parameter, for example `user.token`. A list on the way stands for each of its elements. */
    readonly path: string;
    /**
     * Where the placeholder begins in the text as shown, in characters (code points) from 0; `undefined`, like `end`,
     * where the whole value is masked.
     */
    readonly start: number | undefined;
    /** Where the placeholder ends: the position of the first character after it. */
    readonly end: number | undefined;
    /** How many characters the placeholder stands for. 0: unknown, as the path leads to several values. */
    readonly length: number;
    /**
     * The digest of the masked value, in rows of the record: equal values of one store have equal digests. Else empty.
     */
    readonly digest: string;
}
