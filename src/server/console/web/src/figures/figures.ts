/** Figures of rows: how many decisions when, how long people take, and who asks. */
import type { Row } from "../words";

export type By = "outcome" | "risk" | "rule";

export interface Series {
    name: string;
    counts: number[];
}

export interface OverTime {
    /** The time that is covered, in seconds. */
    from: number;
    to: number;
    /** The beginnings of the intervals, in seconds. */
    times: number[];
    series: Series[];
}

/** The most series; the rest is one. */
const MOST = 6;
const OTHERS = "others";

function name(row: Row, by: By): string {
    switch (by) {
        case "outcome":
            return row.outcome.toLowerCase().replaceAll("_", " ");
        case "risk":
            return row.risk_level.toLowerCase();
        case "rule":
            return row.matched_rule;
    }
}

/** Counts by name, the most frequent first. */
export function counted(names: readonly string[]): [string, number][] {
    const counts = new Map<string, number>();
    for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
    return [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
}

/** Decisions in equal intervals between two moments, in milliseconds. */
export function overTime(rows: readonly Row[], by: By, from: number, to: number, intervals: number): OverTime {
    const width = (to - from) / intervals;
    const times = Array.from({ length: intervals }, (_, i) => (from + i * width) / 1000);
    const all = counted(rows.map((row) => name(row, by))).map(([name]) => name);
    const names = all.length > MOST ? [...all.slice(0, MOST - 1), OTHERS] : all;
    const series = names.map((name) => ({ name, counts: Array.from({ length: intervals }, () => 0) }));
    for (const row of rows) {
        const interval = Math.floor((Date.parse(row.timestamp) - from) / width);
        if (interval < 0 || interval >= intervals) continue;
        const own = series.find((it) => it.name === name(row, by)) ?? series.at(-1);
        if (own) own.counts[interval] = (own.counts[interval] ?? 0) + 1;
    }
    return { from: from / 1000, to: to / 1000, times, series };
}

/** How long people took to decide, in milliseconds, shortest first. What time or the policy ended does not count. */
export function decidingTimes(rows: readonly Row[]): number[] {
    const times = rows.flatMap((row) => {
        const isByPerson = row.decided_by !== null && /^(approved|denied)$/i.test(row.human_decision ?? "");
        return isByPerson && row.decided_at ? [Date.parse(row.decided_at) - Date.parse(row.timestamp)] : [];
    });
    return times.sort((a, b) => a - b);
}

/** The value that this share of sorted values does not exceed (nearest rank). */
export function percentile(sorted: readonly number[], share: number): number | null {
    return sorted.length === 0 ? null : (sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null);
}
