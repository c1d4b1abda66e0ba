/** The policy in force, and what was in force before. */
import { signal } from "@preact/signals";
import { get, request, why } from "../api";
import type { Policy } from "../words";

/** A change of the policy, or a policy that was refused, as the record has it. */
export interface Event {
    sequence: number;
    time: string;
    /** Null for a policy that was refused. */
    revision: string | null;
    by: string;
    comment: string;
    errors: string[];
}

/** How far back the record is searched. */
export const SEARCHED = 20_000;

export const policy = signal<Policy | null>(null);
export const failure = signal<string | null>(null);
export const history = signal<readonly Event[] | null>(null);

export async function read(): Promise<void> {
    try {
        policy.value = await get<Policy>("/api/v1/policy");
        failure.value = null;
    } catch (error) {
        failure.value = why(error);
    }
}

export function revision(digest: string): Promise<Policy> {
    return get<Policy>(`/api/v1/policy?revision=${encodeURIComponent(digest)}`);
}

function event(line: string): Event[] {
    const { payload, sequence } = JSON.parse(line) as { payload: string | null; sequence: number };
    if (payload === null) return [];
    const record = JSON.parse(payload) as Record<string, unknown>;
    const text = (name: string): string => (typeof record[name] === "string" ? record[name] : "");
    const { kind } = record;
    if (kind !== "policy_loaded" && kind !== "policy_rejected") return [];
    const errors = Array.isArray(record["errors"]) ? record["errors"].map(String) : [];
    const revision = kind === "policy_loaded" ? text("revision") : null;
    return [{ sequence, time: text("time"), revision, by: text("by"), comment: text("comment"), errors }];
}

/** Reads the changes from the newest records, newest first. The daemon has no list of them. */
export async function readHistory(): Promise<void> {
    try {
        const answer = await request(`/api/v1/audit/records?limit=${SEARCHED}`);
        const lines = (await answer.text()).split("\n").filter((line) => line.includes("policy_"));
        history.value = lines.flatMap(event).reverse();
        failure.value = null;
    } catch (error) {
        failure.value = why(error);
    }
}
