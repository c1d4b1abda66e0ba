/** The record, as rows: a filter, the newest rows that match, and more of them on demand. */
import { signal } from "@preact/signals";
import { get, path, why } from "../api";
import type { Row, Rows } from "../words";

/** The filter, as the API names it. Times are local until they are sent. */
export interface Filter {
    approver: string;
    actor_id: string;
    matched_rule: string;
    session_id: string;
    action_type: string;
    target: string;
    outcome: string;
    min_risk_level: string;
    since: string;
    until: string;
}

export const NO_FILTER: Filter = {
    approver: "",
    actor_id: "",
    matched_rule: "",
    session_id: "",
    action_type: "",
    target: "",
    outcome: "",
    min_risk_level: "",
    since: "",
    until: "",
};

const PAGE = 50;
/** Rows that a live tail keeps. */
const MOST = 1000;

export const filter = signal<Filter>(NO_FILTER);
export const rows = signal<readonly Row[]>([]);
export const next = signal<string | null>(null);
export const failure = signal<string | null>(null);
export const isLive = signal(true);
export const isReading = signal(false);

/** A time of the local zone, as the browser's field has it, as the API wants it. */
export function instant(local: string): string {
    const date = new Date(local);
    return local === "" || Number.isNaN(date.getTime()) ? "" : date.toISOString();
}

function page(size: number, token: string | null): string {
    const { since, until, ...rest } = filter.value;
    const times = { since: instant(since), until: instant(until) };
    return path("/api/v1/audit/decisions", {
        ...rest,
        ...times,
        newest_first: true,
        page_size: size,
        page_token: token,
    });
}

let reading = new AbortController();

/** Reads the newest rows, or the rows after those that are shown. */
export async function read(more: boolean): Promise<void> {
    reading.abort();
    reading = new AbortController();
    const { signal: abort } = reading;
    isReading.value = true;
    try {
        const found = await get<Rows>(page(PAGE, more ? next.value : null), abort);
        rows.value = more ? [...rows.value, ...found.rows] : found.rows;
        next.value = found.next_page_token;
        failure.value = null;
    } catch (error) {
        if (!abort.aborted) failure.value = why(error);
    } finally {
        if (!abort.aborted) isReading.value = false;
    }
}

/** Takes in what is new or has changed: a row changes when its action is decided or reported. */
export async function refresh(abort: AbortSignal): Promise<void> {
    try {
        const found = await get<Rows>(page(PAGE, null), abort);
        if (abort.aborted) return;
        const fresh = new Map(found.rows.map((row) => [row.decision_id, row]));
        const oldest = found.rows.at(-1)?.id ?? Infinity;
        const known = rows.value;
        if (known.length > 0 && oldest > (known[0]?.id ?? 0) && found.next_page_token !== null) {
            // More is new than a page has: the list begins anew, without a gap.
            [rows.value, next.value] = [found.rows, found.next_page_token];
        } else {
            rows.value = [...found.rows, ...known.filter((row) => !fresh.has(row.decision_id))].slice(0, MOST);
        }
        failure.value = null;
    } catch (error) {
        if (!abort.aborted) failure.value = why(error);
    }
}
